"""What making another bundle of content the active one would do, in a line or in full."""

from __future__ import annotations

from app.tui.describe.bundle import explain
from app.tui.document import Document, Line
from app.tui.text import clock, safe, size
from app.tui.usage import content_name
from engine import ActivatePlan, BundleEntry

__all__ = ["activate_lines", "activate_question"]


def activate_question(plan: ActivatePlan) -> str:
    """What carrying out `plan`, which has no problem, means; what costs comes first, where it is not cut off."""
    build = plan.build
    chosen = build.match.chosen if build else None
    if plan.builds:
        first = "builds its environment first"
    elif build is not None and build.environment is not None:
        first = "its environment is there"
    else:
        first = "without an environment"
    had = plan.bundle.python_version
    python = f"Python {chosen.version}" if chosen else "no Python"
    if chosen is not None and str(chosen.version) != had:
        python += f", it had {had}"
    return f"Activate bundle {plan.bundle.number} of {content_name(plan.content)}: {first}. {python}."


def activate_lines(plan: ActivatePlan, now: float) -> list[Line]:
    """The whole plan: what is decided and why, and the way from the bundle to its environment."""
    document, bundle = Document(), plan.bundle
    document.heading("Would become active", content_name(plan.content))
    document.field("Bundle", f"{bundle.number}, {bundle.name}, {size(bundle.size)}")
    document.field("Deployed", f"{clock(bundle.deployed_at, now)} by {bundle.deployed_by}")
    document.field("Because", *(reason.text for reason in plan.reasons))
    if plan.running:
        runs = f"the content; what runs goes on with bundle {plan.content.active} until it is started again"
        document.field("Runs now", safe(runs, "yellow"))
    if plan.problem is not None:
        document.problem(plan.problem)
    if plan.build is not None:
        document.blank()
        entry = BundleEntry(plan.build.bundle.path, bundle.name, is_sample=False, plan=plan.build, problem=None)
        document.lines.extend(explain(entry, now))
    return document.lines

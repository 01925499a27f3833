"""What building environments again would do, in a line or in full."""

from __future__ import annotations

from app.tui.document import Document, Line
from app.tui.text import count, duration, safe
from engine import PlannedRebuild, RebuildPlan

__all__ = ["rebuild_lines", "rebuild_name", "rebuild_question"]


def rebuild_name(item: PlannedRebuild) -> str:
    """Which environment it is, in a few words."""
    env = item.environment
    return f"{env.key[:8]} ({env.bundle})" if env.bundle else env.key[:8]


def rebuild_question(plan: RebuildPlan) -> str:
    """What carrying out `plan`, of which nothing has a problem, means."""
    if len(plan.items) == 1:
        item = plan.items[0]
        took = duration(item.environment.seconds)
        return f"Rebuild {rebuild_name(item)}? It took {took} last time, on {item.environment.python_version}."
    return f"Rebuild {count(len(plan.items), 'environment')} at once? They took {duration(plan.seconds)} together."


def rebuild_lines(plan: RebuildPlan) -> list[Line]:
    """The whole plan: what would be built, and what cannot be for which reasons."""
    document = Document()
    good = [item for item in plan.items if not item.problems]
    document.heading("Would be built again", f"{count(len(good), 'environment')}; what runs keeps the old attempt")
    rows = []
    for item in good:
        took = f"took {duration(item.environment.seconds)}"
        doing = f"being built by {item.running.by}: is waited for" if item.running else took
        rows.append((safe("↻", "green"), rebuild_name(item), f"Python {item.environment.python_version}", doing))
    document.table(rows)
    if not good:
        document.add("  ", safe("nothing", "dim"))
    bad = [item for item in plan.items if item.problems]
    if bad:
        document.heading("Cannot be built again", count(len(bad), "environment"))
    for item in bad:
        document.add("  ", safe(rebuild_name(item), "bold"), hang=4)
        for problem in item.problems:
            document.problem(problem)
    return document.lines

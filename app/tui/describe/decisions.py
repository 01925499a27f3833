"""The decisions on the way from a bundle to its environment, each with every reason: sections of an explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from app.tui.document import Document
from app.tui.symbols import ACTION, STANDING, STEP, VERDICT
from app.tui.text import count, safe
from engine import (
    Action,
    BuildPlan,
    ManagementDecision,
    PlannedLine,
    Problem,
    ProvenanceStep,
    Standing,
    StepStanding,
    TargetMatch,
    Verdict,
)

__all__ = ["management", "package_summary", "packages", "request_source", "targets"]


def request_source(document: Document, steps: Sequence[ProvenanceStep] | Problem | None) -> None:
    """Where the Python request comes from; None while that is being looked up."""
    document.heading("Where the request comes from")
    if steps is None:
        document.add("  ", safe("reading the files of the bundle...", "dim"), hang=4)
    elif isinstance(steps, Problem):
        document.problem(steps)
    else:
        document.table([_step(step) for step in steps], notes=[_step_notes(step) for step in steps])


def _step(step: ProvenanceStep) -> tuple[Text, Text]:
    """The source and what it says, which for a source that says nothing is the reason why."""
    mark = STEP[step.standing].text()
    if step.standing is StepStanding.ABSENT:
        return mark, safe(f"{step.source}  {step.reason}", "dim")
    said = safe(f"{step.source}  ")
    said.append_text(safe(step.raw, "bold" if step.standing is StepStanding.DECIDES else ""))
    if step.constraint not in ("", step.raw):
        said.append_text(safe(f"  read as {step.constraint}"))
    return mark, said


def _step_notes(step: ProvenanceStep) -> list[Text]:
    if step.standing is StepStanding.ABSENT or not step.reason:
        return []
    return [safe(step.reason, "yellow" if step.standing is StepStanding.WARNING else "dim")]


def management(document: Document, decision: ManagementDecision) -> None:
    """Whether there is an environment at all, which level decided, and what the others say."""
    word = "managed" if decision.managed else "not managed: content runs on the installation itself"
    document.heading("Environment management", f"{word}, decided by the {decision.level.value} level")
    document.table(
        [
            (
                STANDING[level.standing].text(),
                safe(level.level.value),
                safe(level.reason, "" if level.standing is Standing.DECIDES else "dim"),
            )
            for level in decision.levels
        ]
    )


def targets(document: Document, found: TargetMatch) -> None:
    """How the execution environment was selected: the verdict on every one of them."""
    document.heading("Execution environments", f"selected by: {found.basis.value}")
    ordered = sorted(found.judgements, key=lambda judged: judged.verdict is not Verdict.CHOSEN)
    rows, notes = [], []
    for judged in ordered:
        chosen = judged.verdict is Verdict.CHOSEN
        rows.append((VERDICT[judged.verdict].text(), safe(judged.environment.label, "bold" if chosen else "")))
        title = [safe(judged.environment.name, "dim")] if judged.environment.title else []
        notes.append([*title, safe(judged.reason, "" if chosen else "dim")])
    document.table(rows, notes=notes)
    if not ordered:
        document.add("  ", safe("none is declared in the files that make execution off-host", "dim"), hang=4)


def package_summary(plan: BuildPlan) -> str:
    """``4 install, 1 prohibited``."""
    counts = Counter(line.action for line in plan.packages.lines)
    return ", ".join(f"{counts[action]} {action.value}" for action in Action if counts[action]) or "no lines"


def packages(document: Document, plan: BuildPlan) -> None:
    """What is done with every line, and why; then what the environment sees of the installation's own packages."""
    document.heading("Package plan", package_summary(plan))
    lines = plan.packages.lines
    document.table(
        [(ACTION[line.action].text(), safe(line.requirement), _reason(line)) for line in lines],
        notes=[[safe(f"! {note}", "yellow") for note in line.notes] for line in lines],
    )
    if plan.packages.needs_source:
        document.add(
            "  ", safe("a line refers to files of the bundle, so its source is needed to build", "dim"), hang=4
        )
    if plan.externals:
        document.heading("Externals", f"{count(len(plan.externals), 'package')} of the installation that it sees")
        document.table(
            [(safe(one.name), safe(one.version), safe(f"in {one.location}", "dim")) for one in plan.externals]
        )


def _reason(line: PlannedLine) -> Text:
    reason = safe(line.reason, "dim")
    if not line.mutable:
        return reason
    return Text.assemble(safe("! mutable", "yellow"), "  ", reason, end="")

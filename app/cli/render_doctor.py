"""What people see of what is wrong on disk: verification and the doctor. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding

from app.cli.blocks import count, grid, mark, problem, safe, stack, titled
from app.cli.units import duration, size
from engine import (
    EnvironmentState,
    RepairKind,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from engine import (
        Diagnosis,
        HealthCheck,
        RepairPlan,
        RepairResult,
        Verification,
        VerifyPlan,
        VerifyProgress,
        VerifyResult,
    )

__all__ = ["diagnosis", "marked", "repaired", "repairs", "verification_progress", "verified"]

_SHOWN = 10
"""Findings shown of one environment; with ``--json`` there are all."""


def verified(plan: VerifyPlan) -> RenderableType:
    """What verifying each environment came to, what was found in each, and the totals."""
    if not plan.verifications and not plan.gone:
        return safe("There is no environment to verify.")
    table = grid("STATE", "FILES", "SIZE", "TIME", "ENVIRONMENT")
    for item in plan.verifications:
        table.add_row(
            mark("intact" if item.ok else EnvironmentState.DAMAGED),
            safe(item.files),
            safe(size(item.bytes)),
            safe(duration(item.seconds)),
            stack(safe(item.name), safe(_origin(item), "dim"), *(safe(note, "dim") for note in item.notes)),
        )
    found = [part for item in plan.damaged for part in _findings(item)]
    return Group(
        table, *found, *(safe(f"{key} was deleted or rebuilt meanwhile", "dim") for key in plan.gone), _totals(plan)
    )


def _findings(item: Verification) -> list[RenderableType]:
    hidden = len(item.findings) - _SHOWN
    lines = [safe(finding) for finding in item.findings[:_SHOWN]]
    if hidden > 0:
        lines.append(safe(f"and {hidden} more, which --json lists", "dim"))
    return titled(item.name, *(Padding.indent(line, 2) for line in lines))


def _origin(item: Verification) -> str:
    if item.environment is None:
        return str(item.path)
    return f"Python {item.environment.python_version}, built for {item.environment.bundle}"


def _totals(plan: VerifyPlan) -> Text:
    files, total = sum(v.files for v in plan.verifications), sum(v.bytes for v in plan.verifications)
    seconds, damaged = sum(v.seconds for v in plan.verifications), len(plan.damaged)
    told = (
        f"{count(len(plan.verifications), 'environment')}, {count(files, 'file')}, {size(total)}, {duration(seconds)}"
    )
    return safe(f"{told}: {f'{damaged} damaged' if damaged else 'all as they were built'}", "bold")


def marked(result: VerifyResult) -> RenderableType:
    """What came of marking, a line per environment."""
    return Group(
        *(safe(f"marked  {key} as damaged: the next to need it builds it again") for key in result.marked),
        *(safe(f"cleared  {key}: it is as it was built, and may be used again") for key in result.cleared),
        *(problem(found) for _, found in result.failed),
    )


def verification_progress(progress: VerifyProgress) -> Text:
    """The line that is redrawn while environments are verified."""
    return safe(f"verifying {progress.done + 1} of {progress.total}  {progress.name}")


def diagnosis(item: Diagnosis) -> RenderableType:
    """Every check with its finding, and for what is not well why it matters and what to do."""
    table = grid("HEALTH", "CHECK", "FINDING")
    for check in item.checks:
        table.add_row(mark(check.health), safe(check.code), stack(safe(check.finding), *_explained(check)))
    bad = sum(1 for check in item.checks if not check.health.fine)
    told = f"{count(bad, 'finding')} to look at" if bad else "all is well"
    return Group(table, safe(f"{item.data_dir}: {count(len(item.checks), 'check')}, {told}", "bold"))


def _explained(check: HealthCheck) -> list[Text]:
    hidden = len(check.details) - _SHOWN
    return [
        *(safe(f"- {detail}") for detail in check.details[:_SHOWN]),
        *([safe(f"- and {hidden} more, which --json lists")] if hidden > 0 else []),
        *([safe(f"because {check.why}", "dim")] if check.why else []),
        *([safe(f"→ {check.remedy}", "dim")] if check.remedy else []),
    ]


def repairs(plan: RepairPlan, data_dir: Path) -> RenderableType:
    """What a repair would do in `data_dir`, and what it would leave alone for which reason."""
    if not plan.steps:
        return safe("There is nothing to repair.")
    table = grid("VERDICT", "SIZE", "WHAT")
    for step in (*plan.feasible, *plan.refused):
        table.add_row(
            mark("repair" if step.feasible else "keep"),
            safe(size(step.bytes)),
            stack(
                safe(f"{_DOES[step.kind]} {step.path.relative_to(data_dir)}"),
                safe(step.why, "dim"),
                *(safe(f"left alone: {reason}", "dim") for reason in step.refusals),
            ),
        )
    told = f"{len(plan.feasible)} to repair, which frees up to {size(plan.bytes)}; {len(plan.refused)} to leave alone"
    return Group(table, safe(told, "bold"))


_DOES = {
    RepairKind.SETTLE: "settle",
    RepairKind.ATTEMPT: "delete",
    RepairKind.TRASH: "delete",
    RepairKind.TEMPORARY: "delete",
    RepairKind.OVERLAY: "delete",
    RepairKind.RECORD: "move to trash/broken-records",
    RepairKind.JOB: "end",
}


def repaired(result: RepairResult) -> RenderableType:
    """What was repaired, and each thing that was not with the reason."""
    return Group(
        *(safe(f"left alone  {step.path}: {'; '.join(step.refusals)}") for step in result.refused),
        *(problem(found) for _, found in result.failed),
        safe(
            f"repaired  {len(result.done)}, {size(result.bytes)}; "
            f"{len(result.refused)} left alone after all, {len(result.failed)} failed"
        ),
    )

"""What people see of a match, of a plan and of where both lead: every decision with its reason. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from app.cli.blocks import count, grid, mark, pairs, problem, safe, stack, titled
from engine import (
    LOCAL,
    Severity,
    Standing,
    StepStanding,
    Usability,
    Verdict,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine import (
        BuildPlan,
        CancelPlan,
        Declarations,
        ExecutionEnvironment,
        ExecutorChoice,
        ManagementDecision,
        Match,
        PlannedLine,
        ProvenanceStep,
        Rule,
        TargetMatch,
        Trial,
    )

__all__ = ["cancelling", "executors", "management", "match", "plan", "provenance", "rules", "targets"]


def match(decision: Match) -> RenderableType:
    """The request, and the verdict and reason for every candidate. The problem of a failed match is not in it."""
    table = grid("VERDICT", "VERSION", "INSTALLATION")
    for judgement in decision.judgements:
        candidate = judgement.candidate
        table.add_row(
            mark(judgement.verdict),
            safe(candidate.version or "-"),
            stack(safe(f"{candidate.path}  {candidate.target}"), safe(judgement.reason, "dim")),
        )
    head = safe(f"Python {decision.request} under the {decision.rule.value} rule", "bold")
    if decision.chosen is None:
        return Group(head, table)
    answer = Text.assemble(
        mark(Verdict.CHOSEN), safe(f"  {decision.chosen.version}  {decision.chosen.path}: {decision.reason}")
    )
    return Group(head, table, answer)


def rules(trial: Trial, shown: Rule | None) -> Text:
    """What the rule that is not shown would choose, and where a bundle is tried whether its environment is there."""
    if trial.superseded:
        return safe("A constraint supersedes the rule: both give the same.", "dim")
    lines = []
    for one in trial.outcomes:
        if one is trial.outcome(shown):
            continue
        standing = "in force" if one.in_force else "not in force"
        chosen = one.match.chosen
        answer = f"{chosen.version}: {one.match.reason}" if chosen else "none"
        lines.append(safe(f"the {one.rule.value} rule, {standing}, would give {answer}", "dim"))
    return stack(*lines)


def plan(item: BuildPlan, steps: Sequence[ProvenanceStep] = ()) -> RenderableType:
    """The whole walk of a bundle: what asks for a version, match, management, package plan line by line, key, and hit
    or miss with the nearest environment. `steps` are where the version request comes from."""
    parts: list[RenderableType] = [pairs([("bundle", safe(item.bundle.path)), ("match", match(item.match))])]
    if item.target_match:
        parts += titled("execution environment", _target_match(item.target_match))
    if steps:
        parts += titled("version request", provenance(steps))
    parts += titled("environment management", management(item.management))
    parts += titled("packages", _packages(item))
    facts: list[tuple[str, RenderableType]] = []
    if item.key:
        facts.append(("key", safe(item.key)))
        facts.append(("cache", _cache(item)))
    elif not item.management.managed:
        facts.append(("cache", safe("none: content runs on the installation itself")))
    if item.installer:
        facts.append(("installer", safe(f"{item.installer.name}: {item.installer.reason}")))
        facts += [("", safe(f"! {one}", "yellow")) for one in item.installer.obstacles[1:]]
    if item.supply:
        facts.append(("store", safe(item.supply)))
    if item.running:
        facts.append(("building", safe(f"{item.running.id}, started by {item.running.by}")))
    if facts:
        parts += [Text(), pairs(facts)]
    return Group(*parts)


def provenance(steps: Sequence[ProvenanceStep]) -> RenderableType:
    """Each source of the version request, and what became of it."""
    table = grid("STANDING", "SOURCE")
    for step in steps:
        if step.standing is StepStanding.ABSENT:
            table.add_row(mark(step.standing), safe(f"{step.source}: {step.reason}", "dim"))
        else:
            table.add_row(mark(step.standing), stack(safe(f"{step.source}  {step.raw}"), safe(step.reason, "dim")))
    return table


def management(decision: ManagementDecision) -> RenderableType:
    """Whether there is an environment at all, and what each level says."""
    table = grid("STANDING", "LEVEL", "REASON")
    for level in decision.levels:
        table.add_row(
            mark(level.standing),
            safe(level.level.value),
            safe(level.reason, "" if level.standing is Standing.DECIDES else "dim"),
        )
    return Group(
        safe(f"{'managed' if decision.managed else 'not managed'}, decided by the {decision.level} level"), table
    )


def _target_match(found: TargetMatch) -> RenderableType:
    table = grid("VERDICT", "EXECUTION ENVIRONMENT")
    for judged in found.judgements:
        table.add_row(
            mark(judged.verdict),
            stack(safe(judged.environment.name), safe(judged.environment.title, "dim"), safe(judged.reason, "dim")),
        )
    return Group(safe(f"chosen by: {found.basis.value}"), table)


def _packages(item: BuildPlan) -> RenderableType:
    if not item.packages.lines:
        return safe("No package is asked for.", "dim")
    table = grid("ACTION", "REQUIREMENT")
    for line in item.packages.lines:
        table.add_row(mark(line.action), _line(line))
    return table


def _line(line: PlannedLine) -> Text:
    requirement = safe(line.requirement)
    if line.mutable:
        requirement.append("  (mutable)", "yellow")
    return stack(
        requirement,
        safe(f"{line.reason} ({line.where})" if line.reason else str(line.where), "dim"),
        *(safe(f"! {note}", "yellow") for note in line.notes),
    )


def _cache(item: BuildPlan) -> Text:
    if item.environment:
        return stack(Text.assemble(("✓ hit", "green")), safe(item.environment.path))
    parts = [Text("· miss: an environment would be built")]
    if item.unusable:
        parts.append(safe(f"the one of this key is {item.unusable.state.value}: {item.unusable.reason}", "yellow"))
    if item.nearest:
        parts.append(safe(f"nearest is {item.nearest.environment.key}, which differs in:", "dim"))
        parts += [safe(f"+ {line}", "green") for line in item.nearest.only_here]
        parts += [safe(f"- {line}", "red") for line in item.nearest.only_there]
        for change in item.nearest.changes:
            parts.append(safe(f"{change.name}: {change.one or 'none'} there, {change.other or 'none'} here", "yellow"))
    return stack(*parts)


def cancelling(item: CancelPlan) -> Text:
    """What cancelling would do."""
    return safe(f"would stop  {item.build.id}, {item.build.state.value}, started by {item.build.by}")


def targets(declared: Declarations) -> RenderableType:
    """Each execution environment with its installations, then what is wrong with the files."""
    if not declared.off_host:
        return safe(f"No execution environment is declared: content runs on this machine, the target {LOCAL}.")
    table = grid("MATCHING", "EXECUTION ENVIRONMENT")
    for environment in declared.environments:
        table.add_row(safe(environment.matching.value), _environment(environment))
    errors = sum(item.severity is Severity.ERROR for item in declared.problems)
    total = safe(
        f"{count(len(declared.environments), 'execution environment')} in {count(len(declared.files), 'file')}, "
        f"{count(errors, 'error')}, {count(len(declared.problems) - errors, 'warning')}",
        "bold red" if errors else "dim",
    )
    return Group(*([table] if declared.environments else []), *(problem(item) for item in declared.problems), total)


def executors(choice: ExecutorChoice) -> RenderableType:
    """Each executor with what it is or why it cannot be used; then the one that builds are given to."""
    table = grid("STATE", "EXECUTOR", "DETAILS")
    for item in choice.executors:
        issue = item.problem
        table.add_row(
            mark(Usability.UNUSABLE if issue else Usability.USABLE),
            safe(item.executor, "bold" if item.executor == choice.name else ""),
            stack(
                safe(issue.message if issue else item.version),
                safe(f"found {issue.found}", "dim") if issue and issue.found else None,
                safe(f"→ {issue.hint}", "dim") if issue and issue.hint else None,
                *(safe(note, "dim") for note in item.notes),
            ),
        )
    return Group(table, Text(), safe(f"Builds are given to {choice.name}: {choice.reason}"))


def _environment(item: ExecutionEnvironment) -> Text:
    others = [f"{name} {', '.join(map(str, versions))}" for name, versions in item.runtimes.items() if versions]
    return stack(
        safe(item.name),
        safe(item.title, "dim"),
        *(safe(f"Python {python.version}  {python.path}") for python in item.python),
        None if item.python else safe("no Python", "dim"),
        safe(f"also {'; '.join(others)}", "dim") if others else None,
        safe(f"guid {item.guid}", "dim") if item.guid else None,
        safe(f"supervisor {item.supervisor}", "dim") if item.supervisor else None,
        safe(str(item.where), "dim"),
    )

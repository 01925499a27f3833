"""A trial: what a request would get, both rules side by side."""

from __future__ import annotations

from collections import Counter

from rich.text import Text

from app.tui.document import Document, Line, note
from app.tui.symbols import VERDICT, Mark, plan_mark
from app.tui.text import ago, safe
from engine import LOCAL, Judgement, Problem, RuleOutcome, Trial, Verdict

__all__ = ["describe_trial", "hint"]

_NONE = Mark("✗", "none", "bold red")


def hint() -> list[Line]:
    """What to show before anything is typed."""
    return note(
        "Type a Python version or a constraint.",
        "3.9.3       what would a bundle get that asks for this version?",
        ">=3.9,<3.12 and one with this constraint?",
        "Enter shows it in full, Esc leaves. Nothing is changed.",
    )


def describe_trial(trial: Trial | Problem | None, now: float) -> list[Line]:
    """What `trial` came to: a problem where the request makes no sense, None while it is worked out."""
    document = Document()
    if trial is None:
        document.add(safe("working it out...", "dim"))
        return document.lines
    if isinstance(trial, Problem):
        document.problem(trial)
        return document.lines
    _answers(document, trial, now)
    _candidates(document, trial)
    problems = {one.match.problem.message: one.match.problem for one in trial.outcomes if one.match.problem}
    for one in trial.outcomes:
        if one.plan is not None and one.plan.problem is not None:
            problems[one.plan.problem.message] = one.plan.problem
    if problems:
        document.heading("Problems")
        for problem in problems.values():
            document.problem(problem)
    return document.lines


def _answers(document: Document, trial: Trial, now: float) -> None:
    """A line or two per rule: what is chosen and why, and whether the environment is there."""
    whose = f"as if {trial.bundle.name} asked for it" if trial.bundle is not None else "without a bundle"
    document.add(safe(f"Python {trial.request}", "bold"), "  ", safe(whose, "dim"), hang=2)
    if trial.superseded:
        document.add("  ", safe("a constraint supersedes both rules: they give the same", "dim"), hang=2)
    document.heading("Each rule")
    rows: list[list[Text]] = []
    notes: list[list[Text]] = []
    for one in trial.outcomes[:1] if trial.superseded else trial.outcomes:
        chosen = one.match.chosen
        mark = VERDICT[Verdict.CHOSEN].text(str(chosen.version)) if chosen else _NONE.text()
        standing = safe("in force" if one.in_force else "not now", "bold" if one.in_force else "dim")
        rows.append([safe(one.match.rule.value), standing, mark, safe(one.match.reason if chosen else "")])
        told = [] if chosen else [safe(one.match.reason, "red")]
        notes.append([*told, _environment(one, now)] if chosen and one.plan is not None else told)
    document.table(rows, notes=notes)


def _environment(one: RuleOutcome, now: float) -> Text:
    """Whether what the bundle would run in is there."""
    plan = one.plan
    assert plan is not None
    text = plan_mark(plan).text()
    if plan.environment is not None:
        built = ago(now - plan.environment.built_at)
        text.append_text(safe(f"  {plan.key[:8]}, built {built}", "default not bold"))
    elif plan.running is not None:
        text.append_text(safe(f"  by {plan.running.by}", "default not bold"))
    elif plan.nearest is not None:
        differing = len(plan.nearest.only_here) + len(plan.nearest.only_there) + len(plan.nearest.other_ingredients)
        near = plan.nearest.environment.key[:8]
        text.append_text(safe(f"  it would be built; the nearest, {near}, differs in {differing}", "default not bold"))
    elif plan.problem is None and plan.management.managed:
        text.append_text(safe("  it would be built", "default not bold"))
    return text


def _candidates(document: Document, trial: Trial) -> None:
    """Every candidate with its verdict under each rule, and the reasons, each once where they are the same."""
    outcomes = trial.outcomes[:1] if trial.superseded else trial.outcomes
    if len({len(one.match.judgements) for one in outcomes}) > 1:
        # Off-host a rule may leave out what the other one considers; then only that in force can be told line by line.
        outcomes = trial.outcomes[:1]
    document.heading("Candidates", " | ".join(one.match.rule.value for one in outcomes))
    versions = Counter(judgement.candidate.version for judgement in trial.in_force.match.judgements)
    rows: list[list[Text]] = []
    notes: list[list[Text]] = []
    for judged in sorted(zip(*(one.match.judgements for one in outcomes), strict=True), key=_rank):
        candidate, reason = judged[0].candidate, judged[0].reason
        marks = [VERDICT[one.verdict].text() for one in judged]
        differs = any(one.reason != reason for one in judged)
        version = safe(candidate.version or "?", "bold" if _rank(judged) == 0 else "")
        rows.append([version, *marks, safe("" if differs else reason, "dim")])
        told = zip(outcomes, judged, strict=True)
        lines = [safe(f"{one.rule.value}: {judgement.reason}", "dim") for one, judgement in told] if differs else []
        place = "" if candidate.target == LOCAL else f" on {candidate.target}"
        # Where the version does not tell which one is meant, the path does.
        if place or ((versions[candidate.version] > 1 or candidate.version is None) and candidate.path not in reason):
            lines.insert(0, safe(f"{candidate.path}{place}".strip(), "dim"))
        notes.append(lines)
    document.table(rows, notes=notes)
    if not rows:
        document.add("  ", safe("none is configured: Python.Executable names them", "dim"), hang=4)


def _rank(judged: tuple[Judgement, ...]) -> int:
    """What is chosen by any rule comes first."""
    return 0 if any(one.verdict is Verdict.CHOSEN for one in judged) else 1

"""The explanation of a match, from the answer down to its reasons. The heart of the product."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text

from app.tui.describe.decisions import management, packages, request_source, targets
from app.tui.describe.ingredients import ingredients
from app.tui.document import Document, Line
from app.tui.symbols import ENVIRONMENT, LIFE, VERDICT, plan_mark
from app.tui.text import ago, count, named, safe, size
from engine import (
    LOCAL,
    Action,
    BuildPlan,
    BundleEntry,
    Judgement,
    Life,
    Problem,
    ProvenanceStep,
    Rule,
    Verdict,
    lifespan_of,
)

__all__ = ["answer", "build_question", "explain", "why_no_environment"]

_RULES = {
    Rule.MAJOR_MINOR: "same major.minor",
    Rule.EXACT: "exactly the same version",
    Rule.REQUIRES: "the bundle's own version constraint",
}


def answer(entry: BundleEntry) -> Text:
    """The match in a few words: the version and what follows, or why there is none."""
    if entry.problem is not None:
        return safe(entry.problem.message, "red")
    plan = entry.plan
    if plan is None:
        return Text("")
    if plan.problem is not None:
        return safe(plan.problem.message, "red")
    if plan.match.chosen is not None and not plan.management.managed:
        return safe(f"runs on the installation itself: {plan.match.reason}")
    return safe(plan.match.reason)


def why_no_environment(plan: BuildPlan) -> str:
    """Why nothing is built for a bundle whose environment is not managed; "" when it is."""
    if plan.management.managed:
        return ""
    return f"it runs on the installation itself: {plan.management.reason}"


def build_question(plan: BuildPlan) -> str:
    """Exactly what building would do, in one line."""
    lines = len(plan.packages.requested)
    dropped = len(plan.packages.of(Action.PROHIBITED, Action.REFUSED))
    version = plan.match.chosen.version if plan.match.chosen else None
    left_out = f", {dropped} left out" if dropped else ""
    return f"Build {plan.bundle.name} on {version}: {count(lines, 'line')} to pip{left_out}?"


def explain(entry: BundleEntry, now: float, steps: Sequence[ProvenanceStep] | Problem | None = None) -> list[Line]:
    """The whole way from the bundle to its environment, the answer first.

    `steps` are where the Python request comes from; None while that is being looked up.
    """
    document = Document()
    plan = entry.plan
    _headline(document, entry, now)
    told = (entry.problem, *((plan.problem, plan.match.problem) if plan is not None else ()))
    problems = list(dict.fromkeys(problem for problem in told if problem is not None))
    for problem in problems:
        document.problem(problem)
    if plan is None:
        document.heading("Bundle")
        document.field("Path", str(entry.path))
        return document.lines
    _match(document, plan, now)
    request_source(document, steps)
    management(document, plan.management)
    packages(document, plan)
    _environment(document, plan, now)
    document.heading("Bundle")
    if plan.bundle.title:
        document.field("Shows", plan.bundle.title)
    document.field("Path", str(entry.path))
    manifest = plan.bundle.manifest
    document.field("Type", manifest.app_mode or "unknown")
    document.field("Packages", manifest.package_file or "none listed")
    return document.lines


def _headline(document: Document, entry: BundleEntry, now: float) -> None:
    plan = entry.plan
    text = plan_mark(plan).text()
    chosen = plan.match.chosen if plan else None
    if plan is None:
        text.append("  the bundle cannot be read", "default not bold")
    elif chosen is None:
        text.append("  no installation fits", "default not bold")
    else:
        text.append_text(safe(f"  Python {chosen.version}", "default bold"))
        if plan.problem is not None:
            what = "but it cannot be built"
        elif not plan.management.managed:
            what = "runs on the installation itself"
        elif plan.environment is not None:
            what = f"reuses an environment built {ago(now - plan.environment.built_at)}"
        elif plan.running is not None:
            what = f"is being built by {plan.running.by}"
        elif plan.unusable is not None:
            what = (
                f"its environment is {ENVIRONMENT[plan.unusable.state].word}: {plan.unusable.reason}; b builds it again"
            )
        else:
            what = "no environment yet; b builds it"
        text.append_text(safe(f"  {what}", "default not bold"))
    document.add(text, hang=2)


def _match(document: Document, plan: BuildPlan, now: float) -> None:
    match = plan.match
    document.heading("Match")
    document.field("Asks for", f"Python {match.request}")
    document.field("Rule", f"{match.rule.value}: {_RULES[match.rule]}")
    if match.chosen is not None:
        document.field("Chosen", Text.assemble(safe(match.chosen.version, "bold"), "  ", safe(match.chosen.path)))
        document.field("Because", match.reason)
        if plan.installation is not None:
            life = lifespan_of(plan.installation, now)
            if life.state in (Life.ENDED, Life.ENDING):
                document.field("Mind", safe(f"{LIFE[life.state].symbol} {life.reason}", LIFE[life.state].style))
    if plan.target_match is not None:
        targets(document, plan.target_match)
    first = ", the chosen one first" if match.chosen is not None else ""
    document.heading("Candidates", count(len(match.judgements), "installation") + first)
    ordered = sorted(match.judgements, key=lambda judgement: judgement.verdict is not Verdict.CHOSEN)
    versions = Counter(judgement.candidate.version for judgement in ordered)
    document.table([_candidate(one, versions[one.candidate.version] > 1) for one in ordered])
    if not ordered:
        document.add("  ", safe("none is configured: Python.Executable names them", "dim"), hang=4)


def _candidate(judgement: Judgement, ambiguous: bool) -> tuple[Text, Text, Text]:
    """One row of the candidates; where the version does not tell which one is meant, the path does."""
    mark, candidate = VERDICT[judgement.verdict], judgement.candidate
    chosen = judgement.verdict is Verdict.CHOSEN
    reason = safe(judgement.reason, "" if judgement.verdict in (Verdict.CHOSEN, Verdict.PASSED_OVER) else "dim")
    target = "" if candidate.target == LOCAL else f" on {candidate.target}"
    if (ambiguous or candidate.version is None) and candidate.path not in judgement.reason:
        target = f"  {candidate.path}{target}"
    reason.append_text(safe(target, "dim"))
    return mark.text(), safe(candidate.version or "?", "bold" if chosen else ""), reason


def _environment(document: Document, plan: BuildPlan, now: float) -> None:
    document.heading("Environment")
    if plan.match.chosen is not None and not plan.management.managed:
        document.add("  none: it runs on the installation itself, with the packages that are there", hang=4)
        return
    document.field("Key", plan.key or "none without an installation")
    if plan.installer is not None:
        document.field("Installer", f"{plan.installer.name}: {plan.installer.reason}")
    if plan.supply is not None:
        document.field("Wheel store", str(plan.supply))
    env = plan.environment
    if env is not None:
        document.field("Reused", str(env.path))
        built = f"{ago(now - env.built_at)}" + (f" by {env.built_by}" if env.built_by else "")
        document.field("Built", f"{built}, {count(len(env.packages), 'package')}, {size(env.size)}")
    elif plan.running is not None:
        document.field("Building", f"{plan.running.id}, {plan.running.phase.value}, started by {plan.running.by}")
    else:
        _why_no_hit(document, plan)
    if plan.ingredients:
        document.heading("Ingredients", "the key is a digest of these")
        ingredients(document, plan.ingredients)


def _why_no_hit(document: Document, plan: BuildPlan) -> None:
    """What is in the cache that almost serves, and what keeps it from serving."""
    if plan.unusable is not None:
        mark = ENVIRONMENT[plan.unusable.state]
        document.field(
            "Not reused", Text.assemble("it is there, but ", mark.text()), safe(plan.unusable.reason, mark.style)
        )
    near = plan.nearest
    if near is None:
        if plan.key and plan.unusable is None:
            document.field("Nearest", "no other environment of this installation")
        return
    env = near.environment
    about = ", ".join(filter(None, (env.bundle, f"Python {env.python_version}")))
    document.field("Nearest", f"{named(env.key, about)} differs least")
    rows = [(safe(f"+ {line}", "green"), safe("only asked for here", "dim")) for line in near.only_here]
    rows += [(safe(f"- {line}", "red"), safe("only in that environment", "dim")) for line in near.only_there]
    document.table(rows, indent=4)
    for change in near.changes:
        document.add("    ", safe(change.name, "yellow"), safe("  differs too", "dim"), hang=6)
        document.add("      ", safe(f"- {change.one or 'none'}", "red"), hang=8)
        document.add("      ", safe(f"+ {change.other or 'none'}", "green"), hang=8)

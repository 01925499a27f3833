"""What people see: rich renderables made of engine values. Pure; all foreign text is made safe here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.cli.units import duration, moment, size
from engine import (
    Action,
    Build,
    BuildPlan,
    BuildState,
    BundleEntry,
    ConfigState,
    EffectiveValue,
    Environment,
    EnvironmentState,
    Installation,
    Match,
    Problem,
    Severity,
    Usability,
    Verdict,
    clean,
)

__all__ = [
    "SafeConsole",
    "builds",
    "bundles",
    "config_check",
    "config_show",
    "environments",
    "installations",
    "match",
    "plan",
    "problem",
    "progress",
]

# State is always word + symbol + colour; every symbol is one cell wide.
_LOOK: dict[str, tuple[str, str]] = {
    Usability.USABLE: ("✓", "green"),
    Usability.UNUSABLE: ("✗", "bold red"),
    Usability.PROBING: ("?", "dim"),
    Verdict.CHOSEN: ("✓", "green"),
    Verdict.PASSED_OVER: ("·", "default"),
    Verdict.REJECTED: ("–", "dim"),
    Action.INSTALL: ("+", "green"),
    Action.PROHIBITED: ("⊘", "yellow"),
    Action.OPTION: ("·", "dim"),
    Action.CONSTRAINT: ("·", "dim"),
    EnvironmentState.READY: ("✓", "green"),
    EnvironmentState.STALE: ("⊘", "yellow"),
    EnvironmentState.DAMAGED: ("✗", "bold red"),
    BuildState.QUEUED: ("◌", "dim"),
    BuildState.RUNNING: ("↻", "bold yellow"),
    BuildState.DONE: ("✓", "green"),
    BuildState.FAILED: ("✗", "bold red"),
    BuildState.CANCELLED: ("⊘", "yellow"),
    BuildState.LOST: ("?", "bold red"),
    Severity.WARNING: ("!", "yellow"),
    Severity.ERROR: ("✗", "bold red"),
}


class SafeConsole(Console):
    """A console that lets the caller decide what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError


def _text(value: object, style: str = "") -> Text:
    return Text(clean(str(value)), style=style)


def _state(word: str) -> Text:
    symbol, style = _LOOK.get(word, ("?", "dim"))
    return _text(f"{symbol} {word}", style)


def _stack(*parts: Text | None) -> Text:
    """The parts that are there and not empty, one under the other."""
    return Text("\n").join(part for part in parts if part)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(*columns: str) -> Table:
    """A borderless table whose last column takes the room that is left and wraps."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold", ratio=1)
    return table


def _facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Label and value, one per row."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold", ratio=1)
    for label, value in rows:
        table.add_row(label, value)
    return table


def problem(item: Problem) -> Text:
    """The block that every error and warning is told with: message, place, expected, found, what to do."""
    _, style = _LOOK[item.severity]
    block = Text.assemble((f"{item.severity.value}[{clean(item.code)}]", style), ": ", _text(item.message))
    details = [
        f"at {item.where}" if item.where else "",
        f"expected {item.expected}" if item.expected else "",
        f"found {item.found}" if item.found else "",
        f"→ {item.hint}" if item.hint else "",
    ]
    for detail in filter(None, details):
        block.append("\n  ").append_text(_text(detail))
    return block


def installations(items: Sequence[Installation]) -> RenderableType:
    if not items:
        return _text("No installation is configured. Name one with Executable under [Python].")
    table = _table("STATE", "VERSION", "INSTALLATION")
    for item in items:
        decisive = item.decisive
        table.add_row(
            _state(item.usability),
            _text(item.version or "-"),
            _stack(
                _text(item.declared),
                _text(item.reason, "dim"),
                _text(f"→ {decisive.remedy}", "dim") if decisive and decisive.remedy else None,
                _text(f"{item.origin}  {item.target}", "dim"),
            ),
        )
    usable = sum(item.usability is Usability.USABLE for item in items)
    return Group(table, _text(f"{usable} of {len(items)} usable", "dim"))


def match(decision: Match) -> RenderableType:
    """The request, and the verdict and reason for every candidate. The problem of a failed match is not in it."""
    table = _table("VERDICT", "VERSION", "INSTALLATION")
    for judgement in decision.judgements:
        candidate = judgement.candidate
        table.add_row(
            _state(judgement.verdict) if judgement.verdict is not Verdict.UNUSABLE else _state(Usability.UNUSABLE),
            _text(candidate.version or "-"),
            _stack(_text(f"{candidate.path}  {candidate.target}"), _text(judgement.reason, "dim")),
        )
    head = _text(f"Python {decision.request} under the {decision.rule.value} rule", "bold")
    if decision.chosen is None:
        return Group(head, table)
    answer = Text.assemble(
        _state(Verdict.CHOSEN), _text(f"  {decision.chosen.version}  {decision.chosen.path}: {decision.reason}")
    )
    return Group(head, table, answer)


def plan(item: BuildPlan) -> RenderableType:
    """The whole walk of a bundle: match, package plan line by line, key, hit or miss, and on a miss the nearest."""
    parts: list[RenderableType] = [
        _facts([("bundle", _text(item.bundle.path)), ("match", match(item.match))]),
        Text(),
        _packages(item),
    ]
    facts: list[tuple[str, RenderableType]] = []
    if item.key:
        facts.append(("key", _text(item.key)))
        facts.append(("cache", _cache(item)))
    if item.running:
        facts.append(("building", _text(f"{item.running.id}, started by {item.running.by}")))
    if facts:
        parts += [Text(), _facts(facts)]
    return Group(*parts)


def _packages(item: BuildPlan) -> RenderableType:
    if not item.packages.lines:
        return _text("No package is asked for.", "dim")
    table = _table("ACTION", "REQUIREMENT")
    for line in item.packages.lines:
        table.add_row(
            _state(line.action),
            _stack(
                _text(line.requirement),
                _text(f"{line.reason} ({line.where})" if line.reason else str(line.where), "dim"),
            ),
        )
    return table


def _cache(item: BuildPlan) -> Text:
    if item.environment:
        return _stack(Text.assemble(("✓ hit", "green")), _text(item.environment.path))
    parts = [Text("· miss: an environment would be built")]
    if item.nearest:
        parts.append(_text(f"nearest is {item.nearest.environment.key}, which differs in:", "dim"))
        parts += [_text(f"+ {line}", "green") for line in item.nearest.only_here]
        parts += [_text(f"- {line}", "red") for line in item.nearest.only_there]
        if item.nearest.other_ingredients:
            parts.append(_text(f"and in its {', '.join(item.nearest.other_ingredients)}"))
    return _stack(*parts)


def bundles(items: Sequence[BundleEntry]) -> RenderableType:
    if not items:
        return _text("No bundle is on offer. Name a directory of bundles with BundleDir under [Envdeck].")
    table = _table("CACHE", "BUNDLE")
    for item in items:
        issue = item.problem or (item.plan.problem if item.plan else None)
        hit = bool(item.plan and item.plan.hit)
        table.add_row(
            Text("✗ refused", "bold red") if issue else Text("✓ hit", "green") if hit else Text("· miss"),
            _stack(
                _text(f"{item.name}  (sample)" if item.is_sample else item.name),
                _text(item.plan.bundle.title, "dim") if item.plan else None,
                _text(item.path, "dim") if not item.is_sample else None,
                _text(issue.message, "dim") if issue else None,
            ),
        )
    return table


def environments(items: Sequence[Environment]) -> RenderableType:
    if not items:
        return _text("The cache holds no environment.")
    table = _table("STATE", "PYTHON", "SIZE", "BUILT", "ENVIRONMENT")
    for item in items:
        table.add_row(
            _state(item.state),
            _text(item.python_version),
            _text(size(item.size)),
            _text(moment(item.built_at)),
            _stack(
                _text(item.key),
                _text(f"{_count(len(item.packages), 'package')}, built for {item.bundle} by {item.built_by}", "dim"),
                _text(item.reason, "dim"),
            ),
        )
    total = sum(item.size for item in items)
    return Group(table, _text(f"{_count(len(items), 'environment')}, {size(total)}", "dim"))


def builds(items: Sequence[Build], now: float) -> RenderableType:
    if not items:
        return _text("No build was started yet.")
    table = _table("STATE", "PYTHON", "STARTED", "TOOK", "BUILD")
    for item in items:
        table.add_row(
            _state(item.state),
            _text(item.python_version),
            _text(moment(item.submitted_at)),
            _text(duration(item.seconds(now))),
            _stack(
                _text(item.id),
                _text(f"{item.bundle}, started by {item.by}", "dim"),
                _text(item.fault or item.message, "dim") if item.state is not BuildState.DONE else None,
            ),
        )
    return table


def progress(item: Build, now: float) -> Text:
    """The one line that is drawn over and over under a running build's log."""
    packages = f"  {item.packages_done}/{item.packages_total} packages" if item.packages_total else ""
    return Text.assemble(
        _state(item.state),
        _text(f"  {item.phase.value}", "bold"),
        f"{packages}  {duration(item.seconds(now))}  ",
        _text(item.message, "dim"),
    )


def config_source(state: ConfigState) -> Text:
    """Which configuration is in force, in one line."""
    if state.is_default:
        return _text("No configuration file was found: the embedded default is in force.", "dim")
    return _text("Read from " + ", ".join(str(path) for path in state.files), "dim")


def config_check(state: ConfigState) -> RenderableType:
    errors = len(state.errors)
    warnings = len(state.problems) - errors
    if errors or warnings:
        summary = _text(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}", "bold red" if errors else "yellow")
    else:
        summary = Text("✓ no problem found", "green")
    return Group(*(problem(item) for item in state.problems), config_source(state), summary)


def config_show(state: ConfigState, values: Sequence[EffectiveValue]) -> RenderableType:
    """Each setting, its values, and under each value where it comes from."""
    table = _table("SETTING", "VALUE")
    for value in values:
        style = "dim" if value.is_default else ""
        shown = [
            Text.assemble(_text(text, style), _text(f"  {origin}", "dim"))
            for text, origin in zip(value.values, value.origins, strict=False)
        ] or [_text("(none)  " + "".join(value.origins), "dim")]
        table.add_row(_text(value.name, style), _stack(*shown))
    if not values:
        return Group(_text("Every setting has its default."), config_source(state))
    return Group(table, Text(), config_source(state))

"""What people see of installations, bundles, builds and the configuration. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from app.cli.blocks import count, grid, mark, problem, safe, stack
from app.cli.units import about, duration, moment, size
from engine import (
    BuildState,
    ImpactKind,
    Life,
    Usability,
    excerpt,
    lifespan_of,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine import (
        Build,
        BundleEntry,
        ConfigState,
        EffectiveValue,
        Impact,
        Installation,
        PipFile,
        PipSetting,
        UvTool,
    )

__all__ = [
    "builds",
    "bundles",
    "config_check",
    "config_impact",
    "config_pip",
    "config_show",
    "installations",
    "numbers",
    "progress",
    "uv",
]

_BAR_WIDTH = 16

_LIFE = {Life.SUPPORTED: "dim", Life.ENDING: "yellow", Life.ENDED: "red", Life.UNKNOWN: "dim"}


def installations(items: Sequence[Installation], now: float) -> RenderableType:
    """Each interpreter with its judgement, and how long there are security fixes for it at the time `now`."""
    if not items:
        return safe("No installation is configured. Name one with Executable under [Python].")
    table = grid("STATE", "VERSION", "INSTALLATION")
    for item in items:
        decisive, life = item.decisive, lifespan_of(item, now)
        table.add_row(
            mark(item.usability),
            safe(item.version or "-"),
            stack(
                safe(item.declared),
                safe(item.reason, "dim"),
                safe(f"→ {decisive.remedy}", "dim") if decisive and decisive.remedy else None,
                safe(life.reason, _LIFE[life.state]) if item.facts else None,
                safe(f"{item.origin}  {item.target}", "dim"),
            ),
        )
    usable = sum(item.usability is Usability.USABLE for item in items)
    return Group(table, safe(f"{usable} of {len(items)} usable", "dim"))


def bundles(items: Sequence[BundleEntry]) -> RenderableType:
    if not items:
        return safe("No bundle is on offer. Name a directory of bundles with BundleDir under [Envdeck].")
    table = grid("CACHE", "BUNDLE")
    for item in items:
        issue = item.problem or (item.plan.problem if item.plan else None)
        hit = bool(item.plan and item.plan.hit)
        table.add_row(
            Text("✗ refused", "bold red") if issue else Text("✓ hit", "green") if hit else Text("· miss"),
            stack(
                safe(f"{item.name}  (sample)" if item.is_sample else item.name),
                safe(item.plan.bundle.title, "dim") if item.plan else None,
                safe(item.path, "dim") if not item.is_sample else None,
                safe(issue.message, "dim") if issue else None,
            ),
        )
    return table


def builds(items: Sequence[Build], now: float) -> RenderableType:
    if not items:
        return safe("No build was started yet.")
    table = grid("STATE", "PYTHON", "STARTED", "TOOK", "BUILD")
    for item in items:
        table.add_row(
            mark(item.state),
            safe(item.python_version),
            safe(moment(item.submitted_at)),
            safe(duration(item.seconds(now))),
            stack(
                safe(item.id),
                safe(f"{item.bundle}, started by {item.by}{_where(item)}", "dim"),
                safe(item.fault or item.message, "dim") if item.state is not BuildState.DONE else None,
            ),
        )
    return table


def _where(item: Build) -> str:
    """Where a build runs, where that is not this machine."""
    place = item.image or (item.executor if item.executor != "local" else "")
    return f", on {place}" if place else ""


def progress(item: Build, now: float) -> Text:
    """The one line that is drawn over and over under a running build's log: the bar, the numbers, the latest news."""
    fraction = item.fraction(now)
    return Text.assemble(
        mark(item.state),
        safe(f"  {item.phase.value}  ", "bold"),
        _bar(fraction) if fraction is not None else "",
        f"{numbers(item, now)}  ",
        safe(item.message, "dim"),
    )


def _bar(fraction: float) -> Text:
    full = round(fraction * _BAR_WIDTH)
    return Text.assemble(("━" * full, "green"), ("─" * (_BAR_WIDTH - full), "dim"), "  ")


def numbers(item: Build, now: float) -> str:
    """How far a build is: packages, bytes, time, and the time it will still take where that can be told."""
    parts = []
    if item.packages_total:
        parts.append(f"{item.packages_done}/{item.packages_total} packages")
    if item.bytes_total > item.bytes_done:
        parts.append(f"{size(item.bytes_done)} of {size(item.bytes_total)}")
    elif item.bytes_done:
        parts.append(size(item.bytes_done))
    left = item.left(now)
    spent = duration(item.seconds(now))
    parts.append(spent if left is None else f"{spent}, about {about(left)} left")
    return "  ".join(parts)


def config_source(state: ConfigState) -> Text:
    """Which configuration is in force, in one line."""
    if state.is_default:
        return safe("No configuration file was found: the embedded default is in force.", "dim")
    return safe("Read from " + ", ".join(str(path) for path in state.files), "dim")


def config_check(state: ConfigState) -> RenderableType:
    errors = len(state.errors)
    warnings = len(state.problems) - errors
    if errors or warnings:
        summary = safe(f"{count(errors, 'error')}, {count(warnings, 'warning')}", "bold red" if errors else "yellow")
    else:
        summary = Text("✓ no problem found", "green")
    told = (problem(item, excerpt(item, state.texts)) for item in state.problems)
    return Group(*told, config_source(state), summary)


def config_impact(found: Impact) -> RenderableType:
    """What taking over a configuration would do to each thing, the worst first."""
    parts: list[RenderableType] = []
    if found.items:
        table = grid("IMPACT", "WHAT", "BECAUSE", folded=("WHAT",))
        for item in found.items:
            table.add_row(
                mark(item.kind),
                safe(f"{item.subject.value} {item.name}"),
                stack(safe(f"{item.before} -> {item.after}"), safe(item.reason, "dim")),
            )
        parts.append(table)
    told = ", ".join(f"{len(found.of(kind))} {kind.value}" for kind in ImpactKind if found.of(kind))
    parts.append(safe(f"{told or 'nothing changes'}; {found.unchanged} not concerned", "bold"))
    return Group(*parts)


def config_show(state: ConfigState, values: Sequence[EffectiveValue]) -> RenderableType:
    """Each setting, its values, and under each value where it comes from."""
    table = grid("SETTING", "VALUE")
    for value in values:
        style = "dim" if value.is_default else ""
        shown = [
            Text.assemble(safe(text, style), safe(f"  {origin}", "dim"))
            for text, origin in zip(value.values, value.origins, strict=False)
        ] or [safe("(none)  " + "".join(value.origins), "dim")]
        table.add_row(safe(value.name, style), stack(*shown))
    if not values:
        return Group(safe("Every setting has its default."), config_source(state))
    return Group(table, Text(), config_source(state))


def uv(tool: UvTool) -> Text:
    """Whether uv can be used, which one, and what to do if not."""
    if tool.problem is None:
        return Text.assemble(mark(Usability.USABLE), safe(f"  uv {tool.version}  {tool.path}  {tool.origin}"))
    found = f", found {tool.problem.found}" if tool.problem.found else ""
    return stack(
        Text.assemble(("· no uv", "dim"), safe(f"  {tool.problem.message}{found}")),
        safe(f"→ {tool.problem.hint}", "dim") if tool.problem.hint else None,
    )


def config_pip(files: Sequence[PipFile], settings: Sequence[PipSetting], tool: UvTool) -> RenderableType:
    """pip's files, a later one winning over an earlier one, each option in force with its origin, and uv."""
    listed = grid("STATE", "FILE")
    for file in files:
        state = mark(file.problem.severity) if file.problem else Text("✓ read" if file.exists else "· absent")
        listed.add_row(state, stack(safe(file.path), safe(file.problem.message, "dim") if file.problem else None))
    if not settings:
        return Group(listed, Text(), safe("No option is set: pip works with its defaults."), Text(), uv(tool))
    table = grid("OPTION", "VALUE")
    for setting in settings:
        key = "part of the key, " if setting.in_key else ""
        table.add_row(
            safe(setting.name),
            stack(safe(setting.value), safe(f"{key}[{setting.section}] {setting.origin}", "dim")),
        )
    return Group(listed, Text(), table, Text(), uv(tool))

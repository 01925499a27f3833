"""The lines above and below every page, as pure functions: who and where, the views, the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from app.keys.actions import VIEWS, View
from app.tui.symbols import SEVERITY
from app.tui.text import clock, cut, safe
from engine import BuildState, Usability

if TYPE_CHECKING:
    from app.keys.context import FooterItem
    from engine import Problem, Snapshot

__all__ = ["cramped_line", "footer_line", "notice_line", "rule", "status_line", "views_line"]

_SHORT = {View.INSTALLATIONS: "Inst", View.ENVIRONMENTS: "Envs", View.CONFIG: "Cfg"}


def rule(text: Text, width: int) -> Text:
    """`text` as a heading that sets what is below apart from what is above."""
    line = Text.assemble(("╌╌ ", "dim"), text, " ", end="") if text.plain else Text("", end="")
    line.append("╌" * max(0, width - line.cell_len - 1), "dim")
    return line


def notice_line(problem: Problem, width: int) -> Text:
    """What stands in the way, with what to do about it as far as there is room; 5 tells it in full."""
    mark = SEVERITY[problem.severity]
    line = safe(f" {mark.symbol} {problem.message}", mark.style)
    for more in (problem.hint, "5 tells what to do", "5: more"):
        told = safe(f"  {more}", "default not bold dim")
        if line.cell_len + told.cell_len < width:
            line.append_text(told)
            break
    return line


def status_line(snapshot: Snapshot, version: str, width: int, *, frozen: bool = False) -> Text:
    """Host, version, mode, counts and the state of the config. What matters least goes first when it is narrow."""
    usable = sum(one.usability is Usability.USABLE for one in snapshot.installations)
    total = len(snapshot.installations)
    running = sum(build.state is BuildState.RUNNING for build in snapshot.builds)
    none_usable = total and not usable and not snapshot.probing
    interpreters = f"interp {usable}/{total}" + (" probing" if snapshot.probing else "")
    left = [
        (0, safe(snapshot.host.partition(".")[0] or snapshot.host, "bold")),
        (4, safe(f"envdeck {version}")),
        (1, Text("RO", style="bold yellow") if snapshot.read_only else Text("RW")),
        (2, safe(interpreters, "bold red" if none_usable else "")),
        (3, safe(f"envs {len(snapshot.environments) if snapshot.looked else '-'}")),
        (2, safe(f"builds {running if snapshot.looked else '-'}", "bold yellow" if running else "")),
    ]
    if frozen:
        left.insert(1, (0, Text("FROZEN", style="bold reverse")))
    config = snapshot.config
    right = [(0, Text("DEFAULTS", style="bold yellow"))] if config.is_default else []
    if config.errors:
        right.append((0, Text("CFG ERROR", style="bold red")))
    else:
        right.append((1, safe(f"cfg ok {clock(config.loaded_at)}")))
    return _spread(left, right, width)


def cramped_line(width: int, height: int) -> Text:
    """What a terminal of this size shows in the place of everything: as much of it as there is room for."""
    told = (
        f"envdeck needs 60x16, this is {width}x{height}",
        f"needs 60x16, is {width}x{height}",
        "needs 60x16",
        "60x16",
    )
    return safe(next((text for text in told if len(text) < width), told[-1]))


def views_line(active: View, tally: str, width: int) -> Text:
    """The views with their keys, the active one in reverse, and at the right what the list shows."""
    line = Text("", end="")
    room = width - len(tally) - 2
    full = sum(len(view.value) + 5 for view in VIEWS) <= room
    for number, view in enumerate(VIEWS, 1):
        name = view.value.title() if full else _SHORT.get(view, view.value.title())
        line.append(f" {number} {name} ", "bold reverse" if view is active else "")
        line.append(" " if full else "")
    tail = safe(tally, "bold")
    room = width - line.cell_len - 2
    if room > 0:
        tail = cut(tail, room) if tail.cell_len > room else tail
        line.append(" " * (room - tail.cell_len + 1))
        line.append_text(tail)
    return cut(line, width)


def footer_line(items: Sequence[FooterItem], width: int) -> Text:
    """The keys, each with a word; those that can do nothing now are dim."""
    line = Text("", end="")
    for item in items:
        line.append("  " if line.plain else " ")
        line.append(item.key, "bold" if item.enabled else "dim")
        line.append(f" {item.label}", "" if item.enabled else "dim")
    return cut(line, width)


def _spread(left: list[tuple[int, Text]], right: list[tuple[int, Text]], width: int) -> Text:
    """`left` and `right` at the two ends; while they do not fit, the one with the highest number is left out."""

    def needed() -> int:
        return 2 + sum(text.cell_len + 2 for _rank, text in (*left, *right))

    while needed() > width and (ranked := [part for part in (*left, *right) if part[0]]):
        worst = max(ranked, key=lambda part: part[0])
        (left if worst in left else right).remove(worst)
    line = Text(" ", end="")
    for _rank, text in left:
        line.append_text(text)
        line.append("  ")
    tail = Text("  ", end="").join(text for _rank, text in right)
    line.append(" " * max(0, width - line.cell_len - tail.cell_len - 1))
    line.append_text(tail)
    return cut(line, width)

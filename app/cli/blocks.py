"""What every view is built of: safe text, states, tables. Pure; all foreign text is made safe here."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.terminal import written
from engine import (
    clean,
)

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.control import Control

    from engine import (
        Excerpt,
        Problem,
    )

__all__ = ["SafeConsole", "count", "grid", "mark", "pairs", "problem", "safe", "stack", "titled"]

_LONGEST_NAME = 30
# State is always word + symbol + colour; every symbol is one cell wide.
_LOOK: dict[str, tuple[str, str]] = {
    "usable": ("✓", "green"),
    "unusable": ("✗", "bold red"),
    "probing": ("?", "dim"),
    "chosen": ("✓", "green"),
    "passed over": ("·", "default"),
    "rejected": ("–", "dim"),
    "install": ("+", "green"),
    "external": ("=", "green"),
    "support": ("+", "green"),
    "rewritten": ("+", "yellow"),
    "prohibited": ("⊘", "yellow"),
    "refused": ("✗", "bold red"),
    "option": ("·", "dim"),
    "constraint": ("·", "dim"),
    "decides": ("✓", "green"),
    "unset": ("·", "dim"),
    "not allowed": ("⊘", "yellow"),
    "overridden": ("–", "dim"),
    "absent": ("·", "dim"),
    "warning": ("!", "yellow"),
    "ready": ("✓", "green"),
    "stale": ("⊘", "yellow"),
    "damaged": ("✗", "bold red"),
    "queued": ("◌", "dim"),
    "running": ("↻", "bold yellow"),
    "done": ("✓", "green"),
    "failed": ("✗", "bold red"),
    "cancelled": ("⊘", "yellow"),
    "lost": ("?", "bold red"),
    "ok": ("✓", "green"),
    "NEEDS_BUILD": ("◌", "dim"),
    "RUNNING": ("↻", "bold yellow"),
    "COMPLETE": ("✓", "green"),
    "ERROR": ("✗", "bold red"),
    "ABORTED": ("⊘", "yellow"),
    "error": ("✗", "bold red"),
    "breaks": ("✗", "bold red"),
    "moves": ("▸", "yellow"),
    "rebuilds": ("↻", "yellow"),
    "mends": ("✓", "green"),
    "intact": ("✓", "green"),
    "note": ("·", "default"),
    "repair": ("✗", "yellow"),
    "reap": ("✗", "yellow"),
    "delete": ("✗", "yellow"),
    "keep": ("✓", "green"),
    "rebuild": ("↻", "bold yellow"),
}
"""By word. The words are those of the engine's states, which are spelled out because loading all of them takes longer
than most answers."""


class SafeConsole(Console):
    """A console that lets the caller decide what a closed pipe and a full disk mean."""

    def print(self, *objects: Any, **options: Any) -> None:
        with written():
            super().print(*objects, **options)

    def control(self, *controls: Control) -> None:
        with written():
            super().control(*controls)

    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the BrokenPipeError


def safe(value: object, style: str = "") -> Text:
    """`value` as text that cannot drive a terminal and is no markup."""
    return Text(clean(str(value)), style=style)


def mark(word: str) -> Text:
    """A state's symbol and word in its colour."""
    symbol, style = _LOOK.get(word, ("?", "dim"))
    return safe(f"{symbol} {word}", style)


def stack(*parts: Text | None) -> Text:
    """The parts that are there and not empty, one under the other."""
    return Text("\n").join(part for part in parts if part)


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 package``, ``2 packages``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def titled(title: str, *parts: RenderableType) -> list[RenderableType]:
    """A part of a view: an empty line, its title, what it holds."""
    return [Text(), Text(title, style="bold"), *parts]


def grid(*columns: str, folded: Collection[str] = ()) -> Table:
    """A borderless table whose last column takes the room that is left and wraps.

    Those that are `folded` show what others have named: however long a name is, it leaves room for the rest.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns[:-1]:
        if column in folded:
            made.add_column(column, overflow="fold", max_width=_LONGEST_NAME)
        else:
            made.add_column(column, no_wrap=True)
    made.add_column(columns[-1], overflow="fold", ratio=1)
    return made


def pairs(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Label and value, one per row."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold", ratio=1)
    for label, value in rows:
        made.add_row(label, value)
    return made


def problem(item: Problem, place: Excerpt | None = None) -> Text:
    """The block that every error and warning is told with: message, place, expected, found, what to do.

    With a `place` the line itself is shown below where it is.
    """
    _, style = _LOOK[item.severity]
    block = Text.assemble((f"{item.severity.value}[{clean(item.code)}]", style), ": ", safe(item.message))
    details = [
        f"at {item.where}" if item.where else "",
        f"expected {item.expected}" if item.expected else "",
        f"found {item.found}" if item.found else "",
        f"→ {item.hint}" if item.hint else "",
    ]
    for number, detail in enumerate(details):
        if detail:
            block.append("\n  ").append_text(safe(detail))
        if place is not None and number == 0:
            block.append_text(_excerpt(place, style))
    return block


def _excerpt(place: Excerpt, style: str) -> Text:
    margin = f"{place.line} "
    text = Text.assemble((f"\n    {margin}| ", "dim"), safe(place.text))
    if place.pointed:
        blanks = " " * safe(place.before).cell_len
        text.append_text(Text.assemble((f"\n    {' ' * len(margin)}| ", "dim"), (f"{blanks}^", style)))
    return text

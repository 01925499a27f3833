"""What a list shows: column definitions, and the pure rule that fits them into a width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from rich.text import Text

from app.tui.amounts import Amount, Unit

__all__ = ["GAP", "Column", "Facet", "fit", "spread"]

R = TypeVar("R")
GAP = 2


class Facet(Struct, Generic[R], frozen=True):
    """What rows can be filtered by although no column shows it."""

    title: str
    text: Callable[[R], str]
    unit: Unit | None = None
    amount: Callable[[R, float], Amount | None] = lambda _row, _now: None


class Column(Struct, Generic[R], frozen=True):
    """One column of a list of `R`."""

    title: str
    cell: Callable[[R, float], Text]
    """The text for a row at a time (seconds since the epoch)."""
    width: int
    """Cells it needs at least."""
    letter: str
    """What chooses it after the sort key."""
    sort: Callable[[R], Any]
    """The value that orders rows; all of one column compare with each other."""
    priority: int = 0
    """The column with the highest number goes first when there is not enough room; 0 always stays."""
    grow: int = 0
    """Its share of the room that is left over; 0 keeps it at `width`."""
    right: bool = False
    path: bool = False
    """Whether a text that is too long is cut as a path, so that its last directories stay."""
    text: Callable[[R], str] | None = None
    """What a filter looks at, where that is not what `cell` shows: a state without its symbol, a key in full."""
    unit: Unit | None = None
    amount: Callable[[R, float], Amount | None] = lambda _row, _now: None
    """What a filter compares, of a column with a `unit`."""

    @property
    def ticks(self) -> bool:
        """Whether its text changes by itself; a word without a field is then not looked for in it."""
        return self.unit is Unit.AGE


def fit(columns: Sequence[Column[R]], width: int, wishes: Mapping[str, int]) -> list[tuple[Column[R], int]]:
    """The columns to show in `width` cells and how wide each is, in their order, `GAP` cells apart.

    The least important columns are left out until the others fit. What is left over goes to the columns that grow, by
    their shares, up to what each has a use for (`wishes`, by title).
    """
    shown = list(columns)

    def spare() -> int:
        return width - sum(column.width for column in shown) - GAP * (len(shown) - 1)

    while spare() < 0 and any(column.priority for column in shown):
        shown.remove(max(shown, key=lambda column: column.priority))
    widths = {column.title: column.width for column in shown}
    left = spare()
    while left > 0:
        hungry = [column for column in shown if column.grow and widths[column.title] < wishes.get(column.title, 0)]
        if not hungry:
            break
        shares = sum(column.grow for column in hungry)
        for column in hungry:
            extra = max(1, left * column.grow // shares)
            extra = min(
                extra,
                wishes[column.title] - widths[column.title],
                width - GAP * (len(shown) - 1) - sum(widths.values()),
            )
            widths[column.title] += extra
        left = width - GAP * (len(shown) - 1) - sum(widths.values())
    return [(column, widths[column.title]) for column in shown]


def spread(
    columns: Sequence[Column[R]], width: int, wishes: Mapping[str, int], lead: int, shift: int
) -> list[tuple[Column[R], int]]:
    """As `fit`, but every column as wide as it wishes: the first `lead`, then those behind the next `shift`.

    The last may have to do with what is left; none is wider than all the room beside the first ones.
    """
    shown: list[tuple[Column[R], int]] = []
    left = width
    for index, column in enumerate([*columns[:lead], *columns[lead + shift :]]):
        wish = max(column.width, wishes.get(column.title, 0))
        cells = min(wish, left)
        if shown and (cells < min(wish, _LEAST) or (index < lead and cells < wish)):
            break
        shown.append((column, cells))
        left -= cells + GAP
    return shown


_LEAST = 8
"""Cells of a column that are worth showing when there is no room for all of it."""

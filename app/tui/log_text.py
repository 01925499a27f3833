"""The text of a log as its page shows it: the lines that are held, which of them are shown, and as which rows. Pure.

Lines have the numbers that they have in the whole log, from 0, to which the page adds one. Only the last are held.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells

from engine import LogLevel, log_level

if TYPE_CHECKING:
    from engine import LogLine

__all__ = ["LogText"]

_KEEP = 50_000
_SLACK = 5_000
"""So many more may be held, so that not every new line moves all others."""

Wanted = Callable[[str], bool]


class LogText:
    """A growing log. `dropped` lines came before the first that is held."""

    def __init__(self, keep: int = _KEEP) -> None:
        self.dropped = 0
        self.found: list[int] = []
        """The shown lines that are sought."""
        self.errors: list[int] = []
        """The lines that tell of an error, as far as `scan` has come."""
        self._keep = keep
        self._lines: list[LogLine] = []
        self._scanned = 0
        self._sought: Wanted | None = None
        self._wanted: Wanted | None = None
        self._shown: list[int] = []
        """The numbers of the lines that are `_wanted`; unused without such a wish."""
        self._width = 0
        self._starts: list[int] = []
        """The first row of each shown line and the number of all rows, when lines are wrapped."""

    # Lines

    @property
    def total(self) -> int:
        """How many lines the log has."""
        return self.dropped + len(self._lines)

    @property
    def count(self) -> int:
        """How many lines are shown."""
        return len(self._lines) if self._wanted is None else len(self._shown)

    @property
    def text(self) -> str:
        """What is shown, as text."""
        return "".join(f"{self.line(self._number(index)).text}\n" for index in range(self.count))

    @property
    def filtered(self) -> bool:
        return self._wanted is not None

    def line(self, number: int) -> LogLine:
        return self._lines[number - self.dropped]

    def take(self, lines: Sequence[LogLine], total: int) -> int:
        """Add the newest `lines` of a log that now has `total`; returns how many rows at the beginning went for them.

        When lines between what is held and these were missed, what was held goes, so that there is never a gap.
        """
        gone = 0
        if total - len(lines) > self.total:
            gone = self.rows
            self._drop(len(self._lines))
            self.dropped = self._scanned = total - len(lines)
        first = self.total
        self._lines.extend(lines)
        self._show(range(first, self.total))
        excess = len(self._lines) - self._keep
        if excess > _SLACK:
            before = self.rows
            self._drop(excess)
            gone += before - self.rows
        return gone

    def _show(self, numbers: Sequence[int]) -> None:
        """Take lines that were just added among those that are shown and found."""
        if self._wanted is not None:
            wanted = self._wanted
            numbers = [number for number in numbers if wanted(self.line(number).text)]
            self._shown.extend(numbers)
        if self._sought is not None:
            sought = self._sought
            self.found.extend(number for number in numbers if sought(self.line(number).text))
        if self._width:
            row = self._starts[-1]
            for number in numbers:
                row += _height(self.line(number).text, self._width)
                self._starts.append(row)

    def _drop(self, count: int) -> None:
        """Forget the first `count` lines that are held."""
        limit = self.dropped + count
        hidden = bisect_left(self._shown, limit) if self._wanted is not None else count
        del self._lines[:count]
        del self._shown[: bisect_left(self._shown, limit)]
        for numbers in (self.found, self.errors):
            del numbers[: bisect_left(numbers, limit)]
        if self._width:
            first = self._starts[hidden]
            self._starts = [start - first for start in self._starts[hidden:]]
        self.dropped = limit
        self._scanned = max(self._scanned, limit)

    def scan(self, most: int) -> bool:
        """Look for errors in at most so many lines that were not looked at; True when there are more."""
        end = min(self.total, self._scanned + most)
        for number in range(self._scanned, end):
            if log_level(self.line(number).text) is LogLevel.ERROR:
                self.errors.append(number)
        self._scanned = end
        return end < self.total

    # What is shown

    def filter(self, wanted: Wanted | None) -> None:
        """Show only the lines that are wanted, or all of them."""
        self._wanted = wanted
        self._again()

    def wrap(self, width: int) -> None:
        """Break lines that are wider than so many cells; 0 breaks none."""
        if width != self._width:
            self._width = width
            self._again()

    def search(self, sought: Wanted | None) -> None:
        """Find every line that is shown and sought; None finds nothing."""
        self._sought = sought
        self._again()

    def _again(self) -> None:
        self._shown, self.found, self._starts = [], [], [0]
        self._show(range(self.dropped, self.total))

    def shows(self, number: int) -> bool:
        """Whether line `number` is among those shown."""
        return self._index(number) < self.count and self._number(self._index(number)) == number

    def finds(self, number: int) -> bool:
        """Whether line `number` is among those found."""
        index = bisect_left(self.found, number)
        return index < len(self.found) and self.found[index] == number

    # Rows

    @property
    def rows(self) -> int:
        return self._starts[-1] if self._width else self.count

    def row(self, row: int) -> tuple[int, int]:
        """The line that `row` is of, and which part of it, from 0."""
        if not self._width:
            return self._number(row), 0
        index = bisect_right(self._starts, row) - 1
        return self._number(index), row - self._starts[index]

    def row_of(self, number: int) -> int:
        """The first row of line `number`, or when it is not shown of the next one that is."""
        index = self._index(number)
        return self._starts[min(index, self.count)] if self._width else index

    def part(self, number: int, part: int) -> tuple[int, int]:
        """Where in its line that part begins and ends, in characters."""
        text = self.line(number).text
        if not self._width:
            return 0, len(text)
        if text.isascii():
            return part * self._width, (part + 1) * self._width
        parts = _chop(text, self._width)
        start = sum(map(len, parts[:part]))
        return start, start + len(parts[part])

    def _number(self, index: int) -> int:
        return self.dropped + index if self._wanted is None else self._shown[index]

    def _index(self, number: int) -> int:
        return max(0, number - self.dropped) if self._wanted is None else bisect_left(self._shown, number)


def _height(text: str, width: int) -> int:
    if text.isascii():
        return max(1, -(-len(text) // width))
    return len(_chop(text, width)) if cell_len(text) > width else 1


def _chop(text: str, width: int) -> list[str]:
    return chop_cells(text, width) or [""]

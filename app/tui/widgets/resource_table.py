"""The list of every view: rows are engine values, only visible cells are formatted, the cursor follows a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rich.style import Style
from rich.text import Text
from textual.events import Click
from textual.message import Message
from textual.strip import Strip

from app.tui.document import Line, note
from app.tui.filters import Filter, parse_filter
from app.tui.text import cut, cut_path
from app.tui.widgets.columns import GAP, Column, fit
from app.tui.widgets.lines import LineWidget

__all__ = ["ResourceTable"]

R = TypeVar("R")
_MEASURED = 1000
"""Rows that decide how wide columns are: measuring all of a long list would be felt."""
_CURSOR = Style(reverse=True)
_RESTING = Style(bold=True, underline=True)


class ResourceTable(LineWidget, Generic[R]):
    """A sorted and filtered list of `R` with a cursor that stays on the row it is on, whatever happens around it."""

    fixed = 1

    class Changed(Message):
        """The cursor is on another row, or that row or the number of rows shown changed."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        identity: Callable[[R], str],
        now: Callable[[], float],
        *,
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.filter = Filter()
        self.sort: Column[R] | None = None
        self.reverse = False
        self._identity = identity
        self._now = now
        self._rows: tuple[R, ...] = ()
        self._shown: list[R] = []
        self._empty: Sequence[Line] = ()
        self._cursor = 0
        self._fitted: tuple[int, list[tuple[Column[R], int]]] | None = None
        """The columns that fit into a width."""

    # What is shown

    @property
    def count(self) -> int:
        return len(self._shown)

    @property
    def total(self) -> int:
        """How many rows there are without the filter."""
        return len(self._rows)

    @property
    def current(self) -> R | None:
        """The row under the cursor."""
        return self._shown[self._cursor] if self._shown else None

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the last row that is shown, or there is none."""
        return self._cursor >= len(self._shown) - 1

    def set_rows(self, rows: Sequence[R], empty: Sequence[Line]) -> None:
        """Show `rows`; without any, the remark `empty`. The cursor's row stays where it is on the screen."""
        before, emptiness = self._visible(), self._empty
        self._rows, self._empty = tuple(rows), empty
        fitted, self._fitted = self._fitted, None
        self._arrange()
        after = self._visible()
        if len(before) != len(after) or not after or (fitted and fitted[1] != self._columns(fitted[0])):
            if before or after or emptiness != empty:
                self.refresh()
        else:
            for offset, (old, new) in enumerate(zip(before, after, strict=True)):
                if old is not new and old != new:
                    self.refresh_line(self.top + offset)
        self.post_message(self.Changed())

    def set_filter(self, text: str) -> Filter:
        """Show only the rows that `text` accepts and return what it was read as."""
        self.filter = parse_filter(text, [column.title for column in self.columns])
        self._rearrange()
        return self.filter

    def set_sort(self, column: Column[R] | None, reverse: bool) -> None:
        """Order by `column` (None: the engine's order)."""
        self.sort, self.reverse = column, reverse
        self._rearrange()

    def select(self, identity: str) -> bool:
        """Put the cursor on that row; False when it is not shown."""
        for index, row in enumerate(self._shown):
            if self._identity(row) == identity:
                self._move_to(index)
                return True
        return False

    def refresh_rows(self, changing: Callable[[R], bool]) -> None:
        """Send again the visible rows whose text depends on the time."""
        for offset, row in enumerate(self._visible()):
            if changing(row):
                self.refresh_line(self.top + offset)

    def _visible(self) -> list[R]:
        return self._shown[self.top : self.top + self.page]

    def _fields(self, row: R) -> dict[str, str]:
        now = self._now()
        return {column.title.lower(): column.cell(row, now).plain for column in self.columns}

    def _arrange(self) -> None:
        held = self._identity(self.current) if self.current is not None else None
        before = self._cursor
        rows = list(self._rows)
        if self.filter.terms:
            rows = [row for row in rows if self.filter.accepts(self._fields(row))]
        if self.sort is not None:
            rows.sort(key=self.sort.sort)
        if self.reverse:
            rows.reverse()
        self._shown = rows
        self._cursor = min(before, max(0, len(rows) - 1))
        if held is not None:
            self._cursor = next((i for i, row in enumerate(rows) if self._identity(row) == held), self._cursor)
        top = self.top + self._cursor - before
        top = max(self._cursor - self.page + 1, min(top, self._cursor))
        self.top = max(0, min(top, len(rows) - self.page))

    def _rearrange(self) -> None:
        self._arrange()
        self.refresh()
        self.post_message(self.Changed())

    # Moving

    def move_by(self, lines: int) -> None:
        self._move_to(self._cursor + lines)

    def _move_to(self, index: int) -> None:
        index = max(0, min(index, self.count - 1))
        if index == self._cursor or not self._shown:
            return
        before, self._cursor = self._cursor, index
        if self.top <= index < self.top + self.page:
            self.refresh_line(before)
            self.refresh_line(index)
        else:
            # Half a page at once: a line at a time would send the whole list for every key (textual.md §3.2).
            self.scroll_top(index - self.page // 2)
        self.post_message(self.Changed())

    def on_resize(self, _event: object) -> None:
        self.top = max(0, min(self._cursor, max(self.top, self._cursor - self.page + 1), self.count - self.page))

    def on_click(self, event: Click) -> None:
        index = self.top + event.y - self.fixed
        if event.y >= self.fixed and index < self.count:
            self._move_to(index)

    def on_focus(self) -> None:
        self.refresh_line(self._cursor)

    def on_blur(self) -> None:
        self.refresh_line(self._cursor)

    # Drawing

    def columns_shown(self) -> list[Column[R]]:
        """The columns there is room for."""
        return [column for column, _width in self._columns(self.size.width)]

    def _columns(self, width: int) -> list[tuple[Column[R], int]]:
        if self._fitted is None or self._fitted[0] != width:
            self._fitted = width, fit(self.columns, width - 2, self._wishes())
        return self._fitted[1]

    def _wishes(self) -> dict[str, int]:
        now = self._now()
        growing = [column for column in self.columns if column.grow]
        rows = self._rows[:_MEASURED]
        return {c.title: max([len(c.title), *(c.cell(row, now).cell_len for row in rows)]) for c in growing}

    def draw_head(self, width: int) -> Strip:
        head = Text(" ", end="")
        for column, cells in self._columns(width - 1 if self.overflows else width):
            title = Text(column.title.upper(), style="dim", end="")
            if column is self.sort:
                title = Text(f"{column.title.upper()} {'▾' if self.reverse else '▴'}", style="bold", end="")
            head.append_text(cut(title, cells, right=column.right))
            head.append(" " * GAP)
        return self.strip(head)

    def draw(self, index: int, width: int) -> Strip:
        row, now = self._shown[index], self._now()
        line = Text(" ", end="")
        for column, cells in self._columns(width):
            cell = column.cell(row, now)
            for pattern in self.filter.patterns:
                for found in pattern.finditer(cell.plain):
                    cell.stylize("underline", *found.span())
            line.append_text(cut_path(cell, cells) if column.path else cut(cell, cells, right=column.right))
            line.append(" " * GAP)
        line.truncate(width)
        if index != self._cursor:
            return self.strip(line)
        # Plain under the cursor: colours in reverse video are hard to read, and the words say it all.
        style = _CURSOR if self.has_focus else _RESTING
        return self.strip(Text(cut(line, width).plain, style=style, end=""))

    def render_line(self, y: int) -> Strip:
        if self._shown or y < self.fixed + 1:
            return super().render_line(y)
        width = self.size.width
        remark = self._empty
        if self._rows:
            remark = note(f"No row matches {self.filter.text}", "Esc clears the filter.")
        lines = [part for line in remark for part in line.text.wrap(self.app.console, max(8, width - 4), no_wrap=False)]
        index = y - self.fixed - 1
        text = Text("  ", end="")
        if index < len(lines):
            text.append_text(lines[index])
        return self.strip(text).crop_extend(0, width, None).apply_style(self.rich_style)

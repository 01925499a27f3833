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
from app.tui.marks import Marks
from app.tui.text import cut, cut_path
from app.tui.widgets.columns import GAP, Column, Facet, fit, spread
from app.tui.widgets.detail import wrapped
from app.tui.widgets.lines import LineWidget
from app.tui.widgets.row_texts import RowTexts

__all__ = ["ResourceTable"]

R = TypeVar("R")
_MEASURED = 1000
"""Rows that decide how wide columns are: measuring all of a long list would be felt."""
_NAMES = 3
"""Cells from which on a column can tell rows from each other."""
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
        facets: Sequence[Facet[R]] = (),
        id: str | None = None,  # noqa: A002 - Textual's name
    ) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.filter = Filter()
        self.sort: Column[R] | None = None
        self.reverse = False
        self.marks = Marks()
        self.wide = False
        """Whether every column is as wide as it wishes, and the list scrolls sideways."""
        self._shift = 0
        """How many columns are scrolled away to the left."""
        self._lead = 1 + next((i for i, column in enumerate(self.columns) if column.width >= _NAMES), 0)
        """How many columns stay in place: those up to the first that can name a row."""
        self._identity = identity
        self._now = now
        self._texts = RowTexts(columns, facets, identity, now)
        self._rows: Sequence[R] = ()
        self._ordered: list[R] = []
        self._shown: list[R] = []
        self._empty: Sequence[Line] = ()
        self._cursor = 0
        self._wished: dict[str, int] = {}
        """How wide columns wish to be, as far as that was asked for."""
        self._fitted: tuple[object, list[tuple[Column[R], int]]] | None = None
        """The columns that are shown, for a width and what else decides."""

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
        """Show `rows`; without any, the remark `empty`. The cursor stays on its row."""
        if rows is self._rows and rows:
            return
        before, emptiness, columns = self._visible(), self._empty, self._fitted
        self._rows, self._empty = rows, empty
        self._wished, self._fitted = {}, None
        if self.marks.marked or self.marks.anchor:
            self.marks = self.marks.keep({self._identity(row) for row in rows})
        self._texts.forget(len(rows))
        self._order()
        after = self._visible()
        if len(before) != len(after) or not after or (columns and columns[1] != self._columns(self._room())):
            if before or after or emptiness != empty:
                self.refresh()
        else:
            for offset, (old, new) in enumerate(zip(before, after, strict=True)):
                if old is not new and old != new:
                    self.refresh_line(self.top + offset)
        self.post_message(self.Changed())

    def set_filter(self, text: str) -> Filter:
        """Show only the rows that `text` accepts and return what it was read as."""
        self.filter = parse_filter(text, self._texts.fields)
        if not self.filter.terms:
            self._texts.clear()
        self._arrange()
        self._redraw()
        return self.filter

    def set_sort(self, column: Column[R] | None, reverse: bool) -> None:
        """Order by `column` (None: the engine's order)."""
        self.sort, self.reverse = column, reverse
        self._order()
        self._redraw()

    def set_wide(self, wide: bool) -> None:
        """Show every column as wide as it wishes, or those that fit."""
        self.wide, self._shift = wide, 0
        self._redraw()

    def shift(self, columns: int) -> bool:
        """Scroll sideways by `columns`; False when there is nothing more on that side."""
        if columns > 0 and not self._more(self._room()):
            return False
        shift = max(0, self._shift + columns)
        if shift == self._shift:
            return False
        self._shift = shift
        self.refresh()
        return True

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

    def rows_shown(self) -> list[R]:
        """The rows that the filter accepts, in their order."""
        return list(self._shown)

    def identities(self) -> list[str]:
        """Those of the rows that are shown, in their order."""
        return [self._identity(row) for row in self._shown]

    def set_marks(self, marks: Marks) -> None:
        """Mark these rows and no others."""
        if marks != self.marks:
            self.marks = marks
            self.refresh()
            self.post_message(self.Changed())

    def marked(self) -> list[R]:
        """The marked rows, also those that the filter hides, in the order of the list."""
        return [row for row in self._ordered if self._identity(row) in self.marks] if self.marks else []

    def hidden_marks(self) -> int:
        """How many marked rows the filter hides."""
        if not self.marks or not self.filter.terms:
            return 0
        return len(self.marks) - sum(identity in self.marks for identity in self.identities())

    def _visible(self) -> list[R]:
        return self._shown[self.top : self.top + self.page]

    def _order(self) -> None:
        """Put the rows in order, then show those that the filter accepts."""
        self._ordered = list(self._rows)
        if self.sort is not None:
            self._ordered.sort(key=self.sort.sort)
        if self.reverse:
            self._ordered.reverse()
        self._arrange()

    def _arrange(self) -> None:
        """Show what the filter accepts, with the cursor on the row and in the place where it was.

        A list that shows its beginning goes on to show it: what comes on top of it, as a new build does, is seen.
        """
        held = self._identity(self.current) if self.current is not None else None
        before = self._cursor
        rows = self.filter.keep(self._ordered, self._texts) if self.filter.terms else self._ordered
        self._shown = rows
        self._cursor = min(before, max(0, len(rows) - 1))
        if held is not None:
            self._cursor = next((i for i, row in enumerate(rows) if self._identity(row) == held), self._cursor)
        top = self.top + self._cursor - before if self.top else 0
        top = max(self._cursor - self.page + 1, min(top, self._cursor))
        self.top = max(0, min(top, len(rows) - self.page))

    def _redraw(self) -> None:
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
        if self.marks.anchor and abs(index - before) > 1:
            self.refresh()
        if self.top <= index < self.top + self.page:
            self.refresh_line(before)
            self.refresh_line(index)
        else:
            # Half a page at once: a line at a time would send the whole list for every key (textual.md §3.2).
            self.scroll_top(index - self.page // 2)
        self.post_message(self.Changed())

    def on_resize(self, _event: object) -> None:
        self.scroll_top(min(self._cursor, max(self.top, self._cursor - self.page + 1)))

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
        return [column for column, _width in self._columns(self._room())]

    def _room(self) -> int:
        """Cells of a line, without the thumb."""
        return self.size.width - 1 if self.overflows else self.size.width

    def _columns(self, width: int) -> list[tuple[Column[R], int]]:
        state = (width, self.wide, self._shift)
        if self._fitted is None or self._fitted[0] != state:
            if self.wide:
                shown = spread(self.columns, width - 2, self._wishes(self.columns), self._lead, self._shift)
            else:
                growing = [column for column in self.columns if column.grow]
                shown = fit(self.columns, width - 2, self._wishes(growing))
            self._fitted = state, shown
        return self._fitted[1]

    def _more(self, width: int) -> bool:
        """Whether columns are out of sight to the right."""
        last, cells = self._columns(width)[-1]
        beyond = last is not self.columns[-1] or cells < self._wishes([last])[last.title]
        return self.wide and beyond and self._lead + self._shift < len(self.columns) - 1

    def _wishes(self, columns: Sequence[Column[R]]) -> dict[str, int]:
        """How wide these columns would be if all their texts were to fit."""
        now = self._now()
        for column in columns:
            if column.title not in self._wished:
                cells = [column.cell(row, now).cell_len for row in self._rows[:_MEASURED]]
                self._wished[column.title] = max([len(column.title), column.width, *cells])
        return self._wished

    def draw_head(self, width: int) -> Strip:
        width = width - 1 if self.overflows else width
        head = Text(" ", end="")
        shown = self._columns(width)
        for index, (column, cells) in enumerate(shown):
            title = Text(column.title.upper(), style="dim", end="")
            if column is self.sort:
                # The arrow stays, whatever room the title has.
                arrow = "▾" if self.reverse else "▴"
                title = Text(f"{column.title.upper()[: cells - 1]}{arrow}", style="bold", end="")
            head.append_text(cut(title, cells, right=column.right))
            away = self._shift and index == self._lead - 1
            head.append("< " if away else "  ", "bold" if away else "")
        if self._more(width):
            head.truncate(width - 1)
            head.pad_right(width - 1 - head.cell_len)
            head.append(">", "bold")
        return self.strip(head)

    def draw(self, index: int, width: int) -> Strip:
        row, now = self._shown[index], self._now()
        line = Text(self._mark(index), end="")
        for column, cells in self._columns(width):
            cell = column.cell(row, now)
            for pattern in self.filter.patterns:
                for start, end in pattern.spans(cell.plain):
                    cell.stylize("underline", start, end)
            line.append_text(cut_path(cell, cells) if column.path else cut(cell, cells, right=column.right))
            line.append(" " * GAP)
        line.truncate(width)
        if index != self._cursor:
            return self.strip(line)
        # Plain under the cursor: colours in reverse video are hard to read, and the words say it all.
        style = _CURSOR if self.has_focus else _RESTING
        return self.strip(Text(cut(line, width).plain, style=style, end=""))

    def _mark(self, index: int) -> str:
        """What stands before a row: whether it is marked, or would be with the range that is being marked."""
        if self.marks and self._identity(self._shown[index]) in self.marks:
            return "*"
        if self.marks.anchor:
            first = next((i for i, row in enumerate(self._shown) if self._identity(row) == self.marks.anchor), -1)
            if first >= 0 and min(first, self._cursor) <= index <= max(first, self._cursor):
                return "+"
        return " "

    def render_line(self, y: int) -> Strip:
        if self._shown or y < self.fixed + 1:
            return super().render_line(y)
        width = self.size.width
        remark = self._empty
        if self._rows:
            remark = note(f"No row matches {self.filter.text}", "Esc clears the filter.")
        lines = [part for line in remark for part in wrapped(line, max(10, width - 4), self.app.console)]
        index = y - self.fixed - 1
        text = Text("  ", end="")
        if index < len(lines):
            text.append_text(lines[index])
        return self.strip(text).crop_extend(0, width, None).apply_style(self.rich_style)

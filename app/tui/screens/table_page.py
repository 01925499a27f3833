"""A view that is a list: what the five have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from msgspec.structs import replace
from rich.text import Text

from app.keys.actions import Scope
from app.tui.document import Line, note
from app.tui.events import Level
from app.tui.marks import Marks
from app.tui.screens.page import Page
from app.tui.screens.text_page import TextPage
from app.tui.text import safe
from app.tui.widgets.chrome import notice_line
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing, Question
from app.tui.widgets.resource_table import ResourceTable

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from app.keys.context import InputContext
    from app.tui.screens.page import Copies
    from app.tui.widgets.columns import Column, Facet
    from engine import Problem, Snapshot

__all__ = ["TablePage"]

R = TypeVar("R")
_AGES = 10.0
"""Seconds after which lists show their ages anew."""


class TablePage(Page, Generic[R]):
    """A list of `R` that can be filtered, sorted, described and copied from."""

    columns: ClassVar[Sequence[Column]]  # type: ignore[type-arg]  # a class variable cannot name R
    facets: ClassVar[Sequence[Facet]] = ()  # type: ignore[type-arg]  # as above
    """What else rows can be filtered by."""
    ages: ClassVar[float] = _AGES
    """Seconds after which the passing of time alone makes what is told of a row out of date."""
    looked_up: ClassVar[bool] = True
    """Whether the rows come from looking at the data directory and the bundles."""

    # For subclasses

    def identity(self, row: R) -> str:
        """What stays the same while the row changes."""
        raise NotImplementedError

    def rows(self) -> Sequence[R]:
        raise NotImplementedError

    def empty(self) -> list[Line]:
        """What to say instead of an empty list: what is going on and what to do next."""
        raise NotImplementedError

    def heading(self, row: R) -> str:
        """What the description is headed."""
        raise NotImplementedError

    def describe(self, row: R) -> list[Line]:
        raise NotImplementedError

    def copies(self, row: R) -> dict[str, tuple[str, str]]:
        """What can be copied from a row besides its JSON."""
        raise NotImplementedError

    def remark(self, row: R) -> Text:  # noqa: ARG002 - for subclasses
        """What to say in full below the list about the selected row, since its column may have no room for it."""
        return Text("")

    def document(self, row: R) -> Mapping[str, object]:
        """The row as the command line's ``--json`` has it."""
        raise NotImplementedError

    def why_no_mark(self, row: R) -> str:  # noqa: ARG002 - for subclasses
        """Why this row cannot be marked; "" when it can. Only for pages with the scope of marks."""
        return ""

    # The page

    def make_table(self) -> ResourceTable[R]:
        self.table: ResourceTable[R] = ResourceTable(
            self.columns, self.identity, self.deck.clock, facets=self.facets, id="table"
        )
        return self.table

    def body(self) -> ComposeResult:
        yield self.make_table()
        yield OneLine(id="remark")

    @property
    def mover(self) -> ResourceTable[R]:
        return self.table

    def on_mount(self) -> None:
        self.set_interval(_AGES, self._age)

    def _age(self) -> None:
        """Let ages go on where nothing happens; only what differs is sent."""
        if self.may_change:
            self.table.refresh_rows(lambda _row: True)
            self.refresh_chrome()

    def show(self) -> None:
        self.table.set_rows(self.rows(), self._why_empty())
        self.refresh_chrome()

    def _why_empty(self) -> list[Line]:
        """Before the first look nobody knows whether there is nothing."""
        now = self.snapshot
        if now.looked or now.obstacles or not self.looked_up:
            return self.empty()
        return note("Looking at what is there...", f"The first look at {now.data_dir} is under way.")

    def notice(self) -> Problem | None:
        """What to say above the rows: the worst of what stands in the way. An empty list tells it itself."""
        return next(iter(self.snapshot.obstacles), None) if self.table.total else None

    def refresh_chrome(self) -> None:
        super().refresh_chrome()
        notice = self.notice()
        self.set_class(notice is not None, "-noticed")
        if notice is not None:
            self.query_one("#notice", OneLine).show(notice_line(notice, self.app.size.width))
        row = self.table.current
        for line in self.query("#remark").results(OneLine):
            line.show(Text.assemble(" ", self.remark(row) if row is not None else "", end=""))

    def on_resource_table_changed(self) -> None:
        self.refresh_chrome()

    def tally(self) -> str:
        table = self.table
        parts = []
        if table.marks:
            hidden = table.hidden_marks()
            parts.append(f"{len(table.marks)} marked" + (f" ({hidden} hidden)" if hidden else ""))
        if table.sort is not None and table.sort not in table.columns_shown():
            parts.append(f"by {table.sort.title}")
        text = table.filter.text
        parts.append(f"{table.count}/{table.total}  /{text}" if text else f"{table.total}")
        return "  ".join(parts)

    def argument_values(self, argument: str) -> Sequence[str]:
        return [column.title for column in self.columns] if argument == "COLUMN" else ()

    def context(self) -> InputContext:
        table = self.table
        return replace(
            super().context(),
            scopes=(*self.scopes, Scope.LIST, Scope.MOVE, Scope.GLOBAL),
            selected=table.current is not None,
            rows=table.count > 0,
            filtered=bool(table.filter.text),
            marked=len(table.marks),
            cannot_mark=self.why_no_mark(table.current) if table.current is not None else "",
            wide=table.wide,
        )

    # Actions

    def do_describe(self, _argument: str) -> None:
        row = self.table.current
        if row is not None:
            wanted = self.identity(row)

            def write(_snapshot: Snapshot) -> list[Line] | None:
                found = next((one for one in self.rows() if self.identity(one) == wanted), None)
                return None if found is None else self.describe(found)

            self.app.push_screen(TextPage(self.view, self.heading(row), write, self._all_copies(row), self.ages))

    def do_raw(self, _argument: str) -> None:
        row = self.table.current
        if row is not None:
            lines = [Line(safe(line), 4) for line in self._json(row).splitlines()]
            self.app.push_screen(TextPage(self.view, f"{self.heading(row)}  JSON", lambda _snapshot: lines))

    def _all_copies(self, row: R) -> Copies:
        return {**self.copies(row), "j": ("JSON", self._json(row))}

    def _json(self, row: R) -> str:
        return json.dumps(self.document(row), indent=2, ensure_ascii=False)

    def do_copy(self, _argument: str) -> None:
        row = self.table.current
        if row is not None:
            self.offer_copies(self._all_copies(row))

    def do_filter(self, argument: str) -> None:
        if argument:
            self._filter(argument)
            return
        self.edit(
            Editing(
                "/",
                done=self.deck.filters.append,
                changed=self._filter,
                cancelled=partial(self._filter, ""),
                history=self.deck.filters,
                recall_hint=True,
                text=self.table.filter.text,
            )
        )

    def _filter(self, text: str) -> None:
        problem = self.table.set_filter(text).problem
        if problem:
            self.deck.say(problem, Level.WARNING)

    def clear_filter(self) -> None:
        """Show everything again."""
        if self.table.filter.text:
            self._filter("")

    def do_sort(self, argument: str) -> None:
        if argument:
            wanted = argument.lower()
            column = next((one for one in self.columns if one.title.startswith(wanted) or one.letter == argument), None)
            if column is None:
                titles = ", ".join(column.title for column in self.columns)
                self.deck.say(f"no column {argument}; there are {titles}", Level.WARNING)
            else:
                self._sort(column)
            return
        answers = {column.letter: (column.title, partial(self._sort, column)) for column in self.columns}
        answers["0"] = ("none", partial(self._sort, None))
        self.prompt.ask(Question("Sort", answers, dangerous=False))

    def _sort(self, column: Column[R] | None) -> None:
        table = self.table
        table.set_sort(column, column is not None and column is table.sort and not table.reverse)

    def do_reverse(self, _argument: str) -> None:
        self.table.set_sort(self.table.sort, not self.table.reverse)

    def do_wide(self, _argument: str) -> None:
        self.table.set_wide(not self.table.wide)
        if self.table.wide:
            self.deck.say("every column in full; Left and Right reach them all")

    def do_list_left(self, _argument: str) -> None:
        self.table.shift(-1)

    def do_list_right(self, _argument: str) -> None:
        self.table.shift(1)

    # Marks

    def do_mark(self, _argument: str) -> None:
        row, table = self.table.current, self.table
        if row is not None:
            table.set_marks(table.marks.toggle(self.identity(row)))
            table.move_by(1)

    def do_mark_range(self, _argument: str) -> None:
        """Begin a range at the cursor; the second time, mark what is between there and the cursor."""
        row, table = self.table.current, self.table
        if row is None:
            return
        here = self.identity(row)
        if not table.marks.anchor:
            table.set_marks(table.marks.begin(here))
            self.deck.say("range: move to its other end and press the key again; Esc gives it up")
            return
        within = frozenset(table.marks.span(table.identities(), here))
        self._mark(row for row in table.rows_shown() if self.identity(row) in within)

    def do_mark_all(self, _argument: str) -> None:
        self._mark(self.table.rows_shown())

    def do_unmark(self, _argument: str) -> None:
        self.table.set_marks(Marks())

    def _mark(self, rows: Iterable[R]) -> None:
        """Mark those of `rows` that can be."""
        table = self.table
        table.set_marks(table.marks.add(self.identity(row) for row in rows if not self.why_no_mark(row)))

    def meant(self, named: str = "") -> list[R]:
        """What an action is about: the row that was `named` and pointed at, else the marked ones, else the cursor's."""
        row = self.table.current
        marked = [] if named else self.table.marked()
        return marked or ([row] if row is not None else [])

    def point_at(self, name: str) -> str:
        """Put the cursor on the row whose identity is or begins with `name`; returns why that is not possible."""
        found = {self.identity(row) for row in self.rows() if self.identity(row).startswith(name)}
        wanted = name if name in found else next(iter(found), "")
        if len(found) > 1 and wanted != name:
            return f"{len(found)} begin with {name}"
        if not wanted:
            return f"there is no {name} here"
        if not self.table.select(wanted):
            self.clear_filter()
            self.table.select(wanted)
        return ""

    def do_next_row(self, _argument: str) -> None:
        self.table.move_by(1)

    def do_previous_row(self, _argument: str) -> None:
        self.table.move_by(-1)

    def step_back(self) -> bool:
        """Give up what Esc gives up on this page: a range, then the filter. False when there is neither."""
        table = self.table
        if table.marks.anchor:
            table.set_marks(table.marks.add(()))
        elif table.filter.text:
            self.clear_filter()
        else:
            return False
        return True

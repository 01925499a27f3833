"""A view that is a list: what the five have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult

from app.tui.actions import Scope
from app.tui.context import InputContext
from app.tui.document import Line
from app.tui.events import Level
from app.tui.screens.page import Copies, Page
from app.tui.screens.text_page import TextPage
from app.tui.text import safe
from app.tui.widgets.columns import Column
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing, Question
from app.tui.widgets.resource_table import ResourceTable
from engine import Snapshot

__all__ = ["TablePage"]

R = TypeVar("R")


class TablePage(Page, Generic[R]):
    """A list of `R` that can be filtered, sorted, described and copied from."""

    columns: ClassVar[Sequence[Column]]  # type: ignore[type-arg]  # a class variable cannot name R

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

    # The page

    def make_table(self) -> ResourceTable[R]:
        self.table: ResourceTable[R] = ResourceTable(self.columns, self.identity, self.deck.clock, id="table")
        return self.table

    def body(self) -> ComposeResult:
        yield self.make_table()
        yield OneLine(id="remark")

    @property
    def mover(self) -> ResourceTable[R]:
        return self.table

    def show(self) -> None:
        self.table.set_rows(self.rows(), self.empty())
        self.refresh_chrome()

    def refresh_chrome(self) -> None:
        super().refresh_chrome()
        row = self.table.current
        for line in self.query("#remark").results(OneLine):
            line.show(Text.assemble(" ", self.remark(row) if row is not None else "", end=""))

    def on_resource_table_changed(self) -> None:
        self.refresh_chrome()

    def tally(self) -> str:
        text = self.table.filter.text
        return f"{self.table.count}/{self.table.total}  /{text}" if text else f"{self.table.total}"

    def context(self) -> InputContext:
        table = self.table
        return replace(
            super().context(),
            scopes=(*self.scopes, Scope.LIST, Scope.MOVE, Scope.GLOBAL),
            selected=table.current is not None,
            rows=table.count > 0,
            filtered=bool(table.filter.text),
        )

    # Actions

    def do_describe(self, _argument: str) -> None:
        row = self.table.current
        if row is not None:
            wanted = self.identity(row)

            def write(_snapshot: Snapshot) -> list[Line] | None:
                found = next((one for one in self.rows() if self.identity(one) == wanted), None)
                return None if found is None else self.describe(found)

            self.app.push_screen(TextPage(self.view, self.heading(row), write, self._all_copies(row)))

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
        for column in self.columns:
            if argument and (column.title.startswith(argument.lower()) or column.letter == argument):
                self._sort(column)
                return
        shown = self.table.columns_shown()
        answers = {column.letter: (column.title, partial(self._sort, column)) for column in shown}
        answers["0"] = ("none", partial(self._sort, None))
        self.prompt.ask(Question("Sort", answers, dangerous=False))

    def _sort(self, column: Column[R] | None) -> None:
        table = self.table
        table.set_sort(column, column is not None and column is table.sort and not table.reverse)

    def do_reverse(self, _argument: str) -> None:
        self.table.set_sort(self.table.sort, not self.table.reverse)

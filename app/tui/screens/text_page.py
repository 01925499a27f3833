"""A full-screen text above a view: descriptions, help, JSON. Follows the snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace

from app.keys.actions import Scope
from app.tui.document import plain
from app.tui.events import Level
from app.tui.patterns import PatternError, read_pattern
from app.tui.screens.page import Page
from app.tui.text import count, safe
from app.tui.widgets.detail import Detail
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from app.keys.actions import View
    from app.keys.context import InputContext
    from app.tui.document import Line
    from app.tui.screens.page import Copies
    from engine import Snapshot

__all__ = ["TextPage"]


class TextPage(Page):
    """Shows what `write` makes of the latest snapshot; when that is None, what it showed stays and is marked so."""

    scopes: ClassVar[tuple[Scope, ...]] = (Scope.TEXT, Scope.FIND)
    top = False

    def __init__(
        self,
        view: View,
        title: str,
        write: Callable[[Snapshot], Sequence[Line] | None],
        copies: Copies | None = None,
        ages: float = 0.0,
    ) -> None:
        """`ages` are the seconds after which the text is out of date by itself; 0 for one that never is."""
        super().__init__()
        self.view = view
        self._title = title
        self._write = write
        self._copies = copies or {}
        self._ages = ages
        self._sought = ""

    def body(self) -> ComposeResult:
        self.detail = Detail(id="text")
        yield OneLine(id="title")
        yield self.detail

    @property
    def mover(self) -> Detail:
        return self.detail

    def on_mount(self) -> None:
        if self._ages:
            self.set_interval(self._ages, self._age)

    def _age(self) -> None:
        if self.may_change:
            self.show()

    def show(self) -> None:
        lines = self._write(self.snapshot)
        title = safe(self._title, "bold")
        if lines is not None:
            self.detail.show(lines)
        else:
            title.append("  no longer there", "yellow not bold")
        self.query_one("#title", OneLine).show(title, ruled=True)
        self.refresh_chrome()

    def tally(self) -> str:
        detail = self.detail
        if detail.pattern is not None:
            place = f"{detail.place + 1}/{len(detail.found)}" if detail.found else "0 found"
            return f"{place}  /{self._sought}"
        return count(len(detail.document), "line")

    def context(self) -> InputContext:
        return replace(super().context(), finding=self.detail.pattern is not None)

    def step_back(self) -> bool:
        """Stop looking for something. False when nothing is looked for."""
        if self.detail.pattern is None:
            return False
        self._find("")
        return True

    def do_find(self, argument: str) -> None:
        if argument:
            self._find(argument)
            return
        self.edit(
            Editing(
                "/",
                done=self.deck.searches.append,
                changed=self._find,
                cancelled=lambda: self._find(""),
                history=self.deck.searches,
                recall_hint=True,
            )
        )

    def _find(self, text: str) -> None:
        self._sought = text
        try:
            pattern = read_pattern(text)
        except PatternError as error:
            self.deck.say(str(error), Level.WARNING)
            return
        self.detail.find(pattern)
        self.refresh_chrome()

    def do_find_next(self, _argument: str) -> None:
        self.detail.go_to_place(1)
        self.refresh_chrome()

    def do_find_previous(self, _argument: str) -> None:
        self.detail.go_to_place(-1)
        self.refresh_chrome()

    def do_pager(self, _argument: str) -> None:
        self.deck.read_outside(plain(self.detail.document))

    def do_copy_text(self, _argument: str) -> None:
        text = plain(self.detail.document)
        self.offer_copies({**self._copies, "t": ("text", text)})

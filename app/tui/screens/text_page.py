"""A full-screen text above a view: descriptions, help, JSON. Follows the snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult

from app.tui.actions import Scope, View
from app.tui.document import Line, plain
from app.tui.screens.page import Copies, Page
from app.tui.text import count, safe
from app.tui.widgets.chrome import rule
from app.tui.widgets.detail import Detail
from app.tui.widgets.one_line import OneLine
from engine import Snapshot

__all__ = ["TextPage"]


class TextPage(Page):
    """Shows what `write` makes of the latest snapshot; when that is None, what it showed stays and is marked so."""

    scopes: ClassVar[tuple[Scope, ...]] = (Scope.TEXT,)
    top = False

    def __init__(
        self,
        view: View,
        title: str,
        write: Callable[[Snapshot], Sequence[Line] | None],
        copies: Copies | None = None,
    ) -> None:
        super().__init__()
        self.view = view
        self._title = title
        self._write = write
        self._copies = copies or {}

    def body(self) -> ComposeResult:
        self.detail = Detail(id="text")
        yield OneLine(id="title")
        yield self.detail

    @property
    def mover(self) -> Detail:
        return self.detail

    def show(self) -> None:
        lines = self._write(self.snapshot)
        title = safe(self._title, "bold")
        if lines is not None:
            self.detail.show(lines)
        else:
            title.append("  no longer there", "yellow not bold")
        self.query_one("#title", OneLine).show(rule(title, self.app.size.width))
        self.refresh_chrome()

    def tally(self) -> str:
        return count(len(self.detail.document), "line")

    def do_pager(self, _argument: str) -> None:
        self.deck.read_outside(plain(self.detail.document))

    def do_copy_text(self, _argument: str) -> None:
        text = plain(self.detail.document)
        self.offer_copies({**self._copies, "t": ("text", text)})

"""ctrl+p: every action of the page below in a list that narrows while one types; Enter does the one at the cursor."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult

from app.tui.actions import Action, Scope, View
from app.tui.context import InputContext, allowed, key_name, why_not
from app.tui.document import note
from app.tui.screens.page import Page
from app.tui.text import safe
from app.tui.widgets.columns import Column
from app.tui.widgets.prompt import Editing
from app.tui.widgets.resource_table import ResourceTable

__all__ = ["PalettePage"]


def _shortcut(action: Action) -> str:
    return key_name(action.keys[0]) if action.keys else f":{action.commands[0]}"


class PalettePage(Page):
    """The registry as a list, for those who know what they want but not its key."""

    top = False

    def __init__(self, view: View, below: InputContext) -> None:
        super().__init__()
        self.view = view
        self._below = below

    def body(self) -> ComposeResult:
        below = self._below
        columns = (
            Column[Action]("key", lambda one, _now: safe(_shortcut(one)), 8, "k", lambda _one: 0),
            Column[Action]("action", lambda one, _now: safe(one.tooltip), 30, "a", lambda _one: 0, grow=2),
            Column[Action](
                "not now", lambda one, _now: safe(why_not(one, below), "yellow"), 10, "n", lambda _one: 0, grow=1
            ),
        )
        self.table = ResourceTable[Action](columns, lambda action: action.id, self.deck.clock, id="table")
        yield self.table

    @property
    def mover(self) -> ResourceTable[Action]:
        return self.table

    def on_mount(self) -> None:
        actions = [
            action
            for action in allowed(self._below)
            if action.scope is not Scope.MOVE and (action.keys or not action.argument)
        ]
        self.table.set_rows([action for action in actions if action.id != "palette"], note("No actions here."))
        self.edit(
            Editing(
                "> ",
                changed=self.table.set_filter,
                done=lambda _text: self._run(self.table.current),
                cancelled=partial(self._run, None),
                moved=self.table.move,
            )
        )

    def show(self) -> None:
        """The list is about the moment the palette was opened; only the lines around it change."""
        self.refresh_chrome()

    def tally(self) -> str:
        return f"{self.table.count}/{self.table.total}"

    def on_resource_table_changed(self) -> None:
        self.refresh_chrome()

    def _run(self, action: Action | None) -> None:
        self.app.pop_screen()
        if action is not None:
            self.app.call_later(self.deck.perform_action, action)

"""ctrl+p: every action of the page below in a list that narrows while one types; Enter does the one at the cursor."""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult
from textual.fuzzy import FuzzySearch

from app.keys.actions import Action, View
from app.keys.context import InputContext, offered, why_not
from app.keys.keymap import key_name
from app.tui.document import note
from app.tui.screens.page import Page
from app.tui.text import safe
from app.tui.widgets.columns import Column
from app.tui.widgets.prompt import Editing
from app.tui.widgets.resource_table import ResourceTable

__all__ = ["PalettePage"]


class PalettePage(Page):
    """The registry as a list, for those who know what they want but not its key."""

    top = False

    def __init__(self, view: View, below: InputContext) -> None:
        super().__init__()
        self.view = view
        self._below = below
        self._offered = offered(below)
        self._search = FuzzySearch()

    def body(self) -> ComposeResult:
        below = self._below
        columns = (
            Column[Action]("key", lambda one, _now: safe(self._shortcut(one)), 10, "k", lambda _one: 0),
            Column[Action]("action", lambda one, _now: safe(one.tooltip), 30, "a", lambda _one: 0, grow=2),
            Column[Action](
                "not now", lambda one, _now: safe(why_not(one, below), "yellow"), 10, "n", lambda _one: 0, grow=1
            ),
        )
        self.table = ResourceTable[Action](columns, lambda action: action.id, self.deck.clock, id="table")
        yield self.table

    def _shortcut(self, action: Action) -> str:
        keys = self._below.keys.of(action)
        return key_name(keys[0]) if keys else f":{action.commands[0]}"

    @property
    def mover(self) -> ResourceTable[Action]:
        return self.table

    def on_mount(self) -> None:
        self._narrow("")
        self.edit(
            Editing(
                "> ",
                changed=self._narrow,
                done=lambda _text: self._run(self.table.current),
                cancelled=partial(self._run, None),
                moved=self.table.move,
            )
        )

    def _narrow(self, text: str) -> None:
        """List what has the letters of `text` in their order in its explanation or a name, the best first."""
        scores = [(self._score(text, action), action) for action in self._offered]
        # Sorting keeps the order of the registry among equals.
        best = sorted((pair for pair in scores if pair[0] > 0), key=lambda pair: -pair[0])
        self.table.set_rows([action for _score, action in best], note("No action is like that.", "Esc leaves."))
        self.table.move("first")

    def _score(self, text: str, action: Action) -> float:
        if not text:
            return 1.0
        names = (action.tooltip, action.name, *action.commands)
        return max(self._search.match(text, name)[0] for name in names)

    def show(self) -> None:
        """The list is about the moment the palette was opened; only the lines around it change."""
        self.refresh_chrome()

    def tally(self) -> str:
        return f"{self.table.count}/{len(self._offered)}"

    def on_resource_table_changed(self) -> None:
        self.refresh_chrome()

    def _run(self, action: Action | None) -> None:
        self.app.pop_screen()
        if action is None:
            return
        if action.argument and not self._below.keys.of(action):
            # It takes an argument and has no key that would ask for it.
            self.app.call_later(self.deck.actions.do_command, action.commands[0])
        else:
            self.app.call_later(self.deck.steering.perform, action)

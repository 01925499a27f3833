"""From keys to what they do: each is taken in turn, and done by the page on top or by the app, if it can be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.events import Key

from app.keys.actions import HOMES, ROWS, Action, Scope
from app.keys.context import resolve, why_not
from app.tui.events import Level
from app.tui.screens.page import Page, key_of
from app.tui.screens.table_page import TablePage

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["Steering"]

_KEYS_AHEAD = 100
"""Keys that are kept while a page is being put up."""


class Steering:
    """Takes keys and performs actions."""

    def __init__(self, deck: EnvdeckApp) -> None:
        self._deck = deck
        self.started_by = ""
        """The key that started what is being done."""
        self._keys: deque[Key] = deque(maxlen=_KEYS_AHEAD)
        self._awaited: Page | None = None
        """The page that keys wait for."""

    def take(self, event: Key) -> None:
        """Do what was typed, after what was typed before."""
        self._keys.append(event)
        self.take_keys()

    def wait_for(self, page: Page) -> None:
        """Keys that are typed from now on are for `page`, which is being put up."""
        self._awaited = page

    def take_keys(self) -> None:
        """Do what was typed, as far as there is a page that shows what it is about."""
        deck = self._deck
        while self._keys and deck.is_running and deck.page.ready and self._awaited in (None, deck.page):
            event, page, self._awaited = self._keys.popleft(), deck.page, None
            if page.prompt.busy:
                page.take_prompt_key(event)
                continue
            key = key_of(event)
            action = resolve(page.context(), key)
            if action is not None:
                self.started_by = key
                self.perform(action)

    def perform(self, action: Action, argument: str = "") -> None:
        """Do it if it can be done here and now, else say why not."""
        page = self._deck.page
        if action.scope in HOMES and (
            action.scope not in page.context().scopes or (argument and action.argument in ROWS)
        ):
            self._perform_at_home(action, argument)
            return
        if action.scope is Scope.MOVE:
            page.mover.move(action.id)
            return
        self._deck.be_quiet()
        why = why_not(action, page.context())
        if why:
            self._deck.say(f"{action.label}: {why}", Level.WARNING)
            return
        if action.view is not None:
            self._deck.go(action.view)
            return
        owner = page if hasattr(page, action.method) else self._deck.actions
        handler: Callable[[str], None] = getattr(owner, action.method)
        handler(argument)

    def _perform_at_home(self, action: Action, argument: str) -> None:
        """Go to the view of the action and do it there, on the row that is named."""
        if action.argument in ROWS and not argument:
            self._deck.say(f"which one? :{action.commands[0]} {action.argument}", Level.WARNING)
            return
        self._deck.go(HOMES[action.scope])

        def perform() -> None:
            page = self._deck.page
            if not isinstance(page, TablePage) or action.scope not in page.context().scopes:
                return
            if action.argument in ROWS and (problem := page.point_at(argument)):
                self._deck.say(f"{action.label}: {problem}", Level.WARNING)
            elif why := why_not(action, page.context()):
                self._deck.say(f"{action.label}: {why}", Level.WARNING)
            else:
                getattr(page, action.method)(argument)

        self._deck.call_after_refresh(perform)

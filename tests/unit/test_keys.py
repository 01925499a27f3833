"""The registry of actions holds together: every key is unambiguous, every action can be done and is explained."""

from __future__ import annotations

import itertools

import pytest

from app.keys.actions import ACTIONS, Scope
from app.tui.actions import AppActions
from app.tui.screens.builds import BuildsPage
from app.tui.screens.config import ConfigPage
from app.tui.screens.content import ContentPage
from app.tui.screens.editing import DraftPage
from app.tui.screens.environments import EnvironmentsPage
from app.tui.screens.installations import InstallationsPage
from app.tui.screens.log_page import LogPage
from app.tui.screens.match import MatchPage
from app.tui.screens.page import Page
from app.tui.screens.table_page import TablePage
from app.tui.screens.text_page import TextPage
from app.tui.widgets.lines import LineWidget

PAGES: dict[Scope, tuple[type, ...]] = {
    Scope.INSTALLATIONS: (InstallationsPage,),
    Scope.ENVIRONMENTS: (EnvironmentsPage,),
    Scope.MATCH: (MatchPage,),
    Scope.BUILDS: (BuildsPage,),
    Scope.CONFIG: (ConfigPage,),
    Scope.CONTENT: (ContentPage,),
    Scope.DRAFT: (DraftPage,),
    Scope.LOG: (LogPage,),
    Scope.TEXT: (TextPage, LogPage),
    Scope.FIND: (TextPage,),
    Scope.MARKS: (TablePage,),
    Scope.LIST: (TablePage,),
    Scope.GLOBAL: (AppActions,),
}


def test_ids_are_unique() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scope", list(Scope))
def test_a_key_means_one_thing_in_a_scope(scope: Scope) -> None:
    keys = list(itertools.chain.from_iterable(action.keys for action in ACTIONS if action.scope is scope))
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_is_explained_and_can_be_reached(action) -> None:
    assert action.label
    assert action.tooltip
    assert action.keys or action.commands


@pytest.mark.parametrize("action", [one for one in ACTIONS if one.view is None], ids=lambda action: action.id)
def test_every_action_has_what_does_it(action) -> None:
    if action.scope is Scope.MOVE:
        assert action.id in LineWidget.MOVES
        return
    for owner in PAGES[action.scope]:
        assert callable(getattr(owner, "do_" + action.id.replace("-", "_"), None)), owner


def test_nothing_is_bound_to_the_keys_that_terminals_keep() -> None:
    keys = {key for action in ACTIONS for key in action.keys}
    assert not keys & {"ctrl+s", "ctrl+q", "ctrl+h", "ctrl+m", "ctrl+i", "ctrl+j"}


def test_a_page_has_scopes_that_the_registry_knows() -> None:
    for page in (
        InstallationsPage,
        EnvironmentsPage,
        MatchPage,
        BuildsPage,
        ConfigPage,
        ContentPage,
        LogPage,
        TextPage,
    ):
        assert issubclass(page, Page)
        assert all(any(action.scope is scope for action in ACTIONS) for scope in page.scopes)

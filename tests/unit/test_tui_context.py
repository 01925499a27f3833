from __future__ import annotations

import pytest

from app.keys.actions import ACTIONS, Scope
from app.keys.context import (
    InputContext,
    allowed,
    commands,
    complete,
    find_command,
    footer,
    help_groups,
    resolve,
    why_not,
)
from app.keys.keymap import key_name
from tests.records import replace

BUILDS = InputContext((Scope.BUILDS, Scope.LIST, Scope.MOVE, Scope.GLOBAL), selected=True, rows=True)
MATCH = replace(BUILDS, scopes=(Scope.MATCH, Scope.LIST, Scope.MOVE, Scope.GLOBAL))
LOG = InputContext((Scope.LOG, Scope.TEXT, Scope.MOVE, Scope.GLOBAL), top=False, selected=True)
ACTION = {action.id: action for action in ACTIONS}


def width_of(items) -> int:
    return 1 + sum(item.width + 2 for item in items) - 2


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("context", [BUILDS, MATCH, LOG])
def test_the_footer_fits_and_always_ends_with_help_and_the_way_out(context: InputContext, width: int) -> None:
    items = footer(context, width)
    assert width_of(items) <= width
    assert [item.key for item in items[-2:]] == ["?", "q"]
    assert items[-1].label == ("quit" if context.top else "back")


@pytest.mark.parametrize("width", [1, 10, 19])
def test_the_way_out_survives_any_width(width: int) -> None:
    assert [item.label for item in footer(BUILDS, width)] == ["help", "quit"]


@pytest.mark.parametrize(("narrow", "wide"), [(40, 60), (60, 80), (80, 120)])
def test_a_wider_footer_only_adds_keys(narrow: int, wide: int) -> None:
    assert footer(BUILDS, wide)[: len(footer(BUILDS, narrow)) - 2] == footer(BUILDS, narrow)[:-2]


def test_what_is_special_to_the_view_comes_first_in_the_footer() -> None:
    assert footer(MATCH, 40)[0].label == "build"
    assert [item.label for item in footer(BUILDS, 60)][:2] == ["log", "cancel"]


@pytest.mark.parametrize(
    ("context", "key", "expected"),
    [
        (BUILDS, "enter", "log"),
        (MATCH, "enter", "describe"),
        (LOG, "enter", None),
        (BUILDS, "c", "cancel"),
        (LOG, "c", "cancel-log"),
        (MATCH, "c", None),
        (LOG, "l", "right"),
        (BUILDS, "/", "filter"),
        (LOG, "/", "search"),
        (LOG, "3", "view-match"),
    ],
)
def test_the_innermost_scope_says_what_a_key_means(context: InputContext, key: str, expected: str | None) -> None:
    action = resolve(context, key)
    assert (action.id if action else None) == expected


@pytest.mark.parametrize("name", ["build", "cancel", "build-bundle"])
def test_read_only_is_the_reason_that_counts(name: str) -> None:
    context = replace(BUILDS, read_only="the data directory is not writable", cannot_cancel="it has ended")
    assert why_not(ACTION[name], context) == "read-only: the data directory is not writable"


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("build", {}, ""),
        ("build", {"selected": False}, "nothing is selected"),
        ("build", {"cannot_build": "no installation fits"}, "no installation fits"),
        ("cancel", {"cannot_cancel": "the build has ended: done"}, "the build has ended: done"),
        ("describe", {"selected": False}, "nothing is selected"),
        ("filter", {"rows": False}, "the list is empty"),
        ("filter", {"rows": False, "filtered": True}, ""),
        ("describe", {"read_only": "because"}, ""),
    ],
)
def test_a_disabled_action_says_why(name: str, changes: dict[str, object], why: str) -> None:
    assert why_not(ACTION[name], replace(MATCH, **changes)) == why  # type: ignore[arg-type]


def test_disabled_actions_stay_in_footer_and_help() -> None:
    context = replace(MATCH, read_only="not the owner")
    assert next(item for item in footer(context, 80) if item.key == "b").enabled is False
    rows = [row for group in help_groups(context) for row in group.rows]
    assert any(keys == "b" and why == "read-only: not the owner" for keys, _tooltip, why in rows)


@pytest.mark.parametrize("context", [BUILDS, MATCH, LOG])
def test_help_explains_every_key_once(context: InputContext) -> None:
    keys = [key for group in help_groups(context) for row in group.rows for key in row[0].split()]
    assert len(keys) == len(set(keys))
    expected = {key_name(key) for action in allowed(context) for key in action.keys}
    assert set(keys) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("builds", "view-builds"),
        ("b", "view-builds"),
        ("cfg", "view-config"),
        ("inst", "view-installations"),
        ("quit", "quit"),
        ("q", "quit"),
        ("buil", None),
        ("nonsense", None),
        ("build", "build-bundle"),
        ("ca", "cancel"),
    ],
)
def test_commands_are_found_by_name_alias_or_unique_beginning(word: str, expected: str | None) -> None:
    action = find_command(BUILDS, word)
    assert (action.id if action else None) == expected


def test_a_command_completes_to_names_and_then_to_arguments() -> None:
    known = {"BUNDLE": ("flask-api", "dash"), "KEY": ("9f3ac1d2", "51b0aa7e"), "PATH": None}

    def values(kind: str, _start: str):
        return known[kind]

    assert complete(BUILDS, "bu", values) == ("build", "builds")
    assert complete(BUILDS, "build fl", values) == ("build flask-api",)
    assert complete(BUILDS, "quit fl", values) == ()
    assert complete(BUILDS, "reap 9", values) == ("reap 9f3ac1d2",)
    assert complete(BUILDS, "open /srv", values) is None, "it is being found out"


def test_commands_tell_their_argument() -> None:
    assert "open PATH" in dict(commands(BUILDS))

"""Key maps: what a line of the configuration does to the keys, and what it is told when it makes no sense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.keys.actions import ACTIONS, Scope
from app.keys.context import InputContext, footer, help_groups, resolve
from app.keys.keymap import KeyMap, read_key, read_key_map
from app.keys.table import key_table, with_key_table
from engine import KeyLine, Severity, Where
from engine.config.gcfg import parse
from engine.config.settings import resolve as resolve_settings
from tests.records import replace

ACTION = {action.id: action for action in ACTIONS}
ENVIRONMENTS = InputContext(
    (Scope.ENVIRONMENTS, Scope.MARKS, Scope.LIST, Scope.MOVE, Scope.GLOBAL), selected=True, rows=True
)
README = Path(__file__).parents[2] / "README.md"


def lines(*texts: str) -> list[KeyLine]:
    return [KeyLine(text, Where("a.gcfg", number, 7)) for number, text in enumerate(texts, 1)]


def keys_of(name: str, *texts: str) -> tuple[str, ...]:
    return read_key_map(lines(*texts))[0].of(ACTION[name])


def problems(*texts: str) -> list[tuple[str, str]]:
    return [(problem.code, str(problem.where)) for problem in read_key_map(lines(*texts))[1]]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("b", "b"),
        ("G", "G"),
        ("f5", "f5"),
        ("F12", "f12"),
        ("esc", "escape"),
        ("PgDn", "pagedown"),
        ("space", "space"),
        ("comma", ","),
        ("^r", "ctrl+r"),
        ("C-r", "ctrl+r"),
        ("ctrl-R", "ctrl+r"),
        ("alt+x", "alt+x"),
        ("shift+tab", "shift+tab"),
        ("f99", None),
        ("ctrl+f5", None),
        ("wibble", None),
        (" ", None),
        ("\x1b", None),
        ("", None),
    ],
)
def test_keys_are_read_as_people_write_them(text: str, key: str | None) -> None:
    assert read_key(text) == key


def test_a_line_replaces_the_keys_and_lines_for_one_action_add_up() -> None:
    assert keys_of("rebuild", "env.rebuild=f5,b") == ("f5", "b")
    assert keys_of("rebuild", "env.rebuild = f5 b ") == ("f5", "b")
    assert keys_of("rebuild", "env.rebuild=f5", "env.rebuild=b") == ("f5", "b")
    assert keys_of("rebuild", "env.reap=none") == ACTION["rebuild"].keys
    assert keys_of("reap", "env.reap=none") == ()


def test_footer_help_and_keys_follow_the_map() -> None:
    keys, found = read_key_map(lines("env.rebuild=f5"))
    assert not found
    context = replace(ENVIRONMENTS, keys=keys)
    assert resolve(context, "f5") is ACTION["rebuild"]
    assert resolve(context, "r") is None
    assert ("F5", "rebuild") in [(item.key, item.label) for item in footer(context, 80)]
    assert any(row[0] == "F5" for group in help_groups(context) for row in group.rows)


def test_an_action_without_a_key_is_not_in_the_footer() -> None:
    context = replace(ENVIRONMENTS, keys=read_key_map(lines("env.reap=none"))[0])
    assert "reap" not in [item.label for item in footer(context, 200)]
    assert resolve(context, "x") is None


def test_the_way_out_has_the_keys_it_was_given() -> None:
    context = replace(ENVIRONMENTS, keys=read_key_map(lines("app.leave=f10", "app.help=f2"))[0])
    assert [item.key for item in footer(context, 20)] == ["F2", "F10"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["nonsense"], [("key-map-syntax", "a.gcfg:1:7")]),
        (["=f5"], [("key-map-syntax", "a.gcfg:1:7")]),
        (["env.rebuild="], [("key-map-syntax", "a.gcfg:1:7")]),
        (["env.rebuild=f5", "env.rebiuld=f6"], [("key-map-unknown", "a.gcfg:2:7")]),
        (["env.rebuild=f5,wibble"], [("key-map-bad-key", "a.gcfg:1:22")]),
        (["env.rebuild=ctrl+i"], [("key-map-reserved", "a.gcfg:1:19")]),
        (["env.rebuild=esc"], [("key-map-reserved", "a.gcfg:1:19")]),
        (["env.rebuild=^c"], [("key-map-reserved", "a.gcfg:1:19")]),
        # The key that says yes must not be the one that asks.
        (["env.reap=y"], [("key-map-reserved", "a.gcfg:1:16")]),
        (["env.reap=f5,enter"], [("key-map-reserved", "a.gcfg:1:19")]),
        (["env.reap=f5", "env.rebuild=f6,f5"], [("key-map-conflict", "a.gcfg:2:22")]),
        # Taken from what had it, hidden by or hiding what is nearby.
        (["env.rebuild=x"], [("key-map-conflict", "a.gcfg:1:19")]),
        (["env.rebuild=j"], [("key-map-conflict", "a.gcfg:1:19")]),
        (["app.events=x"], [("key-map-conflict", "a.gcfg:1:18")] * 2),
        (["log.follow=y"], [("key-map-conflict", "a.gcfg:1:18")]),
        (["log.follow=o"], []),
        # Two views have nothing to do with each other, nor has what is given something else.
        (["env.rebuild=b"], []),
        (["env.rebuild=x", "env.reap=r"], []),
    ],
)
def test_what_is_wrong_is_told_with_its_place(texts: list[str], expected: list[tuple[str, str]]) -> None:
    assert problems(*texts) == expected


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    (problem,) = read_key_map(lines("env.rebiuld=f6"))[1]
    assert problem.hint == "Did you mean env.rebuild?"
    assert problem.severity is Severity.WARNING, "a typing error in a key must not stop the server's configuration"


def test_a_key_is_taken_from_the_action_that_had_it() -> None:
    assert keys_of("reap", "env.rebuild=x") == ()
    assert keys_of("refresh", "app.redraw=ctrl+r") == ()


def test_what_is_wrong_changes_nothing() -> None:
    for text in ("env.rebuild=wibble", "env.rebuild=", "nonsense", "env.reap=y", "env.reap=enter,ctrl+i"):
        assert read_key_map(lines(text))[0] == KeyMap({})


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.builds("{}={}".format, st.sampled_from([a.name for a in ACTIONS]), st.text(max_size=12)),
        ),
        max_size=6,
    )
)
def test_no_map_gives_a_key_two_meanings_in_one_place_or_an_answer_to_a_question(texts: list[str]) -> None:
    keys, _problems = read_key_map(lines(*texts))
    for scope in Scope:
        used = [key for action in ACTIONS if action.scope is scope for key in keys.of(action)]
        assert len(used) == len(set(used))
    assert all(
        not set(keys.of(action)) & {"enter", "y"} or action.keys == keys.of(action)
        for action in ACTIONS
        if action.needs_write
    )


def test_the_places_are_those_of_the_file() -> None:
    text = "[Envdeck]\n  Key = env.rebuild=f5, wibble\n"
    settings = resolve_settings([parse(text, "a.gcfg")], {}).settings
    (problem,) = read_key_map(settings.keys)[1]
    line = text.splitlines()[1]
    assert str(problem.where) == f"a.gcfg:2:{line.index('wibble') + 1}"


def test_the_names_of_actions_are_unique_and_plain() -> None:
    names = [action.name for action in ACTIONS]
    assert len(names) == len(set(names))
    assert all(name.replace("-", "").replace(".", "").isalpha() for name in names)


def test_the_key_table_of_the_readme_is_that_of_the_registry() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_key_table(text) == text, "python -m app.keys.table README.md writes it anew"
    assert all(f"`{action.name}`" in key_table() for action in ACTIONS)


def test_one_command_writes_the_key_table(tmp_path: Path) -> None:
    file, text = tmp_path / "README.md", README.read_text(encoding="utf-8")
    file.write_text(text.replace(key_table(), "old\n"), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "app.keys.table", str(file)], cwd=README.parent, check=True)
    assert file.read_text(encoding="utf-8") == text


def test_a_text_without_a_place_for_the_table_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no place"):
        with_key_table("nothing")

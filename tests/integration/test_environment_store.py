"""The cache on disk: what is not published does not exist, and what is broken is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import EnvironmentState
from engine.environments.locks import acquire, held_elsewhere
from engine.environments.store import EnvironmentStore, measure

KEY = "A" * 22


def publish(store: EnvironmentStore, key: str = KEY, attempt: str = "one", **changes: object) -> Path:
    key_dir = store.key_dir("pip", "3.11.7", "Local", key)
    (key_dir / attempt).mkdir(parents=True)
    (key_dir / attempt / "pyvenv.cfg").write_text("home = /x\n")
    (key_dir / attempt / "bin").mkdir()
    (key_dir / attempt / "bin" / "python").touch()
    record: dict[str, object] = {
        "key": key,
        "attempt": attempt,
        "python_version": "3.11.7",
        "python_path": "/opt/python/3.11.7/bin/python3",
        "target": "Local",
        "lines": ["six"],
        "packages": [{"name": "six", "version": "1.17.0"}],
        "ingredients": {"format": 1},
        "size": 10,
        "files": 2,
        "built_at": 1.5,
        "built_by": "alice",
        "seconds": 3.0,
        "bundle": "demo",
    }
    store.publish(key_dir, record | changes)
    return key_dir


def test_an_attempt_is_invisible_until_it_is_published(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    key_dir = store.key_dir("pip", "3.11.7", "Local", KEY)
    (key_dir / "half-built").mkdir(parents=True)
    (key_dir / "half-built" / "pyvenv.cfg").write_text("")
    assert store.environments() == ()
    publish(store)
    (environment,) = store.environments()
    assert (environment.key, environment.attempt, environment.state) == (KEY, "one", EnvironmentState.READY)
    assert environment.packages[0].name == "six"
    assert store.find(key_dir) == environment


def test_a_target_other_than_this_machine_is_part_of_the_path(tmp_path: Path) -> None:
    path = EnvironmentStore(tmp_path).key_dir("pip", "3.11.7", "ghcr.io/org/image:1", KEY)
    assert path.parent.name == "3.11.7@ghcr.io-org-image-1"


def test_a_republished_key_shows_its_new_attempt(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    publish(store)
    store.environments()
    publish(store, attempt="two")
    assert store.environments()[0].attempt == "two"


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"attempt": "../../etc", "ingredients": {}}',
        '{"attempt": "..", "ingredients": {}}',
        '{"attempt": 7, "ingredients": {}}',
        '{"attempt": "one", "ingredients": []}',
        "[" * 100_000,
    ],
    ids=["empty", "cut", "list", "null", "no-attempt", "traversal", "parent", "wrong-type", "no-ingredients", "deep"],
)
def test_a_record_that_makes_no_sense_is_a_damaged_environment(tmp_path: Path, record: str) -> None:
    store = EnvironmentStore(tmp_path)
    key_dir = publish(store)
    (key_dir / "current.json").write_text(record)
    (environment,) = store.environments()
    assert environment.state is EnvironmentState.DAMAGED
    assert environment.key == KEY
    assert (environment.attempt, environment.path.parent, environment.key_dir) == ("", key_dir, key_dir)
    assert store.find(key_dir) is None


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([{"name": "a", "version": "1"}, {"name": "b", "version": 2}], [("a", "1"), ("b", "2")]),
        ([{"name": "b", "version": True}, {"name": "b", "version": 1}], [("b", "True"), ("b", "1")]),
        (["x", 5, None, ["name"], {"name": "a"}, {"version": "1"}, {"name": "a", "version": "1"}], [("a", "1")]),
        ([{"name": ["a"], "version": {}}], [("['a']", "{}")]),
        ([{"name": "\x1b[1m", "version": "1"}], [("\\x1b[1m", "1")]),
        ({"name": "a"}, []),
        ("ab", []),
    ],
)
def test_the_packages_of_a_record_are_those_that_make_sense(
    tmp_path: Path, packages: object, expected: list[tuple[str, str]]
) -> None:
    store = EnvironmentStore(tmp_path)
    publish(store, packages=packages)
    (environment,) = store.environments()
    assert [(p.name, p.version) for p in environment.packages] == expected


def test_an_environment_whose_directory_went_away_is_damaged(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    key_dir = publish(store)
    store.discard(key_dir / "one")
    (environment,) = store.environments()
    assert (environment.state, environment.reason) == (EnvironmentState.DAMAGED, "its directory is gone or incomplete")


def test_foreign_text_in_a_record_is_made_safe(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    publish(store, bundle="\x1b]52;c;x\x07", lines=["a\nb"])
    (environment,) = store.environments()
    assert "\x1b" not in environment.bundle
    assert "\n" not in environment.lines[0]


def test_discarding_leaves_nothing_and_forgives_what_is_gone(tmp_path: Path) -> None:
    store = EnvironmentStore(tmp_path)
    key_dir = publish(store)
    (key_dir / "current.json").unlink()
    store.discard_attempt(key_dir / "one")
    store.discard_attempt(key_dir / "one")
    assert not key_dir.exists()
    assert list((tmp_path / "trash").iterdir()) == []


def test_sizes_count_a_linked_file_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "one").write_bytes(b"x" * 100)
    (tree / "sub" / "two").hardlink_to(tree / "one")
    (tree / "sub" / "three").write_bytes(b"y" * 11)
    (tree / "link").symlink_to("one")
    assert measure(tree) == (100 + 11 + 3, 3)


def test_listing_does_not_create_the_data_directory(tmp_path: Path) -> None:
    assert EnvironmentStore(tmp_path / "none").environments() == ()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_by_one_and_seen_by_all(tmp_path: Path) -> None:
    path = tmp_path / "k.lock"
    assert not held_elsewhere(path)
    with acquire(path, lambda: True) as held:
        assert held
        assert held_elsewhere(path)
        with acquire(path, lambda: True) as second:
            assert not second
    assert not held_elsewhere(path)
    assert path.exists()


def test_a_record_is_plain_json_for_other_tools(tmp_path: Path) -> None:
    key_dir = publish(EnvironmentStore(tmp_path))
    assert json.loads((key_dir / "current.json").read_text())["attempt"] == "one"

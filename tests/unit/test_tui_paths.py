"""Completing paths: the rule over plain values, and what a directory is read as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.paths import (
    BUNDLES,
    Listing,
    PathCompletion,
    completions,
    directory_of,
    list_directory,
    shown_name,
)

HERE = Listing((".git/", "app one/", "app-two.tar.gz", "apt/", "zeta/"))


@pytest.mark.parametrize(
    ("text", "become"),
    [
        ("/srv/ap", ["/srv/app one/", "/srv/app-two.tar.gz", "/srv/apt/"]),
        ("/srv/app ", ["/srv/app one/"]),
        ("/srv/", ["/srv/app one/", "/srv/app-two.tar.gz", "/srv/apt/", "/srv/zeta/"]),
        ("/srv/.", ["/srv/.git/"]),
        ("z", ["zeta/"]),
        ("/srv/no", []),
        ("~", ["~/"]),
        ("~conn", ["~conn/"]),
        ("~/z", ["~/zeta/"]),
    ],
)
def test_a_path_becomes_what_its_directory_holds(text: str, become: list[str]) -> None:
    assert completions(text, HERE) == become


def test_of_a_directory_that_was_not_read_to_its_end_nothing_is_completed() -> None:
    assert completions("/srv/a", Listing(("app/",), whole=False)) == []


@given(st.text("ab./~ ", max_size=8), st.sets(st.text("ab. ~", min_size=1, max_size=4), max_size=9))
def test_every_completion_begins_with_what_was_typed_and_is_in_its_directory(text: str, names: set[str]) -> None:
    for path in completions(text, Listing(tuple(sorted(names)))):
        assert path.startswith(text)
        assert directory_of(path.removesuffix("/")) == directory_of(text)
        assert shown_name(path).rstrip("/") == path.removesuffix("/").rpartition("/")[2]


def test_directories_and_archives_are_offered_and_what_cannot_be_typed_is_not(tmp_path: Path) -> None:
    for name in ("app.tar.gz", "notes.txt", "evil\x1b[31m.tar.gz", "two\nlines.tgz", "päckchen.tgz"):
        (tmp_path / name).touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.tar")).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub")
    (tmp_path / "broken").symlink_to("nowhere")
    assert list_directory(f"{tmp_path}/", BUNDLES).names == ("app.tar.gz", "link/", "päckchen.tgz", "sub/")
    assert "notes.txt" in list_directory(f"{tmp_path}/").names


@pytest.mark.parametrize("directory", ["/no/such/place/", "/etc/passwd/", "~nobody-of-that-name/", "/x\x00y/"])
def test_what_cannot_be_read_holds_nothing(directory: str) -> None:
    assert list_directory(directory) == Listing()


def test_a_directory_is_read_once_and_told_of_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    waiting, told = [], []
    complete = PathCompletion(lambda work, then: waiting.append((work, then)), lambda: told.append(True))
    assert complete(f"{tmp_path}/a") is None
    assert complete(f"{tmp_path}/ap") is None, "it is still being read"
    assert len(waiting) == 1
    work, then = waiting[0]
    then(work())
    assert told == [True]
    assert complete(f"{tmp_path}/ap") == [f"{tmp_path}/app/"]
    assert len(waiting) == 1

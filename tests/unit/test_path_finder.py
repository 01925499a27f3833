"""Paths in text: found whole or not at all, however many are looked for."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.environments.usage import _Finder


def by_one_pattern_each(paths: list[Path], text: str) -> set[Path]:
    """What the rule says, word by word."""
    return {
        path
        for path in paths
        for spelling in (str(path), os.path.realpath(path))
        if re.search(rf"(?<![\w./-]){re.escape(spelling)}(?![\w.@+-])", text)
    }


_NAMES = st.sampled_from(["a", "ab", "3.11.7@x", "-k", "k-", "with space", "ü", "a+b", "."])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(lambda names: Path("/no-such-place", *names))
_TEXT = st.lists(
    st.one_of(
        _PATHS.map(str), _NAMES, st.sampled_from(["/", ":", " ", "\n", "=", "x", ".", "//", "/bin/python", "/no"])
    ),
    max_size=8,
).map("".join)


@given(st.lists(_PATHS, min_size=1, max_size=6), _TEXT)
def test_what_is_found_is_what_a_search_for_each_path_finds(paths: list[Path], text: str) -> None:
    assert set(_Finder(paths).find(text)) == by_one_pattern_each(paths, text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/no-such-place/cache/key/attempt/bin/python -m app", True),
        ("PATH=/usr/bin:/no-such-place/cache/key/bin", True),
        ("/no-such-place/cache/key", True),
        ("/no-such-place/cache/key-2/bin/python", False),
        ("/no-such-place/cache/keys", False),
        ("/elsewhere/no-such-place/cache/key", False),
        ("/no-such-place/cache", False),
        ("", False),
    ],
)
def test_a_path_is_found_whole(text: str, found: bool) -> None:
    path = Path("/no-such-place/cache/key")
    for paths in ([path], [path, Path("/no-such-place/cache/other")], [path, Path("/somewhere/else")]):
        assert (path in set(_Finder(paths).find(text))) is found


def test_what_a_link_leads_to_is_found_too(tmp_path: Path) -> None:
    (tmp_path / "real" / "key").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    path = tmp_path / "link" / "key"
    finder = _Finder([path])
    for spelling in (path, tmp_path / "real" / "key"):
        assert set(finder.find(f"{spelling}/bin/python")) == {path}


def test_no_paths_are_never_found() -> None:
    assert set(_Finder([]).find("/any/text")) == set()

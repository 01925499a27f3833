"""The line of a configuration file that a problem is about, and that no secret is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Problem, Where, clean, excerpt

FILE = "/etc/envdeck.gcfg"


def at(text: str, line: int | None, column: int | None = None, file: str = FILE) -> str:
    """The line with its place: ``before^after``."""
    found = excerpt(Problem("x", "x", where=Where(file, line, column)), {FILE: text})
    return "" if found is None else f"{found.before}{'^' if found.pointed else ''}{found.after}"


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("[Python]\nVersionMatching = newest\n", 2, 19, "VersionMatching = ^newest"),
        ("[Python]\r\nVersionMatching = newest\r\n", 2, None, "VersionMatching = newest"),
        ("\ufeff[Pyton]", 1, 1, "^[Pyton]"),
        ("; a comment", 1, 3, "; ^a comment"),
        ("\tEnabled\t= maybe", 1, 12, " Enabled = ^maybe"),
        ("Enabled true", 1, 9, "Enabled ^true"),
        ("Password = hunter2", 1, 1, "^Password = *******"),
        ('Password = "hunter2', 1, 12, "Password = ^********"),
        ("Url hunter2", 1, 5, "Url ^*******"),
        ("Password = a\\\nhunter2", 2, 1, "^*******"),
        ("a", 1, 99, "a^"),
        ("a", 7, 1, ""),
        ("a", 0, 1, ""),
        ("a", None, None, ""),
    ],
)
def test_the_line_and_the_place_in_it(text: str, line: int | None, column: int | None, expected: str) -> None:
    assert at(text, line, column) == expected


def test_a_problem_of_another_file_has_no_line() -> None:
    assert at("a", 1, 1, file="/etc/other") == ""


@given(st.text(alphabet=st.characters(exclude_characters="\n\\ *=\t"), min_size=6, max_size=20), st.integers(1, 40))
def test_a_value_that_envdeck_does_not_know_is_never_shown(secret: str, column: int) -> None:
    for line in (f"Password = {secret}", f"  Some-Key={secret}", f"Token {secret}"):
        shown = at(line, 1, column).replace("^", "")
        assert secret.strip() not in shown or len(secret.strip()) < 6


@given(st.text(max_size=60), st.integers(1, 5), st.integers(1, 80))
def test_no_text_breaks_it_and_no_control_character_comes_through(text: str, line: int, column: int) -> None:
    shown = at(text, line, column)
    assert clean(shown) == shown

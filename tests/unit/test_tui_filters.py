from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.filters import parse_filter

COLUMNS = ("python", "state", "bundle")
ROW = {"python": "3.11.7", "state": "✓ ready", "bundle": "Flask-API http://x"}


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("", True),
        ("flask", True),
        ("FLASK", True),
        ("flask ready", True),
        ("flask stale", False),
        ("!stale", True),
        ("!ready", False),
        ("py:3.11", True),
        ("python:3.12", False),
        ("st:flask", False),
        ("!st:ready", False),
        ("/^3\\.11/", True),
        ("/3.1[23]/", False),
        ("!/3.1[23]/", True),
        ("py:/^3\\.11\\.\\d$/", True),
        ("/flask.api http/", True),
        ("http://x", True),
        ("other:thing", False),
        ("a.i", False),
        ("/", True),
        ("/fla", False),
    ],
)
def test_the_grammar(text: str, accepted: bool) -> None:
    assert parse_filter(text, COLUMNS).accepts(ROW) is accepted


@pytest.mark.parametrize("text", ["/(/", "/[/", "st:/*/"])
def test_a_bad_regex_is_told_and_hides_nothing(text: str) -> None:
    found = parse_filter(text, COLUMNS)
    assert "not a regular expression" in found.problem
    assert found.accepts(ROW)


def test_only_what_was_looked_for_is_highlighted() -> None:
    assert [pattern.pattern for pattern in parse_filter("flask !stale st:ready", COLUMNS).patterns] == [
        "flask",
        "ready",
    ]


@given(st.text(max_size=40), st.text(max_size=20))
def test_half_typed_filters_never_fail(text: str, cell: str) -> None:
    assert parse_filter(text, COLUMNS).accepts(dict.fromkeys(COLUMNS, cell)) in (True, False)


@given(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True), st.text(max_size=20))
def test_a_word_and_its_negation_split_all_rows(word: str, cell: str) -> None:
    row = {"python": cell}
    assert parse_filter(word, COLUMNS).accepts(row) is not parse_filter("!" + word, COLUMNS).accepts(row)

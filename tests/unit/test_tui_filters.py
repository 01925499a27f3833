"""What a filter accepts, what it says of nonsense, and that no expression can hold up the terminal."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tui.amounts import Unit, compare, read_amount, version_amount
from app.tui.filters import Field, parse_filter

FIELDS = (
    Field("python", Unit.VERSION),
    Field("state"),
    Field("bundle"),
    Field("size", Unit.SIZE),
    Field("used", Unit.AGE),
)
ROW = {
    "python": "3.11.7",
    "state": "ready",
    "bundle": "Flask-API http://x",
    "size": "1.5g",
    "used": "",
    "user": "sales",
}
ALL = (*FIELDS, Field("user"))
AMOUNTS = {"python": (3, 11, 7), "size": 1.5e9, "used": 3600.0}


class Texts:
    """A source whose only row is a mapping of fields to texts; `user` is no column."""

    def free(self, row: dict[str, str]) -> str:
        return "\n".join(text for name, text in row.items() if name != "user").casefold()

    def text(self, row: dict[str, str], field: str) -> str:
        return row[field].casefold()

    def amount(self, row: dict[str, str], field: str):
        return AMOUNTS.get(field)


def accepts(text: str, row: dict[str, str] = ROW, fields=ALL) -> bool:
    return parse_filter(text, fields).keep([row], Texts()) == [row]


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
        ("/^ready$/", True),
        ("/flask.api http/", True),
        ("http://x", True),
        ("other:thing", False),
        ("a.i", False),
        ("/", True),
        ("/fla", False),
        # What no column shows is found only by its name.
        ("sales", False),
        ("user:sales", True),
        ("user:geo", False),
        # Half typed: nothing is hidden yet.
        ("state:", True),
        ("size>", True),
        ("!", True),
        ("state=ready", True),
        ("state=read", False),
        ("size>1G", True),
        ("size>1.5g", False),
        ("size>=1500MB", True),
        ("size<2g", True),
        ("!size<2g", False),
        ("used>30m", True),
        ("used<1h", False),
        ("used<=1h", True),
        ("py>3.11", False),
        ("py>=3.11", True),
        ("py<3.12", True),
        ("python=3.11", True),
        ("python=3.11.6", False),
        ("size>1G py<3.12 flask", True),
        ("a>b", False),
    ],
)
def test_the_grammar(text: str, accepted: bool) -> None:
    assert accepts(text) is accepted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/(/", "not a regular expression"),
        ("/[/", "not a regular expression"),
        ("st:/*/", "not a regular expression"),
        ("/(?=a)/", "not a regular expression"),
        ("/\ud800/", "not a regular expression"),
        ("size>much", "expected something like size>1.5G"),
        ("python<new", "expected something like python<3.11"),
        ("bundle>3", "these can be compared: python, size, used"),
    ],
)
def test_what_makes_no_sense_is_told_and_hides_nothing(text: str, problem: str) -> None:
    assert problem in parse_filter(text, FIELDS).problem
    assert accepts(text, fields=FIELDS)


def test_what_can_be_understood_counts_beside_what_cannot() -> None:
    found = parse_filter("stale /(/", FIELDS)
    assert found.problem
    assert not found.keep([ROW], Texts())


def test_a_row_without_an_amount_is_neither_more_nor_less() -> None:
    fields = (Field("built", Unit.AGE),)
    assert not accepts("built>1s", fields=fields)
    assert not accepts("built<1s", fields=fields)
    assert accepts("!built>1s", fields=fields)


def test_only_what_was_looked_for_is_highlighted() -> None:
    found = parse_filter("flask !stale st:ready size>1G", FIELDS)
    assert [pattern.spans("Flask is ready") for pattern in found.patterns] == [[(0, 5)], [(9, 14)]]


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(?:(?:(?:a{1000}){1000}){1000}){1000}"])
def test_no_expression_runs_for_ever_or_takes_all_memory(expression: str) -> None:
    """With Python's own expressions each of these takes longer than anybody waits, or all the memory there is."""
    begun = time.monotonic()
    accepts(f"/{expression}/", dict.fromkeys(ROW, "a" * 5000 + "!"))
    assert time.monotonic() - begun < 20


@given(st.text(max_size=40), st.text(max_size=20))
def test_half_typed_filters_never_fail(text: str, cell: str) -> None:
    assert accepts(text, dict.fromkeys(ROW, cell)) in (True, False)
    for pattern in parse_filter(text, FIELDS).patterns:
        assert all(0 <= start < end <= len(cell) for start, end in pattern.spans(cell))


@given(st.from_regex(r"[a-z0-9.]{1,8}", fullmatch=True), st.text(max_size=20))
def test_a_word_and_its_negation_split_all_rows(word: str, cell: str) -> None:
    row = {**ROW, "bundle": cell}
    assert accepts(word, row) is not accepts("!" + word, row)


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("12", Unit.NUMBER, 12),
        ("12k", Unit.NUMBER, None),
        ("1.5G", Unit.SIZE, 1.5e9),
        ("500mb", Unit.SIZE, 5e8),
        ("7", Unit.SIZE, 7),
        ("2d", Unit.AGE, 172800),
        ("1w", Unit.AGE, 604800),
        ("2", Unit.AGE, None),
        ("3.11", Unit.VERSION, (3, 11)),
        ("3.x", Unit.VERSION, None),
        ("٣", Unit.NUMBER, None),
        ("-1", Unit.NUMBER, None),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, unit: Unit, amount: object) -> None:
    assert read_amount(text, unit) == amount


def test_every_unit_reads_its_own_example() -> None:
    assert all(read_amount(unit.value, unit) is not None for unit in Unit)


def test_versions_count_as_far_as_they_are_given() -> None:
    assert version_amount("3.13.0rc1") == (3, 13, 0)
    assert version_amount("?") is None
    assert [sign for sign in ("<", "<=", "=", ">=", ">") if compare((3, 11, 7), sign, (3, 11))] == ["<=", "=", ">="]
    assert not compare((3, 11), "=", 3.11)

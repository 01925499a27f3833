"""The rows of the log page against a model that is too slow and too simple to be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from app.tui.log_text import LogText
from engine import LogLine

TEXTS = st.sampled_from(
    [
        "",
        "Collecting flask",
        "ERROR: no",
        "x" * 23,
        "日本語" * 9,
        "numpy and Flask",
        "e\u0301" * 30,
        "  error: y" + "z" * 9,
    ]
)
CHANGES = st.one_of(
    st.tuples(st.just("take"), st.lists(TEXTS, max_size=9), st.integers(0, 3)),
    st.tuples(st.just("filter"), st.sampled_from(["", "flask", "o"]), st.just(0)),
    st.tuples(st.just("wrap"), st.just(""), st.sampled_from([0, 8, 20, 79])),
    st.tuples(st.just("search"), st.sampled_from(["", "flask", "x"]), st.just(0)),
)


@settings(max_examples=60)
@given(st.lists(CHANGES, max_size=14))
def test_rows_matches_and_errors_are_those_of_the_lines_that_are_held(changes) -> None:
    log = LogText(keep=12)
    whole: list[str | None] = []
    wanted: Callable[[str], bool] | None = None
    needle, width = "", 0
    for kind, value, number in changes:
        match kind:
            case "take":
                # Lines that the ring dropped before they could be taken.
                whole += [None] * number + value
                before = log.rows
                gone = log.take([LogLine(0.0, text) for text in value], len(whole))
                assert 0 <= gone <= before
            case "filter":
                wanted = (lambda text, word=value: word in text) if value else None
                log.filter(wanted)
            case "wrap":
                width = number
                log.wrap(width)
            case "search":
                needle = value
                log.search((lambda text, word=value: word in text.casefold()) if value else None)
        while log.scan(5):
            pass
        held = list(enumerate(whole))[log.dropped :]
        assert all(text is not None for _n, text in held)
        assert log.total == len(whole)
        shown = [(n, text) for n, text in held if wanted is None or wanted(text)]
        assert log.count == len(shown)
        assert log.found == ([n for n, text in shown if needle in text.casefold()] if needle else [])
        assert log.errors == [n for n, text in held if "rror:" in text or text.startswith("ERROR")]
        assert log.text == "".join(f"{text}\n" for _n, text in shown)
        rows = [log.row(row) for row in range(log.rows)]
        assert [n for n, part in rows if part == 0] == [n for n, _text in shown]
        for number, text in shown:
            pieces = [text[slice(*log.part(n, part))] for n, part in rows if n == number]
            assert "".join(pieces) == text
            assert all(cell_len(piece) <= width for piece in pieces if width)
            assert rows[log.row_of(number)] == (number, 0)
            assert log.shows(number)


def test_a_log_keeps_its_last_lines_and_says_how_many_came_before() -> None:
    log = LogText(keep=10)
    log.take([LogLine(0.0, str(n)) for n in range(10)], 10)
    assert log.take([LogLine(0.0, str(n)) for n in range(10, 6000)], 6000) == 5990
    assert (log.dropped, log.count, log.line(5999).text) == (5990, 10, "5999")


def test_what_is_not_shown_stands_where_the_next_line_does() -> None:
    log = LogText()
    log.take([LogLine(0.0, text) for text in ("a", "b", "a", "b")], 4)
    log.filter(lambda text: text == "a")
    assert [log.row_of(number) for number in range(4)] == [0, 1, 1, 2]
    assert not log.shows(1)
    assert not log.shows(3)


@pytest.mark.parametrize("width", [0, 40])
def test_half_a_million_lines_are_cheap_to_hold(width: int) -> None:
    log = LogText()
    log.wrap(width)
    line = LogLine(0.0, "Collecting package from the index, cached wheel.whl (12 kB)")
    for total in range(50_000, 500_001, 50_000):
        log.take([line] * 50_000, total)
    assert log.dropped >= 445_000
    assert log.count <= 55_000
    assert log.rows == log.count * (2 if width else 1)

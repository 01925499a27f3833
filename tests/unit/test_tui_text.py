from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from app.tui.symbols import ACTION, ASCII, BUILD, CHECK, ENVIRONMENT, SEVERITY, USABILITY, VERDICT, plan_mark
from app.tui.text import age, clock, count, cut, cut_path, duration, safe, size
from app.tui.widgets.columns import GAP, Column, fit
from engine import Action, BuildState, CheckStatus, EnvironmentState, Severity, Usability, Verdict


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0B"), (980, "980B"), (1000, "1.0k"), (999_600, "1.0M"), (412_300_000, "412M"), (9.96e9, "10G")],
)
def test_sizes_are_short(number: float, expected: str) -> None:
    assert size(int(number)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "now"),
        (0.4, "now"),
        (42, "42s"),
        (300, "5m"),
        (7200, "2h"),
        (86400, "24h"),
        (63 * 86400, "63d"),
        (math.nan, "?"),
    ],
)
def test_ages_are_short(seconds: float, expected: str) -> None:
    assert age(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (41.9, "0:41"), (3723, "1:02:03"), (-1, "0:00"), (math.inf, "?")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize("at", [math.nan, math.inf, 1e300, -1e300])
def test_a_time_that_is_none_is_said_to_be_unknown(at: float) -> None:
    assert clock(at) == "?"


def test_a_time_of_another_day_has_its_date() -> None:
    now = 1_750_000_000.0
    assert len(clock(now - 60, now)) == 5
    assert len(clock(now - 3 * 86400, now)) == 16


@pytest.mark.parametrize(("number", "expected"), [(1, "1 line"), (0, "0 lines"), (2, "2 lines")])
def test_counts(number: int, expected: str) -> None:
    assert count(number, "line") == expected


@given(st.text())
def test_safe_text_has_no_control_characters_and_no_markup(text: str) -> None:
    made = safe(f"[bold]{text}[/nothing]")
    assert not any(unicodedata.category(character) == "Cc" for character in made.plain)
    assert made.plain.startswith("[bold]")
    assert not made.spans


@given(st.text(max_size=60), st.integers(0, 50), st.booleans())
def test_cut_text_is_exactly_as_wide_as_asked(text: str, width: int, right: bool) -> None:
    assert cut(safe(text), width, right=right).cell_len == width
    assert cut_path(safe(text), width).cell_len == width


PYTHON = "/root/.pyenv/versions/3.8.18/bin/python3"


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        (PYTHON, 40, PYTHON),
        (PYTHON, 39, "…/.pyenv/versions/3.8.18/bin/python3"),
        (PYTHON, 28, "/root/…/3.8.18/bin/python3"),
        (PYTHON, 25, "…/3.8.18/bin/python3"),
        (PYTHON, 19, "/root/…/bin/python3"),
        (PYTHON, 12, "…/python3"),
        (PYTHON, 5, "…hon3"),
        (f"{PYTHON}  +5 more", 17, "…python3  +5 more"),
        ("rstudio-connect.gcfg:12", 16, "…connect.gcfg:12"),
        ("/a", 1, "…"),
    ],
)
def test_a_path_that_is_cut_keeps_its_last_directories(text: str, width: int, expected: str) -> None:
    assert cut_path(safe(text), width).plain.rstrip() == expected


ALL_MARKS = [*USABILITY.values(), *CHECK.values(), *ENVIRONMENT.values(), *BUILD.values(), *VERDICT.values()]
ALL_MARKS += [*ACTION.values(), *SEVERITY.values(), plan_mark(None)]


@pytest.mark.parametrize(
    ("enum", "marks"),
    [
        (Usability, USABILITY),
        (CheckStatus, CHECK),
        (EnvironmentState, ENVIRONMENT),
        (BuildState, BUILD),
        (Verdict, VERDICT),
        (Action, ACTION),
        (Severity, SEVERITY),
    ],
)
def test_every_state_has_a_word_and_a_symbol_of_its_own(enum, marks) -> None:
    assert set(marks) == set(enum)
    assert len({mark.word for mark in marks.values()}) == len(marks)


@pytest.mark.parametrize("mark", ALL_MARKS, ids=lambda mark: mark.word)
def test_symbols_are_one_cell_wide_everywhere_and_have_an_ascii_stand_in(mark) -> None:
    assert len(mark.symbol) == 1
    assert mark.symbol.isascii() or mark.symbol in ASCII
    assert unicodedata.east_asian_width(mark.symbol) in ("N", "Na") or mark.symbol == "◌"


def column(title: str, width: int, priority: int, grow: int) -> Column[str]:
    return Column(title, lambda row, _now: Text(row), width, title, str, priority=priority, grow=grow)


COLUMNS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=8).map(
    lambda parts: [column(str(index), *part) for index, part in enumerate(parts)]
)


@given(COLUMNS, st.integers(1, 200), st.integers(0, 60))
def test_columns_fit_or_only_the_essential_ones_are_left(columns: list[Column[str]], width: int, wish: int) -> None:
    shown = fit(columns, width, {one.title: wish for one in columns})
    used = sum(cells for _column, cells in shown) + GAP * (len(shown) - 1)
    assert used <= width or all(one.priority == 0 for one, _cells in shown)
    assert all(cells >= one.width for one, cells in shown)
    assert all(cells == one.width or (one.grow and cells <= max(wish, one.width)) for one, cells in shown)
    assert [one.title for one in columns if one.priority == 0] == [one.title for one, _ in shown if one.priority == 0]

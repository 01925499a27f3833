"""The UI keeps to its budgets of bytes and frames; `python -m tests.pty` prints all of them, times included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pty.budgets import MODES, Figure, Mode, flood, held_on_a_slow_line, moving, remembering, running


def check(figures: Iterator[Figure]) -> None:
    found = list(figures)
    assert found
    assert not [f for f in found if f.asserted and f.measured > f.budget * (1 + f.tolerance)]


@pytest.mark.parametrize(("columns", "rows", "scenario"), [(120, 40, "huge"), (80, 24, "many")])
def test_moving_about_is_cheap(columns: int, rows: int, scenario: str) -> None:
    check(moving(columns, rows, scenario))


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows", "scenario"), [(120, 40, "many"), (80, 24, "huge")])
def test_moving_about_is_cheap_with_few_and_many_environments(columns: int, rows: int, scenario: str) -> None:
    check(moving(columns, rows, scenario))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES[1:], ids=lambda mode: mode.name)
def test_moving_about_is_cheap_on_every_kind_of_terminal(mode: Mode) -> None:
    check(moving(120, 40, "many", mode))


@pytest.mark.parametrize("environments", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_the_real_program_keeps_within_its_memory(environments: int) -> None:
    check(remembering(environments))


def test_a_running_build_costs_little() -> None:
    check(running(120, 40))


def test_a_flood_of_output_costs_what_can_be_seen_of_it() -> None:
    check(flood(120, 40))


def test_a_held_key_leaves_half_of_a_slow_line_free() -> None:
    check(held_on_a_slow_line(80, 24))

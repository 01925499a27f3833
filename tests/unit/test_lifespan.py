"""Until when a Python gets security fixes, and what is said where that is not known."""

from __future__ import annotations

from datetime import date

import pytest
from packaging.version import Version

from engine import Life
from engine.installations.lifespan import ENDS, lifespan


@pytest.mark.parametrize(
    ("version", "today", "state", "words"),
    [
        ("3.11.7", date(2026, 11, 26), Life.SUPPORTED, "until 2027-10-31"),
        ("3.11.7", date(2027, 5, 1), Life.ENDING, "end on 2027-10-31, in 183 days"),
        ("3.11.7", date(2027, 4, 30), Life.SUPPORTED, "until 2027-10-31"),
        ("3.11.7", date(2027, 10, 30), Life.ENDING, "in 1 day"),
        ("3.11.7", date(2027, 10, 31), Life.ENDING, "today"),
        ("3.11.7", date(2027, 11, 1), Life.ENDED, "no security fixes since 2027-10-31"),
        ("2.7.18", date(2026, 11, 26), Life.ENDED, "since 2020-01-01"),
        ("3.8.18", date(2026, 11, 26), Life.ENDED, "since 2024-10-07"),
        ("3.15.0a2", date(2026, 11, 26), Life.SUPPORTED, "until 2031-10-31"),
        ("3.99.1", date(2026, 11, 26), Life.UNKNOWN, "do not name Python 3.99"),
        ("2.5.6", date(2026, 11, 26), Life.UNKNOWN, "do not name Python 2.5"),
    ],
)
def test_a_version_is_supported_up_to_the_last_day_of_its_table(
    version: str, today: date, state: Life, words: str
) -> None:
    found = lifespan(Version(version), "CPython", today)
    assert found.state is state
    assert words in found.reason


def test_nothing_is_claimed_about_another_implementation() -> None:
    found = lifespan(Version("3.10.16"), "PyPy", date(2026, 11, 26))
    assert (found.state, found.ends) == (Life.UNKNOWN, None)
    assert "PyPy" in found.reason


def test_later_versions_end_later() -> None:
    for line in ("2.", "3."):
        dates = [ends for minor, ends in ENDS.items() if minor.startswith(line)]
        assert dates == sorted(dates)

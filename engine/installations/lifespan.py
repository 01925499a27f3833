"""Until when a version of Python gets security fixes. Pure.

The dates are those of the Python Developer's Guide, "Status of Python versions" (devguide.python.org/versions), as
published in November 2025. For a future end it names the month only; the last day of that month stands here.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from packaging.version import Version

from engine.installations.model import Installation

__all__ = ["ENDS", "Life", "Lifespan", "lifespan", "lifespan_of"]

_PUBLISHED = "November 2025"
_SOON = timedelta(days=183)
"""Half a year is what it takes to test content on another Python and to move it."""

ENDS = {
    "2.6": date(2013, 10, 29),
    "2.7": date(2020, 1, 1),
    "3.0": date(2009, 1, 13),
    "3.1": date(2012, 4, 9),
    "3.2": date(2016, 2, 20),
    "3.3": date(2017, 9, 29),
    "3.4": date(2019, 3, 18),
    "3.5": date(2020, 9, 30),
    "3.6": date(2021, 12, 23),
    "3.7": date(2023, 6, 27),
    "3.8": date(2024, 10, 7),
    "3.9": date(2025, 10, 31),
    "3.10": date(2026, 10, 31),
    "3.11": date(2027, 10, 31),
    "3.12": date(2028, 10, 31),
    "3.13": date(2029, 10, 31),
    "3.14": date(2030, 10, 31),
    "3.15": date(2031, 10, 31),
}
"""MAJOR.MINOR to the last day with security fixes."""


class Life(StrEnum):
    """Where a version stands."""

    SUPPORTED = "supported"
    ENDING = "ending"
    """It has half a year left at most."""
    ENDED = "ended"
    UNKNOWN = "unknown"


class Lifespan(Struct, frozen=True):
    """Where a version stands, its last day with security fixes (None when that is not known), and both in words."""

    state: Life
    ends: date | None
    reason: str


def lifespan(version: Version, implementation: str, today: date) -> Lifespan:
    """Where `version` of `implementation` stands on the day `today`."""
    if implementation != "CPython":
        return Lifespan(Life.UNKNOWN, None, f"envdeck knows no end of life dates of {implementation}")
    minor = f"{version.major}.{version.minor}"
    ends = ENDS.get(minor)
    if ends is None:
        return Lifespan(Life.UNKNOWN, None, f"the dates that envdeck has, of {_PUBLISHED}, do not name Python {minor}")
    if ends < today:
        return Lifespan(Life.ENDED, ends, f"Python {minor} has had no security fixes since {ends}")
    if ends - today <= _SOON:
        days = (ends - today).days
        left = f"in {days} day{'' if days == 1 else 's'}" if days else "today"
        return Lifespan(Life.ENDING, ends, f"security fixes for Python {minor} end on {ends}, {left}")
    return Lifespan(Life.SUPPORTED, ends, f"Python {minor} gets security fixes until {ends}")


def lifespan_of(installation: Installation, now: float) -> Lifespan:
    """The same for the Python of `installation` at the time `now`, seconds since the epoch."""
    if installation.facts is None:
        return Lifespan(Life.UNKNOWN, None, "its version is not known")
    facts = installation.facts
    return lifespan(facts.version, facts.implementation, datetime.fromtimestamp(now, UTC).date())

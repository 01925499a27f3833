"""What can be compared in a filter: numbers, sizes, ages and versions, read as people write them."""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["Amount", "Unit", "compare", "read_amount", "version_amount"]

Amount = float | tuple[int, ...]
"""A number (bytes, seconds, a count), or the parts of a version."""

_NUMBER = re.compile(r"(\d{1,15}(?:\.\d{0,6})?)([a-z]*)", re.ASCII)
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6}){0,4}", re.ASCII)
_SIZES = {"": 1, "b": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_AGES = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Unit(StrEnum):
    """What an amount counts; the value is an example of how it is written."""

    NUMBER = "12"
    SIZE = "1.5G"
    AGE = "2d"
    VERSION = "3.11"


def read_amount(text: str, unit: Unit) -> Amount | None:
    """`text` in bytes, seconds, or as what it counts; None when it is nothing of the kind."""
    text = text.lower()
    if unit is Unit.VERSION:
        return tuple(map(int, text.split("."))) if _VERSION.fullmatch(text) else None
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    number, suffix = float(found[1]), found[2]
    if unit is Unit.NUMBER:
        return number if not suffix else None
    factors = _SIZES if unit is Unit.SIZE else _AGES
    if unit is Unit.SIZE and len(suffix) > 1:
        suffix = suffix.removesuffix("b")
    return number * factors[suffix] if suffix in factors else None


def compare(have: Amount, sign: str, want: Amount) -> bool:
    """``have sign want``. A version counts as far as `want` goes: 3.11.7 is no more than 3.11, and equal to it."""
    if isinstance(have, tuple) or isinstance(want, tuple):
        if not (isinstance(have, tuple) and isinstance(want, tuple)):
            return False
        have = have[: len(want)]
        return _holds(have > want, have == want, sign)
    return _holds(have > want, have == want, sign)


def _holds(more: bool, same: bool, sign: str) -> bool:
    match sign:
        case ">":
            return more
        case ">=":
            return more or same
        case "<":
            return not more and not same
        case "<=":
            return not more
        case _:
            return same


def version_amount(text: str) -> Amount | None:
    """The release of a version as its parts: of ``3.13.0rc1`` 3, 13 and 0."""
    found = _VERSION.match(text)
    return tuple(map(int, found.group().split("."))) if found else None

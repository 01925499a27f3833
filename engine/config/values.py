"""Typed values from their text: one reader per type, the same for files, environment variables and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from packaging.version import Version

from engine.config.catalogue import Kind, Setting, close_to

__all__ = ["BadValue", "Value", "read_value", "value_text"]

Value = bool | int | float | str | Path | Version

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_INTEGER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})")
_BARE_NUMBER = re.compile(r"[0-9]{1,19}")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_DURATION_PART = re.compile(r"([0-9]{1,19}(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?([KMGTkmgt]?)(?:i?[Bb])?")
_VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){1,3}")
_INT64 = 2**63


class BadValue(ValueError):
    """A text that is no value of the type: what was expected, and what to do."""

    def __init__(self, expected: str, hint: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.hint = hint


def read_value(setting: Setting, text: str, environ: Mapping[str, str]) -> Value:
    """One value of `setting` from `text`: durations in seconds, paths absolute. `environ` is for ``HOME``.

    Raises `BadValue`. The types are those of connect.md §1.3.
    """
    if setting.kind is Kind.PATH:
        return _path(text, environ)
    if setting.kind is Kind.CHOICE:
        return _choice(text, setting.choices)
    if setting.zero and setting.kind is Kind.DURATION and text in ("0", "0s"):
        return 0.0
    value = _READERS[setting.kind](text)
    if setting.kind is Kind.SIZE and value == 0 and not setting.zero:
        raise BadValue("a size above zero")
    if setting.least is not None and isinstance(value, int) and value < setting.least:
        raise BadValue(f"a whole number of at least {setting.least}")
    return value


def value_text(value: Value, written: str) -> str:
    """`value` as it is shown: in one spelling where the type has several that mean the same, else as `written`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | Path) else written


def _boolean(text: str) -> bool:
    word = text.casefold()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise BadValue("true or false")


def _integer(text: str) -> int:
    # Leading zeros are decimal, as in gcfg, so int(text, 0) will not do.
    if _INTEGER.fullmatch(text):
        number = int(text, 16 if "x" in text.casefold() else 10)
        if -_INT64 <= number < _INT64:
            return number
    raise BadValue("a whole number such as 42 or 0x2a, of at most 64 bits")


def _duration(text: str) -> float:
    """Seconds from a Go duration; a bare number counts nanoseconds."""
    expected = "a duration such as 500ms, 10s or 1h30m"
    if _BARE_NUMBER.fullmatch(text):
        # The server takes 10 for ten nanoseconds. Nobody means that.
        if int(text) < 10**6:
            raise BadValue(expected, f"A bare number counts nanoseconds: write {text}s for seconds")
        nanoseconds = float(int(text))
    elif _DURATION.fullmatch(text):
        nanoseconds = sum(float(number) * _NANOSECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    else:
        raise BadValue(expected, "Units are ns, us, ms, s, m and h, without blanks")
    if not 0 < nanoseconds < _INT64:
        raise BadValue("a duration longer than zero and shorter than 292 years")
    return nanoseconds / 10**9


def _size(text: str) -> int:
    """Bytes from a number with a unit; K, M, G and T count in 1024s, as `df -h` and most admins do."""
    if match := _SIZE.fullmatch(text):
        number = float(match[1]) * 1024 ** ("", "k", "m", "g", "t").index(match[2].casefold())
        if number < _INT64:
            return int(number)
    raise BadValue("a size such as 512M or 2G", "Units are K, M, G and T")


def _version(text: str) -> Version:
    if _VERSION.fullmatch(text):
        return Version(text)
    raise BadValue("a Python version such as 3.8.0")


def _string(text: str) -> str:
    return text


def _choice(text: str, choices: tuple[str, ...]) -> str:
    for choice in choices:
        if text.casefold() == choice.casefold():
            return choice
    close = close_to(text, choices)
    raise BadValue(" or ".join(choices), f"Did you mean {close}?" if close else "")


def _path(text: str, environ: Mapping[str, str]) -> Path:
    if text == "~" or text.startswith("~/"):
        home = environ.get("HOME", "")
        if not home.startswith("/"):
            raise BadValue("an absolute path", "~ cannot be expanded because HOME is not an absolute path")
        return Path(home + text[1:])
    if text.startswith("/"):
        return Path(text)
    if text[:1] in {"'", "“", "”", "„", "‘", "’"}:
        raise BadValue("an absolute path", 'Quote with straight double quotes ("), or not at all')
    raise BadValue("an absolute path", "Start it with / or ~/")


_READERS: Mapping[Kind, Callable[[str], Value]] = {
    Kind.BOOLEAN: _boolean,
    Kind.INTEGER: _integer,
    Kind.STRING: _string,
    Kind.DURATION: _duration,
    Kind.SIZE: _size,
    Kind.VERSION: _version,
}

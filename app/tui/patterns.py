"""Patterns that admins type: plain words, and regular expressions that cannot run for ever.

Expressions are those of RE2, which takes time in proportion to the text whatever the expression is, in bounded memory.
Python's own would let ``/(a+)+$/`` freeze the terminal, and a match that runs cannot be stopped.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Protocol

__all__ = ["Pattern", "PatternError", "read_pattern", "regex", "word"]

_MEMORY = 8 << 20


class PatternError(ValueError):
    """A text that is no regular expression; says why."""


class Pattern(Protocol):
    """Something to look for; letter case does not matter."""

    def found(self, folded: str) -> bool:
        """Whether it is in a text that has been casefolded."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it is in `text`, to highlight it."""


class _Word:
    def __init__(self, text: str) -> None:
        self._folded = text.casefold()
        self._spans = re.compile(re.escape(text), re.IGNORECASE)

    def found(self, folded: str) -> bool:
        return self._folded in folded

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in self._spans.finditer(text)]


class _Regex:
    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def found(self, folded: str) -> bool:
        return self._compiled.search(_encodable(folded)) is not None

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [span for found in self._compiled.finditer(_encodable(text)) if (span := found.span())[0] < span[1]]


def word(text: str) -> Pattern:
    """`text` as it is written."""
    return _Word(text)


def regex(expression: str) -> Pattern:
    """The regular expression, in which ``^`` and ``$`` match at every line. Raises `PatternError`."""
    re2, options = _library()
    try:
        return _Regex(re2.compile(f"(?m){expression}", options))
    except (re2.error, UnicodeEncodeError, OverflowError) as error:
        reason = error.args[0] if error.args else ""
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(error)
        raise PatternError(f"/{expression}/ is not a regular expression: {said}") from None


def read_pattern(text: str) -> Pattern | None:
    """What a text to look for means: ``/regex/``, else the text itself; None for nothing. Raises `PatternError`."""
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return regex(text[1:-1])
    return word(text) if text else None


@cache
def _library() -> tuple[Any, Any]:
    # Only who types an expression waits for the library.
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _MEMORY
    return re2, options


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode(errors="replace").decode()

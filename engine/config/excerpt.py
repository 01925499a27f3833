"""The line of a configuration file that a problem is about, fit to be shown. Pure.

A configuration file holds passwords, also in sections that are none of ours. What is not a setting that envdeck knows
is therefore masked, and so are the credentials of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from engine.config.catalogue import sections_of
from engine.errors import Problem
from engine.text import clean, mask_credentials

__all__ = ["Excerpt", "excerpt"]

_KEY = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)")
_LONGEST = 300


class Excerpt(Struct, frozen=True):
    """One line and the place in it. Safe to show."""

    line: int
    """Counts from 1."""
    before: str
    """The text in front of the place."""
    after: str
    """The text from the place on; everything, where the problem is about the whole line."""
    pointed: bool
    """Whether there is a place in the line."""

    @property
    def text(self) -> str:
        return self.before + self.after


def excerpt(problem: Problem, texts: Mapping[str, str]) -> Excerpt | None:
    """The line of `problem` among `texts` (path to text); None for a problem that is about no line of them."""
    where = problem.where
    if where is None or where.line is None or where.file not in texts:
        return None
    lines = texts[where.file].removeprefix("\ufeff").split("\n")
    if not 1 <= where.line <= len(lines):
        return None
    continues = where.line > 1 and lines[where.line - 2].rstrip("\r").endswith("\\")
    text = _masked(lines[where.line - 1].replace("\t", " ").rstrip()[:_LONGEST], continues=continues)
    at = 0 if where.column is None else min(where.column - 1, len(text))
    return Excerpt(where.line, clean(text[:at]), clean(text[at:]), where.column is not None)


def _masked(line: str, *, continues: bool) -> str:
    """`line` with stars for what may be secret; as long as before, unless it has a URL with credentials.

    `continues`: it is the rest of a value that began above.
    """
    if continues:
        return _stars(line)
    if line.lstrip()[:1] in ("[", ";", "#", ""):
        return line
    found = _KEY.match(line)
    if found is None:
        return _stars(line)
    if sections_of(found[1]):
        return mask_credentials(line)
    return line[: found.end()] + _stars(line[found.end() :])


def _stars(text: str) -> str:
    return re.sub(r"[^\s=]", "*", text)

"""The filter grammar of every list: ``word``, ``!word``, ``/regex/``, ``column:word``, all of them joined by *and*."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Filter", "parse_filter"]

_TOKEN = re.compile(r"(?P<not>!?)(?:(?P<field>[A-Za-z]+):)?(?:/(?P<regex>(?:[^/\\]|\\.)+)/(?=\s|$)|(?P<word>\S+))")


@dataclass(frozen=True, slots=True)
class _Term:
    pattern: re.Pattern[str]
    field: str
    negated: bool

    def accepts(self, fields: Mapping[str, str]) -> bool:
        texts = [fields[self.field]] if self.field else fields.values()
        return any(self.pattern.search(text) for text in texts) is not self.negated


@dataclass(frozen=True, slots=True)
class Filter:
    """What a row must be like to be shown. `problem` says what is wrong with a regex, which then is left out."""

    text: str = ""
    terms: tuple[_Term, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    """What to highlight in the rows that are shown."""
    problem: str = ""

    def accepts(self, fields: Mapping[str, str]) -> bool:
        """Whether a row with these texts (by lower-case column title) is shown."""
        return all(term.accepts(fields) for term in self.terms)


def parse_filter(text: str, columns: Sequence[str]) -> Filter:
    """The filter that `text` stands for on a list with these `columns`.

    A column may be shortened (``py:3.11``); a word before a colon that begins no column's title is searched for
    literally. Letter case does not matter. Never fails, since it is called for every half-typed text.
    """
    terms: list[_Term] = []
    patterns: list[re.Pattern[str]] = []
    problem = ""
    titles = [title.lower() for title in columns]
    for token in _TOKEN.finditer(text):
        start = (token["field"] or "").lower()
        field = next((title for title in titles if start and title.startswith(start)), "")
        expression, word = token["regex"], token["word"]
        if start and not field:
            expression, word = None, token.group().removeprefix("!")
        try:
            pattern = re.compile(expression if expression is not None else re.escape(word), re.IGNORECASE)
        except (re.error, RecursionError, OverflowError) as error:
            problem = f"/{expression}/ is not a regular expression: {error}"
            continue
        negated = bool(token["not"])
        terms.append(_Term(pattern, field, negated))
        if not negated:
            patterns.append(pattern)
    return Filter(text, tuple(terms), tuple(patterns), problem)

"""The filter grammar of every list: ``word``, ``!word``, ``/regex/``, ``field:word``, ``size>1G``, joined by *and*."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct

from app.tui.amounts import Amount, Unit, compare, read_amount
from app.tui.patterns import Pattern, regex, word

__all__ = ["Field", "Filter", "Source", "line_test", "parse_filter"]

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

_TOKEN = re.compile(
    r"(?P<not>!?)"
    r"(?:(?P<field>[A-Za-z][A-Za-z-]*)(?P<sign>:|[<>]=?|=))?"
    r"(?:/(?P<regex>(?:[^/\\]|\\.)+)/(?=\s|$)|(?P<word>\S*))"
)


class Field(Struct, frozen=True):
    """Something of a row that has a name: ``field:word`` looks only there."""

    name: str
    """Lower case; may be shortened in a filter."""
    unit: Unit | None = None
    """What ``<``, ``>`` and ``=`` compare; None for what is only text."""


class Source(Protocol[R_contra]):
    """Where the filter takes what it needs of a row from. Texts are casefolded."""

    def free(self, row: R_contra) -> str:
        """What a word without a field is looked for in, one line per column."""

    def text(self, row: R_contra, field: str) -> str: ...

    def amount(self, row: R_contra, field: str) -> Amount | None:
        """None where a row has nothing to compare."""


class _Term(Struct, frozen=True):
    """One condition: a pattern, or a comparison of `field` with `amount`."""

    negated: bool
    field: str
    pattern: Pattern | None
    sign: str = ""
    amount: Amount = 0.0
    whole: str | None = None
    """The whole text of the field, for ``field=text``."""

    def test(self, source: Source[R]) -> Callable[[R], bool]:
        """Whether a row meets the condition, before it is negated."""
        field, pattern, sign, want = self.field, self.pattern, self.sign, self.amount
        if pattern is not None:
            if field:
                return lambda row: pattern.found(source.text(row, field))
            return lambda row: pattern.found(source.free(row))
        if self.whole is not None:
            whole = self.whole
            return lambda row: source.text(row, field) == whole
        return lambda row: (have := source.amount(row, field)) is not None and compare(have, sign, want)


class Filter(Struct, frozen=True):
    """What a row must be like to be shown. `problem` says what could not be understood, which then is left out."""

    text: str = ""
    terms: tuple[_Term, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    """What to highlight in the rows that are shown."""
    problem: str = ""

    def keep(self, rows: Sequence[R], source: Source[R]) -> list[R]:
        """The rows that are shown, in their order."""
        kept = list(rows)
        for term in self.terms:
            test, wanted = term.test(source), not term.negated
            kept = [row for row in kept if test(row) is wanted]
        return kept


def parse_filter(text: str, fields: Sequence[Field]) -> Filter:
    """The filter that `text` stands for on a list whose rows have these `fields`.

    A field may be shortened (``py:3.11``); a word before a sign that begins no field's name is searched for literally.
    A field without a value yet is passed over. Letter case does not matter. Never fails, since it is called for every
    half-typed text.
    """
    terms: list[_Term] = []
    problem = ""
    for token in _TOKEN.finditer(text):
        if not token.group():
            continue
        try:
            term = _term(token, fields)
        except ValueError as error:
            problem = str(error)
        else:
            terms += [term] if term is not None else []
    patterns = tuple(term.pattern for term in terms if term.pattern is not None and not term.negated)
    return Filter(text, tuple(terms), patterns, problem)


def line_test(chosen: Filter) -> Callable[[str], bool] | None:
    """Whether a line of plain text, which has no fields, is one that is `chosen`; None when every line is."""
    tests = [(term.test(_LINES), not term.negated) for term in chosen.terms]
    if not tests:
        return None
    return lambda line: all(test(line) is wanted for test, wanted in tests)


class _Lines:
    """Where a filter takes what it needs of a line from."""

    def free(self, row: str) -> str:
        return row.casefold()

    def text(self, row: str, field: str) -> str:  # noqa: ARG002 - of a `Source`
        return row.casefold()

    def amount(self, row: str, field: str) -> None:  # noqa: ARG002
        return None


_LINES = _Lines()


def _term(token: re.Match[str], fields: Sequence[Field]) -> _Term | None:
    """What one token asks for; None when it is not complete. Raises `ValueError` for what makes no sense."""
    negated, sign, value = bool(token["not"]), token["sign"], token["word"]
    field = _find(token["field"], fields) if token["field"] else None
    if token["field"] and field is None:
        return _Term(negated, "", word(token.group().removeprefix("!")))
    if token["regex"]:
        return _Term(negated, field.name if field else "", regex(token["regex"]))
    if not value:
        return None
    if field is None or sign == ":":
        return _Term(negated, field.name if field else "", word(value))
    if field.unit is None:
        if sign == "=":
            return _Term(negated, field.name, None, sign, whole=value.casefold())
        ordered = ", ".join(one.name for one in fields if one.unit is not None)
        raise ValueError(f"{field.name}{sign} compares nothing; these can be compared: {ordered or 'none here'}")
    amount = read_amount(value, field.unit)
    if amount is None:
        raise ValueError(f"{field.name}{sign}{value}: expected something like {field.name}{sign}{field.unit.value}")
    return _Term(negated, field.name, None, sign, amount)


def _find(name: str, fields: Sequence[Field]) -> Field | None:
    """The field called `name`, or the first whose name begins so."""
    start = name.lower()
    begins = [field for field in fields if field.name.startswith(start)]
    return next((field for field in begins if field.name == start), begins[0] if begins else None)

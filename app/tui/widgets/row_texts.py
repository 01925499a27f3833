"""What a filter sees of the rows of a list: each text is made once and kept until its row is another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from app.tui.amounts import Amount
from app.tui.filters import Field
from app.tui.widgets.columns import Column, Facet

__all__ = ["RowTexts"]

R = TypeVar("R")
_FREE = ""
"""The name under which the text of all columns together is kept."""


class RowTexts(Generic[R]):
    """A `Source` for filters over rows that have these columns and facets."""

    def __init__(
        self,
        columns: Sequence[Column[R]],
        facets: Sequence[Facet[R]],
        identity: Callable[[R], str],
        now: Callable[[], float],
    ) -> None:
        # A title of one letter heads a flag, which is no text to look into.
        self._columns = {column.title.lower(): column for column in columns if len(column.title) > 1}
        self._facets = {facet.title.lower(): facet for facet in facets}
        self._identity = identity
        self._now = now
        self._writers = [self._writer(column) for column in self._columns.values() if not column.ticks]
        self._kept: dict[str, dict[str, tuple[R, str]]] = {}
        """By field and identity: the row a text was made of, and the text."""

    @property
    def fields(self) -> list[Field]:
        """What can be named in a filter, the columns first."""
        found = {name: column.unit for name, column in self._columns.items()}
        for name, facet in self._facets.items():
            found.setdefault(name, facet.unit)
        return [Field(name, unit) for name, unit in found.items()]

    def free(self, row: R) -> str:
        return self._keep(_FREE, row, self._all)

    def text(self, row: R, field: str) -> str:
        column = self._columns.get(field)
        if column is not None and column.ticks:
            return self._writer(column)(row)
        return self._keep(field, row, lambda one: self._one(one, field))

    def amount(self, row: R, field: str) -> Amount | None:
        found = self._columns.get(field) or self._facets[field]
        return found.amount(row, self._now())

    def forget(self, rows: int) -> None:
        """Let go of rows that are not there any more, once they are more than the `rows` that are."""
        for kept in self._kept.values():
            if len(kept) > 2 * rows + 100:
                kept.clear()

    def clear(self) -> None:
        """Let go of all of them: megabytes, of ten thousand rows."""
        self._kept.clear()

    def _keep(self, field: str, row: R, make: Callable[[R], str]) -> str:
        kept = self._kept.setdefault(field, {})
        identity = self._identity(row)
        known = kept.get(identity)
        if known is None or (known[0] is not row and known[0] != row):
            known = kept[identity] = (row, make(row).casefold())
        return known[1]

    def _all(self, row: R) -> str:
        return "\n".join([write(row) for write in self._writers])

    def _one(self, row: R, field: str) -> str:
        column = self._columns.get(field)
        return self._writer(column)(row) if column is not None else self._facets[field].text(row)

    def _writer(self, column: Column[R]) -> Callable[[R], str]:
        """What makes the text of a column."""
        return column.text or (lambda row: column.cell(row, self._now()).plain)

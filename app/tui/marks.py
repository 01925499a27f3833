"""Which rows of a list are marked: by identity, so that marks outlive refreshes, filters and orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

__all__ = ["Marks"]


class Marks(Struct, frozen=True):
    """The identities of the marked rows, and where a range that is being marked began ("" for none)."""

    marked: frozenset[str] = frozenset()
    anchor: str = ""

    def __contains__(self, identity: str) -> bool:
        return identity in self.marked

    def __len__(self) -> int:
        return len(self.marked)

    def toggle(self, identity: str) -> Marks:
        """Mark the row, or take its mark off."""
        return replace(self, marked=self.marked ^ {identity})

    def add(self, identities: Iterable[str]) -> Marks:
        """Mark all of them; a range that was being marked is done with."""
        return Marks(self.marked | frozenset(identities))

    def begin(self, identity: str) -> Marks:
        """Begin a range at that row."""
        return replace(self, anchor=identity)

    def span(self, shown: Sequence[str], cursor: str) -> Sequence[str]:
        """The rows from the beginning of the range to `cursor`, both included, in the order they are `shown` in."""
        if self.anchor not in shown or cursor not in shown:
            return ()
        first, last = sorted((shown.index(self.anchor), shown.index(cursor)))
        return shown[first : last + 1]

    def keep(self, existing: Collection[str]) -> Marks:
        """Without those that are not there any more."""
        if self.marked <= (there := frozenset(existing)) and (not self.anchor or self.anchor in there):
            return self
        return Marks(self.marked & there, self.anchor if self.anchor in there else "")

"""What is in the directories of one place or several, each read again only when it changed.

A cache of ten thousand environments is looked at every second. So an ordinary look at a roster does three things: it
lists and compares the places whose time says that something in them changed, it looks again at what changed only just
now, and it examines the next few hundred entries in turn. Up to that number a roster is therefore always examined
completely; beyond it what somebody changes by hand is noticed within a number of looks, and what envdeck changes is
noticed at once, by whatever process on whatever machine, because it calls `announce`. A thorough look examines all.
"""

from __future__ import annotations

import gc
import marshal
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from engine.roster_index import RosterIndex

__all__ = ["Roster", "Signature", "Source", "announce", "signature_of"]

V = TypeVar("V")
Signature = tuple[int, ...]
"""What changes when a record does. The first number is the time of the last change, in nanoseconds."""

_AT_ONCE = 400
"""Entries that an ordinary look examines: a few milliseconds."""
_WORTH_KEEPING = 200
"""Entries that had to be read, after which the index is written again: reading so few is not felt."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which another change gets another time, on every file system (executors.md §4)."""


def announce(entry: Path) -> None:
    """Let every roster look at the place of `entry`, in which something was changed. Nothing happens if that fails."""
    with suppress(OSError):
        os.utime(entry.parent)


def signature_of(path: str) -> Signature | None:
    """Of one file or directory; None when it is not there."""
    try:
        return _signature(path)
    except OSError:
        return None


def _signature(path: str) -> Signature:
    status = os.stat(path)  # noqa: PTH116 - ten thousand times in one look
    return (status.st_mtime_ns, status.st_ino, status.st_size)


class Source(Protocol[V]):
    """What a roster is of. Entries are paths as text, because making ten thousand `Path` objects takes a while."""

    def places(self) -> Iterable[str]:
        """The directories whose subdirectories are the entries."""
        ...

    def signature(self, entry: str) -> Signature | None:
        """The signature of the entry's record; None when it has none."""
        ...

    def read(self, entry: str) -> tuple[V, bool]:
        """The record, and whether it may be kept: False when the disk may only have failed this once."""
        ...

    def check(self, entry: str, record: V) -> V:
        """`record` with what can change while its signature stays."""
        ...


@dataclass(slots=True)
class _Place:
    signature: Signature
    settled: bool
    entries: list[str]


@dataclass(slots=True)
class _Known(Generic[V]):
    entry: str
    signature: bytes
    """In the form of `_bytes_of`."""
    settled: bool
    """False when another change could have the same signature."""
    record: V
    shown: V


class Roster(Generic[V]):
    """The values of all entries, in the order of `order`. Methods may be called from any thread."""

    def __init__(
        self,
        source: Source[V],
        order: Callable[[V], Any],
        index: RosterIndex[V] | None = None,
        *,
        reverse: bool = False,
    ) -> None:
        self._lock = threading.Lock()
        self._source = source
        self._order = order
        self._reverse = reverse
        self._index = index
        self._places: dict[str, _Place] = {}
        self._every: list[str] = []
        self._known: dict[str, _Known[V]] = {}
        self._unsettled: set[str] = set()
        self._next = 0
        self._values: tuple[V, ...] | None = None
        self._read = 0
        """How many records were read since the index was read or written."""
        self.complete = True
        """Whether every place that is there could be listed at the last look. What was in one that could not be still
        counts, but more may be there."""

    def look(self, *, thorough: bool = False) -> tuple[V, ...]:
        """The values now; the same object as long as nothing changed. The first look is a thorough one."""
        with self._lock:
            if self._values is not None:
                return self._look(thorough=thorough)
            with _uncollected():
                if self._index is not None:
                    for entry, signature, record in self._index.read():
                        self._known[entry] = _Known(entry, signature, True, record, record)
                return self._look(thorough=True)

    def _look(self, *, thorough: bool) -> tuple[V, ...]:
        now = time.time_ns()
        listed, changed = self._list(now, thorough=thorough)
        # In the order of their places, in which the disk has them at hand.
        examined = dict.fromkeys((*self._turn(), *self._unsettled, *(listed if thorough else ())))
        changed |= self._visit(examined, now)
        changed |= self._visit((entry for entry in listed if entry not in examined), now, only_changed=True)
        if changed or self._values is None:
            values = (known.shown for known in self._known.values())
            self._values = tuple(sorted(values, key=self._order, reverse=self._reverse))
        return self._values

    def keep(self) -> None:
        """Write the index if that saves the next process anything."""
        with self._lock:
            if self._index is None or self._read < _WORTH_KEEPING:
                return
            self._read = 0
            settled = [(known.entry, known.signature, known.record) for known in self._known.values() if known.settled]
        # In their order, in which the next process then has them nearly all to begin with.
        self._index.write(sorted(settled, key=lambda each: self._order(each[2]), reverse=self._reverse))

    def _list(self, now: int, *, thorough: bool) -> tuple[list[str], bool]:
        """Bring the list of entries up to date.

        Returns the entries of places in which something changed, and whether an entry is gone.
        """
        visit: list[str] = []
        places: dict[str, _Place] = {}
        self.complete = True
        for path in self._source.places():
            known = self._places.get(path)
            try:
                signature = _signature(path)
                if thorough or known is None or not known.settled or known.signature != signature:
                    # Each path is held once, though it is listed and known.
                    entries = [k.entry if (k := self._known.get(e)) else e for e in _subdirectories(path)]
                    known = _Place(signature, signature[0] < now - _SETTLED, entries)
                    visit += entries
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # The disk may only have failed this once, and nothing is gone because of that.
                self.complete = False
                known = _Place((), False, known.entries if known else [])
            places[path] = known
        before, self._places = self._places, places
        same = places.keys() == before.keys() and all(places[path] is known for path, known in before.items())
        # The first time the index may know of what is gone.
        if same and self._values is not None:
            return visit, False
        self._every = [entry for place in places.values() for entry in place.entries]
        there = set(self._every)
        self._unsettled &= there
        gone = self._known.keys() - there
        for entry in gone:
            del self._known[entry]
        return visit, bool(gone)

    def _turn(self) -> Iterable[str]:
        """The entries whose turn it is."""
        start = self._next if self._next < len(self._every) else 0
        self._next = start + _AT_ONCE
        return self._every[start : self._next]

    def _visit(self, entries: Iterable[str], now: int, *, only_changed: bool = False) -> bool:
        """Look at these entries, or only at those whose record changed; returns whether a value is another one now."""
        changed = False
        # Under names of their own, because it is done 100 000 times in one look.
        known_of, signature_of_entry, check = self._known.get, self._source.signature, self._source.check
        for entry in entries:
            found = signature_of_entry(entry)
            known = known_of(entry)
            if found is None:
                self._unsettled.discard(entry)
                changed |= self._known.pop(entry, None) is not None
                continue
            signature = _bytes_of(found)
            if known is None or not known.settled or known.signature != signature:
                changed |= self._read_again(entry, found, now)
            elif not only_changed:
                shown = check(entry, known.record)
                if shown is not known.shown and shown != known.shown:
                    known.shown = shown
                    changed = True
        return changed

    def _read_again(self, entry: str, found: Signature, now: int) -> bool:
        """Read the record of `entry`; returns whether its value is another one now."""
        record, sound = self._source.read(entry)
        settled = sound and found[0] < now - _SETTLED
        self._read += 1
        (self._unsettled.discard if settled else self._unsettled.add)(entry)
        shown = self._source.check(entry, record)
        known = self._known.get(entry)
        if same := known is not None and shown == known.shown:
            shown = known.shown
        self._known[entry] = _Known(entry, _bytes_of(found), settled, record, shown)
        return not same


def _bytes_of(signature: Signature) -> bytes:
    """A third of the memory of the numbers. In the old form of `marshal`: the new one says which are one object."""
    return marshal.dumps(signature, 2)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: nothing of what is made here is any, and every look goes through all of it."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _subdirectories(path: str) -> list[str]:
    """The directories in `path`; hidden ones are on their way in or out (`engine.environments.trash`).

    Raises `OSError`.
    """
    with os.scandir(path) as entries:
        return [e.path for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)]

"""What is in the directories of one place or several, each read again only when it changed.

A cache of ten thousand environments is looked at every second. So an ordinary look at a roster does three things: it
lists and compares the places whose time says that something in them changed, it looks again at what changed only just
now, and it examines the next few hundred entries in turn. Up to that number a roster is therefore always examined
completely; beyond it what somebody changes by hand is noticed within a number of looks, and what envdeck changes is
noticed at once, by whatever process on whatever machine, because it calls `announce`. A thorough look examines all.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Struct, field

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

    def forget(self) -> None:
        """Let go of what was kept for reading many records."""
        ...


class _Known(Struct, Generic[V]):
    name: str
    signature: int
    """Its `_digest`."""
    record: V
    shown: V


class _Place(Struct, Generic[V]):
    signature: Signature = ()
    settled: bool = False
    names: list[str] = field(default_factory=list)
    """Of its entries."""
    known: dict[str, _Known[V]] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)
    """Those that another change could have left the same signature, or whose record may only have failed this once."""

    def list(self, names: Iterable[str]) -> bool:
        """Take `names` for those of all its entries; returns whether one that was known is gone."""
        # Each name is held once, though it is listed and known.
        self.names = [known.name if (known := self.known.get(name)) else name for name in names]
        there = set(self.names)
        gone = self.known.keys() - there
        for name in gone:
            del self.known[name]
        self.unsettled &= there
        return bool(gone)


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
        self._places: dict[str, _Place[V]] = {}
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
                for path, name, signature, record in self._index.read() if self._index else ():
                    place = self._places.get(path)
                    if place is None:
                        place = self._places[path] = _Place()
                    place.known[name] = _Known(name, signature, record, record)
                values = self._look(thorough=True)
            return self._from_index() if self._write() else values

    def _look(self, *, thorough: bool) -> tuple[V, ...]:
        now = time.time_ns()
        listed, changed = self._list(now, thorough=thorough)
        # In the order of their places, in which the disk has them at hand.
        examined: dict[str, dict[str, None]] = {}
        unsettled = ((path, place.unsettled) for path, place in self._places.items())
        for path, names in (*self._turn(), *unsettled, *(listed.items() if thorough else ())):
            examined.setdefault(path, {}).update(dict.fromkeys(names))
        for path, some in examined.items():
            changed |= self._visit(path, some, now)
        for path, names in listed.items():
            others = (name for name in names if name not in examined[path])
            changed |= self._visit(path, others, now, only_changed=True)
        if changed or self._values is None:
            self._values = self._ordered()
        return self._values

    def _ordered(self) -> tuple[V, ...]:
        values = (known.shown for place in self._places.values() for known in place.known.values())
        return tuple(sorted(values, key=self._order, reverse=self._reverse))

    def keep(self) -> None:
        """Write the index if that saves the next process anything."""
        with self._lock:
            self._write()

    def _write(self) -> bool:
        """As `keep`; returns whether it was worth it."""
        if self._index is None or self._read < _WORTH_KEEPING:
            return False
        self._read = 0
        settled = [
            (path, known.name, known.signature, known.record)
            for path, place in self._places.items()
            for known in place.known.values()
            if known.name not in place.unsettled
        ]
        # In their order, in which the next process then has them nearly all to begin with.
        self._index.write(sorted(settled, key=lambda each: self._order(each[3]), reverse=self._reverse))
        return True

    def _from_index(self) -> tuple[V, ...]:
        """The same values out of the index, where they take a third of the memory."""
        assert self._index is not None
        for path, name, signature, record in self._index.read():
            place = self._places.get(path)
            known = place.known.get(name) if place and name not in place.unsettled else None
            if place and known and known.signature == signature and known.shown is known.record:
                # In a new object: between what is freed now the old one would keep the memory of a thousand of them.
                place.known[name] = _Known(name, signature, record, record)
        for place in self._places.values():
            place.list(place.names)
        self._source.forget()
        self._values = self._ordered()
        return self._values

    def _list(self, now: int, *, thorough: bool) -> tuple[dict[str, list[str]], bool]:
        """Bring the list of entries up to date.

        Returns the entries of places in which something changed, and whether an entry is gone.
        """
        visit: dict[str, list[str]] = {}
        before, places = self._places, dict[str, _Place[V]]()
        self.complete, gone = True, False
        for path in self._source.places():
            place = before.get(path) or _Place()
            try:
                signature = _signature(path)
                if thorough or not place.settled or place.signature != signature:
                    gone |= place.list(_subdirectories(path))
                    place.signature, place.settled = signature, signature[0] < now - _SETTLED
                    visit[path] = place.names
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                # The disk may only have failed this once, and nothing is gone because of that. But what only an index
                # knows of is not there before it was seen.
                self.complete = place.settled = False
                gone |= place.list(place.names)
            places[path] = place
        self._places = places
        return visit, gone or any(place.known for path, place in before.items() if path not in places)

    def _turn(self) -> list[tuple[str, list[str]]]:
        """The entries whose turn it is."""
        if self._next >= sum(len(place.names) for place in self._places.values()):
            self._next = 0
        first, self._next = self._next, self._next + _AT_ONCE
        turn, before = [], 0
        for path, place in self._places.items():
            turn.append((path, place.names[max(0, first - before) : max(0, self._next - before)]))
            before += len(place.names)
        return turn

    def _visit(self, path: str, names: Iterable[str], now: int, *, only_changed: bool = False) -> bool:
        """Look at these entries, or only at those whose record changed; returns whether a value is another one now."""
        changed = False
        place = self._places[path]
        # Under names of their own, because it is done 100 000 times in one look.
        known_of, signature_of_entry, check = place.known.get, self._source.signature, self._source.check
        unsettled = place.unsettled
        for name in names:
            entry = f"{path}/{name}"
            found = signature_of_entry(entry)
            known = known_of(name)
            if found is None:
                unsettled.discard(name)
                changed |= place.known.pop(name, None) is not None
            elif known is None or known.signature != _digest(found) or name in unsettled:
                changed |= self._read_again(place, name, entry, found, now)
            elif not only_changed:
                shown = check(entry, known.record)
                if shown is not known.shown and shown != known.shown:
                    known.shown = shown
                    changed = True
        return changed

    def _read_again(self, place: _Place[V], name: str, entry: str, found: Signature, now: int) -> bool:
        """Read the record of `entry`; returns whether its value is another one now."""
        record, sound = self._source.read(entry)
        settled = sound and found[0] < now - _SETTLED
        self._read += 1
        (place.unsettled.discard if settled else place.unsettled.add)(name)
        shown = self._source.check(entry, record)
        known = place.known.get(name)
        if same := known is not None and shown == known.shown:
            shown = known.shown
        place.known[name] = _Known(name, _digest(found), record, shown)
        return not same


def _digest(signature: Signature) -> int:
    """64 bits of it, a fifth of its memory. That two of one entry have the same is as likely as that the disk lies."""
    return hash(signature)


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
    """The names of the directories in `path`; hidden ones are on their way in or out (`engine.environments.trash`).

    Raises `OSError`.
    """
    with os.scandir(path) as entries:
        return [e.name for e in entries if e.name[0] != "." and e.is_dir(follow_symlinks=False)]

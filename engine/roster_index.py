"""The index of a roster: its records as one file in the cache of the user, so that the next process need not read them.

It is never a second truth. Each entry counts only as long as the signature of its record is the same, and a file that
is missing, damaged, of another form or of somebody else is as good as an empty one. It is the user's own and not the
data directory's, so whoever may only read has one too, and nobody's is believed by anybody else.

The file is a checksum, a line of JSON with every text and value once, and columns of numbers as they are in memory:
of ten thousand environments the same as rows of JSON take far longer to read, and 20 MB more at the peak.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import accumulate, chain, islice, pairwise, repeat
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from engine.files import StorageError, write_atomic
from engine.text import clean

__all__ = ["Chosen", "Codec", "PackedColumns", "RosterIndex", "UnpackedColumns", "filled"]

T = TypeVar("T")
V = TypeVar("V")
_FORM = f"3 {sys.byteorder}"
"""Its number is raised when what is in the file means something else."""
_LIMIT = 512 * 1024 * 1024
_KINDS = {"B": 1 << 8, "H": 1 << 16, "I": 1 << 32}
_PREFACE = 64


class Chosen(Sequence[T]):
    """Some of many things, by their numbers in an array that many share: a third of the memory of a tuple."""

    __slots__ = ("_first", "_last", "_numbers", "_things")

    def __init__(self, things: Sequence[T], numbers: array[int], first: int, last: int) -> None:
        self._things = things
        self._numbers = numbers
        self._first = first
        self._last = last

    def __len__(self) -> int:
        return self._last - self._first

    def __iter__(self) -> Iterator[T]:
        return map(self._things.__getitem__, self._numbers[self._first : self._last])

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return tuple(self)[index]

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Chosen | tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class PackedColumns:
    """Columns on their way into an index."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self.values: dict[str, int] = {}
        """By their JSON."""
        self.numbers: dict[str, array[Any]] = {}

    def put_numbers(self, name: str, kind: str, numbers: Iterable[float]) -> None:
        """`kind` is that of an `array`."""
        self.numbers[name] = array(kind, numbers)

    def put_texts(self, name: str, texts: Iterable[str]) -> None:
        """Texts that are safe to show."""
        self.put_numbers(name, "I", [self.texts.setdefault(text, len(self.texts)) for text in texts])

    def put_values(self, name: str, values: Iterable[object]) -> None:
        """JSON values as they were found."""
        number = self.values
        self.put_numbers(name, "I", [number.setdefault(text, len(number)) for text in map(json.dumps, values)])

    def put_lists(self, name: str, lists: Sequence[Sequence[int]]) -> None:
        """Lists of numbers, which say what of something else is in them."""
        self.put_numbers(f"{name} in each", "I", map(len, lists))
        numbers = list(chain.from_iterable(lists))
        highest = max(numbers, default=0)
        self.put_numbers(name, next(kind for kind, end in _KINDS.items() if highest < end), numbers)

    def put_text_lists(self, name: str, lists: Iterable[Sequence[str]]) -> None:
        number = self.texts
        self.put_lists(name, [[number.setdefault(text, len(number)) for text in texts] for texts in lists])


class UnpackedColumns:
    """Columns out of an index. Raises anything for a name that is not there and a number that stands for nothing."""

    def __init__(self, texts: list[str], values: list[str], numbers: dict[str, array[Any]]) -> None:
        self._texts = texts
        self._values = values
        self._numbers = numbers

    def numbers(self, name: str) -> array[Any]:
        return self._numbers[name]

    def texts(self, name: str) -> list[str]:
        return list(map(self._texts.__getitem__, self._numbers[name]))

    def values(self, name: str, made: Callable[[Any], T]) -> list[T]:
        """What is `made` of each value; of equal ones once."""
        column = self._numbers[name]
        things = {number: made(json.loads(self._values[number])) for number in set(column)}
        return list(map(things.__getitem__, column))

    def grouped(self, name: str, things: Iterable[T]) -> list[tuple[T, ...]]:
        """`things` in groups of as many as the column says."""
        rest = iter(things)
        groups = [tuple(islice(rest, number)) for number in self._numbers[name]]
        if sum(map(len, groups)) != sum(self._numbers[name]) or list(rest):
            raise ValueError(name)
        return groups

    def chosen(self, name: str, things: Sequence[T]) -> list[Chosen[T]]:
        """What of `things` is in each list."""
        numbers = self._numbers[name]
        ends = list(accumulate(self._numbers[f"{name} in each"], initial=0))
        if ends[-1] != len(numbers) or max(numbers, default=-1) >= len(things):
            raise ValueError(name)
        return [Chosen(things, numbers, first, last) for first, last in pairwise(ends)]

    def raw(self, name: str) -> list[bytes]:
        """Lists of numbers below 256."""
        data = bytes(self._numbers[name])
        ends = accumulate(self._numbers[f"{name} in each"], initial=0)
        return [data[first:last] for first, last in pairwise(ends)]

    def text_lists(self, name: str) -> list[tuple[str, ...]]:
        return self.grouped(f"{name} in each", map(self._texts.__getitem__, self._numbers[name]))


class Codec(Protocol[V]):
    """Records as columns and back."""

    form: str
    """Says what the columns mean."""

    def keeps(self, record: V) -> bool:
        """False for a record that is not worth keeping."""
        ...

    def pack(self, records: Sequence[V], columns: PackedColumns) -> None: ...

    def unpack(self, entries: Sequence[str], columns: UnpackedColumns) -> list[V]:
        """The record of each entry. Raises anything for columns that `pack` did not pack.

        The texts are safe to show, the values are as they were found.
        """
        ...


def filled(kind: type[T], number: int, /, **columns: Sequence[Any]) -> list[T]:
    """As many objects of a dataclass with slots, from the values of each field.

    Column by column, because ten thousand calls of its `__init__` take three to five times as long.
    """
    made = list(map(cast("Callable[[type[T]], T]", object.__new__), repeat(kind, number)))
    for field in fields(cast("Any", kind)):
        column = columns[field.name]
        if len(column) != number:
            raise ValueError(field.name)
        deque(map(getattr(kind, field.name).__set__, made, column), 0)
    return made


class RosterIndex(Generic[V]):
    """The index of the roster of `root` in the file `path`. Signatures are bytes that are equal when they are."""

    def __init__(self, path: Path, root: Path, codec: Codec[V]) -> None:
        self._path = path
        self._root = str(root)
        self._codec = codec

    def read(self) -> list[tuple[str, bytes, V]]:
        """Every entry with its signature and record; nothing when the file is of no use."""
        try:
            return self._read()
        except Exception:
            # Whatever is wrong with it: everything it says can be read again.
            return []

    def _read(self) -> list[tuple[str, bytes, V]]:
        # Not blocking: a pipe in the place of the file would be waited for.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
                return []
            checksum, size = file.readline(_PREFACE).split()
            # In place: copies of it are megabytes of the memory of a terminal UI that stays for hours.
            body = memoryview(file.read())
        if int(checksum, 16) != zlib.crc32(body):
            return []
        document = json.loads(bytes(body[: int(size)]))
        if (document["form"], document["root"]) != (self._form(), self._root):
            return []
        # Once for all of them: what is safe to show was made so before it was written.
        joined = "".join(document["texts"])
        if clean(joined) != joined:
            return []
        numbers: dict[str, array[Any]] = {}
        rest = body[int(size) :]
        for name, kind, length in document["columns"]:
            numbers[name] = array(kind)
            numbers[name].frombytes(rest[:length])
            rest = rest[length:]
        columns = UnpackedColumns(document["texts"], document["values"], numbers)
        entries = [self._root + name for name in document["entries"]]
        return list(zip(entries, columns.raw("signature"), self._codec.unpack(entries, columns), strict=True))

    def write(self, entries: Iterable[tuple[str, bytes, V]]) -> None:
        """Replace the file. Nothing happens when it cannot be written: it only saves time."""
        kept = [each for each in entries if self._codec.keeps(each[2])]
        columns = PackedColumns()
        columns.put_lists("signature", [signature for _, signature, _ in kept])
        self._codec.pack([record for _, _, record in kept], columns)
        numbers = {name: column.tobytes() for name, column in columns.numbers.items()}
        document = {
            "form": self._form(),
            "root": self._root,
            "texts": list(columns.texts),
            "values": list(columns.values),
            "entries": [entry.removeprefix(self._root) for entry, _, _ in kept],
            "columns": [[name, columns.numbers[name].typecode, len(data)] for name, data in numbers.items()],
        }
        head = json.dumps(document, separators=(",", ":")).encode("ascii")
        body = b"".join((head, *numbers.values()))
        with suppress(StorageError):
            write_atomic(self._path, b"%08x %d\n" % (zlib.crc32(body), len(head)) + body, 0o600, lasting=False)

    def _form(self) -> str:
        return f"{_FORM} {self._codec.form}"

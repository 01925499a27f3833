"""The index of a roster: its records as one file in the cache of the user, so that the next process need not read them.

It is never a second truth. Each entry counts only as long as the signature of its record is the same, and a file that
is missing, damaged, of another form or of somebody else is as good as an empty one. It is the user's own and not the
data directory's, so whoever may only read has one too, and nobody's is believed by anybody else.

The file is a checksum, a line of JSON with every text and value once, and columns of numbers as they are in memory:
of ten thousand environments the same as rows of JSON take four times as long to read, and their memory at the peak.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from engine.files import StorageError, write_atomic
from engine.text import clean

if TYPE_CHECKING:
    from engine.roster import Signature

__all__ = ["Codec", "PackedColumns", "RosterIndex", "UnpackedColumns", "filled"]

T = TypeVar("T")
V = TypeVar("V")
_FORM = f"2 {sys.byteorder}"
"""Its number is raised when what is in the file means something else."""
_LIMIT = 512 * 1024 * 1024
_UNSIGNED = (1 << 64) - 1


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
        self.put_numbers(name, "I", chain.from_iterable(lists))

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

    def lists(self, name: str, things: Sequence[T]) -> list[tuple[T, ...]]:
        """What of `things` is in each list."""
        return self.grouped(f"{name} in each", map(things.__getitem__, self._numbers[name]))

    def text_lists(self, name: str) -> list[tuple[str, ...]]:
        return self.lists(name, self._texts)


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


def filled(kind: type[T], number: int, **columns: Sequence[Any]) -> list[T]:
    """As many objects of a dataclass with slots, from the values of each field.

    Column by column, because ten thousand calls of its `__init__` take five times as long.
    """
    made = list(map(cast("Callable[[type[T]], T]", object.__new__), repeat(kind, number)))
    for field in fields(cast("Any", kind)):
        column = columns[field.name]
        if len(column) != number:
            raise ValueError(field.name)
        deque(map(getattr(kind, field.name).__set__, made, column), 0)
    return made


class RosterIndex(Generic[V]):
    """The index of the roster of `root` in the file `path`."""

    def __init__(self, path: Path, root: Path, codec: Codec[V]) -> None:
        self._path = path
        self._root = str(root)
        self._codec = codec

    def read(self) -> list[tuple[str, Signature, V]]:
        """Every entry with its signature and record; nothing when the file is of no use."""
        try:
            return self._read()
        except Exception:
            # Whatever is wrong with it: everything it says can be read again.
            return []

    def _read(self) -> list[tuple[str, Signature, V]]:
        # Not blocking: a pipe in the place of the file would be waited for.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
                return []
            data = file.read()
        checksum, _, body = data.partition(b"\n")
        head, _, tail = body.partition(b"\n")
        document = json.loads(head)
        if int(checksum, 16) != zlib.crc32(body) or (document["form"], document["root"]) != (self._form(), self._root):
            return []
        # Once for all of them: what is safe to show was made so before it was written.
        joined = "".join(document["texts"])
        if clean(joined) != joined:
            return []
        numbers: dict[str, array[Any]] = {}
        rest = memoryview(tail)
        for name, kind, size in document["columns"]:
            numbers[name] = array(kind)
            numbers[name].frombytes(rest[:size])
            rest = rest[size:]
        columns = UnpackedColumns(document["texts"], document["values"], numbers)
        signatures = zip(*(columns.numbers(f"signature {n}") for n in range(document["signature"])), strict=True)
        entries = [self._root + name for name in document["entries"]]
        return list(zip(entries, signatures, self._codec.unpack(entries, columns), strict=True))

    def write(self, entries: Iterable[tuple[str, Signature, V]]) -> None:
        """Replace the file. Nothing happens when it cannot be written: it only saves time."""
        kept = [each for each in entries if self._codec.keeps(each[2])]
        columns = PackedColumns()
        signatures = list(zip(*(signature for _, signature, _ in kept), strict=True))
        for number, column in enumerate(signatures):
            # Of a time before 1970 and of the inodes of some file systems it makes others: those are read again.
            columns.put_numbers(f"signature {number}", "Q", [value & _UNSIGNED for value in column])
        self._codec.pack([record for _, _, record in kept], columns)
        numbers = {name: column.tobytes() for name, column in columns.numbers.items()}
        document = {
            "form": self._form(),
            "root": self._root,
            "texts": list(columns.texts),
            "values": list(columns.values),
            "entries": [entry.removeprefix(self._root) for entry, _, _ in kept],
            "signature": len(signatures),
            "columns": [[name, columns.numbers[name].typecode, len(data)] for name, data in numbers.items()],
        }
        head = json.dumps(document, separators=(",", ":")).encode("ascii")
        body = b"".join((head, b"\n", *numbers.values()))
        with suppress(StorageError):
            write_atomic(self._path, b"%08x\n" % zlib.crc32(body) + body, 0o600)

    def _form(self) -> str:
        return f"{_FORM} {self._codec.form}"

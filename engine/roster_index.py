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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from engine.columns import Column, PackedColumns, UnpackedColumns
from engine.files import StorageError, write_atomic
from engine.text import clean

__all__ = ["Codec", "Entry", "RosterIndex"]

V = TypeVar("V")
Entry = tuple[str, str, int, V]
"""The place of an entry, its name there, the digest of its signature (`engine.roster`), and its record."""
_FORM = f"4 {sys.byteorder} {sys.implementation.cache_tag}"
"""Its number is raised when what is in the file means something else."""
_LIMIT = 512 * 1024 * 1024
_PREFACE = 64


class Codec(Protocol[V]):
    """Records as columns and back."""

    form: str
    """Says what the columns mean."""

    def keeps(self, record: V) -> bool:
        """False for a record that is not worth keeping."""
        ...

    def pack(self, records: Sequence[V], columns: PackedColumns) -> None: ...

    def unpack(self, places: Column[str], names: Sequence[str], columns: UnpackedColumns) -> list[V]:
        """The record of each entry. Raises anything for columns that `pack` did not pack.

        The texts are safe to show, the values are as they were found.
        """
        ...


class RosterIndex(Generic[V]):
    """The index of the roster of `root` in the file `path`."""

    def __init__(self, path: Path, root: Path, codec: Codec[V]) -> None:
        self._path = path
        self._root = str(root)
        self._codec = codec

    def read(self) -> Iterator[Entry[V]]:
        """Every entry; nothing when the file is of no use."""
        try:
            return self._read()
        except Exception:
            # Whatever is wrong with it: everything it says can be read again.
            return iter(())

    def _read(self) -> Iterator[Entry[V]]:
        # Not blocking: a pipe in the place of the file would be waited for.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
                return iter(())
            checksum, size = file.readline(_PREFACE).split()
            # In place: copies of it are megabytes of the memory of a terminal UI that stays for hours.
            body = memoryview(file.read())
        if int(checksum, 16) != zlib.crc32(body):
            return iter(())
        document = json.loads(bytes(body[: int(size)]))
        if (document["form"], document["root"]) != (self._form(), self._root):
            return iter(())
        # Once for all of them: what is safe to show was made so before it was written.
        joined = "".join(document["texts"])
        if clean(joined) != joined:
            return iter(())
        numbers: dict[str, array[Any]] = {}
        rest = body[int(size) :]
        for name, kind, length in document["columns"]:
            numbers[name] = array(kind)
            numbers[name].frombytes(rest[:length])
            rest = rest[length:]
        columns = UnpackedColumns(document["texts"], document["values"], numbers)
        places = columns.of([self._root + place for place in document["places"]], "place")
        names = document["names"]
        records = self._codec.unpack(places, names, columns)
        signatures = columns.numbers("signature")
        if not len(places) == len(names) == len(signatures) == len(records):
            raise ValueError("rows")
        # One by one: a list of them all would be a tenth of all memory for as long as it takes to read.
        return zip(places, names, signatures, records, strict=True)

    def write(self, entries: Iterable[Entry[V]]) -> None:
        """Replace the file. Nothing happens when it cannot be written: it only saves time."""
        kept = [each for each in entries if self._codec.keeps(each[3])]
        columns = PackedColumns()
        places: dict[str, int] = {}
        columns.put_numbers("place", "I", [places.setdefault(place, len(places)) for place, *_ in kept])
        columns.put_numbers("signature", "q", [signature for _, _, signature, _ in kept])
        self._codec.pack([record for *_, record in kept], columns)
        numbers = {name: column.tobytes() for name, column in columns.numbers.items()}
        document = {
            "form": self._form(),
            "root": self._root,
            "texts": list(columns.texts),
            "values": list(columns.values),
            "places": [place.removeprefix(self._root) for place in places],
            "names": [name for _, name, *_ in kept],
            "columns": [[name, columns.numbers[name].typecode, len(data)] for name, data in numbers.items()],
        }
        head = json.dumps(document, separators=(",", ":")).encode("ascii")
        body = b"".join((head, *numbers.values()))
        with suppress(StorageError):
            write_atomic(self._path, b"%08x %d\n" % (zlib.crc32(body), len(head)) + body, 0o600, lasting=False)

    def _form(self) -> str:
        return f"{_FORM} {self._codec.form}"

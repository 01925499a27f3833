"""The index of a roster: its records as one file in the cache of the user, so that the next process need not read them.

It is never a second truth. Each entry counts only as long as the signature of its record is the same, and a file that
is missing, damaged, of another form or of somebody else is as good as an empty one. It is the user's own and not the
data directory's, so whoever may only read has one too, and nobody's is believed by anybody else.
"""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from engine.files import StorageError, write_atomic
from engine.text import clean

if TYPE_CHECKING:
    from engine.roster import Signature

__all__ = ["Codec", "Pool", "RosterIndex"]

V = TypeVar("V")
_FORM = 1
"""Raised when what is in the file means something else."""
_LIMIT = 512 * 1024 * 1024


class Pool:
    """Values that occur in many records, each once, and the number that stands for it."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any, name: Any = None) -> int:
        """The number of `value`; `name` tells it from others when it cannot be a key itself."""
        name = value if name is None else name
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.values)
            self.values.append(value)
        return number


class Codec(Protocol[V]):
    """Records as plain JSON values and back. `pack` may return None for a record that is not worth keeping."""

    form: str
    """Says what the values mean."""

    def pack(self, record: V, texts: Pool, values: Pool) -> list[Any] | None:
        """`record` with its texts and other values as numbers in the two pools."""
        ...

    def unpacker(self, texts: Sequence[str], values: Sequence[Any]) -> Callable[[str, list[Any]], V]:
        """What makes the record of an entry of a row that `pack` packed. Raises anything for any other.

        The texts are safe to show, the values are as they were found.
        """
        ...


class RosterIndex(Generic[V]):
    """The index of the roster of `root` in the file `path`."""

    def __init__(self, path: Path, root: Path, codec: Codec[V]) -> None:
        self._path = path
        self._root = str(root)
        self._codec = codec

    def read(self) -> Iterator[tuple[str, Signature, V]]:
        """Every entry with its signature and record; nothing when the file is of no use."""
        try:
            document = self._document()
            if document is None:
                return
            texts, values = document["texts"], document["values"]
            # Once for all of them: what is safe to show was made so before it was written.
            joined = "".join(texts)
            if clean(joined) != joined:
                return
            unpack = self._codec.unpacker(texts, values)
            found = [
                (entry, tuple(signature), unpack(entry, row))
                for name, signature, row in document["entries"]
                for entry in (self._root + name,)
            ]
        except Exception:
            # Whatever is wrong with it: everything it says can be read again.
            return
        yield from found

    def _document(self) -> dict[str, Any] | None:
        # Not blocking: a pipe in the place of the file would be waited for.
        with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or not stat.S_ISREG(status.st_mode) or status.st_size > _LIMIT:
                return None
            data = file.read()
        checksum, _, body = data.partition(b"\n")
        if int(checksum, 16) != zlib.crc32(body):
            return None
        document: dict[str, Any] = json.loads(body)
        return document if document["form"] == self._form() and document["root"] == self._root else None

    def write(self, entries: Iterable[tuple[str, Signature, V]]) -> None:
        """Replace the file. Nothing happens when it cannot be written: it only saves time."""
        texts, values = Pool(), Pool()
        rows = [
            (entry.removeprefix(self._root), signature, row)
            for entry, signature, record in entries
            if (row := self._codec.pack(record, texts, values)) is not None
        ]
        document = {
            "form": self._form(),
            "root": self._root,
            "texts": texts.values,
            "values": values.values,
            "entries": rows,
        }
        body = json.dumps(document, separators=(",", ":")).encode("ascii")
        with suppress(StorageError):
            write_atomic(self._path, b"%08x\n" % zlib.crc32(body) + body, 0o600)

    def _form(self) -> str:
        return f"{_FORM} {self._codec.form}"

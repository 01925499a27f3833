"""Reading the audit: its newest records from the end backwards, and what is added from then on.

Lines that are no records are counted and passed over. How much is held does not depend on how long the audit is.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct
from msgspec.structs import replace

from engine.audit.model import decode
from engine.audit.writing import ASIDE, AUDIT_FILE
from engine.errors import Problem, Where
from engine.files import StorageError

if TYPE_CHECKING:
    from engine.audit.model import AuditRecord

__all__ = ["AuditPage", "AuditQuery", "AuditReader", "AuditTail"]

_BLOCK = 256 * 1024
"""Bytes read at once. A line longer than this is no record."""
_SKEW = 3600.0
"""Seconds by which the clocks of hosts that share a directory may differ without a record being missed."""


class AuditQuery(Struct, frozen=True):
    """Which records are wanted; what is empty or 0 leaves all of them in."""

    since: float = 0.0
    """Seconds since the epoch."""
    who: str = ""
    """The name of a user: as who acted, who had logged in, or whose rights were used."""
    action: str = ""
    """The beginning of an action."""
    what: str = ""
    """A part of what it was done to, of the reason, or of the command, in any case."""

    def accepts(self, record: AuditRecord) -> bool:
        who, event = record.who, record.event
        if record.at < self.since or not event.action.startswith(self.action):
            return False
        if self.who and self.who not in (who.user, who.login, who.effective):
            return False
        texts = (*map(str, event.what.values()), event.why, event.command)
        return not self.what or any(self.what.casefold() in text.casefold() for text in texts)


class AuditPage(Struct, frozen=True):
    """Records, the newest last."""

    records: tuple[AuditRecord, ...] = ()
    broken: int = 0
    """How many lines that were looked at are no records."""
    complete: bool = True
    """False when there may be older records that are wanted."""
    problem: Problem | None = None
    """Why it could not be read."""


class AuditReader:
    """Reads the audit of one data directory, also while others write to it and put full files aside.

    Both methods raise `StorageError` (`audit-read`) when it is there and cannot be read.
    """

    def __init__(self, data_dir: Path, query: AuditQuery | None = None) -> None:
        self._data_dir = data_dir
        self._query = query or AuditQuery()
        self._inode = 0
        """The newest file that was read; 0 for none."""
        self._offset = 0
        """Up to where."""

    def tail(self, limit: int) -> AuditPage:
        """The newest records that are wanted, at most `limit`; `new` goes on from here."""
        records: deque[AuditRecord] = deque()
        broken = 0
        with self._problems():
            for line in self._backwards():
                found = decode(line)
                if found is None:
                    broken += bool(line)
                elif self._query.accepts(found):
                    if len(records) == limit:
                        return AuditPage(tuple(records), broken, complete=False)
                    records.appendleft(found)
                elif found.at < self._query.since - _SKEW:
                    break
        return AuditPage(tuple(records), broken)

    def new(self) -> AuditPage:
        """The records that are wanted and were added since either method was called last."""
        records: list[AuditRecord] = []
        broken = 0
        with self._problems():
            for line in self._forwards():
                found = decode(line)
                if found is None:
                    broken += line != b"\n"
                elif self._query.accepts(found):
                    records.append(found)
        return AuditPage(tuple(records), broken)

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = Path(error.filename or self._data_dir / AUDIT_FILE)
            why = f"the audit cannot be read: {error.strerror or error}"
            raise StorageError(Problem("audit-read", why, where=Where(str(path)))) from error

    def _backwards(self) -> Iterator[bytes]:
        """Every complete line, without its end, the last first. The end of the first file is where `new` goes on."""
        self._inode = self._offset = 0
        with _opened(self._data_dir / AUDIT_FILE) as present:
            if present is not None:
                yield from self._all_backwards(present)
        for path in reversed(self._aside()):
            with _opened(path) as file:
                # The same as above when it was put aside meanwhile.
                if file is not None and _inode(file) != self._inode:
                    yield from self._all_backwards(file)

    def _all_backwards(self, file: BinaryIO) -> Iterator[bytes]:
        end = _end_of_lines(file)
        if not self._inode:
            self._inode, self._offset = _inode(file), end
        return _lines_backwards(file, end)

    def _forwards(self) -> Iterator[bytes]:
        """Every complete line, with its end, behind the place that was reached last."""
        with _opened(self._data_dir / AUDIT_FILE) as present:
            if present is None:
                return
            if _inode(present) != self._inode:
                yield from self._rest_aside(_inode(present))
            yield from self._read_on(present)

    def _rest_aside(self, present: int) -> Iterator[bytes]:
        """The rest of the file that was read last and all of those that followed it, up to the `present` one."""
        reached = not self._inode
        for path in self._aside():
            with _opened(path) as file:
                if file is None:
                    continue
                if _inode(file) == present:
                    return
                reached = reached or _inode(file) == self._inode
                if reached:
                    yield from self._read_on(file)

    def _read_on(self, file: BinaryIO) -> Iterator[bytes]:
        if _inode(file) != self._inode or os.fstat(file.fileno()).st_size < self._offset:
            self._inode, self._offset = _inode(file), 0
        file.seek(self._offset)
        while line := file.readline(_BLOCK):
            if not line.endswith(b"\n") and len(line) < _BLOCK:
                # Only half written yet.
                return
            self._offset += len(line)
            yield line

    def _aside(self) -> list[Path]:
        """The full files, the oldest first. Asked for while the present one is open: what is put aside between the two
        would be in neither."""
        return sorted(self._data_dir.glob(ASIDE))


class AuditTail:
    """The newest records, read on only where something was added."""

    def __init__(self, data_dir: Path, keep: int) -> None:
        self._reader = AuditReader(data_dir)
        self._keep = keep
        self._page: AuditPage | None = None

    def look(self) -> AuditPage:
        """The newest records; the same object as long as nothing was added. Never raises: see its `problem`."""
        try:
            self._page = self._reader.tail(self._keep) if self._page is None else self._with_new(self._page)
        except StorageError as error:
            return replace(self._page or AuditPage(), problem=error.problem)
        return self._page

    def _with_new(self, page: AuditPage) -> AuditPage:
        new = self._reader.new()
        if not new.records and not new.broken:
            return page
        records = (*page.records, *new.records)
        complete = page.complete and len(records) <= self._keep
        return AuditPage(records[-self._keep :], page.broken + new.broken, complete)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """The file at `path`; None when there is none, or no longer."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        yield file


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _end_of_lines(file: BinaryIO) -> int:
    """Where the last complete line ends; a longer rest than a record can be is taken for a line."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - _BLOCK)
    file.seek(start)
    block = file.read(end - start)
    return start + block.rfind(b"\n") + 1 if b"\n" in block or not start else end


def _lines_backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """The lines before `end`, the last first. Of a line that is longer than a block only a part, which is no record."""
    rest = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        first, *lines = (file.read(end - start) + rest).split(b"\n")
        yield from reversed(lines)
        rest, end = first[-_BLOCK:], start
    yield rest

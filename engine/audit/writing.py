"""Adding a line to the audit, whatever other processes and hosts do with it at the same moment.

The file only ever grows: one line in one write at its end, and never rewritten. A lock keeps hosts that share the
directory from writing over each other, since over NFS a write at the end is a look where that is, then a write
(open(2), O_APPEND); it is not waited for long, and on a local disk nothing rests on it.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from engine.audit.model import Actor, AuditEvent, AuditRecord, encode
from engine.environments.locks import acquire
from engine.errors import Problem, Severity, Where
from engine.files import StorageError

__all__ = ["ASIDE", "AUDIT_FILE", "record"]

AUDIT_FILE = "audit.jsonl"
ASIDE = "audit-*.jsonl"
"""What full files are called; by name they are in the order of their time."""
_ROTATE_AT = 16 * 1000 * 1000
"""Bytes from which on the file is put aside, such as to ``audit-20261121-023000.123456-7f3a.jsonl``."""
_PATIENCE = 1.0
"""Seconds to wait for the lock, which others hold for an instant."""


def record(data_dir: Path, event: AuditEvent, who: Actor) -> Problem | None:
    """Add `event` to the audit of `data_dir`; without such a directory there is nothing to audit, and none is made.

    What was done is done, so this never raises: the problem `audit-write`, a warning, says what is missing in the
    audit and why.
    """
    path = data_dir / AUDIT_FILE
    try:
        if data_dir.is_dir():
            _append(path, encode(AuditRecord(time.time(), who, event)))
    except OSError as error:
        return Problem(
            "audit-write",
            f"the audit could not be written, so it lacks this {event.action}: {error.strerror or error}",
            where=Where(str(path)),
            hint="Check the space there, and that everybody who may act may write to it",
            severity=Severity.WARNING,
        )
    return None


def _append(path: Path, line: bytes) -> None:
    deadline = time.monotonic() + _PATIENCE
    with ExitStack() as stack:
        with suppress(StorageError):  # a file system without locks
            stack.enter_context(_alone(path, deadline))
        # Opened after the lock is there, which is what makes NFS look at the file's length again.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            status = os.fstat(descriptor)
            if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
                # What a full disk cut short is not to spoil this line too.
                line = b"\n" + line
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if status.st_size + len(line) >= _ROTATE_AT:
                _rotate(path, status)
        finally:
            os.close(descriptor)


@contextmanager
def _alone(path: Path, deadline: float) -> Iterator[None]:
    """Hold the lock of the file at `path` for the length of the block, or of none once `deadline` has passed."""
    while True:
        before = _identity(path)
        with acquire(path, lambda: time.monotonic() > deadline, 0.01) as held:
            # While one waited, the file may have been put aside: its lock says nothing about the new one.
            if not held or before == _identity(path):
                yield
                return


def _identity(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _rotate(path: Path, status: os.stat_result) -> None:
    """Put the file aside under a name that no other has, and begin another that the same people may write."""
    aside = path.with_name(f"audit-{datetime.now(UTC):%Y%m%d-%H%M%S.%f}-{os.urandom(2).hex()}.jsonl")
    # A file that cannot be moved, such as one that the system lets only grow, goes on growing.
    with suppress(OSError):
        if path.stat().st_ino == status.st_ino:
            path.rename(aside)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            os.close(descriptor)

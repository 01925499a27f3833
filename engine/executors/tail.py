"""Reading the output of a job from a file on shared storage while the job writes to it elsewhere."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.executors.base import ExecutorError, JobNotFound
from engine.executors.lines import split_lines

__all__ = ["follow", "last_bytes", "make_output", "size_of"]

_READ_SIZE = 1 << 20
_POLL, _ASK = 0.1, 0.5
"""Seconds between two looks at output that does not grow, and between two questions whether its job has ended."""


def make_output(path: Path, owner: tuple[int, int] | None) -> None:
    """Make the file that a job is to print to, for its account only: user and group id, None for the current ones.

    Raises `OSError`.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if owner:
            os.fchown(descriptor, *owner)
    finally:
        os.close(descriptor)


def size_of(path: Path) -> int:
    """Bytes of the output so far."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def last_bytes(path: Path, count: int) -> bytes:
    """At most `count` bytes of the end of the output."""
    return _read(path, max(0, size_of(path) - count))


def follow(path: Path, ended: Callable[[], bool]) -> Iterator[bytes]:
    """The lines of the output as they come, from the first, until `ended()` says that nothing more is written.

    `ended` is asked while the output does not grow. Where it raises `JobNotFound` the job was forgotten, which ends its
    output; where it raises `ExecutorError` it is asked again later.
    """
    return split_lines(_chunks(path, ended))


def _chunks(path: Path, ended: Callable[[], bool]) -> Iterator[bytes]:
    offset, finished, asked = 0, False, time.monotonic()
    while True:
        if chunk := _read(path, offset):
            offset += len(chunk)
            yield chunk
        elif finished:
            return
        elif time.monotonic() < asked + _ASK:
            time.sleep(_POLL)
        else:
            # What was printed up to the end that is seen here is read after it.
            finished, asked = _says_so(ended), time.monotonic()


def _says_so(ended: Callable[[], bool]) -> bool:
    try:
        return ended()
    except JobNotFound:
        return True
    except ExecutorError:
        return False


def _read(path: Path, offset: int) -> bytes:
    """What follows `offset`. Opened anew each time, which over NFS asks the server for what others wrote.

    A job may own the directory and put anything there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.pread(descriptor, _READ_SIZE, offset) if is_file else b""
    finally:
        os.close(descriptor)

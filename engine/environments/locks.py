"""Advisory locks in the data directory. They save double work; correctness never rests on them (DESIGN.md §5)."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import Problem, Where
from engine.files import StorageError

__all__ = ["acquire", "held_elsewhere", "open_lock_file"]

_HELD = (errno.EAGAIN, errno.EACCES)
"""What the system says when another process holds a lock."""


def open_lock_file(path: Path) -> int:
    """A descriptor for the lock file at `path`, created if need be.

    Opened for writing, because NFS refuses an exclusive lock on a read-only descriptor. The file is never unlinked:
    with the name gone, a second process could lock a second file of the same name.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


@contextmanager
def acquire(path: Path, give_up: Callable[[], bool], interval: float = 0.2) -> Iterator[bool]:
    """Hold the lock at `path` exclusively for the length of the block.

    Yields False, without the lock, as soon as `give_up()` says so; it is asked every `interval` seconds. Polling
    instead of blocking, so that a build that waits for another one can still be cancelled. Raises `OSError` when the
    file cannot be opened, `StorageError` (`locks-unsupported`) when it cannot be locked.
    """
    descriptor = open_lock_file(path)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _HELD:
                    raise StorageError(
                        Problem(
                            "locks-unsupported",
                            f"files cannot be locked here: {error.strerror or error}",
                            where=Where(str(path)),
                            hint="Mount the file system with locks (over NFS: version 4, without nolock)",
                        )
                    ) from error
                if give_up():
                    yield False
                    return
                time.sleep(interval)
            else:
                yield True
                return
    finally:
        os.close(descriptor)


def held_elsewhere(path: Path) -> bool:
    """True when some process holds the lock at `path` exclusively.

    Asks with a shared lock, so that two processes that look at the same time do not see each other. False when the
    file is not there; True when it cannot be asked, so that nobody takes for free what may be held.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False

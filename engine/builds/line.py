"""The waiting line: of all builds of one machine that are ready to run, the first few do, and the others wait.

locks/line@<host>/
    line.lock    held while somebody joins
    <number>     the place of one build, locked by its supervisor as long as it waits or runs

A build runs once fewer than the permitted number of places before its own are still held. So nobody is overtaken,
nobody hands anything over, and a supervisor that dies is out of the line at that moment.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from engine.environments.locks import acquire, held_elsewhere
from engine.environments.store import safe_name

__all__ = ["Position", "line_directory", "stand_in_line"]

_LOOK = 0.25
"""Seconds between two looks at the line."""


class Position(Struct, frozen=True):
    """Where a build stands: `before` it are so many, of which `size` may run at once."""

    before: int
    size: int

    @property
    def may_run(self) -> bool:
        return self.before < self.size

    @property
    def place(self) -> int:
        """The place among those that wait, 1 for who is next; 0 when it may run."""
        return max(0, self.before - self.size + 1)

    def __str__(self) -> str:
        waiting = self.before - self.size
        text = f"waits for a free slot: {self.size} of {self.size} builds run on this machine"
        return f"{text}, {waiting} {'is' if waiting == 1 else 'are'} before it" if waiting > 0 else text


def line_directory(data_dir: Path, host: str) -> Path:
    """Where the line of the machine `host` is kept."""
    return data_dir / "locks" / f"line@{safe_name(host)}"


@contextmanager
def stand_in_line(
    directory: Path, size: int, give_up: Callable[[], bool], report: Callable[[Position], None]
) -> Iterator[bool]:
    """Wait until this build may run, and keep its place for the length of the block.

    `size` is how many may run at once; that of the build that joined last counts for all, so that a change of the
    configuration is felt by those who wait. Yields False as soon as `give_up()` says so. `report` is told each change
    of the position as long as it has to wait. Raises `OSError` and `StorageError`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with acquire(directory / "line.lock", give_up, 0.02) as joining:
        if not joining:
            yield False
            return
        descriptor, number = _join(directory, size)
    try:
        told = None
        while not (position := _position(directory, number)).may_run:
            if give_up():
                yield False
                return
            if position != told:
                told = position
                report(position)
            time.sleep(_LOOK)
        yield True
    finally:
        os.close(descriptor)


def _join(directory: Path, size: int) -> tuple[int, int]:
    """Take the last place of the line: the descriptor that keeps it, and its number."""
    taken = _numbers(directory)
    for number in taken:
        # Only here, where nobody else joins: the name of a place that was let go of may be given to another build.
        if not held_elsewhere(directory / str(number)):
            (directory / str(number)).unlink(missing_ok=True)
    number = max(taken, default=0) + 1
    descriptor = os.open(directory / str(number), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        # Not without waiting: whoever asks whether a place is held holds it for that moment.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, str(size).encode())
    except OSError:
        os.close(descriptor)
        raise
    return descriptor, number


def _position(directory: Path, number: int) -> Position:
    numbers = _numbers(directory)
    before = sum(held_elsewhere(directory / str(other)) for other in numbers if other < number)
    size = 1
    for last in sorted(numbers, reverse=True):
        with suppress(OSError, ValueError):
            size = max(1, int((directory / str(last)).read_text()))
            break
    return Position(before, size)


def _numbers(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdecimal())

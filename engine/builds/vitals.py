"""Signs of life of a supervisor: what it gives, and how everyone else judges by it whether it still lives.

On its own machine the lock on ``alive`` says it: the system lets go of it when the process ends, however it ends. On
another machine that lock may not be seen at all (a mount with local locks) or may stay for ever (NFS version 3), so a
supervisor also touches the file every few seconds (executors.md §4).

That it has stopped doing so is measured by watching, with a clock that nobody sets, and never by comparing times of
day: neither a clock that jumps nor one that differs between two machines can make a living build lost.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from engine.digest import sha256
from engine.environments.locks import held_elsewhere

__all__ = ["SILENCE", "Machine", "Vitals", "Watch", "keep_beating", "this_machine"]

_BEAT = 5.0
"""Seconds between two signs of life."""
SILENCE = 60.0
"""Seconds of watching without one after which the supervisor of another machine is given up."""
_IDENTITIES = (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id"))
"""What tells two machines of one name apart; the first survives a restart, the second is there in any container."""


class Machine(Struct, frozen=True):
    """A machine: what runs on the same one sees the same locks and the same processes."""

    host: str = ""
    identity: str = ""
    """Differs between two machines of the same name; empty where the system tells nothing."""


def this_machine() -> Machine:
    """The machine that this process runs on."""
    for path in _IDENTITIES:
        with suppress(OSError):
            if text := path.read_bytes().strip():
                # Not as it is: it is not to be told to other machines (machine-id(5)).
                return Machine(platform.node(), sha256(b"envdeck " + text).hex()[:16])
    return Machine(platform.node())


def keep_beating(alive: Path) -> None:
    """Touch the file `alive` from a thread of its own for as long as this process lives."""

    def beat() -> None:
        while True:
            # Without a time, so that over NFS it is the server's. On a failing disk there is simply no sign of life.
            with suppress(OSError):
                os.utime(alive)
            time.sleep(_BEAT)

    threading.Thread(target=beat, name="alive", daemon=True).start()


class Vitals(Struct, frozen=True):
    """What can be said of a supervisor now."""

    lost: bool
    heard_at: float = 0.0
    """When it last gave a sign of life, in seconds since the epoch; 0 where its lock says that it lives."""


class _Beat(Struct):
    """The last sign of life that was seen, and since when it has been the last one."""

    stamp: int
    since: float


class Watch(Struct):
    """Judges supervisors from outside, remembering since when each of them has been silent."""

    machine: Machine = field(default_factory=this_machine)
    clock: Callable[[], float] = time.monotonic
    _beats: dict[Path, _Beat] = field(default_factory=dict)

    def look(self, alive: Path, machine: Machine) -> Vitals:
        """Judge the supervisor whose lock is at `alive` and which runs on `machine` (an empty one is this one)."""
        if held_elsewhere(alive):
            self.forget(alive)
            return Vitals(lost=False)
        if machine in (self.machine, Machine()):
            return Vitals(lost=True)
        stamp, now = _stamp(alive), self.clock()
        beat = self._beats.setdefault(alive, _Beat(stamp, now))
        if beat.stamp != stamp:
            beat.stamp, beat.since = stamp, now
        return Vitals(lost=now - beat.since >= SILENCE, heard_at=stamp / 1e9)

    def forget(self, alive: Path) -> None:
        """Drop what is remembered of the supervisor whose lock is at `alive`."""
        self._beats.pop(alive, None)


def _stamp(alive: Path) -> int:
    """When the last sign of life was given, in nanoseconds since the epoch; 0 when the file is not there."""
    # Opened, because over NFS that is what asks the server.
    try:
        descriptor = os.open(alive, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)

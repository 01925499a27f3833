"""What is done to a build, to whom and when: drawn from a seed, so that a campaign can be repeated."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

from engine import Build, BuildState, Phase
from tests.faults.packages import GRANDCHILD

__all__ = ["Fault", "Victim", "allowed_states", "draw", "processes_of", "strike"]


class Victim(StrEnum):
    """Who is hit, or what is asked for."""

    NOBODY = "nobody"
    SUPERVISOR = "supervisor"
    GUARD = "guard"
    BUILDER = "builder"
    PIP = "pip"
    GRANDCHILD = "grandchild"
    ANYBODY = "any process of the build"
    TERM = "supervisor, asked by SIGTERM"
    FREEZE = "supervisor, frozen for a moment"
    CANCEL = "cancel"


_MARKS = {
    Victim.SUPERVISOR: "engine.builds.supervisor",
    Victim.GUARD: "guard.py",
    Victim.BUILDER: "builder.py",
    Victim.PIP: " pip ",
    Victim.GRANDCHILD: GRANDCHILD,
    Victim.TERM: "engine.builds.supervisor",
    Victim.FREEZE: "engine.builds.supervisor",
}
_WEIGHTS = {Victim.SUPERVISOR: 5, Victim.ANYBODY: 3, Victim.NOBODY: 1, Victim.FREEZE: 1}
_FROZEN = 0.3


@dataclass(frozen=True, slots=True)
class Fault:
    """`victim` is hit `delay` seconds after the build has reached `phase`."""

    victim: Victim
    phase: Phase
    delay: float

    def __str__(self) -> str:
        return f"{self.victim.value}, {self.delay * 1000:.0f} ms into {self.phase.value}"


def draw(rng: random.Random) -> Fault:
    """The next fault."""
    victims = list(Victim)
    (victim,) = rng.choices(victims, [_WEIGHTS.get(v, 2) for v in victims])
    # Publishing is short: most of what goes wrong there has to be hit from within the phase before.
    phase = rng.choice([*Phase, Phase.VERIFY, Phase.INSTALL])
    return Fault(victim, phase, rng.choice([0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.4)]))


def allowed_states(victim: Victim) -> frozenset[BuildState]:
    """How a build may end after such a fault. Whoever strikes late finds it done."""
    ends = {BuildState.DONE}
    if victim in (Victim.SUPERVISOR, Victim.ANYBODY):
        ends |= {BuildState.LOST}
    if victim in (Victim.GUARD, Victim.ANYBODY):
        ends |= {BuildState.LOST, BuildState.FAILED}
    if victim in (Victim.BUILDER, Victim.PIP, Victim.GRANDCHILD):
        ends |= {BuildState.FAILED}
    if victim in (Victim.TERM, Victim.CANCEL):
        ends |= {BuildState.CANCELLED}
    return frozenset(ends)


def processes_of(attempt: str) -> Iterator[tuple[psutil.Process, str]]:
    """Every living process of an attempt, with its command line: all have its name there or in their environment."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            if attempt in command or any(attempt in value for value in process.environ().values()):
                yield process, command


def strike(
    fault: Fault, attempt: str, look: Callable[[], Build], cancel: Callable[[], None], rng: random.Random
) -> bool:
    """Wait for the moment and do it; False when the build had ended before, or nobody was there to be hit."""
    order = list(Phase)
    while True:
        build = look()
        if build.state.final:
            return False
        if build.state is not BuildState.QUEUED and order.index(build.phase) >= order.index(fault.phase):
            break
        time.sleep(0.002)
    time.sleep(fault.delay)
    if fault.victim is Victim.NOBODY:
        return True
    if fault.victim is Victim.CANCEL:
        cancel()
        return True
    mark = _MARKS.get(fault.victim, "")
    found = [process for process, command in processes_of(attempt) if mark in command]
    if not found:
        return False
    process = rng.choice(found)
    with suppress(psutil.NoSuchProcess):
        if fault.victim is Victim.FREEZE:
            process.send_signal(signal.SIGSTOP)
            time.sleep(_FROZEN)
            process.send_signal(signal.SIGCONT)
        else:
            process.send_signal(signal.SIGTERM if fault.victim is Victim.TERM else signal.SIGKILL)
        return True
    return False

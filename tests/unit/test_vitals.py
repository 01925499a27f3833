"""Whether a supervisor lives, judged from outside."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from engine.builds.vitals import SILENCE, Machine, Watch, keep_beating, this_machine

HERE = Machine("here", "1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def alive(tmp_path: Path) -> Path:
    path = tmp_path / "alive"
    path.touch()
    return path


@pytest.mark.parametrize("machine", [HERE, Machine()])
def test_on_the_same_machine_its_lock_alone_says_it(alive: Path, machine: Machine) -> None:
    watch = Watch(HERE)
    with alive.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert not watch.look(alive, machine).lost
    assert watch.look(alive, machine).lost


@pytest.mark.parametrize("machine", [Machine("there", "2"), Machine("here", "2"), Machine("there", "1")])
def test_on_another_one_it_is_lost_after_a_minute_of_watching_without_a_sign_of_life(
    alive: Path, machine: Machine
) -> None:
    clock = Clock()
    watch = Watch(HERE, clock)
    # However old the last sign is, it takes that long: the clocks need not agree.
    os.utime(alive, (0, 0))
    assert not watch.look(alive, machine).lost
    clock.now += SILENCE - 1
    assert not watch.look(alive, machine).lost
    clock.now += 1
    assert watch.look(alive, machine).lost


@pytest.mark.parametrize("jump", [-86400.0, -1.0, 1.0, 86400.0])
def test_a_sign_of_life_counts_whatever_its_time_says(alive: Path, jump: float) -> None:
    clock = Clock()
    watch = Watch(HERE, clock)
    for _ in range(5):
        assert not watch.look(alive, Machine("there", "2")).lost
        clock.now += SILENCE - 1
        at = alive.stat().st_mtime + jump
        os.utime(alive, (at, at))


def test_a_lock_that_is_seen_speaks_for_another_machine_too_and_the_minute_begins_when_it_goes(alive: Path) -> None:
    clock = Clock()
    watch = Watch(HERE, clock)
    with alive.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for _ in range(3):
            clock.now += SILENCE
            assert not watch.look(alive, Machine("there", "2")).lost
    assert not watch.look(alive, Machine("there", "2")).lost
    clock.now += SILENCE
    assert watch.look(alive, Machine("there", "2")).lost


def test_what_is_heard_of_another_machine_is_told(alive: Path) -> None:
    os.utime(alive, (5.0, 5.0))
    assert Watch(HERE).look(alive, Machine("there", "2")).heard_at == 5.0
    assert Watch(HERE).look(alive, HERE).heard_at == 0.0


def test_a_supervisor_gives_signs_of_life(alive: Path) -> None:
    os.utime(alive, (0, 0))
    keep_beating(alive)
    end = time.monotonic() + 60
    while not alive.stat().st_mtime and time.monotonic() < end:
        time.sleep(0.01)
    assert alive.stat().st_mtime


def test_a_machine_is_the_same_in_every_process() -> None:
    assert this_machine() == this_machine()
    assert this_machine().host

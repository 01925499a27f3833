"""The waiting line of one machine: as many run as may, in the order in which they came."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.builds.line import Position, line_directory, stand_in_line
from engine.environments.locks import acquire

Wait = Callable[..., None]


class Waiter:
    """Somebody in the line, in a thread of its own."""

    def __init__(self, directory: Path, size: int) -> None:
        self.told: list[Position] = []
        self.turn = threading.Event()
        self.leave = threading.Event()
        self.had_turn: bool | None = None
        self._thread = threading.Thread(target=self._stand, args=(directory, size), daemon=True)
        self._thread.start()

    def _stand(self, directory: Path, size: int) -> None:
        with stand_in_line(directory, size, self.leave.is_set, self.told.append) as self.had_turn:
            if self.had_turn:
                self.turn.set()
                self.leave.wait()

    def go(self) -> None:
        self.leave.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def join(tmp_path: Path, wait_until: Wait) -> Iterator[Callable[..., Waiter]]:
    waiters: list[Waiter] = []

    def join_next(size: int = 2) -> Waiter:
        waiter = Waiter(tmp_path / "line", size)
        waiters.append(waiter)
        # In this order: it has its turn or was told that it has to wait.
        wait_until(lambda: waiter.turn.is_set() or waiter.told, what="a place in the line")
        return waiter

    yield join_next
    for waiter in waiters:
        waiter.leave.set()
    for waiter in waiters:
        waiter.go()


def test_no_more_than_may_run_do_and_nobody_is_overtaken(join: Callable[..., Waiter], wait_until: Wait) -> None:
    waiters = [join() for _ in range(6)]

    def running() -> list[int]:
        return [number for number, w in enumerate(waiters) if w.turn.is_set() and not w.leave.is_set()]

    assert running() == [0, 1]
    for gone, then in ((1, [0, 2]), (0, [2, 3]), (2, [3, 4]), (3, [4, 5]), (4, [5])):
        waiters[gone].go()
        wait_until(lambda then=then: running() == then, what=f"{then} running")
    waiters[5].go()


def test_who_waits_is_told_how_many_are_before_it(join: Callable[..., Waiter], wait_until: Wait) -> None:
    first, _, third, fourth = (join() for _ in range(4))
    assert str(third.told[-1]) == "waits for a free slot: 2 of 2 builds run on this machine"
    assert str(fourth.told[-1]) == "waits for a free slot: 2 of 2 builds run on this machine, 1 is before it"
    assert (third.told[-1].place, fourth.told[-1].place) == (1, 2)
    assert str(Position(5, 2)).endswith("3 are before it")
    first.go()
    wait_until(lambda: fourth.told[-1] == Position(2, 2), what="moving up")


def test_who_gives_up_waiting_leaves_at_once_and_makes_room(join: Callable[..., Waiter], wait_until: Wait) -> None:
    first, second, third = (join(1) for _ in range(3))
    second.go()
    assert second.had_turn is False
    first.go()
    wait_until(third.turn.is_set, what="the turn of the third")


def test_a_setting_that_is_raised_is_felt_by_who_waits_already(join: Callable[..., Waiter], wait_until: Wait) -> None:
    _, second, third = (join(1) for _ in range(3))
    fourth = join(3)
    wait_until(lambda: second.turn.is_set() and third.turn.is_set(), what="the turn of those before it")
    assert not fourth.turn.is_set()


def test_a_setting_that_is_lowered_stops_nobody(join: Callable[..., Waiter], wait_until: Wait) -> None:
    first, second = join(2), join(2)
    third = join(1)
    assert first.turn.is_set()
    assert second.turn.is_set()
    first.go()
    assert not third.turn.is_set()
    second.go()
    wait_until(third.turn.is_set, what="the turn of the third")


def _stand_for_ever(directory: Path, standing) -> None:
    with stand_in_line(directory, 1, lambda: False, lambda _: None):
        standing.set()
        signal.pause()


def test_a_process_that_is_killed_is_out_of_the_line_at_once(
    tmp_path: Path, join: Callable[..., Waiter], wait_until: Wait
) -> None:
    spawning = multiprocessing.get_context("spawn")
    standing = spawning.Event()
    process = spawning.Process(target=_stand_for_ever, args=(tmp_path / "line", standing))
    process.start()
    assert standing.wait(120)
    waiter = join(1)
    assert not waiter.turn.is_set()
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_until(waiter.turn.is_set, what="the turn of who waited")


def test_who_waits_to_join_can_still_give_up(tmp_path: Path) -> None:
    directory = tmp_path / "line"
    directory.mkdir()
    with (
        acquire(directory / "line.lock", lambda: True),
        stand_in_line(directory, 1, lambda: True, lambda _: None) as had_turn,
    ):
        assert not had_turn


def test_machines_have_lines_of_their_own(tmp_path: Path) -> None:
    assert line_directory(tmp_path, "a") != line_directory(tmp_path, "b")
    assert line_directory(tmp_path, "../../x").parent == tmp_path / "locks"

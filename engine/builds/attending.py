"""Attending a job from its start to its end, on whatever executor it runs.

Three threads, so that none of the three things waits for another: one takes the output, one asks the executor how the
job stands (a scheduler's tool takes a tenth of a second to answer), and the caller's hands out both and looks after
the build.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from engine.errors import EnvdeckError
from engine.executors.base import Executor, JobNotFound, JobState, JobStatus

__all__ = ["PATIENCE", "Attended", "attend"]

_TICK = 0.2
"""Seconds between two looks after the build while the job is silent."""
_SHARE = 20
"""The executor is asked again after so many times as long as its last answer took, within the two limits below."""
_SOONEST, _LATEST = 0.1, 5.0
PATIENCE = 120.0
"""Seconds that an executor may fail to answer, as during a restart of its controller, before the job is given up."""
_TAIL = 5.0
"""Seconds of silence after the end of a job in which more of its output is still waited for."""
_AHEAD = 1000
"""Lines that are taken from the job before they are written."""


class Attended(Struct, frozen=True):
    """How a job ended, and why its output may not be complete (empty when it is)."""

    status: JobStatus
    output_problem: str = ""


def attend(
    executor: Executor,
    key: str,
    *,
    take: Callable[[bytes], None],
    look: Callable[[JobStatus], None],
) -> Attended:
    """Follow the job `key` until it has ended and its output is taken.

    `take` gets each line of the output, `look` the latest status several times a second; both are called in this
    thread, and what they raise ends the attendance, not the job. A job that is not there any more is `JobState.LOST`.
    Raises `ExecutorError` when the executor has not answered for two minutes, `StorageError` when its notes cannot be
    written for as long.
    """
    output: queue.Queue[bytes | str | None] = queue.Queue(_AHEAD)
    asking = _Asking(executor, key)
    threading.Thread(target=_pump, args=(executor, key, output, asking.soon), name="output", daemon=True).start()
    threading.Thread(target=asking.run, name="status", daemon=True).start()
    try:
        problem, open_, next_look = "", True, 0.0
        while not (status := asking.latest()).state.final:
            if time.monotonic() >= next_look:
                look(status)
                next_look = time.monotonic() + _TICK
            if not open_:
                # Its end is no verdict: only the executor's word is.
                asking.ended.wait(_TICK)
                continue
            try:
                item = output.get(timeout=_TICK)
            except queue.Empty:
                continue
            open_, problem = _hand_out(item, take, problem)
        while open_:
            try:
                item = output.get(timeout=_TAIL)
            except queue.Empty:
                # What the job has left running, and the executor could not end, may hold its output open for ever.
                break
            open_, problem = _hand_out(item, take, problem)
        return Attended(status, problem)
    finally:
        asking.over.set()
        asking.soon.set()


def _hand_out(item: bytes | str | None, take: Callable[[bytes], None], problem: str) -> tuple[bool, str]:
    """Whether more is to come, and what is wrong with the output so far."""
    if isinstance(item, bytes):
        take(item)
        return True, problem
    return item is not None, item or problem


def _pump(executor: Executor, key: str, output: queue.Queue[bytes | str | None], ended: threading.Event) -> None:
    """Put the lines of the output into the queue, then what is wrong with it, if anything is, and None at the end."""
    try:
        for line in executor.output(key):
            output.put(line)
    except EnvdeckError as error:
        output.put(str(error.problem))
    except OSError as error:
        output.put(error.strerror or str(error))
    output.put(None)
    ended.set()


class _Asking:
    """Asks the executor for the status of a job, over and over."""

    def __init__(self, executor: Executor, key: str) -> None:
        self._executor = executor
        self._key = key
        self._status = JobStatus(JobState.PENDING)
        self._error: BaseException | None = None
        self.over = threading.Event()
        """Set to end it."""
        self.soon = threading.Event()
        """Set to have it ask now."""
        self.ended = threading.Event()
        """Set when it will not ask any more."""

    def latest(self) -> JobStatus:
        """The last answer. Raises what kept the executor from answering for too long."""
        if self._error is not None:
            raise self._error
        return self._status

    def run(self) -> None:
        answered = time.monotonic()
        while not self.over.is_set():
            self.soon.clear()
            asked = time.monotonic()
            try:
                self._status = self._executor.status(self._key)
                answered = time.monotonic()
            except JobNotFound as error:
                self._status = JobStatus(JobState.LOST, reason=error.problem.message)
            except EnvdeckError as error:
                if time.monotonic() - answered > PATIENCE:
                    self._error = error
            except BaseException as error:  # a defect: the build must not wait for a thread that is gone
                self._error = error
            if self._error is not None or self._status.state.final:
                self.ended.set()
                return
            self.soon.wait(min(max(_SHARE * (time.monotonic() - asked), _SOONEST), _LATEST))

"""Following a job on an executor that answers late, wrongly, or not at all."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator

import pytest

from engine.builds import attending
from engine.builds.attending import attend
from engine.errors import EnvdeckError, Problem
from engine.executors.base import Availability, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus
from engine.files import StorageError

RUNNING, FINISHED = JobStatus(JobState.RUNNING), JobStatus(JobState.FINISHED, 0)
SILENT = ExecutorError(Problem("executor-failed", "no answer"))


class Scripted:
    """An executor that gives these answers one after the other, the last one for ever, and prints what it is told."""

    name = "scripted"

    def __init__(self, answers: list[JobStatus | EnvdeckError], output: Callable[[], Iterator[bytes]]) -> None:
        self.answers = answers
        self.asked = 0
        self._output = output

    def status(self, key: str) -> JobStatus:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, EnvdeckError):
            raise answer
        return answer

    def output(self, key: str) -> Iterator[bytes]:
        return self._output()

    def availability(self) -> Availability:
        return Availability(self.name)

    def submit(self, spec: JobSpec) -> None: ...
    def stop(self, key: str) -> None: ...
    def jobs(self) -> tuple[str, ...]:
        return ()

    def forget(self, key: str) -> None: ...


def lines(*texts: bytes, then: EnvdeckError | OSError | None = None) -> Callable[[], Iterator[bytes]]:
    def output() -> Iterator[bytes]:
        yield from texts
        if then:
            raise then

    return output


def nothing(_: object) -> None:
    """Takes everything and says nothing."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "_SOONEST", 0.001)
    monkeypatch.setattr(attending, "_TICK", 0.01)
    monkeypatch.setattr(attending, "_TAIL", 60.0)


def test_the_word_of_the_executor_ends_it_and_all_output_is_taken_first() -> None:
    taken: list[bytes] = []
    executor = Scripted([RUNNING, FINISHED], lines(*(b"%d" % n for n in range(5000))))
    attended = attend(executor, "k", take=taken.append, look=nothing)
    assert (attended.status, attended.output_problem) == (FINISHED, "")
    assert taken == [b"%d" % n for n in range(5000)]


def test_the_end_of_the_output_is_no_verdict() -> None:
    answers: list[JobStatus | EnvdeckError] = [RUNNING] * 20
    executor = Scripted([*answers, JobStatus(JobState.FAILED, 3)], lines(b"one"))
    assert attend(executor, "k", take=nothing, look=nothing).status == JobStatus(JobState.FAILED, 3)


def test_output_that_never_ends_does_not_keep_an_ended_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "_TAIL", 0.5)

    def for_ever() -> Iterator[bytes]:
        yield b"one"
        threading.Event().wait()

    taken: list[bytes] = []
    assert attend(Scripted([FINISHED], for_ever), "k", take=taken.append, look=nothing).status == FINISHED
    assert taken == [b"one"]


def test_an_executor_that_fails_to_answer_for_a_while_changes_nothing() -> None:
    for failure in (SILENT, StorageError(Problem("storage-write", "full"))):
        executor = Scripted([RUNNING, *[failure] * 10, RUNNING, FINISHED], lines())
        assert attend(executor, "k", take=nothing, look=nothing).status == FINISHED


def test_an_executor_that_does_not_answer_for_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attending, "PATIENCE", 0.05)
    with pytest.raises(ExecutorError, match="no answer"):
        attend(Scripted([RUNNING, SILENT], lines()), "k", take=nothing, look=nothing)


def test_a_job_that_somebody_removed_is_lost() -> None:
    attended = attend(Scripted([RUNNING, JobNotFound("slurm", "k")], lines()), "k", take=nothing, look=nothing)
    assert attended.status.state is JobState.LOST
    assert "slurm knows no job k" in attended.status.reason


@pytest.mark.parametrize(
    ("then", "told"),
    [(SILENT, "no answer"), (OSError(errno.EIO, "Input/output error", "/job/output"), "Input/output error")],
)
def test_output_that_breaks_off_is_told_and_is_no_verdict(then: EnvdeckError | OSError, told: str) -> None:
    executor = Scripted([RUNNING, FINISHED], lines(b"one", then=then))
    taken: list[bytes] = []
    attended = attend(executor, "k", take=taken.append, look=nothing)
    assert (attended.status, attended.output_problem, taken) == (FINISHED, told, [b"one"])


def test_a_job_that_waits_is_looked_after_with_what_it_waits_for() -> None:
    seen: list[JobStatus] = []

    def look(status: JobStatus) -> None:
        seen.append(status)
        if len(seen) > 5:
            raise RuntimeError("enough")

    waiting = JobStatus(JobState.PENDING, reason="Resources")
    with pytest.raises(RuntimeError, match="enough"):
        attend(Scripted([waiting], lines()), "k", take=nothing, look=look)
    assert seen[-1] == waiting


def test_what_the_caller_raises_ends_it_and_the_asking() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    executor = Scripted([RUNNING], lines(b"one"))
    with pytest.raises(OSError, match="No space"):
        attend(executor, "k", take=full, look=nothing)
    for asking in [thread for thread in threading.enumerate() if thread.name == "status"]:
        asking.join(60)
        assert not asking.is_alive()


def test_an_executor_whose_answers_take_long_is_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    clock = iter(range(0, 10_000, 1))
    monkeypatch.setattr(attending.time, "monotonic", lambda: float(next(clock)))
    asking = attending._Asking(Scripted([RUNNING], lines()), "k")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        asking.over.set()
        return True

    monkeypatch.setattr(asking.soon, "wait", wait)
    asking.run()
    assert waits == [attending._LATEST]


def test_a_defect_of_an_executor_is_not_waited_for() -> None:
    class Broken(Scripted):
        def status(self, key: str) -> JobStatus:
            raise TypeError("a defect")

    with pytest.raises(TypeError, match="a defect"):
        attend(Broken([], lines()), "k", take=nothing, look=nothing)

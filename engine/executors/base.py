"""The executor protocol: where a build's process runs (executors.md §3).

An executor's word on a job is `status`, never the end of its output nor the exit code of a client: on a machine that
died, the stream of a scheduler's client ends cleanly and its exit code is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from msgspec import Struct, field

from engine.errors import EnvdeckError, Problem
from engine.executors.accounts import Account

__all__ = [
    "Availability",
    "Cause",
    "Executor",
    "ExecutorError",
    "JobNotFound",
    "JobSpec",
    "JobState",
    "JobStatus",
    "Mount",
]


class JobState(StrEnum):
    """Where a job stands. The last four are final."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """No verdict: its machine or its guard died, and it may have done anything up to then."""

    @property
    def final(self) -> bool:
        return self not in (JobState.PENDING, JobState.RUNNING)


class Cause(StrEnum):
    """Why a job ended other than by itself, where the executor knows."""

    MEMORY = "memory"
    """It used more memory than it may."""
    TIMEOUT = "timeout"
    """It ran longer than it may."""
    START_TIMEOUT = "start-timeout"
    """It was not started in time; the status says what it waited for."""
    IMAGE = "image"
    """Its image is not there or cannot be fetched."""
    COMMAND = "command"
    """Its program is not there or cannot be run."""
    HOST = "host"
    """The machine it ran on died or went away."""


class ExecutorError(EnvdeckError):
    """The executor's own tool failed or gave no sense: nothing is known about the job, which may well go on."""


class JobNotFound(EnvdeckError):
    """There is no job of that id, or no longer."""

    def __init__(self, executor: str, job_id: str) -> None:
        super().__init__(Problem("job-unknown", f"{executor} knows no job {job_id}"))


class Mount(Struct, frozen=True):
    """A file or directory that the job sees at the same path as its submitter."""

    path: Path
    read_only: bool = True


class JobSpec(Struct, frozen=True):
    """What to run and within which limits.

    `key` is the attempt: it is unique, so that submitting twice starts one job, and fit for the name of a job anywhere
    (lower case letters, digits and dashes). It names the job from then on.
    """

    key: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the process; nothing is inherited."""
    image: str = ""
    """The container image; empty where the executor's machines have the interpreter themselves."""
    python_version: str = ""
    """The version of the interpreter, for a scheduler that chooses a machine by it."""
    mounts: tuple[Mount, ...] = ()
    memory: int = 0
    """Bytes that all its processes together may use; 0 for no limit."""
    timeout: float = 3600.0
    """Seconds from its start."""
    start_timeout: float = 600.0
    """Seconds from its submission to its start."""
    grace: float = 5.0
    """Seconds between asking a job to end and ending it."""
    user: Account | None = None
    """Who the job runs as; None for the account that submits it."""


class JobStatus(Struct, frozen=True):
    """The state of a job, and its exit code once it has ended (128 + N when signal N ended it)."""

    state: JobState
    exit_code: int | None = None
    host: str = ""
    """The machine it runs or ran on, when known."""
    cause: Cause | None = None
    reason: str = ""
    """In one line, in the executor's own words: why it ended, or what it waits for."""


class Availability(Struct, frozen=True):
    """Whether an executor can be used from here."""

    executor: str
    """``local``, ``container``, ``slurm`` or ``kubernetes``."""
    version: str = ""
    """Of the tool it drives, in that tool's own words."""
    notes: tuple[str, ...] = ()
    """What an admin should know though it can be used."""
    problem: Problem | None = None
    """Why it cannot be used, and what to do; None when it can."""

    @property
    def usable(self) -> bool:
        return self.problem is None


class Executor(Protocol):
    """Runs jobs somewhere. All that it knows of a job it can find again from another process or a new object.

    An executor is made with the directory of the jobs, in which the job `key` has the directory of that name: it exists
    when the job is submitted, job and submitter see it at the same path, and the executor keeps its own notes there.

    Every method but `availability` raises `ExecutorError` when its tool fails; those that take a key raise
    `JobNotFound` for a job that was never submitted or has been forgotten.
    """

    name: str
    """``local``, ``container``, ``slurm`` or ``kubernetes``."""

    def availability(self) -> Availability:
        """Whether it can be used from here, found out by asking its tool. Never raises."""

    def submit(self, spec: JobSpec) -> None:
        """Start the job, unless one of this key was started before."""

    def status(self, key: str) -> JobStatus:
        """The state of the job now.

        A limit of the spec that the backend does not enforce by itself is enforced here: a job that is over it is
        stopped, and its cause is `Cause.TIMEOUT` or `Cause.START_TIMEOUT` from then on.
        """

    def output(self, key: str) -> Iterator[bytes]:
        """The job's output from its start and as it comes, stdout and stderr together, in lines without their end.

        A line longer than 64 KiB comes in pieces. Ends some time after the job has ended.
        """

    def stop(self, key: str) -> None:
        """Ask the job to end and after its grace end it; returns only when every process of it is gone.

        Its state is then `JobState.CANCELLED`, unless it had ended before.
        """

    def jobs(self) -> tuple[str, ...]:
        """The keys of all jobs that were submitted with this directory and that nobody has forgotten yet."""

    def forget(self, key: str) -> None:
        """Stop the job if need be and remove what is kept of it: notes, container, object. Idempotent."""

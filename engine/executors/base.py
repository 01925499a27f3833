"""The executor protocol: where a build's process runs (executors.md §3).

An executor's word on a job is `status`, never the end of its output: on a machine that died, the stream of a
scheduler's client ends cleanly and its exit code is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from engine.executors.accounts import Account

__all__ = ["Executor", "JobSpec", "JobState", "JobStatus"]


class JobState(StrEnum):
    """Where a job stands. `LOST` means that there is no verdict: it may have done anything."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What to run. `key` is the attempt, which is unique, so submitting twice starts one job."""

    key: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the process; nothing is inherited."""
    grace: float = 5.0
    """Seconds between asking a job to end and ending it."""
    user: Account | None = None
    """Who the job runs as; None for the account that submits it."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a job, and its exit code once it has ended (128 + N when signal N ended it)."""

    state: JobState
    exit_code: int | None = None
    reason: str = ""


class Executor(Protocol):
    """Runs jobs somewhere."""

    def submit(self, spec: JobSpec) -> str:
        """Start the job unless it was started before, and return its id."""

    def status(self, job_id: str) -> JobStatus:
        """The state of the job now. Raises `KeyError` for an unknown id."""

    def output(self, job_id: str) -> Iterator[bytes]:
        """The job's output, line by line as it comes (stdout and stderr together)."""

    def stop(self, job_id: str) -> None:
        """Ask the job to end, then end it; returns only when every process of it is gone."""

"""One build, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["Build", "BuildState", "Fault", "Phase"]


class BuildState(StrEnum):
    """Where a build stands. The last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its supervisor went away without a verdict."""

    @property
    def final(self) -> bool:
        return self not in (BuildState.QUEUED, BuildState.RUNNING)

    @classmethod
    def read(cls, value: object) -> BuildState | None:
        """The state that a record names, None for anything else."""
        return next((member for member in cls if member.value == value), None)


class Phase(StrEnum):
    """What a build is doing, in order."""

    QUEUE = "queue"
    VENV = "venv"
    RESOLVE = "resolve"
    INSTALL = "install"
    VERIFY = "verify"
    PUBLISH = "publish"

    @classmethod
    def read(cls, value: object) -> Phase | None:
        """The phase that a record or an event names, None for anything else."""
        return next((member for member in cls if member.value == value), None)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a build failed, fit for one line: the phase, the package at fault if one is, and what happened."""

    phase: Phase
    package: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.phase.value}: {self.package + ': ' if self.package else ''}{self.message}"


@dataclass(frozen=True, slots=True)
class Build:
    """One build job: what it is for and how far it is. Times are seconds since the epoch."""

    id: str
    """The attempt's name; sorts by time."""
    key: str
    state: BuildState
    phase: Phase
    bundle: str
    python_version: str
    python_path: str
    by: str
    """Who started it: the real user, also behind sudo."""
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    packages_done: int
    packages_total: int
    """0 while pip has not said yet."""
    message: str
    """The latest thing worth telling in one line: what it waits for, or ``Downloading numpy-2.1.0…``."""
    fault: Fault | None
    directory: Path
    reused: bool = False
    """True when the environment was there already once the key's lock was held."""
    host: str = ""
    """The machine that its supervisor runs on."""
    executor: str = ""
    """Where its process runs: ``local``, ``container``, ``slurm`` or ``kubernetes``."""
    image: str = ""
    """The container image that it runs in; empty for none."""
    place: int = 0
    """Its place in the waiting line of its machine, 1 for who is next; 0 when it stands in none."""
    bundle_path: str = ""
    """Where the bundle was read from; empty for a rebuild."""
    replaces: str = ""
    """The attempt that it is to take the place of, for a rebuild."""

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def seconds(self, now: float) -> float:
        """How long it has been running, or ran."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.finished_at or now) - self.started_at)

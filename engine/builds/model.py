"""One build, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field

__all__ = ["Build", "BuildState", "Expectation", "Fault", "Phase"]


_TELLING_SHARE = 0.1
"""How much must be installed before its pace alone says something."""


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
    COMPILE = "compile"
    VERIFY = "verify"
    PUBLISH = "publish"

    @classmethod
    def read(cls, value: object) -> Phase | None:
        """The phase that a record or an event names, None for anything else."""
        return next((member for member in cls if member.value == value), None)


class Fault(Struct, frozen=True):
    """Why a build failed, fit for one line: the phase, the package at fault if one is, and what happened."""

    phase: Phase
    package: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.phase.value}: {self.package + ': ' if self.package else ''}{self.message}"


class Expectation(Struct, frozen=True):
    """How long a build will probably take, judged by earlier ones (`engine.builds.estimate`)."""

    seconds: Mapping[Phase, float]
    """For each phase."""
    packages: int
    """How many packages those builds installed; 0 when that is not known."""
    basis: str
    """What it is judged by, such as ``the last build of this environment``."""

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


class Build(Struct, frozen=True):
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
    content: str = ""
    """The GUID of the content item whose settings it was planned with; empty for none."""
    replaces: str = ""
    """The attempt that it is to take the place of, for a rebuild."""

    installer: str = "pip"
    """What installs the packages: ``pip`` or ``uv``."""
    requested: int = 0
    """How many requirement lines it was given."""
    packages_supplied: int = 0
    """How many of the packages were there before the installer began: from the wheel store."""
    bytes_done: int = 0
    """Bytes of package files that are there, from an index or out of the installer's cache."""
    bytes_total: int = 0
    """Bytes of all package files that the installer has named so far."""
    phases: Mapping[Phase, float] = field(default_factory=dict)
    """When each phase began that it has come to."""
    expected: Expectation | None = None
    """None when there is no earlier build to judge by."""

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def packages_installed(self) -> int:
        """How many the installer installs, as far as it has said."""
        return max(0, self.packages_total - self.packages_supplied)

    def seconds(self, now: float) -> float:
        """How long it has been running, or ran."""
        if self.started_at is None:
            return 0.0
        return max(0.0, (self.finished_at or now) - self.started_at)

    def phase_seconds(self, now: float) -> dict[Phase, float]:
        """How long it has been, or was, in each phase. The last one of a build that ended goes on to its end."""
        ends = [*list(self.phases.values())[1:], self.finished_at or now]
        return {phase: max(0.0, end - at) for (phase, at), end in zip(self.phases.items(), ends, strict=False)}

    def left(self, now: float) -> float | None:
        """Seconds until it is done, as far as earlier builds and its own progress tell; None when neither does.

        The more of the packages are installed, the more their own pace counts, and the less that of earlier builds.
        """
        if self.state is not BuildState.RUNNING or self.started_at is None:
            return None
        spent = self.phase_seconds(now).get(self.phase, 0.0)
        installs = self.packages_installed if self.phase is Phase.INSTALL else 0
        share = min(1.0, max(0.0, (self.packages_done - self.packages_supplied) / installs)) if installs else 0.0
        by_pace = spent * (1 - share) / share if share else 0.0
        if self.expected is None:
            return by_pace if share >= _TELLING_SHARE else None
        scale = installs / self.expected.packages if installs and self.expected.packages else 1.0
        expected = {phase: seconds * scale for phase, seconds in self.expected.seconds.items()}
        by_history = max(0.0, expected.get(self.phase, 0.0) - spent)
        order = list(Phase)
        later = sum(expected.get(phase, 0.0) for phase in order[order.index(self.phase) + 1 :])
        return share * by_pace + (1 - share) * by_history + later

    def fraction(self, now: float) -> float | None:
        """How much of it is done, from 0 to 1; None while nothing tells."""
        left, spent = self.left(now), self.seconds(now)
        return None if left is None or spent + left <= 0 else spent / (spent + left)

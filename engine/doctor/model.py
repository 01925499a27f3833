"""What the doctor finds and what it would do about it, as plain values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import force_setattr

from engine.errors import Problem
from engine.reaping.model import ReapItem
from engine.text import clean

__all__ = ["Diagnosis", "Health", "HealthCheck", "RepairKind", "RepairPlan", "RepairResult", "RepairStep", "counted"]


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``, ``2 directories``."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


class Health(StrEnum):
    """The outcome of one check."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but somebody may want to know; or it could not be looked at."""
    WARNING = "warning"
    """Something will go wrong one day, or takes room for nothing."""
    FAILED = "failed"
    """Builds fail, or what they make cannot be relied on."""

    @property
    def fine(self) -> bool:
        return self in (Health.OK, Health.NOTE)


class HealthCheck(Struct, frozen=True):
    """One thing that was looked at. All text is safe to show."""

    code: str
    """Stable, such as ``locks``."""
    health: Health
    finding: str
    """What was found, in one sentence."""
    why: str = ""
    """Why it matters; empty when all is well."""
    remedy: str = ""
    details: tuple[str, ...] = ()
    """The things it is about, one per line."""

    def __post_init__(self) -> None:
        for name in ("finding", "why", "remedy"):
            force_setattr(self, name, clean(getattr(self, name)))
        force_setattr(self, "details", tuple(map(clean, self.details)))


class RepairKind(StrEnum):
    """What a step of a repair does."""

    SETTLE = "settle"
    """Bring a lost build to its end: discard its attempt and write the verdict."""
    ATTEMPT = "attempt"
    """Delete an attempt that no record names."""
    TRASH = "trash"
    """Delete what a deletion that was cut short left behind."""
    TEMPORARY = "temporary"
    """Delete what a killed process was about to put in place of something."""
    OVERLAY = "overlay"
    """Delete a directory of external packages that no environment sees."""
    RECORD = "record"
    """Move a record that does not parse out of the way, into ``trash/broken-records``, where it stays."""
    JOB = "job"
    """End and forget what an executor still keeps for a build that is not there any more."""


class RepairStep(Struct, frozen=True):
    """One thing that a repair would do."""

    kind: RepairKind
    path: Path
    """What it is done to."""
    why: str
    """Why it is right, in one sentence. Safe to show."""
    bytes: int = 0
    """What it takes on disk; files that are shared stay there, so less may become free."""
    refusals: tuple[str, ...] = ()
    """What speaks against it; then it is not done."""
    subject: str = ""
    """The id of the build, or ``executor:key`` of the job, that it is about."""
    item: ReapItem | None = None
    """What the reaper knows of it; for attempts and trash."""

    def __post_init__(self) -> None:
        force_setattr(self, "why", clean(self.why))
        force_setattr(self, "refusals", tuple(map(clean, self.refusals)))

    @property
    def feasible(self) -> bool:
        return not self.refusals


class RepairPlan(Struct, frozen=True):
    """What a repair would do now, in this order."""

    steps: tuple[RepairStep, ...] = ()

    @property
    def feasible(self) -> tuple[RepairStep, ...]:
        return tuple(step for step in self.steps if step.feasible)

    @property
    def refused(self) -> tuple[RepairStep, ...]:
        return tuple(step for step in self.steps if not step.feasible)

    @property
    def bytes(self) -> int:
        """What the feasible steps would free, at most."""
        return sum(step.bytes for step in self.feasible)


class RepairResult(Struct, frozen=True):
    """What a repair did."""

    done: tuple[RepairStep, ...]
    refused: tuple[RepairStep, ...]
    """Steps that were feasible when planned and are not any more, each with what speaks against it now."""
    failed: tuple[tuple[RepairStep, Problem], ...]
    """Steps that the system would not let be done."""

    @property
    def bytes(self) -> int:
        return sum(step.bytes for step in self.done)


class Diagnosis(Struct, frozen=True):
    """The state of a data directory."""

    data_dir: Path
    checks: tuple[HealthCheck, ...]
    repairs: RepairPlan
    examined_at: float
    """Seconds since the epoch."""

    @property
    def ok(self) -> bool:
        return all(check.health.fine for check in self.checks)

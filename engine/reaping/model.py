"""What reaping is about: the items of a plan, the plan, and what came of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.errors import Problem
from engine.reaping.rules import ReapVerdict

if TYPE_CHECKING:
    from engine.environments.model import Environment
    from engine.environments.usage import ProcessUse

__all__ = ["ReapItem", "ReapKind", "ReapPlan", "ReapResult", "UsedBy"]

UsedBy = Mapping[str, tuple[str, ...]]
"""Key to the names of the contents whose active bundle uses its environment."""


class ReapKind(StrEnum):
    """What an item of a plan is."""

    ENVIRONMENT = "environment"
    """A key with everything in its directory."""
    ATTEMPT = "attempt"
    """An attempt that is not, or not any more, the one that counts."""
    TRASH = "trash"
    """What a deletion that was cut short left behind."""
    WHEEL = "wheel"
    """A package in the wheel store that no environment shares files with and no lock in use names."""


class ReapItem(Struct, frozen=True):
    """One thing that could be deleted, and the verdict on it."""

    kind: ReapKind
    key: str
    """Empty for trash and wheels."""
    path: Path
    """What would be deleted: the key's directory, the attempt, the entry of the trash or of the wheel store."""
    bytes: int
    """What it takes on disk. Files that other environments share stay there, so deleting may free less."""
    verdict: ReapVerdict
    environment: Environment | None = None
    """The environment of the key; None for trash and where nothing is published."""
    used_by: tuple[str, ...] = ()
    in_use_by: tuple[ProcessUse, ...] = ()
    package: str = ""
    """Name and version of a wheel."""

    @property
    def name(self) -> str:
        """Which one of its kind it is."""
        return self.package or self.key or self.path.name


class ReapPlan(Struct, frozen=True):
    """What reaping would do now."""

    items: tuple[ReapItem, ...]
    complete: bool
    """True for a plan of everything, False when it was asked for by key."""
    grace: float
    """Seconds."""
    unreadable: int
    """How many processes could not be seen into, so that a use by one of them may have gone unnoticed."""
    planned_at: float
    """Seconds since the epoch."""
    problem: Problem | None = None
    """Why nothing can be deleted here, if so."""

    @property
    def reapable(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if item.verdict.reapable)

    @property
    def kept(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if not item.verdict.reapable)

    @property
    def bytes(self) -> int:
        """What the reapable items take on disk."""
        return sum(item.bytes for item in self.reapable)


class ReapResult(Struct, frozen=True):
    """What reaping did."""

    removed: tuple[ReapItem, ...]
    refused: tuple[ReapItem, ...]
    """Items that were reapable when planned and are not any more, each with the verdict on it now."""
    failed: tuple[tuple[ReapItem, Problem], ...]
    """Items that the system would not let go of."""

    @property
    def bytes(self) -> int:
        """What the removed items took on disk."""
        return sum(item.bytes for item in self.removed)

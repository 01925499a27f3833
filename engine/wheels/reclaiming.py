"""Taking out of the store what no environment and no lock needs any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from engine.wheels.store import WheelStore

__all__ = ["Reclaimed", "Unused", "reclaim", "unused"]


@dataclass(frozen=True, slots=True)
class Unused:
    """A stored wheel that nothing needs."""

    sha256: str
    tag: str
    name: str
    version: str
    size: int


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What was taken out, and what stayed after all."""

    removed: tuple[Unused, ...]
    kept: tuple[tuple[Unused, str], ...]


def unused(store: WheelStore, named: Collection[str], now: float, grace: float) -> tuple[Unused, ...]:
    """What no environment links, whose digest is not among `named`, and which is older than `grace` seconds."""
    raise NotImplementedError


def reclaim(store: WheelStore, doomed: Sequence[Unused], named: Collection[str], now: float, grace: float) -> Reclaimed:
    """Take `doomed` out, each only if it still is `unused` now that nobody can link it. Raises `StorageError`."""
    raise NotImplementedError

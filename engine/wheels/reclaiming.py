"""Taking out of the store what no environment and no lock needs any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from engine.environments.locks import acquire
from engine.environments.trash import delete_tree, set_aside
from engine.files import StorageError, write_problem
from engine.wheels.locks import LockRecords
from engine.wheels.store import WheelStore

__all__ = ["Reclaimed", "Unused", "idle_locks", "needed", "reclaim", "unused"]

_LOCK_LIFE = 90 * 86400.0
"""Seconds that a lock is kept for the environment to be made again after it was reaped."""


class Unused(Struct, frozen=True):
    """A stored wheel that nothing needs."""

    sha256: str
    tag: str
    name: str
    version: str
    size: int


class Reclaimed(Struct, frozen=True):
    """What was taken out, and what stayed after all."""

    removed: tuple[Unused, ...]
    kept: tuple[Unused, ...]
    """What is used again by now."""


def needed(store: WheelStore, keys: Collection[str], now: float) -> frozenset[str]:
    """The digests of the wheels that locks name which may yet be replayed.

    `keys` are those that have an environment.
    """
    locks = LockRecords(store.data_dir)
    idle = idle_locks(locks, keys, now)
    found = (locks.read(key) for key, _ in locks.recorded() if key not in idle)
    return frozenset(wanted.sha256 for lock in found if lock for wanted in lock.wheels)


def idle_locks(locks: LockRecords, keys: Collection[str], now: float) -> set[str]:
    """The keys that are not among `keys`, which have an environment, and whose lock nobody has used for long."""
    return {key for key, used_at in locks.recorded() if key not in keys and used_at + _LOCK_LIFE <= now}


def unused(store: WheelStore, named: Collection[str], now: float, grace: float) -> tuple[Unused, ...]:
    """What no environment links, whose digest is not among `named`, and which is older than `grace` seconds.

    `now` is the time as the file system has it. What cannot be read as an entry is of no use to anyone either.
    """
    found = []
    for sha256, tag in store.stored():
        path = store.path(sha256, tag)
        if sha256 not in named and _is_idle(path, now, grace):
            wheel = store.find(sha256, tag)
            name, version = (wheel.entry.name, wheel.entry.version) if wheel else ("", "")
            found.append(Unused(sha256, tag, name, version, wheel.size if wheel else 0))
    return tuple(found)


def reclaim(store: WheelStore, doomed: Sequence[Unused], named: Collection[str], now: float, grace: float) -> Reclaimed:
    """Take `doomed` out, each only if it still is `unused` now that nobody can link it. Raises `StorageError`."""
    removed: list[Unused] = []
    kept: list[Unused] = []
    trash: list[Path] = []
    try:
        store.use_lock.parent.mkdir(parents=True, exist_ok=True)
        with acquire(store.use_lock, lambda: False):
            for each in doomed:
                path = store.path(each.sha256, each.tag)
                if each.sha256 in named or not _is_idle(path, now, grace):
                    kept.append(each)
                    continue
                if taken := set_aside(store.data_dir, path):
                    trash.append(taken)
                with suppress(OSError):  # it may hold the wheel for other interpreters
                    path.parent.rmdir()
                removed.append(each)
    except OSError as error:
        raise StorageError(write_problem("take wheels out of the store", store.root, error)) from error
    # Whoever wants to link may go on while these are deleted.
    for path in trash:
        with suppress(OSError):
            delete_tree(path)
    return Reclaimed(tuple(removed), tuple(kept))


def _is_idle(path: Path, now: float, grace: float) -> bool:
    """Whether nobody links what is at `path`: every wheel has metadata, and an environment links all of it."""
    try:
        if now - path.stat().st_mtime < grace:
            return False
        metadata = next((path / "site").glob("*.dist-info/METADATA"), None)
        return metadata is None or metadata.stat().st_nlink == 1
    except OSError:
        return False

"""Lock records: what a build of a key ended with, so that the same can be made again without asking anybody.

DataDir/wheels/locks/<key>.json, written by the service after a fill has confirmed every digest, and read at the next
build of the key. It outlives the environment. Its time is when it was written or last replayed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from engine.files import StorageError, is_temporary, read_json, write_json, write_problem
from engine.text import clean
from engine.wheels.model import Pin, Wanted

__all__ = ["Lock", "LockRecords"]

_FORMAT = 1
_HEX = frozenset("0123456789abcdef")


class Lock(Struct, frozen=True):
    """What one build of a key came to."""

    key: str
    attempt: str
    recorded_at: float
    """Seconds since the epoch."""
    index: str
    """The `index_digest` that it was served by."""
    tag: str
    """The `bytecode_tag` of its interpreter."""
    wheels: tuple[Wanted, ...] = ()
    """Every package of the environment."""
    conflicts: tuple[str, ...] = ()
    """What ``pip check`` objected to."""
    reason: str = ""
    """Why it cannot be replayed, and names no wheels; empty when it can."""


class LockRecords:
    """The locks below one data directory. Reading creates nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "wheels" / "locks"

    def read(self, key: str) -> Lock | None:
        """The lock of `key`; None when there is none, or it does not make sense."""
        record = read_json(self._path(key))
        if record is None or record.get("format") != _FORMAT or record.get("key") != key:
            return None
        try:
            return Lock(
                key,
                clean(str(record["attempt"])),
                float(record["recorded_at"]),  # type: ignore[arg-type]
                str(record["index"]),
                str(record["tag"]),
                tuple(_wanted(row) for row in record["packages"]),  # type: ignore[attr-defined]
                tuple(clean(str(line)) for line in record["conflicts"]),  # type: ignore[attr-defined]
                clean(str(record["reason"])),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def write(self, lock: Lock) -> None:
        """Record `lock` in the place of the last one of its key. Raises `StorageError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(write_problem("record the lock", self.root, error)) from error
        record = {
            "format": _FORMAT,
            "key": lock.key,
            "attempt": lock.attempt,
            "recorded_at": lock.recorded_at,
            "index": lock.index,
            "tag": lock.tag,
            "packages": [[wanted.pin.name, wanted.pin.version, wanted.sha256] for wanted in lock.wheels],
            "conflicts": list(lock.conflicts),
            "reason": lock.reason,
        }
        write_json(self._path(lock.key), record)

    def mark_used(self, key: str) -> None:
        """Note that the lock of `key` was replayed now. Nothing happens when that cannot be noted."""
        with suppress(OSError):
            os.utime(self._path(key))

    def recorded(self) -> Iterator[tuple[str, float]]:
        """Every key that has a lock, and when that was written or last replayed."""
        try:
            with os.scandir(self.root) as entries:
                names = sorted(e.name for e in entries if e.name.endswith(".json") and not is_temporary(e.name))
        except OSError:
            return
        for name in names:
            with suppress(OSError):
                yield name.removesuffix(".json"), (self.root / name).lstat().st_mtime

    def forget(self, key: str) -> None:
        """Remove the lock of `key`. Raises `StorageError`."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(write_problem("remove the lock", path, error)) from error

    def named(self) -> frozenset[str]:
        """The digests of all wheels that any lock names."""
        locks = (self.read(key) for key, _ in self.recorded())
        return frozenset(wanted.sha256 for lock in locks if lock for wanted in lock.wheels)

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.json"


def _wanted(row: object) -> Wanted:
    if not isinstance(row, list) or len(row) != 3 or not all(isinstance(value, str) for value in row):
        raise ValueError("a package is a name, a version and a digest")
    name, version, sha256 = row
    # It becomes a part of a path.
    if len(sha256) != 64 or not set(sha256) <= _HEX:
        raise ValueError("a digest has 64 hexadecimal digits")
    return Wanted(Pin.of(name, version), sha256)

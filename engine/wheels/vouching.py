"""Knowing the store's files again in an environment, so that nobody has to read them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.environments.tree import ALGORITHM, Vouched
from engine.wheels.entries import read_digests
from engine.wheels.model import Directory, StoredWheel

__all__ = ["vouched"]


def vouched(wheels: Sequence[StoredWheel], env_dir: Path) -> Mapping[str, Vouched]:
    """The files of `wheels` that are linked into environments, by where in `env_dir` they are put.

    Whoever looks at the environment then compares the inode of each (`engine.environments.tree.walk`), so that neither
    a replaced nor a moved file is taken for the store's. Reads directories only. Nothing is vouched for that is on
    another file system, or cannot be read.
    """
    found: dict[str, Vouched] = {}
    for wheel in wheels:
        with suppress(OSError, ValueError):
            if wheel.path.stat().st_dev == env_dir.stat().st_dev:
                _vouch(wheel, found)
    return found


def _vouch(wheel: StoredWheel, found: dict[str, Vouched]) -> None:
    current: Directory | None = None
    prefix, inodes = "", dict[str, int]()
    for directory, name, digest, size in read_digests(wheel.path, wheel.entry):
        if directory is not current:
            current, inodes = directory, _inodes(f"{wheel.path}/{directory.source}")
            prefix = f"{directory.target}/" if directory.target else ""
        if inode := inodes.get(name):
            # Of two wheels that have one file, the first has put it there.
            found.setdefault(prefix + name, Vouched(inode, size, f"{ALGORITHM}={digest}"))


def _inodes(path: str) -> dict[str, int]:
    with os.scandir(path) as entries:
        return {entry.name: entry.inode() for entry in entries}

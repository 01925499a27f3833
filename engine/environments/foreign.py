"""Environments that the server made itself, listed read-only (connect.md §6.4).

    python-environments/<installer>/<X.Y.Z>/<hash>/                   up to 2025
    python-environments/_packages_cache/<installer>/<X.Y.Z>/<hash>/   since

There the virtual environment lies straight in the directory of its hash. Ours lie one level deeper, in an attempt.
Nothing here runs an interpreter, and nothing anywhere deletes what is found here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct

from engine.environments.model import EnvironmentState, LockedPackage
from engine.environments.pyvenv import pyvenv_version, read_pyvenv
from engine.environments.store import subdirectories
from engine.targets import LOCAL
from engine.text import clean

__all__ = ["FOREIGN_BASE", "ForeignEnvironment", "ForeignStore"]

FOREIGN_BASE = "_packages_cache"
"""Where newer servers keep the directories of the installers."""
_METADATA = re.compile(r"(?P<name>[^-]+)-(?P<version>.+)\.dist-info")


class ForeignEnvironment(Struct, frozen=True):
    """One virtual environment that is not ours. Its size is not in it: `engine.environments.store.measure` tells."""

    name: str
    """The hash that the server gave it."""
    path: Path
    installer: str
    python_version: str
    """What its ``pyvenv.cfg`` says; the directory's version where that says nothing."""
    target: str
    home: str
    """The directory of the interpreter it was made with."""
    state: EnvironmentState
    """Stale when that interpreter is gone, damaged when it cannot start for another reason."""
    reason: str
    """Why the state is not ready; empty when it is."""
    packages: tuple[LockedPackage, ...]
    """By the names of the metadata directories in it; what it inherits is not among them."""
    made_at: float
    """When its ``pyvenv.cfg`` was written, seconds since the epoch."""


class ForeignStore:
    """The foreign environments below one ``python-environments`` directory, each read again only when it changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[Path, tuple[object, ForeignEnvironment]] = {}

    def environments(self) -> tuple[ForeignEnvironment, ...]:
        """Every foreign environment, newest first. Creates nothing and never fails."""
        found: dict[Path, tuple[object, ForeignEnvironment]] = {}
        for base in (self.root, self.root / FOREIGN_BASE):
            for installer in subdirectories(base):
                if installer.name != FOREIGN_BASE:
                    for python in subdirectories(installer):
                        found |= {path: entry for path in subdirectories(python) if (entry := self._load(path))}
        self._seen = found
        return tuple(sorted((e for _, e in found.values()), key=lambda e: (-e.made_at, e.path)))

    def _load(self, path: Path) -> tuple[object, ForeignEnvironment] | None:
        try:
            made_at = (path / "pyvenv.cfg").stat().st_mtime
        except OSError:
            return None
        values = read_pyvenv(path / "pyvenv.cfg")
        state, reason = _judge(path, values)
        libraries = [lib for python in subdirectories(path / "lib") if (lib := python / "site-packages").is_dir()]
        # The interpreter is looked for each time, the packages only when one came or went.
        signature = (made_at, state, reason, tuple((lib, lib.stat().st_mtime_ns) for lib in libraries))
        known = self._seen.get(path)
        if known is not None and known[0] == signature:
            return known
        version_dir, _, image = path.parent.name.partition("@")
        return signature, ForeignEnvironment(
            name=clean(path.name),
            path=path,
            installer=clean(path.parent.parent.name),
            python_version=pyvenv_version(values) or clean(version_dir),
            target=clean(image) or LOCAL,
            home=clean(values.get("home", "")),
            state=state,
            reason=reason,
            packages=tuple(p for library in libraries for p in _packages(library)),
            made_at=made_at,
        )


def _judge(path: Path, values: dict[str, str]) -> tuple[EnvironmentState, str]:
    home = values.get("home", "")
    if not home:
        return EnvironmentState.DAMAGED, "its pyvenv.cfg does not say which interpreter it was made with"
    if not os.path.lexists(path / "bin" / "python"):
        return EnvironmentState.DAMAGED, "it has no bin/python"
    if "@" in path.parent.name:
        # The interpreter is in an image, and cannot be looked for from here.
        return EnvironmentState.READY, ""
    major, minor, *_ = [*pyvenv_version(values).split("."), "", ""]
    names = ["python", *(f"python{number}" for number in (major, f"{major}.{minor}") if major)]
    try:
        if not any((Path(home) / name).exists() for name in names):
            return EnvironmentState.STALE, f"there is no interpreter in {clean(home)} any more"
    except OSError as error:
        # Such as in a directory that may not be entered.
        return EnvironmentState.DAMAGED, f"its interpreter cannot be looked for: {clean(error.strerror or str(error))}"
    return EnvironmentState.READY, ""


def _packages(library: Path) -> list[LockedPackage]:
    try:
        names = sorted(entry.name for entry in library.iterdir())
    except OSError:
        return []
    found = (_METADATA.fullmatch(name) for name in names)
    return [LockedPackage(clean(m["name"]), clean(m["version"])) for m in found if m]

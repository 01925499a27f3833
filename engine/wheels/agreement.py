"""Which stored wheels go together: none that would put different files at one path."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence

from packaging.utils import NormalizedName

from engine.wheels.entries import read_digests
from engine.wheels.model import StoredWheel

__all__ = ["agreeing"]


def agreeing(wheels: Sequence[StoredWheel]) -> tuple[tuple[StoredWheel, ...], Mapping[NormalizedName, str]]:
    """Those of `wheels` that can be linked beside each other, and why the others cannot.

    Two wheels may own one path. With the same content that does not matter; otherwise the order decides in which pip
    installs them, so both are left to pip. Raises `OSError`, `ValueError` when the store cannot be read.
    """
    clashes: dict[NormalizedName, str] = {}

    def clash(one: int, other: int, path: str) -> None:
        for this, that in ((one, other), (other, one)):
            clashes.setdefault(wheels[this].pin.name, f"{path} is also {wheels[that].pin.name}'s")

    digests: dict[str, dict[str, tuple[str, int]]] = {}
    for one, other, path in _meetings(wheels):
        if {wheels[one].pin.name, wheels[other].pin.name} <= clashes.keys():
            continue
        for wheel in (wheels[one], wheels[other]):
            if wheel.sha256 not in digests:
                digests[wheel.sha256] = _digests(wheel)
        if not _is_same(wheels[one], wheels[other], path, digests):
            clash(one, other, path)
    return tuple(wheel for wheel in wheels if wheel.pin.name not in clashes), clashes


def _meetings(wheels: Sequence[StoredWheel]) -> Iterator[tuple[int, int, str]]:
    """Every path that two of `wheels` have, or that is a file of one and a directory of the other."""
    places: dict[str, list[tuple[int, Collection[str]]]] = {}
    for number, wheel in enumerate(wheels):
        for directory in wheel.entry.directories:
            places.setdefault(directory.target, []).append((number, directory.names))
        if written := [command[0] for command in wheel.entry.commands] + [s.name for s in wheel.entry.scripts]:
            places.setdefault("bin", []).append((number, written))
    for target, owners in places.items():
        parent, _, name = target.rpartition("/")
        if target:
            for number, names in places.get(parent, ()):
                if name in names:
                    yield number, owners[0][0], target
        if len(owners) > 1:
            first: dict[str, int] = {}
            for number, names in owners:
                for name in names:
                    if first.setdefault(name, number) != number:
                        yield first[name], number, posixpath.join(target, name)


def _digests(wheel: StoredWheel) -> dict[str, tuple[str, int]]:
    """Digest and size of its files by where they are put."""
    rows = read_digests(wheel.path, wheel.entry)
    return {posixpath.join(directory.target, name): (digest, size) for directory, name, digest, size in rows}


def _is_same(
    one: StoredWheel, other: StoredWheel, path: str, digests: Mapping[str, Mapping[str, tuple[str, int]]]
) -> bool:
    """Whether it makes no difference which of the two puts its file at `path`."""
    parent, name = posixpath.split(path)
    if parent == "bin":
        commands = [[c for c in wheel.entry.commands if c[0] == name] for wheel in (one, other)]
        if any(commands):
            return commands[0] == commands[1]
    found = digests[one.sha256].get(path)
    return found is not None and found == digests[other.sha256].get(path)

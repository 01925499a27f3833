"""Knowing the store's files again in an environment, so that nobody has to read them: one by one, or all at once."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from engine.environments.records import Distribution, Supplied, rows_beside
from engine.environments.seal import Vouched, Whole
from engine.environments.tree import ALGORITHM, Entry, EntryKind, Listing
from engine.wheels.entries import read_digests, read_sealed
from engine.wheels.linking import Linked, LinkedWheel
from engine.wheels.model import Directory, StoredWheel

__all__ = ["vouched", "whole"]


def vouched(linked: Linked, env_dir: Path) -> Vouched:
    """The files and distributions that were `linked` into `env_dir`.

    Whoever looks at the environment then compares the inode of each file (`engine.environments.tree.walk`), so that
    neither a replaced nor a moved file is taken for the store's. Reads directories only. Nothing is vouched for that is
    on another file system, or cannot be read.
    """
    found: dict[str, Entry] = {}
    distributions: list[Supplied] = []
    for each in linked.wheels:
        with suppress(OSError, ValueError):
            if each.wheel.path.stat().st_dev == env_dir.stat().st_dev:
                files = _files(each.wheel)
                # Of two wheels that have one file, either may have put it there.
                met = {
                    path: found[path]
                    for path in found.keys() & files.keys()
                    if (env_dir / path).lstat().st_ino == found[path].inode
                }
                found |= files | met
                distributions.append(_supplied(each, env_dir, files))
    whole = len(distributions) == len(linked.wheels) and not linked.copied
    return Vouched(found, tuple(distributions), _listings(linked, found) if whole else {})


def whole(linked: Linked) -> Whole | None:
    """What was `linked`, to be known again all at once; None when that takes a look at each file."""
    if linked.copied or not linked.wheels:
        return None
    try:
        sealed = tuple(text for each in linked.wheels if (text := read_sealed(each.wheel.path)))
    except (OSError, ValueError):  # the store is not what it was: `vouched` says what it knows of each file
        return None
    return Whole(
        tuple(Supplied(_distribution(each), each.record, {}, frozenset(), each.rows) for each in linked.wheels),
        _listings(linked, {}),
        partial(_files_beside, tuple(each.wheel for each in linked.wheels)),
        sealed,
        linked.files - len(linked.written),
        linked.shared,
    )


def _files_beside(wheels: Iterable[StoredWheel], directories: Container[str]) -> dict[str, Entry]:
    """Those files of `wheels` that are not put into `directories` of an environment."""
    return {
        path: entry
        for wheel in wheels
        if any(directory.names and directory.target not in directories for directory in wheel.entry.directories)
        for path, entry in _files(wheel).items()
        if posixpath.dirname(path) not in directories
    }


def _listings(linked: Linked, files: Mapping[str, Entry]) -> dict[str, Listing]:
    """What is in each of the directories that were filled, `files` among it."""
    vouched: dict[str, dict[str, Entry]] = {path: {} for path in linked.filled}
    others: dict[str, list[str]] = {path: [] for path in linked.filled}
    below: dict[str, list[str]] = {path: [] for path in linked.filled}
    for path, entry in files.items():
        if (parent := path.rpartition("/")[0]) in vouched:
            vouched[parent][path] = entry
    for paths, by_parent in ((linked.written, others), (linked.made, below)):
        for path in paths:
            if (parent := path.rpartition("/")[0]) in by_parent:
                by_parent[parent].append(path)
    return {
        path: Listing(inode, linked.changed, vouched[path], others[path], below[path])
        for path, inode in linked.filled.items()
    }


def _files(wheel: StoredWheel) -> dict[str, Entry]:
    """The files of `wheel`, by where in an environment they are put."""
    found: dict[str, Entry] = {}
    current: Directory | None = None
    prefix, inodes = "", dict[str, int]()
    for directory, name, digest, size in read_digests(wheel.path, wheel.entry):
        if directory is not current:
            current, inodes = directory, _inodes(f"{wheel.path}/{directory.source}")
            prefix = f"{directory.target}/" if directory.target else ""
        found[prefix + name] = Entry(EntryKind.FILE, size, "", inodes.get(name, -1), f"{ALGORITHM}={digest}")
    return found


def _inodes(path: str) -> dict[str, int]:
    with os.scandir(path) as entries:
        return {entry.name: entry.inode() for entry in entries}


def _supplied(linked: LinkedWheel, env_dir: Path, files: dict[str, Entry]) -> Supplied:
    entry = linked.wheel.entry
    text = "".join(following for _, following in entry.record)
    unhashed, rows = rows_beside(text, env_dir, posixpath.dirname(entry.info), files)
    return Supplied(_distribution(linked), linked.record, files, unhashed, (*linked.rows, *rows))


def _distribution(linked: LinkedWheel) -> Distribution:
    entry = linked.wheel.entry
    return Distribution(entry.name, entry.version, entry.info)

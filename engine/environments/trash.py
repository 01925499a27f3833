"""Deleting directories of the data directory: out of everybody's sight in one step, then file by file.

A reader sees what is deleted whole or not at all, and a deletion that is cut short leaves only trash. On NFS the
directory of a file that somebody still has open cannot be deleted, but it can be renamed (executors.md §4).
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.environments.tree import EntryKind, walk
from engine.files import StorageError, write_problem

__all__ = ["delete_tree", "discard", "discarded_in", "is_discarded", "set_aside", "trash_of"]

_NAME = re.compile(r".+\.[0-9a-f]{8}")
"""What `set_aside` calls what it takes away. Anything else in the trash is not ours."""


def trash_of(data_dir: Path) -> Path:
    """The directory for what is deleted."""
    return data_dir / "trash"


def discard(data_dir: Path, path: Path) -> None:
    """Take the directory `path` away at once, then delete it. Nothing happens when it is gone.

    Raises `StorageError` when it cannot be taken away; what cannot be deleted then stays in the trash.
    """
    doomed = set_aside(data_dir, path)
    if doomed is not None:
        shutil.rmtree(doomed, ignore_errors=True)


def set_aside(data_dir: Path, path: Path) -> Path | None:
    """Rename `path` into the trash and return its name there; None when it is gone already.

    Where the trash is on another device it stays beside where it was, under a hidden name, which no reader looks at.
    Raises `StorageError` (`storage-write`).
    """
    trash = trash_of(data_dir)
    name = f"{path.name}.{os.urandom(4).hex()}"
    try:
        trash.mkdir(parents=True, exist_ok=True)
        try:
            return path.rename(trash / name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return path.rename(path.with_name(f".{name}"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(write_problem(f"take {path.name} away", path, error)) from error


def is_discarded(path: Path) -> bool:
    """Whether `set_aside` has put the thing at `path` there: into the trash, or under a hidden name."""
    if not _NAME.fullmatch(path.name):
        return False
    # A hidden file of such a name is one that was being written (`engine.files.is_temporary`).
    return path.parent.name == "trash" or (path.name.startswith(".") and path.is_dir() and not path.is_symlink())


def discarded_in(directory: Path) -> Iterator[Path]:
    """What was set aside in `directory` and is still there, by name. None when it cannot be looked into."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return
    yield from (directory / name for name in names if is_discarded(directory / name))


def delete_tree(path: Path) -> None:
    """Delete `path`, which was set aside, with everything below it. Nothing happens when it is gone.

    What an NFS server keeps because somebody has it open (``.nfs…``) stays, with the directories above it, for the next
    time. Raises `OSError` when anything else cannot be deleted, after everything that can be is.
    """
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if not path.exists():
        return
    for name, entry in walk(path).items():
        if entry.kind is EntryKind.UNREADABLE:
            os.listdir(path / name)  # noqa: PTH208 - for its error, which says why
        elif not Path(name).name.startswith(".nfs"):
            (path / name).unlink()

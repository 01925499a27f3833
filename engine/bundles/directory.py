"""The files of a bundle directory, read so that nothing outside it can be.

Whoever owns the directory may change it at any moment, and envdeck may be root: a file that was looked at can be a
link to another one when it is opened. So every step is taken from a directory that is already open, and none follows
a link; what was opened is looked at, not what has the name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from engine.errors import InputError, Problem, Where
from engine.members import DEPTH_LIMIT, ENTRY_LIMIT

__all__ = ["Entry", "bundle_too_large", "open_beneath", "open_regular", "walk"]

_NOT_SOURCE = (".git", ".svn", "__pycache__", "node_modules")
# Without waiting: opening a pipe would wait for a writer.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(Struct, frozen=True):
    """A directory, file or symbolic link of a bundle; it is valid until the next one is taken from `walk`."""

    path: str
    """Relative to the bundle, with slashes."""
    link: str | None = None
    """What a symbolic link says."""
    file: BinaryIO | None = None
    """The content of a file."""
    executable: bool = False


def open_regular(path: Path) -> BinaryIO:
    """The regular file at `path`. Raises `OSError`, also for anything else that is there."""
    return _regular(os.open(path, _READ), str(path))


@contextmanager
def open_beneath(root: Path, name: str) -> Iterator[BinaryIO | None]:
    """The file `name` of the bundle in the directory `root`, None when there is no such file.

    Links are followed as long as they stay inside. Raises `InputError` (`bundle-file-outside`) when one does not,
    and `OSError` when the file cannot be read or its way was changed meanwhile.
    """
    root = Path(os.path.realpath(root))
    # Unlike Path.resolve this takes a loop of links for a file that is not there.
    file = Path(os.path.realpath(root / name))
    if not file.is_relative_to(root):
        raise InputError(
            Problem(
                "bundle-file-outside",
                "a symbolic link leads out of the bundle",
                where=Where(name),
                hint="Put the file itself in its place",
            )
        )
    if not file.is_file():
        yield None
        return
    *directories, last = file.relative_to(root).parts
    at = os.open(root, _ENTER)
    try:
        for directory in directories:
            inner = os.open(directory, _ENTER, dir_fd=at)
            os.close(at)
            at = inner
        with _regular(os.open(last, _READ | os.O_NOFOLLOW, dir_fd=at), str(file)) as stream:
            yield stream
    finally:
        os.close(at)


def walk(root: Path) -> Iterator[Entry]:
    """What a copy of the bundle in `root` consists of, directories before what is in them, in a fixed order.

    Left out is what version control and tools keep for themselves, and pipes, sockets and devices. Raises `InputError`
    (`bundle-too-large`) for more, or more deeply nested, directories and files than an archive may have, and `OSError`.
    """
    descriptor = os.open(root, _ENTER & ~os.O_NOFOLLOW)
    try:
        for count, entry in enumerate(_walk(descriptor, "", 0), 1):
            if count > ENTRY_LIMIT:
                raise bundle_too_large(root, f"at most {ENTRY_LIMIT} files and directories")
            yield entry
    finally:
        os.close(descriptor)


def _walk(directory: int, path: str, depth: int) -> Iterator[Entry]:
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries if entry.name not in _NOT_SOURCE)
    for name in names:
        below = f"{path}{name}"
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            yield Entry(below, link=os.readlink(name, dir_fd=directory))
        elif stat.S_ISDIR(mode):
            if depth == DEPTH_LIMIT:
                raise bundle_too_large(Path(below), f"at most {DEPTH_LIMIT} directories in each other")
            yield Entry(below)
            inner = os.open(name, _ENTER, dir_fd=directory)
            try:
                yield from _walk(inner, f"{below}/", depth + 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(mode):
            with _regular(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=directory), below) as file:
                yield Entry(below, file=file, executable=bool(mode & 0o100))


def _regular(descriptor: int, path: str) -> BinaryIO:
    """A stream over `descriptor`, which is closed if it is not that of a regular file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", path)
    return os.fdopen(descriptor, "rb")


def bundle_too_large(place: Path, expected: str) -> InputError:
    return InputError(
        Problem(
            "bundle-too-large",
            "the bundle is larger than envdeck copies",
            expected=expected,
            where=Where(str(place)),
            hint="Move what is no source out of it",
        )
    )

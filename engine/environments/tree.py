"""What is below a directory, file by file: one look that follows no link and opens nothing but regular files.

What lies in an environment was put there by packages, and a device or a pipe that is opened for reading may wait for
ever or have effects.
"""

from __future__ import annotations

import base64
import os
import stat
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

__all__ = [
    "ALGORITHM",
    "ALGORITHMS",
    "Digests",
    "Entry",
    "EntryKind",
    "Listing",
    "digest",
    "digest_files",
    "digest_of",
    "held",
    "measure_tree",
    "read_regular",
    "walk",
]

ALGORITHM = "sha256"
ALGORITHMS = frozenset({"sha256", "sha384", "sha512"})
"""Those that prove something; the specification of RECORD excludes md5 and sha1."""

Digests = Mapping[str, "dict[str, str] | OSError"]
"""Path to the digest by each algorithm, or why the file could not be read."""

_CHUNK = 256 * 1024
_BATCH = 64
"""Files per task: a task of its own costs more than to read a small file."""
_MOST_THREADS = 8
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking: a pipe that took the place of the file meanwhile would be waited for.
_REGULAR = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class EntryKind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    LINK = "link"
    PIPE = "pipe"
    SOCKET = "socket"
    DEVICE = "device"
    UNREADABLE = "unreadable directory"


class Entry(NamedTuple):
    """One name that is no directory, or a directory that may not be looked into.

    A tuple, because it takes a third of the time to make one, and an environment has tens of thousands.
    """

    kind: EntryKind
    size: int = 0
    """Bytes; of a regular file."""
    target: str = ""
    """Where a link points to."""
    inode: int = 0
    """Which file it is, of one that has several names; 0 for one that has not."""
    digest: str = ""
    """What is in the file, as far as that is known without reading it: ``sha256=…``."""


class Listing(Struct, frozen=True):
    """What was in a directory when envdeck itself had filled it, which is there still if nothing was done in it since.

    The system says that: whatever is made, removed or renamed in a directory changes its ctime, which nobody can set.
    """

    inode: int
    changed: range
    """The nanoseconds since the epoch in which it was filled. Not the last tick of the clock that gives a file its
    times, in which something else could have been done too."""
    vouched: Mapping[str, Entry]
    """Its files that are vouched for, by path from the root."""
    others: Sequence[str] = ()
    """The paths of its other files."""
    below: Sequence[str] = ()
    """The paths of its directories."""

    def holds(self, status: os.stat_result) -> bool:
        """Whether a directory of that status is this one, as it was."""
        return status.st_ino == self.inode and stat.S_ISDIR(status.st_mode) and status.st_ctime_ns in self.changed


def held(root: Path, listings: Mapping[str, Listing]) -> dict[str, Listing]:
    """Those of `listings`, by path relative to the directory `root`, that still hold.

    A path may lead there through a link by now: only who comes to it by directories alone may believe its listing.
    """
    found = {}
    # By descriptor, so that the system does not look for the whole path of every directory.
    descriptor = os.open(root, _DIRECTORY)
    try:
        for path, listing in listings.items():
            try:
                status = os.stat(path or ".", dir_fd=descriptor, follow_symlinks=False)
            except OSError:  # `suppress` would cost as much as the look
                continue
            if listing.holds(status):
                found[path] = listing
    finally:
        os.close(descriptor)
    return found


def walk(
    root: Path, vouched: Mapping[str, Entry] | None = None, listings: Mapping[str, Listing] | None = None
) -> dict[str, Entry]:
    """Everything below the directory `root` but its directories, by path relative to it. Follows no link.

    What is `vouched` for, by path, is known with its digest, and not looked at any further where that very file is
    found: its name stands for the same inode. Of a directory with one of `listings`, all of which must be `held`, not
    even the names are read.
    Raises `OSError` when `root` itself cannot be looked into.
    """
    vouched, listings = vouched or {}, listings or {}
    top = os.fspath(root)
    found: dict[str, Entry] = {}
    pending = [""]
    while pending:
        directory = pending.pop()
        prefix = f"{directory}/" if directory else ""
        try:
            if (listing := listings.get(directory)) is not None:
                found.update(listing.vouched)
                for path in listing.others:
                    found[path] = _entry(os.lstat(f"{top}/{path}"), f"{top}/{path}")
                pending += listing.below
                continue
            flags = _DIRECTORY | (os.O_NOFOLLOW if directory else 0)
            # By descriptor, so that the system does not look for the whole path of every file.
            descriptor = os.open(f"{top}/{directory}" if directory else top, flags)
            try:
                with os.scandir(descriptor) as entries:
                    for entry in entries:
                        path = prefix + entry.name
                        known = vouched.get(path)
                        if known is not None and known.inode == entry.inode():
                            found[path] = known
                        elif entry.is_dir(follow_symlinks=False):
                            pending.append(path)
                        else:
                            found[path] = _entry(entry.stat(follow_symlinks=False), entry.name, descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            if not directory:
                raise
            found[directory] = Entry(EntryKind.UNREADABLE)
    return found


def _entry(status: os.stat_result, name: str, directory: int | None = None) -> Entry:
    if stat.S_ISREG(status.st_mode):
        return Entry(EntryKind.FILE, status.st_size, "", status.st_ino if status.st_nlink > 1 else 0)
    if stat.S_ISLNK(status.st_mode):
        return Entry(EntryKind.LINK, target=os.readlink(name, dir_fd=directory))
    if stat.S_ISFIFO(status.st_mode):
        return Entry(EntryKind.PIPE)
    return Entry(EntryKind.SOCKET if stat.S_ISSOCK(status.st_mode) else EntryKind.DEVICE)


def measure_tree(entries: Iterable[Entry]) -> tuple[int, int]:
    """Bytes and number of the files among `entries`; a file with several names is counted once."""
    size = files = 0
    seen: set[int] = set()
    for entry in entries:
        if entry.inode:
            if entry.inode in seen:
                continue
            seen.add(entry.inode)
        size += len(os.fsencode(entry.target)) if entry.kind is EntryKind.LINK else entry.size
        files += 1
    return size, files


def digest_files(root: Path, tree: Mapping[str, Entry], wanted: Mapping[str, Collection[str]]) -> Digests:
    """The digests of files in `tree`, which is that of `root`, where `wanted` names the algorithms for each path.

    In several threads. One of them begins with the largest files, because nothing but hashing a lot at once does not
    hold Python's lock; meanwhile another one reads the small ones.
    """
    paths = sorted(wanted, key=lambda path: tree[path].size)
    rest = deque(paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH))
    top = os.fspath(root)

    def work(number: int) -> list[tuple[str, dict[str, str] | OSError]]:
        take = rest.popleft if number % 2 else rest.pop
        done: list[tuple[str, dict[str, str] | OSError]] = []
        buffer = memoryview(bytearray(_CHUNK))
        while True:
            try:
                batch = take()
            except IndexError:
                return done
            for path in batch:
                try:
                    done.append((path, _digest(f"{top}/{path}", wanted[path], buffer, _REGULAR | os.O_NOFOLLOW)))
                except OSError as error:
                    done.append((path, error))

    threads = min(_MOST_THREADS, os.cpu_count() or 1, len(rest))
    if threads < 2:
        return dict(work(0))
    with ThreadPoolExecutor(threads, "digesting") as pool:
        return dict(item for items in pool.map(work, range(threads)) for item in items)


def digest(path: Path, algorithms: Collection[str] = (ALGORITHM,), *, follow: bool = False) -> dict[str, str]:
    """The digests of the regular file at `path` as RECORD files have them, ``sha256=…``, by algorithm.

    Raises `OSError`, also for anything but a regular file, and for a link unless `follow`.
    """
    flags = _REGULAR if follow else _REGULAR | os.O_NOFOLLOW
    return _digest(os.fspath(path), algorithms, memoryview(bytearray(_CHUNK)), flags)


def _digest(path: str, algorithms: Collection[str], buffer: memoryview, flags: int) -> dict[str, str]:
    """As `digest`, reading through `buffer`."""
    # Only here: it loads OpenSSL, which is worth its memory only where there is much to digest.
    import hashlib

    descriptor = _open_regular(path, flags)
    try:
        # The usual one by its own name, which is found at once.
        sums = [(name, hashlib.sha256() if name == ALGORITHM else hashlib.new(name)) for name in algorithms]
        while count := os.readv(descriptor, [buffer]):
            for _, sum_ in sums:
                sum_.update(buffer[:count])
    finally:
        os.close(descriptor)
    return {name: f"{name}={_text(sum_.digest())}" for name, sum_ in sums}


def digest_of(data: bytes) -> str:
    """The digest of `data` as RECORD files have it, ``sha256=…``."""
    import hashlib

    return f"{ALGORITHM}={_text(hashlib.sha256(data).digest())}"


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The first `limit` bytes of the regular file at `path`. Raises `OSError` as `digest` does."""
    descriptor = _open_regular(os.fspath(path), _REGULAR if follow else _REGULAR | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a regular file", path)
    return descriptor

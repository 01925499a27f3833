"""What is below a directory, file by file: one look that follows no link and opens nothing but regular files.

What lies in an environment was put there by packages, and a device or a pipe that is opened for reading may wait for
ever or have effects.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = [
    "ALGORITHM",
    "ALGORITHMS",
    "Digests",
    "Entry",
    "EntryKind",
    "Vouched",
    "digest",
    "digest_files",
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
_BATCH = 128
"""Files per task: a task of its own costs more than to read a small file."""
_MOST_THREADS = 8


class EntryKind(StrEnum):
    """What a name stands for."""

    FILE = "file"
    LINK = "link"
    PIPE = "pipe"
    SOCKET = "socket"
    DEVICE = "device"
    UNREADABLE = "unreadable directory"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name that is no directory, or a directory that may not be looked into."""

    kind: EntryKind
    size: int = 0
    """Bytes; of a regular file."""
    target: str = ""
    """Where a link points to."""
    inode: int = 0
    """Which file it is, of one that has several names; 0 for one that has not."""
    digest: str = ""
    """What is in the file, as far as that is known without reading it: ``sha256=…``."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """A file that is known without a look at it, as long as its name still stands for that same file."""

    inode: int
    size: int
    digest: str
    """``sha256=…``"""


def walk(root: Path, vouched: Mapping[str, Vouched] | None = None) -> dict[str, Entry]:
    """Everything below the directory `root` but its directories, by path relative to it. Follows no link.

    What is `vouched` for, by path, is not looked at any further where that very file is found. Raises `OSError` when
    `root` itself cannot be looked into.
    """
    vouched = vouched or {}
    top = os.fspath(root)
    found: dict[str, Entry] = {}
    pending = [""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(f"{top}/{directory}" if directory else top) as entries:
                prefix = f"{directory}/" if directory else ""
                for entry in entries:
                    path = prefix + entry.name
                    known = vouched.get(path)
                    if known is not None and known.inode == entry.inode():
                        found[path] = Entry(EntryKind.FILE, known.size, "", known.inode, known.digest)
                    elif entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    else:
                        found[path] = _entry(entry)
        except OSError:
            if not directory:
                raise
            found[directory] = Entry(EntryKind.UNREADABLE)
    return found


def _entry(entry: os.DirEntry[str]) -> Entry:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        return Entry(EntryKind.FILE, status.st_size, inode=status.st_ino if status.st_nlink > 1 else 0)
    if stat.S_ISLNK(status.st_mode):
        return Entry(EntryKind.LINK, target=str(Path(entry.path).readlink()))
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


def digest_files(root: Path, wanted: Mapping[str, Collection[str]]) -> Digests:
    """The digests of files below `root`, where `wanted` names the algorithms for each path.

    In several threads, because the work is reading and hashing, and neither holds Python's lock.
    """
    paths = list(wanted)
    batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]

    def work(batch: Iterable[str]) -> list[tuple[str, dict[str, str] | OSError]]:
        return [(path, _digest(root / path, wanted[path])) for path in batch]

    with ThreadPoolExecutor(min(_MOST_THREADS, (os.cpu_count() or 1) + 1)) as pool:
        return dict(item for batch in pool.map(work, batches) for item in batch)


def _digest(path: Path, algorithms: Collection[str]) -> dict[str, str] | OSError:
    try:
        return digest(path, algorithms)
    except OSError as error:
        return error


def digest(path: Path, algorithms: Collection[str] = (ALGORITHM,), *, follow: bool = False) -> dict[str, str]:
    """The digests of the regular file at `path` as RECORD files have them, ``sha256=…``, by algorithm.

    Raises `OSError`, also for anything but a regular file, and for a link unless `follow`.
    """
    descriptor = _open_regular(path, follow=follow)
    try:
        sums = {name: hashlib.new(name) for name in algorithms}
        while block := os.read(descriptor, _CHUNK):
            for sum_ in sums.values():
                sum_.update(block)
    finally:
        os.close(descriptor)
    return {name: f"{name}={_text(sum_.digest())}" for name, sum_ in sums.items()}


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def read_regular(path: Path, limit: int, *, follow: bool = False) -> bytes:
    """The first `limit` bytes of the regular file at `path`. Raises `OSError` as `digest` does."""
    descriptor = _open_regular(path, follow=follow)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def _open_regular(path: Path, *, follow: bool) -> int:
    # Not blocking: a pipe that took the place of the file meanwhile would be waited for.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is not a regular file", str(path))
    return descriptor

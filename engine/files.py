"""Small files on disk: read with a limit, written so that a reader sees the old or the new content, never half."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import EnvdeckError, InputError, Problem, Where

__all__ = [
    "StorageError",
    "fsync_directory",
    "is_file",
    "is_temporary",
    "is_there",
    "read_json",
    "read_limited",
    "replace_content",
    "sync_filesystem",
    "write_atomic",
    "write_json",
    "write_json_once",
    "write_new",
    "write_problem",
]


class StorageError(EnvdeckError):
    """The data directory cannot be read or written."""


_HINTS = {
    errno.ENOSPC: "Free space, or inodes, on this file system: `df -h` and `df -i` say which it lacks",
    errno.EDQUOT: "The quota there is used up: free space or have it raised",
    errno.EROFS: "The file system is mounted read-only, which also happens by itself when a disk fails: see `dmesg`",
    errno.EIO: "The disk or the file server fails: see `dmesg`",
    errno.ESTALE: "The file server has another directory there by now: mount it again",
}
_PIECE = 64 * 1024
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")
"""What `tempfile.mkstemp` makes of the prefix that is used here."""
_DENIED = (errno.EACCES, errno.EPERM)


def write_problem(
    doing: str,
    path: Path,
    error: OSError,
    hint: str = "Check the space, quota and permissions of this directory",
) -> Problem:
    """The problem `storage-write`: what could not be done and where, which the system's own message may lack.

    `hint` is what to do where the error itself does not say it.
    """
    found = ""
    if error.errno in _DENIED:
        found, hint = _rights(path), "Let this account write there, or use the one that owns it"
    message = f"cannot {doing}: {error.strerror or error}"
    return Problem(
        "storage-write", message, found=found, where=Where(str(path)), hint=_HINTS.get(error.errno or 0, hint)
    )


def _rights(path: Path) -> str:
    """Who may do what in the directory of `path`, which is what counts; empty when that cannot be told."""
    for place in path.parents:
        with suppress(OSError):
            status = place.lstat()
            return f"uid {os.geteuid()}, where {place} is {stat.filemode(status.st_mode)} of uid {status.st_uid}"
    return ""


def is_there(path: Path) -> bool:
    """Whether `path` leads to something. False when that may not be looked at, where `Path.exists` raises."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Whether `path` leads to a regular file. False when that may not be looked at, where `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def read_limited(path: Path, limit: int) -> bytes:
    """The content of `path`.

    Raises `InputError` (`file-too-large`) when it holds more than `limit` bytes, `OSError` when it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        # In pieces: a buffer for all that is allowed takes longer to get than most files to read.
        pieces = [os.read(descriptor, _PIECE)]
        size = len(pieces[0])
        while pieces[-1] and size <= limit:
            pieces.append(os.read(descriptor, _PIECE))
            size += len(pieces[-1])
    finally:
        os.close(descriptor)
    data = b"".join(pieces)
    if len(data) > limit:
        raise InputError(
            Problem(
                "file-too-large",
                f"{path.name} is larger than envdeck reads",
                expected=f"at most {limit} bytes",
                where=Where(str(path)),
            )
        )
    return data


def read_json(path: Path, limit: int = 16 * 1024 * 1024) -> dict[str, object] | None:
    """The JSON object in `path`, or None when the file is not there or holds anything else.

    For envdeck's own records only: a record that does not parse is treated like one that is missing, and the caller
    decides what that means.
    """
    try:
        value = json.loads(read_limited(path, limit))
    except (OSError, ValueError, RecursionError, InputError):
        return None
    return value if isinstance(value, dict) else None


def fsync_directory(path: Path) -> None:
    """Make names created in or removed from the directory `path` survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Return once everything written to the file system of `path` is on disk: cheaper than a sync of each file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Only here: few processes make an environment.
        import ctypes

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Whether a file of that name was being written atomically: what is old was left by a process that was killed."""
    return bool(_TEMPORARY.fullmatch(name))


@contextmanager
def _written(path: Path, data: bytes, mode: int, *, lasting: bool = True) -> Iterator[Path]:
    """A file beside `path` with `data` in it, for the block to give its name to; gone afterwards.

    It is safe on disk when it is to be `lasting`. Raises `StorageError` for what fails, in the block too.
    """
    # Only here: most answers write nothing.
    import tempfile

    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            if lasting:
                os.fsync(descriptor)
        yield Path(temporary)
        if lasting:
            fsync_directory(path.parent)
    except OSError as error:
        raise StorageError(write_problem(f"write {path.name}", path, error)) from error
    finally:
        # What the disk says to this must not hide what it said before.
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108


def write_atomic(path: Path, data: bytes, mode: int = 0o644, *, lasting: bool = True) -> None:
    """Replace `path` by `data` in one step that survives a crash; on failure the old content stays, unless all that
    failed was to make the new one last.

    What is not to be `lasting` can be anything after a crash of the machine, and whoever reads it must see that: it is
    for what only saves time, which waiting for the disk would take. Raises `StorageError` (`storage-write`) with the
    path, which the operating system's own message may lack.
    """
    with _written(path, data, mode, lasting=lasting) as temporary:
        temporary.replace(path)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Make the file `path` with `data` in it, which a crash may take away again.

    For what nobody looks at before something else is there that survives one. Raises `StorageError`, also when there
    is such a file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, mode)
    except OSError as error:
        raise StorageError(write_problem(f"write {path.name}", path, error)) from error


def replace_content(path: Path, data: bytes) -> None:
    """As `write_atomic`, for somebody else's file: its mode, owner and extended attributes stay as they are.

    Raises `StorageError`, also when the owner could not be kept.
    """
    with _written(path, data, 0o600) as temporary:
        status, ours = path.stat(), temporary.stat()
        if (status.st_uid, status.st_gid) != (ours.st_uid, ours.st_gid):
            os.chown(temporary, status.st_uid, status.st_gid)
        shutil.copystat(path, temporary)
        os.utime(temporary)
        temporary.replace(path)


def write_json_once(path: Path, value: Mapping[str, object]) -> bool:
    """Write `value` as `write_json` does, unless there is a file at `path`; of several writers exactly one succeeds.

    Returns whether it was this one. Raises `StorageError`.
    """
    with _written(path, _json(value), 0o644) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            # Over NFS the answer to a request that was sent twice: a second name means that the first was granted.
            return temporary.stat().st_nlink == 2
    return True


def write_json(path: Path, value: Mapping[str, object], *, lasting: bool = True) -> None:
    """Write `value` as indented JSON, as `write_atomic` does. Raises `StorageError`."""
    write_atomic(path, _json(value), lasting=lasting)


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

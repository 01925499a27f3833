"""Small files on disk: read with a limit, written so that a reader sees the old or the new content, never half."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from engine.errors import EnvdeckError, InputError, Problem, Where

__all__ = [
    "StorageError",
    "fsync_directory",
    "is_file",
    "is_there",
    "read_json",
    "read_limited",
    "sync_filesystem",
    "write_atomic",
    "write_json",
    "write_problem",
]


class StorageError(EnvdeckError):
    """The data directory cannot be read or written."""


def write_problem(
    doing: str,
    path: Path,
    error: OSError,
    hint: str = "Check the space, quota and permissions of this directory",
) -> Problem:
    """The problem `storage-write`: what could not be done and where, which the system's own message may lack."""
    return Problem("storage-write", f"cannot {doing}: {error.strerror or error}", where=Where(str(path)), hint=hint)


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
    with path.open("rb") as file:
        data = file.read(limit + 1)
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
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step that survives a crash; on failure the old content stays.

    Raises `StorageError` (`storage-write`) with the path, which the operating system's own message may lack.
    """
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
        temporary = ""
        fsync_directory(path.parent)
    except OSError as error:
        raise StorageError(write_problem(f"write {path.name}", path, error)) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write `value` as indented JSON, atomically. Raises `StorageError`."""
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())

"""Whether the data directory has room for another environment, asked before one is built."""

from __future__ import annotations

import os
from pathlib import Path

from engine.errors import Problem, Where
from engine.files import is_there

__all__ = ["file_system", "free_bytes", "mounted_read_only", "space_problem"]

_FILES = 20_000
"""How many more files must fit: a middling environment has nine thousand, a large one 34 thousand (builds.md, A)."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def space_problem(data_dir: Path, reserve: int) -> Problem | None:
    """Why nothing should be built in `data_dir` now: fewer than `reserve` bytes are free there, or too few files fit.

    None when there is room, or it cannot be told; 0 for `reserve` asks nothing. A quota is known only where the file
    system counts it in, as XFS does for a project.
    """
    found = file_system(data_dir) if reserve else None
    if found is None:
        return None
    free = found.f_bavail * found.f_frsize
    if free < reserve:
        return Problem(
            "space-reserve",
            f"there is too little free space in {data_dir} to build an environment",
            expected=f"{_size(reserve)} (Envdeck.SpaceReserve)",
            found=_size(free),
            where=Where(str(data_dir)),
            hint="Free space there: `envdeck reap --dry-run` says what may go",
        )
    # Some file systems make room for files as they need it, and tell 0 of both.
    if found.f_files and found.f_favail < _FILES:
        return Problem(
            "space-reserve",
            f"too few files can still be made in {data_dir} to build an environment",
            expected=f"{_FILES} inodes",
            found=f"{found.f_favail}",
            where=Where(str(data_dir)),
            hint="Free inodes there: `envdeck reap --dry-run` says what may go",
        )
    return None


def free_bytes(data_dir: Path) -> int | None:
    """How many bytes are free in `data_dir`; None when that cannot be told."""
    found = file_system(data_dir)
    return found.f_bavail * found.f_frsize if found is not None else None


def mounted_read_only(data_dir: Path) -> bool:
    """Whether nobody can write in `data_dir`, whatever its mode. False when that cannot be told."""
    found = file_system(data_dir)
    return found is not None and bool(found.f_flag & os.ST_RDONLY)


def file_system(data_dir: Path) -> os.statvfs_result | None:
    """What the file system says of `data_dir`, or of where it will be; None when that cannot be told."""
    path = data_dir
    while not is_there(path) and path != path.parent:
        path = path.parent
    try:
        return os.statvfs(path)
    except OSError:
        return None


def _size(number: float) -> str:
    """``1.5 GiB``, rounded down, because what is free is no more than that."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{int(number * 10) / 10:g} {_UNITS[unit]}"

"""Which file on disk is the interpreter that a setting names. Nothing is run."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["PROBE_SCRIPT", "is_program", "resolve_executable"]

PROBE_SCRIPT = Path(__file__).with_name("probe_script.py")
"""The program that an interpreter is given; its content decides what a report means."""


def is_program(path: Path) -> bool:
    """Whether `path` leads to a regular file that this user may execute."""
    try:
        return stat.S_ISREG(path.stat().st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False


def resolve_executable(declared: str) -> Path:
    """The interpreter that `declared` names: itself, or the one in the installation directory that it is.

    A directory holds ``bin/python3``, ``bin/python`` or ``bin/python2``, looked for in this order (python-rstudio.txt,
    15.1, names directories). A directory without any is returned as it is, and `run_probe` then says so.
    """
    path = Path(declared)
    for name in ("python3", "python", "python2"):
        if is_program(candidate := path / "bin" / name):
            return candidate
    return path

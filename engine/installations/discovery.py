"""The interpreters of this machine, for when no configuration names any."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from engine.installations.programs import is_program, resolve_executable

__all__ = ["SYSTEM_ROOTS", "discover"]

SYSTEM_ROOTS = (Path("/opt/python"), Path("/opt/Python"))
"""Directories of installations, one per version: where the server's documentation puts them."""

_PROGRAM_NAME = re.compile(r"python(3(\.\d+)?)?")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def discover(environ: Mapping[str, str], system_roots: Sequence[Path] = SYSTEM_ROOTS) -> tuple[str, ...]:
    """Paths of interpreters, each once whatever links lead to it, oldest version first as far as paths tell it.

    Looked for in `system_roots`, among the versions that pyenv and uv keep, and in ``PATH``. `environ` is read for
    ``PATH``, ``HOME`` and the variables that move those tools' directories. Nothing is run. Virtual environments are
    left out, so the one that envdeck runs in is too; so are shims, which only stand for interpreters.
    """
    found: dict[Path, Path] = {}
    for path in _candidates(environ, system_roots):
        if is_program(path) and not _in_virtual_environment(path):
            found.setdefault(path.resolve(), path)
    in_order = sorted(found.items(), key=lambda item: _version_hint(item[0]))
    return tuple(str(path) for _, path in in_order)


def _candidates(environ: Mapping[str, str], system_roots: Sequence[Path]) -> Iterator[Path]:
    for root in (*system_roots, *_tool_roots(environ)):
        for installation in _children(root):
            executable = resolve_executable(str(installation))
            # Hidden ones are those that uv is still unpacking.
            if executable != installation and not installation.name.startswith("."):
                yield executable
    for entry in environ.get("PATH", "").split(os.pathsep):
        directory = Path(entry)
        # A relative entry means another directory for everyone who reads it.
        if directory.is_absolute() and directory.name != "shims":
            names = (path for path in _children(directory) if _PROGRAM_NAME.fullmatch(path.name))
            yield from sorted(names, key=lambda path: path.name != "python3")


def _tool_roots(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where pyenv and uv keep the interpreters that they install."""
    home = environ.get("HOME")
    if root := environ.get("PYENV_ROOT"):
        yield Path(root) / "versions"
    elif home:
        yield Path(home) / ".pyenv/versions"
    if root := environ.get("UV_PYTHON_INSTALL_DIR"):
        yield Path(root)
    elif data := environ.get("XDG_DATA_HOME"):
        yield Path(data) / "uv/python"
    elif home:
        yield Path(home) / ".local/share/uv/python"


def _children(directory: Path) -> Iterable[Path]:
    """What is in `directory`, by name; nothing when it cannot be read."""
    try:
        return sorted(directory.iterdir())
    except (OSError, ValueError):
        return ()


def _in_virtual_environment(executable: Path) -> bool:
    """PEP 405: ``pyvenv.cfg`` is beside the executable or one directory above it."""
    return any(os.path.lexists(directory / "pyvenv.cfg") for directory in executable.parents[:2])


def _version_hint(executable: Path) -> tuple[int, ...]:
    """The version that the last parts of the path suggest, such as ``3.11.7`` in ``…/3.11.7/bin/python3.11``."""
    text = "/".join(executable.parts[-3:])
    return max((tuple(int(n) for n in found.groups("0")) for found in _VERSION.finditer(text)), default=())

"""Which files of a project go into its bundle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from engine.bundles.reading import MANIFEST
from engine.capture.model import CapturedFile, LeftOut
from engine.errors import InputError, Problem, Where
from engine.text import clean

__all__ = ["collect", "digest"]

_COUNT_LIMIT = 100_000
_SIZE_LIMIT = 2 * 1024**3
"""Files and bytes: what the reader of bundles accepts."""

# connect.md §5.3, and the directory in which the publishing client keeps its API keys. What R's tools put beside the
# content is looked for only there: deeper down the name may be that of a package.
_LEFT_OUT = frozenset({".Rproj.user", ".git", ".svn", "__pycache__", ".rsconnect-python", "node_modules"})
_LEFT_OUT_AT_TOP = frozenset({"packrat", "renv", "rsconnect", "rsconnect-python"})


def collect(directory: Path) -> tuple[tuple[CapturedFile, ...], tuple[LeftOut, ...]]:
    """The files of the project in `directory` and what is left out of it, each in order of name.

    A symbolic link to a file of the project becomes that file. Raises `InputError`: `capture-not-a-project`,
    `capture-unsafe-link`, `capture-bad-name`, `capture-special-file`, `capture-too-large`, `capture-unreadable`.
    """
    root = Path(os.path.realpath(directory))
    if not root.is_dir():
        _refuse("capture-not-a-project", "there is no such directory", directory)
    if _is_virtual_environment(root):
        _refuse(
            "capture-not-a-project",
            "this is a virtual environment, not a project",
            directory,
            hint="Name the directory that holds the content's own files",
        )
    files: list[CapturedFile] = []
    left_out: list[LeftOut] = []
    size = 0
    try:
        for entry in _walk(root, left_out):
            size += entry.stat().st_size
            if len(files) == _COUNT_LIMIT or size > _SIZE_LIMIT:
                _refuse(
                    "capture-too-large",
                    "the project is larger than a bundle may be",
                    directory,
                    hint=f"A bundle holds at most {_COUNT_LIMIT} files and {_SIZE_LIMIT} bytes",
                )
            files.append(_file(root, entry))
    except OSError as error:
        raise InputError(
            Problem(
                "capture-unreadable",
                f"a file of the project cannot be read: {error.strerror or error}",
                where=Where(str(error.filename or directory)),
            )
        ) from error
    return tuple(sorted(files, key=lambda f: f.name)), tuple(sorted(left_out, key=lambda entry: entry.name))


def digest(path: Path) -> str:
    """The MD5 of a file in hexadecimal: the manifest's checksum, which protects from nothing but mistakes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _walk(root: Path, left_out: list[LeftOut]) -> Iterator[os.DirEntry[str]]:
    """Every entry to be captured, adding the others to `left_out`."""
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                name = path.relative_to(root).as_posix()
                if clean(name) != name:
                    _refuse("capture-bad-name", "a name in the project is no printable text", path, hint="Rename it")
                if name == MANIFEST:
                    left_out.append(LeftOut(name, "written anew"))
                elif entry.is_dir() and (entry.name in _LEFT_OUT or name in _LEFT_OUT_AT_TOP):
                    left_out.append(LeftOut(name, "never part of a bundle"))
                elif entry.is_dir() and _is_virtual_environment(path):
                    left_out.append(LeftOut(name, "a virtual environment"))
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                elif entry.is_symlink() and not _leads_to_file(path, root):
                    _refuse(
                        "capture-unsafe-link",
                        "a symbolic link does not lead to a file of the project",
                        path,
                        hint="Put the files themselves in its place, or remove it",
                    )
                elif entry.is_file():
                    yield entry
                else:
                    _refuse("capture-special-file", "this is neither a file nor a directory", path, hint="Remove it")


def _file(root: Path, entry: os.DirEntry[str]) -> CapturedFile:
    path = Path(entry.path)
    status = entry.stat()
    return CapturedFile(path.relative_to(root).as_posix(), status.st_size, digest(path), bool(status.st_mode & 0o100))


def _is_virtual_environment(directory: Path) -> bool:
    """Whether `directory` holds an interpreter, also one that is gone by now."""
    return any(os.path.lexists(directory / name) for name in ("bin/python", "Scripts/Python.exe", "pyvenv.cfg"))


def _leads_to_file(link: Path, root: Path) -> bool:
    target = Path(os.path.realpath(link))
    return target.is_relative_to(root) and target.is_file()


def _refuse(code: str, message: str, where: Path, hint: str = "") -> NoReturn:
    raise InputError(Problem(code, message, where=Where(str(where)), hint=hint))

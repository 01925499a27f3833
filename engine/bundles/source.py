"""The files of a bundle, for the builds that need them: a digest of all, and a copy."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from engine.bundles.archive import extract
from engine.bundles.model import Bundle

__all__ = ["copy_source", "source_digest"]

_NOT_SOURCE = (".git", ".svn", "__pycache__", "node_modules")


def source_digest(bundle: Bundle) -> str:
    """SHA-256 (hex) of the bundle's files with their names: a local project is what its files say."""
    digest = hashlib.sha256()
    if bundle.is_archive:
        with bundle.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    for path in _files(bundle.path):
        name = path.relative_to(bundle.path).as_posix().encode("utf-8", "surrogateescape")
        digest.update(len(name).to_bytes(4, "big") + name)
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def copy_source(bundle: Bundle, destination: Path) -> None:
    """Put the bundle's files into `destination`, which must not exist. Raises `InputError`, `OSError`."""
    if bundle.is_archive:
        extract(bundle.path, destination)
    else:
        shutil.copytree(bundle.path, destination, symlinks=True, ignore=_not_source)


def _not_source(directory: str, names: list[str]) -> set[str]:
    """Those of `names` in `directory` that are not copied: what is no source, and pipes, sockets and devices."""
    entries = {name: Path(directory, name) for name in names}
    return {
        name
        for name, path in entries.items()
        if name in _NOT_SOURCE or not (path.is_symlink() or path.is_dir() or path.is_file())
    }


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.is_symlink() or path.name in _NOT_SOURCE:
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path

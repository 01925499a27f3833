"""The files of a bundle, for the builds that need them: a digest of all, and a copy."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from engine.bundles.archive import SIZE_LIMIT, extract
from engine.bundles.directory import Entry, bundle_too_large, open_regular, walk
from engine.bundles.model import Bundle
from engine.errors import Problem, Refused, Where

__all__ = ["copy_source", "source_digest"]

_CHUNK = 1024 * 1024


def source_digest(bundle: Bundle) -> str:
    """SHA-256 (hex) of the bundle's files with their names: a local project is what its files say.

    Raises `InputError` (`bundle-too-large`) and `OSError`.
    """
    reading = _Reading(bundle.path)
    if not bundle.is_archive:
        return reading.directory(None)
    with open_regular(bundle.path) as file:
        return reading.file(file, None)


def copy_source(bundle: Bundle, destination: Path, digest: str = "") -> None:
    """Put the bundle's files into `destination`, which must not exist.

    They are new files of this process: none is set-user-id, of another age or owner, or writable by others. With
    `digest`, an earlier result of `source_digest`, no other files will do.

    Raises `Refused` (`bundle-changed`) when they are others, `InputError` (`bundle-too-large`, and for an archive what
    `extract` raises), `StorageError` and `OSError`.
    """
    reading = _Reading(bundle.path)
    if not bundle.is_archive:
        _compare(bundle, digest, reading.directory(destination))
        return
    # A copy, because the file may be changed between one look and the next.
    with open_regular(bundle.path) as file, tempfile.TemporaryFile(dir=destination.parent) as copy:
        _compare(bundle, digest, reading.file(file, copy))
        copy.seek(0)
        extract(bundle.path, destination, copy)


def _compare(bundle: Bundle, expected: str, found: str) -> None:
    if expected not in ("", found):
        raise Refused(
            Problem(
                "bundle-changed",
                "the files of the bundle changed since the build was planned, so nothing was done",
                where=Where(str(bundle.path)),
                hint="Look at the new plan and decide again",
            )
        )


class _Reading(Struct):
    """One pass over a bundle. What is counted is what was read, since a file may grow meanwhile."""

    bundle: Path
    size: int = 0

    def directory(self, destination: Path | None) -> str:
        """The digest of the bundle's directory, which is copied to `destination` if there is one."""
        digest = hashlib.sha256()
        if destination is not None:
            _make(destination)
        for entry in walk(self.bundle):
            name = entry.path.encode("utf-8", "surrogateescape")
            if content := self._entry(entry, destination and destination / entry.path):
                digest.update(len(name).to_bytes(4, "big") + name + content)
        return digest.hexdigest()

    def _entry(self, entry: Entry, copy: Path | None) -> bytes:
        """The digest of an entry, which is copied to `copy` if there is one; empty for a directory."""
        if entry.file is not None:
            with nullcontext() if copy is None else copy.open("xb") as file:
                content = self.file(entry.file, file)
                if file is not None:
                    os.fchmod(file.fileno(), 0o755 if entry.executable else 0o644)
            return bytes.fromhex(content)
        if entry.link is not None:
            if copy is not None:
                copy.symlink_to(entry.link)
            return hashlib.sha256(b"link to " + os.fsencode(entry.link)).digest()
        if copy is not None:
            _make(copy)
        return b""

    def file(self, file: BinaryIO, copy: BinaryIO | None) -> str:
        """The digest of `file`, which is copied to `copy` if there is one."""
        digest = hashlib.sha256()
        for chunk in self._chunks(file):
            digest.update(chunk)
            if copy is not None:
                copy.write(chunk)
        return digest.hexdigest()

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while chunk := file.read(_CHUNK):
            self.size += len(chunk)
            if self.size > SIZE_LIMIT:
                raise bundle_too_large(self.bundle, f"at most {SIZE_LIMIT} bytes")
            yield chunk


def _make(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)

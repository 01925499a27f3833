"""Reading a bundle as a whole: a directory or an archive in, a well-formed `Bundle` out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from engine.bundles.directory import open_beneath, open_regular
from engine.bundles.manifest import MANIFEST_LIMIT, parse_manifest
from engine.bundles.model import Bundle
from engine.bundles.requirements import SIZE_LIMIT, parse_requirements
from engine.errors import InputError, Problem, Where
from engine.text import clean

__all__ = ["MANIFEST", "read_bundle"]

MANIFEST = "manifest.json"
_SUFFIXES = (".tar.gz", ".tgz", ".tar")

# A file of the bundle by its path inside: at most so many bytes of it, or None when there is no such file.
_ReadFile = Callable[[str, int], bytes | None]


def read_bundle(path: Path) -> Bundle:
    """The bundle in the directory or archive `path`; a path to a ``manifest.json`` stands for its directory.

    Places in the bundle's lines are paths inside the bundle; places in problems say where the bundle is, too.

    Raises `InputError`: `bundle-not-found`, `bundle-unreadable`, `manifest-missing`, `package-file-missing`,
    `bundle-file-outside` (a symbolic link that leads out of the bundle), `requirement-include-missing`, and what
    `parse_manifest`, `parse_requirements` and `open_archive` raise.
    """
    path = path.absolute()
    try:
        if path.name == MANIFEST and path.is_file():
            path = path.parent
        if path.exists() and not path.is_file() and not path.is_dir():  # opening a pipe would wait for a writer
            raise OSError("it is neither a file nor a directory")
        if path.is_dir():
            return _read(path, path.name, _directory(path), f"{path}/", is_archive=False)
        # Only here: tarfile and what it needs are much to load.
        from engine.bundles.archive import open_archive

        with open_regular(path) as file, open_archive(path, file) as archive:
            return _read(path, _stem(path.name), archive.read, f"{path}!", is_archive=True)
    except FileNotFoundError:
        raise InputError(
            Problem(
                "bundle-not-found",
                "there is no bundle here",
                expected="a directory with a manifest.json, or a tar.gz of one",
                where=Where(str(path)),
            )
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(
            Problem("bundle-unreadable", f"the bundle cannot be read: {reason or error}", where=Where(str(path)))
        ) from error


def _read(path: Path, name: str, read: _ReadFile, prefix: str, *, is_archive: bool) -> Bundle:
    def include(file: str, where: Where) -> bytes:
        content = read(file, SIZE_LIMIT + 1)
        if content is None:
            raise InputError(
                Problem(
                    "requirement-include-missing",
                    "the included file is not in the bundle",
                    found=file,
                    where=where,
                    hint="Add it to the bundle and to the manifest's files",
                )
            )
        return content

    with _located(prefix):
        text = read(MANIFEST, MANIFEST_LIMIT + 1)
        if text is None:
            raise InputError(
                Problem(
                    "manifest-missing",
                    "the bundle has no manifest.json",
                    where=Where(MANIFEST),
                    hint="Write one with: rsconnect write-manifest",
                )
            )
        manifest = parse_manifest(text, MANIFEST)
        file = manifest.package_file
        requirements = read(file, SIZE_LIMIT + 1) if file else b""
        if requirements is None:
            raise InputError(
                Problem(
                    "package-file-missing",
                    "the bundle does not contain the requirements file that its manifest names",
                    where=Where(file),
                    hint="Create it, for example with: python -m pip freeze; or correct package_file in manifest.json",
                )
            )
        lines = parse_requirements(requirements, file, include)
    return Bundle(path, clean(name) or str(path), is_archive, manifest, lines, manifest.title)


def _directory(path: Path) -> _ReadFile:
    def read(name: str, limit: int) -> bytes | None:
        with open_beneath(path, name) as file:
            return file.read(limit) if file else None

    return read


@contextmanager
def _located(prefix: str) -> Iterator[None]:
    """Let problems inside a bundle say where the bundle is; problems of the whole archive say it already."""
    try:
        yield
    except InputError as error:
        where = error.problem.where
        if where is None or Path(where.file).is_absolute():
            raise
        raise InputError(replace(error.problem, where=replace(where, file=prefix + where.file))) from None


def _stem(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name

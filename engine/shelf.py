"""The bundles on offer: those that were opened, those in the configured directories, or the shipped samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from engine.bundles.model import Bundle
from engine.bundles.reading import read_bundle
from engine.bundles.samples import samples
from engine.errors import InputError, Problem
from engine.files import is_file

__all__ = ["BundleShelf", "ShelfItem"]

_ARCHIVES = (".tar.gz", ".tgz")


class ShelfItem(Struct, frozen=True):
    """A bundle that was read, or the problem that kept it from being read."""

    path: Path
    name: str
    is_sample: bool
    bundle: Bundle | None
    problem: Problem | None


class BundleShelf:
    """Reads bundles, each again only when its files changed."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(directories)
        self._opened: list[Path] = []
        self._read: dict[Path, tuple[object, ShelfItem]] = {}

    def open(self, reference: str) -> Bundle:
        """The bundle at the path `reference`, or the shipped sample of that name; it stays on the shelf.

        Raises `InputError`.
        """
        path = Path(reference).expanduser()
        if not path.exists() and "/" not in reference:
            by_name = {sample.name: sample for sample in samples()}
            if reference not in by_name:
                raise InputError(
                    Problem(
                        "bundle-not-found",
                        f"there is no bundle {reference}",
                        expected="a directory, a .tar.gz archive, or the name of a sample",
                        hint="The samples are " + ", ".join(by_name),
                    )
                )
            path = by_name[reference]
        path = path.absolute()
        bundle = read_bundle(path)
        if path not in self._opened:
            self._opened.insert(0, path)
        return bundle

    def items(self) -> tuple[ShelfItem, ...]:
        """Opened bundles first; the samples only where nothing else is configured."""
        shipped = samples()
        offered = self._opened + [p for directory in self.directories for p in _bundles_in(directory)]
        if not self.directories:
            offered += shipped
        items = tuple(self._item(path, path in shipped) for path in dict.fromkeys(offered))
        self._read = {item.path: self._read[item.path] for item in items}
        return items

    def _item(self, path: Path, is_sample: bool) -> ShelfItem:
        signature = _signature(path)
        known = self._read.get(path)
        if known is None or known[0] != signature:
            known = (signature, _read_item(path, is_sample))
            self._read[path] = known
        return known[1]


def _read_item(path: Path, is_sample: bool) -> ShelfItem:
    try:
        bundle = read_bundle(path)
    except InputError as error:
        return ShelfItem(path, path.name, is_sample, None, error.problem)
    return ShelfItem(path, bundle.name, is_sample, bundle, None)


def _bundles_in(directory: Path) -> list[Path]:
    try:
        children = sorted(directory.iterdir())
    except OSError:
        return []
    return [c for c in children if c.name.endswith(_ARCHIVES) or is_file(c / "manifest.json")]


def _signature(path: Path) -> object:
    """What changes when the bundle's archive, manifest or any file beside the manifest is written."""
    try:
        if not path.is_dir():
            status = path.stat()
            return (status.st_mtime_ns, status.st_size, status.st_ino)
        parts = []
        for child in sorted(path.iterdir()):
            status = child.stat(follow_symlinks=False)
            parts.append((child.name, status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(parts)
    except OSError as error:
        return error.errno

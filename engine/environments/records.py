"""What the metadata in an environment says: its distributions, and the files that each RECORD vouches for.

RECORD is described by PEP 376 and the specification "Recording installed projects": rows of path, hash and size, the
path relative to the directory that the metadata is in. All of it is written by packages, so none of it is trusted.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from packaging.utils import canonicalize_name

from engine.environments.tree import ALGORITHMS, Entry, EntryKind, read_regular
from engine.text import decode

__all__ = [
    "Claims",
    "Distribution",
    "Row",
    "Supplied",
    "distributions_in",
    "parse_record",
    "read_claims",
    "read_distribution",
    "rows_beside",
]

_RECORD_LIMIT = 64 * 1024 * 1024
_METADATA_LIMIT = 64 * 1024
"""Enough for the fields that matter, which come first; a description of any length follows them."""
_NAME = re.compile(r"(?P<name>[^-]+)-(?P<version>.+)\.(?:dist|egg)-info")
_SITE = ("site-packages", "dist-packages")
_DEEPEST_SITE = 4
_HASHES = tuple(f"{algorithm}=" for algorithm in sorted(ALGORITHMS))


class Distribution(Struct, frozen=True):
    """One installed distribution, by its own metadata. Text as it was found."""

    name: str
    version: str
    """Empty for one that is only linked to, whose metadata is elsewhere."""
    directory: str
    """Of its metadata, relative to the environment."""

    @property
    def key(self) -> str:
        """The name as it is compared (PEP 503)."""
        return canonicalize_name(self.name)


class Row(NamedTuple):
    """One row of a RECORD. A tuple for the same reason as `engine.environments.tree.Entry`."""

    path: str
    """Relative to the environment; beginning with ``..`` when it leads out of it."""
    digest: str = ""
    """``sha256=…``; empty when the row has none, or one by an algorithm that proves nothing."""
    size: int | None = None

    @property
    def outside(self) -> bool:
        return self.path == ".." or self.path.startswith("../")


class Supplied(Struct, frozen=True):
    """A distribution that envdeck itself has put into an environment: what its RECORD says is known without parsing it.

    As long as the RECORD has that digest, and all of `files` are there.
    """

    distribution: Distribution
    record: str
    """The digest of its RECORD."""
    files: Mapping[str, Entry]
    """Its files that are vouched for, by path."""
    unhashed: frozenset[str]
    """Those of them that the RECORD has no hash of; of the others it has the right one."""
    rows: tuple[Row, ...]
    """What the RECORD says of anything else."""


class Claims(Struct, frozen=True):
    """What all RECORDs of an environment say together."""

    hashed: Mapping[str, tuple[tuple[str, Row], ...]]
    """Path to the rows that say what is in that file, each with its package. Two packages may own one file."""
    owners: Mapping[str, str]
    """Path to the package that names it, with a hash or without."""
    outside: tuple[tuple[str, str], ...]
    """Package and path of every row that leads out of the environment."""
    broken: Mapping[str, str]
    """Path of every RECORD that cannot be read to the reason."""

    def vouch(self, path: str, digests: Mapping[str, str], size: int) -> bool:
        """Whether any RECORD says that the file at `path` is what it is."""
        for _, row in self.hashed.get(path, ()):  # noqa: SIM110 - a generator for each file costs more than the loop
            if row.digest in digests.values() and row.size in (None, size):
                return True
        return False


def _is_site(directory: str) -> bool:
    """Whether packages are installed in `directory`. Vendored copies bring metadata along too, but deeper down."""
    return directory.rpartition("/")[2] in _SITE and directory.count("/") < _DEEPEST_SITE


def distributions_in(
    root: Path, tree: Mapping[str, Entry], supplied: Mapping[str, Supplied] | None = None
) -> tuple[Distribution, ...]:
    """The distributions in the environment `root` whose files are `tree`, by the directory of their metadata.

    What is `supplied`, by that directory, is not read.
    """
    supplied = supplied or {}
    infos: dict[str, str] = {}
    for directory in {path.rpartition("/")[0] for path in tree}:
        parent, _, name = directory.rpartition("/")
        if name.endswith((".dist-info", ".egg-info")) and _is_site(parent):
            there = (path for file in ("METADATA", "PKG-INFO") if (path := f"{directory}/{file}") in tree)
            infos[directory] = next(there, "")
    for path in tree:
        # A distribution of distutils is one file; a legacy editable one is a link to where its source is.
        if path.endswith((".egg-info", ".egg-link")) and _is_site(path.rpartition("/")[0]):
            infos[path] = path
    return tuple(
        supplied[directory].distribution
        if directory in supplied
        else _distribution(root, directory, infos[directory], tree)
        for directory in sorted(infos)
    )


def _distribution(root: Path, directory: str, metadata: str, tree: Mapping[str, Entry]) -> Distribution:
    name = directory.rpartition("/")[2]
    if name.endswith(".egg-link"):
        return Distribution(name.removesuffix(".egg-link"), "", directory)
    readable = metadata in tree and tree[metadata].kind is EntryKind.FILE
    return read_distribution(root / metadata if readable else None, name, directory)


def read_distribution(metadata: Path | None, name: str, directory: str, *, follow: bool = False) -> Distribution:
    """The distribution whose fields are in the file `metadata`; else what `name`, that of their directory, says."""
    fields: dict[str, str] = {}
    if metadata is not None:
        with suppress(OSError):
            fields = _fields(decode(read_regular(metadata, _METADATA_LIMIT, follow=follow)))
    found = _NAME.fullmatch(name)
    return Distribution(
        fields.get("name") or (found["name"] if found else name.rpartition(".")[0]),
        fields.get("version") or (found["version"] if found else ""),
        directory,
    )


def _fields(text: str) -> dict[str, str]:
    """``Name`` and ``Version`` of a METADATA file, which is a mail header with a body."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and name.lower() in ("name", "version"):
            fields.setdefault(name.lower(), value.strip())
    return fields


def read_claims(
    root: Path,
    distributions: Iterable[Distribution],
    tree: Mapping[str, Entry],
    supplied: Mapping[str, Supplied] | None = None,
) -> Claims:
    """What the RECORDs of `distributions` in the environment `root` say. One without a RECORD claims nothing.

    Of what is `supplied`, by directory, nothing is read, and its `rows` are all that is claimed.
    """
    supplied = supplied or {}
    hashed: dict[str, tuple[tuple[str, Row], ...]] = {}
    owners: dict[str, str] = {}
    outside: list[tuple[str, str]] = []
    broken: dict[str, str] = {}
    for distribution in distributions:
        record = f"{distribution.directory}/RECORD"
        if record not in tree:
            continue
        rows: Iterable[Row]
        try:
            if distribution.directory in supplied:
                rows = supplied[distribution.directory].rows
            else:
                rows = list(parse_record(read_regular(root / record, _RECORD_LIMIT + 1), root, distribution.directory))
        except (OSError, ValueError) as error:
            broken[record] = str(error)
            continue
        for row in rows:
            if row.outside:
                outside.append((distribution.name, row.path))
                continue
            owners.setdefault(row.path, distribution.name)
            if row.digest:
                hashed[row.path] = (*hashed.get(row.path, ()), (distribution.name, row))
    return Claims(hashed, owners, tuple(outside), broken)


def parse_record(data: bytes, root: Path, directory: str) -> Iterator[Row]:
    """The rows of the RECORD in the metadata directory `directory` of the environment `root`.

    Raises `ValueError` when it cannot be read as one.
    """
    if len(data) > _RECORD_LIMIT:
        raise ValueError("it is larger than any RECORD")
    base = posixpath.dirname(directory)
    # As the file system has its names: what is not UTF-8 comes through.
    text = io.StringIO(data.decode("utf-8", "surrogateescape"), newline="")
    try:
        for fields in csv.reader(text, strict=True):
            if fields and fields[0]:
                yield _row(fields, root, base)
    except csv.Error as error:
        raise ValueError(str(error)) from None


def rows_beside(text: str, root: Path, base: str, files: Container[str]) -> tuple[frozenset[str], list[Row]]:
    """Which of `files` the RECORD whose rows are `text` has no hash of, and its rows that have one of anything else.

    `base` is the directory in the environment `root` that its metadata is in.
    """
    unhashed: set[str] = set()
    rows: list[Row] = []
    for fields in csv.reader(io.StringIO(text, newline="")):
        path = f"{base}/{fields[0]}"
        if path in files:  # nearly all, and then nothing has to be made of the row
            digest = fields[1].startswith(_HASHES)
        else:
            row = _row(fields, root, base)
            path, digest = row.path, bool(row.digest)
            if digest and path not in files:
                rows.append(row)
        if not digest and path in files:
            unhashed.add(path)
    return frozenset(unhashed), rows


def _row(fields: list[str], root: Path, base: str) -> Row:
    path = fields[0]
    # In its shortest form, as nearly all are.
    if path[0] not in "./" and path[-1] != "/" and "/." not in path and "//" not in path:
        path = f"{base}/{path}" if base else path
    elif path.startswith("/"):
        path = posixpath.relpath(posixpath.normpath(path), str(root))
    else:
        path = posixpath.normpath(posixpath.join(base, path))
    digest = fields[1].rstrip("=") if len(fields) > 1 and fields[1].startswith(_HASHES) else ""
    size = fields[2] if len(fields) > 2 else ""
    return Row(path, digest, int(size) if len(size) < 16 and size.isdigit() and size.isascii() else None)

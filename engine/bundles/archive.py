"""Bundle archives (``.tar.gz``, ``.tgz``, ``.tar``): every member is judged before the first one is used.

The stream is measured while it is unpacked, so that an archive made to fill memory or disk is refused before it does.
Beyond what Python's own ``data`` filter refuses (PEP 706), names and sizes are limited, and absolute or doubtful
names are refused rather than rewritten: a bundle with such a member was not made by a publishing client. `tarfile`
only reads the headers. What was judged is put on disk here, in an order in which nothing is written through a link.
"""

from __future__ import annotations

import gzip
import io
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, NoReturn

from engine.errors import InputError, Problem, Where
from engine.files import StorageError, write_problem
from engine.members import (
    BAD_CHARACTER,
    DEPTH_LIMIT,
    ENTRY_LIMIT,
    PATH_LENGTH,
    RATIO_COUNTS_FROM,
    RATIO_LIMIT,
    name_fault,
)

__all__ = ["DEPTH_LIMIT", "ENTRY_LIMIT", "SIZE_LIMIT", "Archive", "extract", "open_archive"]

SIZE_LIMIT = 2 * 1024**3
"""Bytes of all files together."""

# Bytes: one extended header, and all that belong to one member.
_HEADER_LIMIT = 64 * 1024
_HEADERS_LIMIT = 256 * 1024
_GLOBAL_LIMIT = 100
# Seconds for judging an archive and for reading files of it; the largest one that is allowed takes some ten of them.
_TIME_LIMIT = 60.0
_CHUNK = 64 * 1024
_LINK_HOPS = 20

_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_FORMATS = ((b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"(\xb5/\xfd", "zstd"))
# Longer than any name, and nothing else in a header has so many: before CVE-2024-6232 was mended, `tarfile` took a time
# over them that grows with the square of their number.
_DIGITS = re.compile(rb"[0-9]{256}")
# What `tarfile` and those below it raise over bytes that make no sense.
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, LookupError, RecursionError, ValueError)


class _Metered(io.RawIOBase):
    """The unpacked stream, refusing to go further than the limits allow before it unpacks anything.

    Offers what `tarfile` needs of a file to find the headers in it. `compressed` is the size in bytes of a gzip
    archive, 0 for a plain tar.
    """

    def __init__(self, stream: gzip.GzipFile | BinaryIO, path: Path, compressed: int) -> None:
        super().__init__()
        self._stream = stream
        self._path = path
        self._compressed = compressed
        self._headers_left = _HEADERS_LIMIT
        self.deadline = time.monotonic() + _TIME_LIMIT

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < 0:
            raise tarfile.ReadError("a member has an impossible size")
        self.allow(offset)
        return self._stream.seek(offset)

    def expect_member(self) -> None:
        """Let the headers of one more member be read."""
        self._headers_left = _HEADERS_LIMIT

    def read(self, size: int = -1) -> bytes:
        """A part of a header."""
        self._headers_left -= size
        if not 0 <= size <= _HEADER_LIMIT or self._headers_left < 0:
            raise tarfile.ReadError("a header has an impossible size")
        data = self.read_data(size)
        if _DIGITS.search(data):
            raise tarfile.ReadError("a header has an impossible number")
        return data

    def read_data(self, size: int) -> bytes:
        """Up to `size` bytes of whatever comes next."""
        self.allow(self._stream.tell())
        return self._stream.read(size)

    def allow(self, offset: int) -> None:
        """Raise `InputError` when the stream may not be unpacked as far as `offset`."""
        if time.monotonic() > self.deadline:
            _refuse("archive-too-slow", "the archive takes too long to read", self._path, f"at most {_TIME_LIMIT:g} s")
        if offset > SIZE_LIMIT:
            _refuse("archive-too-large", "the archive is too large unpacked", self._path, f"at most {SIZE_LIMIT} bytes")
        if self._compressed and offset > max(RATIO_COUNTS_FROM, self._compressed * RATIO_LIMIT):
            _refuse(
                "archive-too-compressed",
                "the archive unpacks to many times its size",
                self._path,
                f"at most {RATIO_LIMIT} times",
            )


class Archive:
    """An opened archive that was found safe. Names are relative to the bundle's root, wherever that is in it."""

    def __init__(
        self, path: Path, stream: _Metered, members: Mapping[str, tarfile.TarInfo], parents: Collection[str]
    ) -> None:
        self._path = path
        self._stream = stream
        self._members = members
        self._parents = parents
        self._root = _root(members, parents)

    def read(self, name: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the file `name`; None when the archive has no such file.

        Raises `InputError` (`archive-damaged`).
        """
        name = posixpath.join(self._root, posixpath.normpath(name))
        for _ in range(_LINK_HOPS):
            member = self._members.get(name)
            if member is None or not (member.issym() or member.islnk()):
                break
            name = _target(name, member)
        if member is None or not member.isfile():
            return None
        with _damage_reported(self._path):
            return b"".join(self._data(member, limit))

    def extract(self, destination: Path) -> None:
        """Put the bundle's files into `destination`, which is empty or missing: all of them, or on failure none.

        They are new files of this process: owners and times are not restored, no file is set-user-id or writable by
        others. Raises `InputError` (`archive-damaged`) and `StorageError` (`storage-write`), the latter also when the
        file system takes two names for one, such as those that differ by case alone.
        """
        self._stream.deadline = float("inf")  # from here on the disk sets the pace
        try:
            if destination.exists() and any(destination.iterdir()):
                raise FileExistsError("it is not empty")
            scratch = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
            try:
                with _damage_reported(self._path):
                    self._unpack(scratch / "all")
                (scratch / "all" / self._root).replace(destination)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise StorageError(write_problem("unpack the bundle", destination, error)) from error

    def _unpack(self, place: Path) -> None:
        """Make `place` and everything in it: directories, files, then links, each where nothing is yet."""
        directories = {name for name, member in self._members.items() if member.isdir()}.union(self._parents)
        for name in ("", *sorted(directories)):
            (place / name).mkdir()
            (place / name).chmod(0o755)
        rest = {name: member for name, member in self._members.items() if name not in directories}
        for name, member in rest.items():
            if member.isreg():
                with (place / name).open("xb") as file:
                    for chunk in self._data(member, member.size):
                        file.write(chunk)
                    os.fchmod(file.fileno(), 0o755 if member.mode & 0o100 else 0o644)
        for name, member in rest.items():
            if member.islnk():
                (place / name).hardlink_to(place / _target(name, member))
        for name, member in rest.items():
            if member.issym():
                (place / name).symlink_to(member.linkname)

    def _data(self, member: tarfile.TarInfo, limit: int) -> Iterator[bytes]:
        """The first `limit` bytes of a file, in pieces."""
        left = min(member.size, limit)
        self._stream.seek(member.offset_data)
        while left:
            chunk = self._stream.read_data(min(left, _CHUNK))
            if not chunk:
                raise EOFError("it ends within a file")
            yield chunk
            left -= len(chunk)


@contextmanager
def open_archive(path: Path, content: BinaryIO | None = None) -> Iterator[Archive]:
    """Open the archive at `path` and judge all of it. With `content`, that is the archive, and `path` only its name.

    Raises `OSError` when the file cannot be read, and `InputError`: `archive-unknown-format`, `archive-damaged`,
    `archive-too-large`, `archive-too-slow`, `archive-too-compressed`, `archive-too-many-entries`, `archive-bad-name`,
    `archive-absolute-name`, `archive-path-traversal`, `archive-unsafe-link`, `archive-special-file`,
    `archive-duplicate-name`.
    """
    with path.open("rb") if content is None else nullcontext(content) as file:
        head = file.read(tarfile.BLOCKSIZE)
        size = file.seek(0, os.SEEK_END)
        if size > SIZE_LIMIT:
            _refuse("archive-too-large", "the archive is too large", path, f"at most {SIZE_LIMIT} bytes", f"{size}")
        file.seek(0)
        compressed = head.startswith(_GZIP_MAGIC)
        if not compressed and not _is_tar(head):
            found = next((name for magic, name in _OTHER_FORMATS if head.startswith(magic)), "" if head else "nothing")
            _refuse("archive-unknown-format", "the file is not a bundle archive", path, "tar or tar.gz", found)
        with gzip.GzipFile(fileobj=file, mode="rb") if compressed else nullcontext(file) as stream:
            metered = _Metered(stream, path, size if compressed else 0)
            with _damage_reported(path):
                tar = tarfile.open(fileobj=metered, mode="r:")  # noqa: SIM115 (closing it would close nothing of ours)
                members, parents = _members(tar, metered, path)
                _drain(tar, metered)
            _check_tree(members, parents, path)
            yield Archive(path, metered, members, parents)


def extract(path: Path, destination: Path, content: BinaryIO | None = None) -> None:
    """Unpack an archive, found as `open_archive` does, as `Archive.extract` does. Raises what both raise."""
    with open_archive(path, content) as archive:
        archive.extract(destination)


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise InputError(
            Problem(
                "archive-damaged",
                f"the archive is damaged: {error}",
                where=Where(str(path)),
                hint="It may have been cut short on its way here: copy or create it again",
            )
        ) from None


def _members(tar: tarfile.TarFile, stream: _Metered, path: Path) -> tuple[dict[str, tarfile.TarInfo], dict[str, str]]:
    """Every member by its normalised name, each judged before its data is unpacked.

    The second part is every directory that a name lies in, whether it is a member or not, with such a name.
    """
    members: dict[str, tarfile.TarInfo] = {}
    parents: dict[str, str] = {}
    count = 0
    while (member := _next(tar, stream)) is not None:
        count += 1
        name = _checked_name(member.name, path)
        where = Where(f"{path}!{name}")
        # Extended headers can be large, and all that is needed of them is in the member's own fields by now.
        member.pax_headers = {}
        if member.size < 0:
            raise tarfile.ReadError("a member has a negative size")
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()) or member.issparse():
            _refuse("archive-special-file", "the archive contains something else than files and links", where)
        if member.issym() or member.islnk():
            _check_link(name, member, where)
        if name == ".":
            if not member.isdir():
                _refuse("archive-bad-name", "the root of the archive is not a directory", where)
            continue
        previous = members.get(name)
        if previous is not None and not (previous.isdir() and member.isdir()):
            _refuse("archive-duplicate-name", "the archive contains this name twice", where)
        members[name] = member
        parent = posixpath.dirname(name)
        while parent and parent not in parents:
            parents[parent] = name
            parent = posixpath.dirname(parent)
        if max(count, len(parents)) > ENTRY_LIMIT:
            _refuse("archive-too-many-entries", "the archive has too many entries", path, f"at most {ENTRY_LIMIT}")
    return members, parents


def _next(tar: tarfile.TarFile, stream: _Metered) -> tarfile.TarInfo | None:
    stream.expect_member()
    member = tar.next()
    # Each extended header starts from a copy of them.
    if len(tar.pax_headers) > _GLOBAL_LIMIT:
        raise tarfile.ReadError("its headers for all members are too many")
    return member


def _checked_name(name: str, path: Path) -> str:
    if fault := name_fault(name):
        where = Where(f"{path}!{name[:PATH_LENGTH]}")
        _refuse(f"archive-{fault.code}", f"a name in the archive {fault.what}", where, fault.expected)
    return posixpath.normpath(name)


def _check_link(name: str, member: tarfile.TarInfo, where: Where) -> None:
    """Refuse a link that can lead out of the archive.

    A ``..`` after a name is refused as well: that name may be a link, and then the path does not end where it seems.
    """
    parts = [part for part in member.linkname.split("/") if part not in ("", ".")]
    ups = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    target = _target(name, member)
    if (
        not member.linkname
        or BAD_CHARACTER.search(member.linkname)
        or len(member.linkname.encode()) > PATH_LENGTH
        or posixpath.isabs(member.linkname)
        or ".." in parts[ups:]
        or target.split("/")[0] == ".."
    ):
        _refuse("archive-unsafe-link", "a link leads out of the archive", where, found=member.linkname)


def _check_tree(members: Mapping[str, tarfile.TarInfo], parents: Mapping[str, str], path: Path) -> None:
    """Refuse names below a link or a file, and hard links to anything but a file of the archive."""
    for parent, name in parents.items():
        if parent in members and not members[parent].isdir():
            _refuse(
                "archive-unsafe-link",
                "a name in the archive lies below a link or a file",
                Where(f"{path}!{name}"),
                found=parent,
            )
    for name, member in members.items():
        if member.islnk():
            target = members.get(_target(name, member))
            if target is None or not target.isreg():
                _refuse(
                    "archive-unsafe-link",
                    "a hard link does not name a file of the archive",
                    Where(f"{path}!{name}"),
                    found=member.linkname,
                )


def _target(name: str, member: tarfile.TarInfo) -> str:
    """What a link names, from the archive's root: symbolic links count from their directory, hard links do not."""
    start = posixpath.dirname(name) if member.issym() else ""
    return posixpath.normpath(posixpath.join(start, member.linkname))


def _drain(tar: tarfile.TarFile, stream: _Metered) -> None:
    """Read on to the end, so that gzip's checksum is verified. Raises when the end was none.

    `tarfile` takes a header it cannot read for the end of the archive.
    """
    stream.seek(tar.offset)
    if stream.read_data(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError("a header is unreadable")
    while stream.read_data(_CHUNK):
        pass


def _root(members: Mapping[str, tarfile.TarInfo], parents: Collection[str]) -> str:
    """The directory that is the bundle: while there is exactly one entry and it is a directory, that one.

    The server un-nests archives in this way (connect.md §5.3).
    """
    root: str | None = None
    for name, member in members.items():
        if name in parents:
            continue
        place = name if member.isdir() else posixpath.dirname(name)
        root = place if root is None else root
        while root and place != root and not place.startswith(f"{root}/"):
            root = posixpath.dirname(root)
    return root or ""


def _refuse(code: str, message: str, where: Path | Where, expected: str = "", found: str = "") -> NoReturn:
    place = where if isinstance(where, Where) else Where(str(where))
    raise InputError(Problem(code, message, expected, found, place))

"""Bundle archives (``.tar.gz``, ``.tgz``, ``.tar``): every member is judged before the first one is used.

The stream is measured while it is unpacked, so that an archive made to fill memory or disk is refused before it does.
Beyond what Python's own ``data`` filter refuses (PEP 706), names and sizes are limited, and absolute or doubtful
names are refused rather than rewritten: a bundle with such a member was not made by a publishing client.
"""

from __future__ import annotations

import copy
import gzip
import io
import os
import posixpath
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn

from engine.errors import InputError, Problem, Where
from engine.files import StorageError, write_problem

__all__ = ["Archive", "extract", "open_archive"]

_ENTRY_LIMIT = 100_000
_SIZE_LIMIT = 2 * 1024**3
_RATIO_LIMIT = 1000
_RATIO_COUNTS_FROM = 50 * 1024**2
_NAME_LENGTH = 1024
_NAME_DEPTH = 100
# While headers are read nothing larger than an extended header is asked for at once.
_HEADER_LIMIT = 64 * 1024
_CHUNK = 64 * 1024
_LINK_HOPS = 20

_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_FORMATS = ((b"PK\x03\x04", "zip"), (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"(\xb5/\xfd", "zstd"))
# Control characters, line separators, and bytes that are not UTF-8.
_BAD_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RecursionError, ValueError)

# Python's own second line of defence (PEP 706); releases before 3.11.4 do not have it.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


class _Metered(io.RawIOBase):
    """The unpacked stream, refusing to go further than the limits allow before it unpacks anything.

    Offers what `tarfile` needs of a file. `compressed` is the size in bytes of a gzip archive, 0 for a plain tar.
    """

    def __init__(self, stream: gzip.GzipFile | BinaryIO, path: Path, compressed: int) -> None:
        super().__init__()
        self._stream = stream
        self._path = path
        self._compressed = compressed

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

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT:
            raise tarfile.ReadError("a header has an impossible size")
        self.allow(self._stream.tell())
        return self._stream.read(size)

    def allow(self, offset: int) -> None:
        """Raise `InputError` when the stream may not be unpacked as far as `offset`."""
        if offset > _SIZE_LIMIT:
            _refuse(
                "archive-too-large", "the archive is too large unpacked", self._path, f"at most {_SIZE_LIMIT} bytes"
            )
        if self._compressed and offset > max(_RATIO_COUNTS_FROM, self._compressed * _RATIO_LIMIT):
            _refuse(
                "archive-too-compressed",
                "the archive unpacks to many times its size",
                self._path,
                f"at most {_RATIO_LIMIT} times",
            )


class Archive:
    """An opened archive that was found safe. Names are relative to the bundle's root, wherever that is in it."""

    def __init__(self, path: Path, stream: _Metered, tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo]) -> None:
        self._path = path
        self._stream = stream
        self._tar = tar
        self._members = members
        self._root = _root(members)

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
        size = min(member.size, limit)
        with _damage_reported(self._path):
            self._stream.seek(member.offset_data)
            chunks: list[bytes] = []
            while size and (chunk := self._stream.read(min(size, _CHUNK))):
                chunks.append(chunk)
                size -= len(chunk)
            return b"".join(chunks)

    def extract(self, destination: Path) -> None:
        """Put the bundle's files into `destination`, which is empty or missing: all of them, or on failure none.

        Owners are not restored, and no file is set-user-id or writable by others. Raises `InputError`
        (`archive-damaged`) and `StorageError` (`storage-write`).
        """
        try:
            if destination.exists() and any(destination.iterdir()):
                raise FileExistsError("it is not empty")
            scratch = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}."))
            try:
                with _damage_reported(self._path):
                    members = [_harmless(member) for member in self._members.values()]
                    self._tar.extractall(scratch / "all", members, **_FILTER)  # noqa: S202  (each was judged)
                root = scratch / "all" / self._root
                root.mkdir(parents=True, exist_ok=True)
                root.replace(destination)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise StorageError(write_problem("unpack the bundle", destination, error)) from error


def _harmless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """`member` as it may be put on disk: ours, not set-user-id, readable by us, writable by nobody else."""
    plain = copy.copy(member)
    plain.uid, plain.gid, plain.uname, plain.gname = os.getuid(), os.getgid(), "", ""
    plain.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return plain


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open `path` and judge all of it.

    Raises `OSError` when the file cannot be read, and `InputError`: `archive-unknown-format`, `archive-damaged`,
    `archive-too-large`, `archive-too-compressed`, `archive-too-many-entries`, `archive-bad-name`,
    `archive-absolute-name`, `archive-path-traversal`, `archive-unsafe-link`, `archive-special-file`,
    `archive-duplicate-name`.
    """
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        compressed = head.startswith(_GZIP_MAGIC)
        if not compressed and not _is_tar(head):
            found = next((name for magic, name in _OTHER_FORMATS if head.startswith(magic)), "" if head else "nothing")
            _refuse("archive-unknown-format", "the file is not a bundle archive", path, "tar or tar.gz", found)
        with gzip.GzipFile(fileobj=file, mode="rb") if compressed else file as stream:
            metered = _Metered(stream, path, size if compressed else 0)
            with _damage_reported(path):
                tar = tarfile.open(fileobj=metered, mode="r:")  # noqa: SIM115 (closing it would close nothing of ours)
                members = _members(tar, path)
                _drain(tar, metered)
            _check_tree(members, path)
            yield Archive(path, metered, tar, members)


def extract(path: Path, destination: Path) -> None:
    """Unpack the archive at `path` as `Archive.extract` does. Raises what it and `open_archive` raise."""
    with open_archive(path) as archive:
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


def _members(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    """Every member by its normalised name, each judged before its data is unpacked."""
    members: dict[str, tarfile.TarInfo] = {}
    count = 0
    while (member := tar.next()) is not None:
        count += 1
        if count > _ENTRY_LIMIT:
            _refuse("archive-too-many-entries", "the archive has too many entries", path, f"at most {_ENTRY_LIMIT}")
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
    return members


def _checked_name(name: str, path: Path) -> str:
    where = Where(f"{path}!{name[:_NAME_LENGTH]}")
    if _BAD_NAME.search(name) or not name:
        _refuse("archive-bad-name", "a name in the archive is no printable text", where)
    if len(name) > _NAME_LENGTH:
        _refuse("archive-bad-name", "a name in the archive is too long", where, f"at most {_NAME_LENGTH} characters")
    if name.count("/") > _NAME_DEPTH:
        _refuse("archive-bad-name", "a name in the archive is too deep", where, f"at most {_NAME_DEPTH} directories")
    if posixpath.isabs(name):
        _refuse("archive-absolute-name", "a name in the archive is absolute", where, "a relative path")
    if ".." in PurePosixPath(name).parts:
        _refuse("archive-path-traversal", "a name in the archive leads out of it", where, "a path without ..")
    return posixpath.normpath(name)


def _check_link(name: str, member: tarfile.TarInfo, where: Where) -> None:
    """Refuse a link that can lead out of the archive.

    A ``..`` after a name is refused as well: that name may be a link, and then the path does not end where it seems.
    """
    parts = PurePosixPath(member.linkname).parts
    ups = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    target = _target(name, member)
    if (
        not member.linkname
        or _BAD_NAME.search(member.linkname)
        or posixpath.isabs(member.linkname)
        or ".." in parts[ups:]
        or target.split("/")[0] == ".."
    ):
        _refuse("archive-unsafe-link", "a link leads out of the archive", where, found=member.linkname)


def _check_tree(members: dict[str, tarfile.TarInfo], path: Path) -> None:
    """Refuse names below a link or a file, and hard links to anything but a file of the archive."""
    for name, member in members.items():
        parent = posixpath.dirname(name)
        while parent:
            if parent in members and not members[parent].isdir():
                _refuse(
                    "archive-unsafe-link",
                    "a name in the archive lies below a link or a file",
                    Where(f"{path}!{name}"),
                    found=parent,
                )
            parent = posixpath.dirname(parent)
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
    block = stream.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise tarfile.ReadError("a header is unreadable")
    while stream.read(_CHUNK):
        pass


def _root(members: dict[str, tarfile.TarInfo]) -> str:
    """The directory that is the bundle: while there is exactly one entry and it is a directory, that one.

    The server un-nests archives in this way (connect.md §5.3).
    """
    children: dict[str, set[str]] = {}
    directories = {name for name, member in members.items() if member.isdir()}
    for name in members:
        while name:
            parent = posixpath.dirname(name)
            children.setdefault(parent, set()).add(name)
            directories.add(parent)
            name = parent
    root = ""
    while len(entries := children.get(root, set())) == 1 and entries <= directories:
        (root,) = entries
    return root


def _refuse(code: str, message: str, where: Path | Where, expected: str = "", found: str = "") -> NoReturn:
    place = where if isinstance(where, Where) else Where(str(where))
    raise InputError(Problem(code, message, expected, found, place))

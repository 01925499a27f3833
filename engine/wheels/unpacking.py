"""Unpacking one wheel: every member is judged before the first is written, and all of them are what RECORD says.

A wheel is a zip file that comes from an index, so nothing about it is trusted but its digest. What is doubtful is
refused, not rewritten: it costs only that pip installs this one as ever. Names, types and sizes follow the rules for
bundles (`engine.bundles.archive`), and stricter ones where a file system could take two names for one.
"""

from __future__ import annotations

import csv
import email.parser
import errno
import hashlib
import io
import os
import posixpath
import re
import stat
import struct
import zipfile
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.members import ENTRY_LIMIT, RATIO_COUNTS_FROM, RATIO_LIMIT, name_fault
from engine.wheels.layout import Layout, Place, Unfit, check_target, commands_of, is_shadowed
from engine.wheels.model import Pin

__all__ = ["File", "Unpacked", "unpack"]

SIZE_LIMIT = 16 * 1024**3
"""Bytes of all files together: the largest wheels there are hold several GB of machine learning."""
_TEXT_LIMIT = 64 * 1024**2
"""Bytes of a metadata file."""
_CHUNK = 256 * 1024
_TIME = 946684800
"""When every file was made, 2000-01-01: bytecode names the time of its source, so files that two wheels share would
differ if they were unpacked in different seconds."""
_ALGORITHMS = ("sha256", "sha384", "sha512")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"[A-Za-z]:")
_UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")
"""What RECORD cannot have a hash of, or need not."""
_INSTALLERS = ("INSTALLER", "REQUESTED", "direct_url.json")
"""What an installer writes into the metadata directory."""
_PYTHON_LINE = b"#!python"
# What a file system says of a name that it cannot have, or takes for another one.
_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
# What `zipfile` and those below it raise over bytes that make no sense.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    ValueError,
)


class File(Struct, frozen=True):
    """One file of an unpacked wheel."""

    place: Place
    digest: str
    """SHA-256 in the spelling of RECORD, without the name of the algorithm."""
    size: int
    executable: bool
    rewritten: bool
    """Whether its first line is to name the Python of an environment."""


class Unpacked(Struct, frozen=True):
    """A wheel on disk."""

    name: str
    version: str
    info: str
    """Its metadata directory."""
    layout: Layout
    files: tuple[File, ...]
    commands: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[str, str, str], ...]
    """Those of its RECORD that an installed one takes over: path as an environment's RECORD has it, hash, size."""


class _Row(Struct, frozen=True):
    algorithm: str
    digest: str
    hash: str
    size: str


def unpack(wheel: Path, pin: Pin, tag: str, place: Path) -> Unpacked:
    """Unpack the file `wheel`, which must be one of `pin`, into the new directory `place`.

    `tag` is the `bytecode_tag` of the interpreters that it is for. Every file is new, of this process, and writable by
    nobody. Raises `Unfit` for what is wrong with the wheel, `OSError`.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _unpack(archive, wheel.stat().st_size, pin, tag, place)
    except _DAMAGE as error:
        raise Unfit("damaged", f"it is damaged: {error}") from None
    except OSError as error:
        if error.errno not in _NAMES:
            raise
        raise Unfit("bad-name", f"the file system does not take a name in it: {error}") from None


def _unpack(archive: zipfile.ZipFile, packed: int, pin: Pin, tag: str, place: Path) -> Unpacked:
    members = _judge(archive.infolist(), packed)
    info = _info(members)
    if any(f"{info}/{name}" in members for name in _INSTALLERS):
        raise Unfit("layout", "it brings metadata that an installer writes")
    name, version = _identity(archive, members, info, pin)
    layout = Layout(tag, name, info)
    commands: tuple[tuple[str, str, str], ...] = ()
    if f"{info}/entry_points.txt" in members:
        commands = commands_of(_text(archive, members[f"{info}/entry_points.txt"]), layout.python)
    record = _record(archive, members, info)
    # An environment has a RECORD of its own.
    del members[f"{info}/RECORD"]
    places = {member: layout.place(member) for member in members}
    for member in [m for m, p in places.items() if p.script and is_shadowed(m, (command[0] for command in commands))]:
        del places[member]
    _check_targets(places, commands)
    files = {member: _write(archive, members[member], target, place, record) for member, target in places.items()}
    rows = tuple(
        (layout.recorded(places[member].target) if member in places else member, row.hash, row.size)
        for member, row in record.items()
        if not (member in files and files[member].rewritten) and member != f"{info}/RECORD"
    )
    return Unpacked(name, version, info, layout, tuple(files.values()), commands, rows)


# Before anything is written


def _judge(infos: Sequence[zipfile.ZipInfo], packed: int) -> dict[str, zipfile.ZipInfo]:
    """The files of a wheel by name. Raises `Unfit` for whatever could lead astray."""
    if len(infos) > ENTRY_LIMIT:
        raise Unfit("too-many-entries", f"it has more than {ENTRY_LIMIT} entries")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = _checked_name(info)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
            raise Unfit("special-file", f"{name} is something else than a file")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _COMPRESSIONS:
            raise Unfit("unknown-format", f"{name} is encrypted, or compressed in an unusual way")
        if info.is_dir():
            continue
        if name in members:
            raise Unfit("duplicate-name", f"{name} is there twice")
        members[name] = info
    size = sum(info.file_size for info in members.values())
    if size > SIZE_LIMIT:
        raise Unfit("too-large", f"it is larger unpacked than {SIZE_LIMIT} bytes")
    if size > max(RATIO_COUNTS_FROM, packed * RATIO_LIMIT):
        raise Unfit("too-compressed", f"it unpacks to more than {RATIO_LIMIT} times its size")
    return members


def _checked_name(info: zipfile.ZipInfo) -> str:
    # Not `filename`, which ends at a NUL.
    name = info.orig_filename
    path = name.removesuffix("/")
    if fault := name_fault(path):
        raise Unfit(fault.code, f"the name {name} {fault.what}")
    if "\\" in name or _DRIVE.match(name) or path == "." or posixpath.normpath(path) != path:
        raise Unfit("bad-name", f"the name {name} is no plain path")
    return path


def _info(members: Mapping[str, zipfile.ZipInfo]) -> str:
    found = {top for top, slash, _ in (name.partition("/") for name in members) if slash and top.endswith(".dist-info")}
    if len(found) != 1:
        raise Unfit("layout", "it has not exactly one metadata directory")
    info = found.pop()
    for name in ("METADATA", "WHEEL", "RECORD"):
        if f"{info}/{name}" not in members:
            raise Unfit("layout", f"it has no {name}")
    return info


def _identity(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], info: str, pin: Pin) -> tuple[str, str]:
    """Name and version as its metadata spells them. Raises `Unfit` when that is not `pin`."""
    metadata = email.parser.HeaderParser().parsestr(_text(archive, members[f"{info}/METADATA"]))
    name, version = str(metadata.get("Name") or "").strip(), str(metadata.get("Version") or "").strip()
    for one, other in ((name, version), _split(info)):
        try:
            same = canonicalize_name(one) == pin.name and Version(other) == Version(pin.version)
        except InvalidVersion:
            same = False
        if not same:
            raise Unfit("other-package", f"it is {one} {other}, not {pin.name} {pin.version}")
    if fault := name_fault(name):
        raise Unfit(fault.code, f"the name {name} {fault.what}")
    wheel = email.parser.HeaderParser().parsestr(_text(archive, members[f"{info}/WHEEL"]))
    if str(wheel.get("Wheel-Version") or "").strip().partition(".")[0] != "1":
        raise Unfit("unknown-format", "its format is not version 1 of wheels")
    return name, version


def _split(info: str) -> tuple[str, str]:
    name, _, version = info.removesuffix(".dist-info").rpartition("-")
    return name, version


def _text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> str:
    if info.file_size > _TEXT_LIMIT:
        raise Unfit("too-large", f"{info.filename} is larger than {_TEXT_LIMIT} bytes")
    return archive.read(info).decode("utf-8")


def _record(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], info: str) -> dict[str, _Row]:
    """The rows of RECORD, one for every member and no other. Raises `Unfit`."""
    rows: dict[str, _Row] = {}
    unhashed = {f"{info}/{name}" for name in _UNHASHED}
    try:
        table = list(csv.reader(io.StringIO(_text(archive, members[f"{info}/RECORD"]), newline=""), strict=True))
    except csv.Error as error:
        raise Unfit("record", f"its RECORD cannot be read: {error}") from None
    for fields in table:
        if not fields:
            continue
        path, hash_, size = (*fields, "", "")[:3]
        algorithm, _, digest = hash_.partition("=")
        if path not in members or path in rows or len(fields) > 3:
            raise Unfit("record", f"its RECORD has a row too many: {path}")
        if path not in unhashed and algorithm not in _ALGORITHMS:
            raise Unfit("record", f"its RECORD has no hash of {path} that proves anything")
        if size and not (size.isascii() and size.isdigit() and int(size) == members[path].file_size):
            raise Unfit("record", f"its RECORD has another size of {path}")
        rows[path] = _Row(algorithm, digest.rstrip("="), hash_, size)
    rows.setdefault(f"{info}/RECORD", _Row("", "", "", ""))
    if missing := sorted(members.keys() - rows.keys()):
        raise Unfit("record", f"its RECORD lacks {missing[0]}")
    return rows


def _check_targets(places: Mapping[str, Place], commands: Sequence[tuple[str, str, str]]) -> None:
    """Refuse what would meet in an environment: two files of one path, or a file where another has a directory.

    Also when only the case differs, which some file systems take for the same.
    """
    seen: set[str] = set()
    above: set[str] = set()
    for target in (*(place.target for place in places.values()), *(f"bin/{command[0]}" for command in commands)):
        folded = target.casefold()
        if folded in seen:
            raise Unfit("duplicate-name", f"{target} is there twice")
        seen.add(folded)
        while (folded := posixpath.dirname(folded)) and folded not in above:
            above.add(folded)
    if clash := seen & above:
        raise Unfit("duplicate-name", f"{min(clash)} is both a file and a directory")
    for place in places.values():
        if not place.source.startswith("site/"):
            check_target(place.target)


# On disk


def _write(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Place, place: Path, record: Mapping[str, _Row]
) -> File:
    """Write one member where it belongs below `place`. Raises `Unfit` when it is not what RECORD says, `OSError`."""
    row = record[info.orig_filename]
    path = place / target.source
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256, size, head = hashlib.sha256(), 0, b""
    other = hashlib.new(row.algorithm) if row.algorithm not in ("", "sha256") else sha256
    executable = bool((info.external_attr >> 16) & 0o111) and stat.S_ISREG(info.external_attr >> 16)
    with path.open("xb") as file:
        for chunk in _chunks(archive, info):
            head = head or chunk[: len(_PYTHON_LINE)]
            sha256.update(chunk)
            if other is not sha256:
                other.update(chunk)
            size += len(chunk)
            file.write(chunk)
        os.fchmod(file.fileno(), 0o555 if executable else 0o444)
    os.utime(path, (_TIME, _TIME))
    if size != info.file_size or (row.algorithm and _spelled(other.digest()) != row.digest):
        raise Unfit("record", f"{info.filename} is not what its RECORD says")
    return File(target, _spelled(sha256.digest()), size, executable, target.script and head == _PYTHON_LINE)


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _spelled(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

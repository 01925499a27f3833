"""The records of a stored wheel, as they are made and as they are read.

``entry.json`` is what linking needs and is read every time, so everything that is known beforehand is worked out here:
directories in the order in which they are made, and the text of RECORD but for the rows of files that each environment
has of its own. ``digests.json`` is for who wants to know what is in the files without reading them, and ``sealed.json``
is what the seal of an environment has to say of them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from engine.environments.records import rows_beside
from engine.environments.tree import ALGORITHM, digest
from engine.wheels.layout import Unfit
from engine.wheels.model import Directory, Entry, Script

if TYPE_CHECKING:
    from engine.wheels.unpacking import Unpacked

__all__ = ["ENTRY", "modules_of", "read_digests", "read_entry", "read_sealed", "row_of", "seal"]

ENTRY = "entry.json"
_DIGESTS = "digests.json"
_SEALED = "sealed.json"


def modules_of(unpacked: Unpacked) -> list[tuple[str, str]]:
    """What pip would compile: the path of each module in the entry, and the name of it that its bytecode is to have."""
    site = unpacked.layout.site + "/"
    return [
        (f.place.source, f.place.target.removeprefix(site)) for f in unpacked.files if f.place.target.endswith(".py")
    ]


def seal(unpacked: Unpacked, place: Path, bytecode: Mapping[str, str | None]) -> Entry:
    """Complete the entry that is being made in `place`: its records, and permissions that let nobody change it.

    `bytecode` is what `compile_modules` says of `modules_of` it. Raises `Unfit`, `OSError`.
    """
    linked: dict[str, tuple[str, str, int]] = {}
    scripts: list[Script] = []
    compiled: list[str] = []
    for file in unpacked.files:
        name = bytecode.get(file.place.source) or ""
        target = posixpath.join(posixpath.dirname(file.place.target), "__pycache__", posixpath.basename(name))
        if name:
            compiled.append(target)
            (place / name).chmod(0o444)
        if file.rewritten:
            scripts.append(
                Script(posixpath.relpath(file.place.source, "scripts"), file.executable, posixpath.basename(name))
            )
            continue
        linked[file.place.target] = (file.place.source, file.digest, file.size)
        if name:
            path = place / name
            linked[target] = (name, digest(path)[ALGORITHM].partition("=")[2], path.stat().st_size)
    shipped = {file.place.target for file in unpacked.files}
    if twice := shipped.intersection(compiled):
        raise Unfit("duplicate-name", f"{min(twice)} is bytecode of a module beside it")
    directories = _directories(linked)
    entry = Entry(
        unpacked.name,
        unpacked.version,
        f"{unpacked.layout.site}/{unpacked.info}",
        directories,
        unpacked.commands,
        tuple(scripts),
        _record(unpacked, compiled),
        len(linked),
        sum(size for _, _, size in linked.values()),
    )
    ordered = [linked[posixpath.join(d.target, name)] for d in directories for name in d.names]
    digests = {"digests": [digest for _, digest, _ in ordered], "sizes": [size for _, _, size in ordered]}
    records = {_DIGESTS: _in_ascii(digests), ENTRY: msgspec.json.encode(entry)}
    unhashed, others = rows_beside("".join(text for _, text in entry.record), place, unpacked.layout.site, linked)
    if not others:
        records[_SEALED] = _in_ascii({path: f"{ALGORITHM}={linked[path][1]}" for path in sorted(unhashed)})
    for name, record in records.items():
        (place / name).write_bytes(record)
        (place / name).chmod(0o444)
    for directory, _, _ in os.walk(place):
        Path(directory).chmod(0o755)
    return entry


def _in_ascii(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii")


def read_entry(path: Path) -> Entry | None:
    """The entry in the directory `path`; None when there is none, or it is none that this envdeck reads."""
    try:
        return msgspec.json.decode((path / ENTRY).read_bytes(), type=Entry)
    except (OSError, ValueError):  # a `msgspec.MsgspecError` is one
        return None


def read_digests(path: Path, entry: Entry) -> Iterable[tuple[Directory, str, str, int]]:
    """Directory, name, SHA-256 in the spelling of RECORD and size of every linked file of `entry`, which is in `path`.

    Raises `OSError`, `ValueError`.
    """
    record = json.loads((path / _DIGESTS).read_bytes())
    names = [(directory, name) for directory in entry.directories for name in directory.names]
    try:
        digests, sizes = list(record["digests"]), list(record["sizes"])
    except (KeyError, TypeError) as error:
        raise ValueError("it is no record of digests") from error
    for (directory, name), found, size in zip(names, digests, sizes, strict=True):
        yield directory, name, found, size


def read_sealed(path: Path) -> str:
    """Of the linked files of the entry in `path` those that its RECORD has no hash of, each with its digest.

    As the members of a JSON object. Raises `ValueError`, and `OSError`, also when the RECORD has hashes of other files
    too.
    """
    text = (path / _SEALED).read_text("ascii")
    # It becomes a part of the seal as it stands, in which half of it would spoil all the rest.
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(digest, str) for digest in found.values()):
        raise ValueError("it is no object of digests")
    return text.strip()[1:-1]


def row_of(path: str, digest: str, size: int) -> str:
    """The row of RECORD for a file at `path`."""
    return _rows([(path, digest, str(size))])


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _directories(linked: Mapping[str, tuple[str, str, int]]) -> tuple[Directory, ...]:
    """Every directory that is needed, those above first. One may be filled from several in the entry."""
    names: dict[tuple[str, str], list[str]] = {}
    for target, (source, _, _) in linked.items():
        names.setdefault((posixpath.dirname(target), posixpath.dirname(source)), []).append(posixpath.basename(target))
    there = {target for target, _ in names}
    for target in list(there):
        while (target := posixpath.dirname(target)) and target not in there:
            there.add(target)
            names[target, ""] = []
    return tuple(Directory(source, target, tuple(sorted(found))) for (target, source), found in sorted(names.items()))


def _record(unpacked: Unpacked, compiled: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """RECORD in the order in which pip sorts its rows, in pieces (`Entry.record`)."""
    layout = unpacked.layout
    rows: list[tuple[str, ...]] = [*unpacked.rows]
    rows += [(layout.recorded(path), "", "") for path in compiled]
    rows.append((f"{unpacked.info}/RECORD", "", ""))
    rows += [(f"{unpacked.info}/{name}",) for name in ("INSTALLER", "REQUESTED")]
    rows += [(layout.recorded(f"bin/{command}"),) for command, _, _ in unpacked.commands]
    rows += [(layout.recorded(file.place.target),) for file in unpacked.files if file.rewritten]
    pieces: list[tuple[str, list[tuple[str, ...]]]] = [("", [])]
    for row in sorted(rows):
        if len(row) == 1:
            pieces.append((row[0], []))
        else:
            pieces[-1][1].append(row)
    return tuple((name, _rows(found)) for name, found in pieces)

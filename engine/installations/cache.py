"""What interpreters said of themselves the last time, on disk, for as long as nothing it depends on has changed.

Running an interpreter costs tens of milliseconds, a look at the files it depends on almost nothing. Only facts are
kept: a failure may be over the next moment, and only another run tells.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct
from msgspec.structs import astuple

from engine.files import read_json, write_json
from engine.installations.facts import facts_to_json, parse_facts
from engine.installations.model import InterpreterFacts
from engine.installations.programs import PROBE_SCRIPT, is_program

__all__ = ["FileIdentity", "Records", "identify", "load", "make_record", "recall", "save"]

Records = Mapping[str, object]
"""What the cache holds: the path of an executable to its record, which only this module looks into."""


class FileIdentity(Struct, frozen=True):
    """What tells one executable from any other, and from itself after a change."""

    real_path: str
    device: int
    inode: int
    ctime_ns: int
    size: int


def identify(executable: Path) -> FileIdentity | None:
    """The identity of the file behind `executable`, None when it is none that this user may run."""
    if not is_program(executable):
        return None
    with suppress(OSError):
        real_path = executable.resolve()
        status = real_path.stat()
        return FileIdentity(str(real_path), status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
    return None


def load(path: Path) -> Records:
    """The records in the file `path`; none when it is missing, damaged or made under other circumstances."""
    content = read_json(path) or {}
    probes = content.get("probes")
    return probes if content.get("made_by") == _circumstances() and isinstance(probes, dict) else {}


def save(path: Path, records: Records) -> None:
    """Replace the content of the file `path`, whose directory exists. Raises `StorageError`."""
    write_json(path, {"made_by": _circumstances(), "probes": records}, lasting=False)


def make_record(identity: FileIdentity, facts: InterpreterFacts) -> dict[str, object] | None:
    """The record of `facts` that the executable with `identity` gave.

    None for a program that starts another interpreter (a shim): which one can change without a change to its file.
    """
    if facts.real_executable != identity.real_path:
        return None
    return {
        "file": list(astuple(identity)),
        "directories": {directory: _changed_at(directory) for directory in _directories(facts)},
        "facts": facts_to_json(facts),
    }


def recall(record: object, identity: FileIdentity) -> InterpreterFacts | None:
    """The facts in `record`, None when it is not one or not valid any more for the executable with `identity`."""
    if not isinstance(record, dict) or record.get("file") != list(astuple(identity)):
        return None
    facts = parse_facts(record.get("facts"))
    if not isinstance(facts, InterpreterFacts):
        return None
    changes = {directory: _changed_at(directory) for directory in _directories(facts)}
    return facts if record.get("directories") == changes else None


def _directories(facts: InterpreterFacts) -> set[str]:
    """Where a change can change the facts though the executable stays: pip upgraded, ensurepip or a marker added."""
    return {facts.purelib, *facts.sys_path}


def _changed_at(directory: str) -> int | None:
    try:
        return Path(directory).stat().st_mtime_ns
    except OSError:
        return None


@cache
def _circumstances() -> dict[str, object]:
    """What all records depend on: the questions that were asked, and the system that the interpreters run on."""
    system = os.uname()
    return {
        "script": zlib.crc32(PROBE_SCRIPT.read_bytes()),
        "kernel": f"{system.release} {system.machine}",
        "libc": os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None,
    }

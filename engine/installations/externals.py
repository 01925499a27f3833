"""External packages: what an installation has of them, and whether that is enough.

"You can indicate that a system-wide installation of a package should be used instead of one fetched by pip"
(package-management-posit.txt, "External package installation"). An environment is to see the external packages and
what they depend on, and nothing else of the installation; so it has to be known which files are theirs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from msgspec import Struct
from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.installations.model import Check, CheckStatus, InterpreterFacts, ProbeFailure
from engine.installations.probe import _Ended, _failed_exit, _run, _unfit_file
from engine.text import clean, one_line

__all__ = [
    "Command",
    "ExternalPackage",
    "external_checks",
    "externals_identity",
    "probe_externals",
]

_SCRIPT = Path(__file__).with_name("externals_script.py")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_LONGEST_TEXT = 4096
_LONGEST_VERSION = 64


class Command(Struct, frozen=True, order=True):
    """A command that comes with a package: its file name, and the function behind it."""

    name: str
    module: str
    function: str
    """May be dotted: an attribute of an attribute."""


class ExternalPackage(Struct, frozen=True):
    """A package of an installation, external itself or needed by one that is."""

    name: NormalizedName
    version: Version
    location: str
    """The directory on the interpreter's path that it is in."""
    entries: tuple[str, ...]
    """Paths below `location`, relative: files, and directories of which everything belongs to this package."""
    requires: tuple[NormalizedName, ...] = ()
    """What it depends on directly, markers of this interpreter applied, extras apart."""
    commands: tuple[Command, ...] = ()


def probe_externals(
    executable: Path, names: Iterable[str], timeout: float
) -> Mapping[NormalizedName, ExternalPackage] | ProbeFailure:
    """Which of `names` the installation of the interpreter `executable` has, and all that these depend on there.

    One run of the interpreter, of at most `timeout` seconds; without names there is none. A package that is not
    installed is not in the result, nor is one whose version no requirement can name (PEP 440).
    """
    wanted = sorted({canonicalize_name(name.strip()) for name in names if name.strip()})
    if not wanted:
        return {}
    if failure := _unfit_file(executable):
        return failure
    deadline = time.monotonic() + timeout
    start, end = os.urandom(16).hex(), os.urandom(16).hex()
    command = [str(_SCRIPT), start, end, *wanted]
    ended = _run([str(executable), "-I", "-B", *command], deadline)
    if isinstance(ended, _Ended) and ended.status and "nknown option" in ended.stderr:  # Python 2
        ended = _run([str(executable), "-E", "-s", "-B", *command], deadline)
    if isinstance(ended, ProbeFailure):
        return ended
    if ended.status:
        return _failed_exit(ended)
    _, opened, rest = ended.stdout.partition(start[::-1])
    report, closed, _ = rest.partition(end[::-1])
    if not opened or not closed:
        return ProbeFailure("no-report", one_line(ended.stdout, 80))
    try:
        found, environment = _read(json.loads(report))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ProbeFailure("garbage", "the report on external packages makes no sense")
    return _closure(found, wanted, environment)


def externals_identity(facts: InterpreterFacts, names: Iterable[str]) -> Hashable:
    """A value that changes when the result of `probe_externals` may: as long as it is equal, ask no interpreter.

    Installing, upgrading or removing a package adds or removes its metadata, and so touches a directory of the path.
    """
    times = []
    for directory in sorted({facts.purelib, *facts.sys_path}):
        with suppress(OSError):
            times.append((directory, Path(directory).stat().st_mtime_ns))
    return facts.real_executable or facts.executable, tuple(times), frozenset(map(canonicalize_name, names))


def external_checks(
    installed: Mapping[NormalizedName, ExternalPackage] | ProbeFailure,
    wanted: Iterable[str],
    *,
    fatal: bool,
    executable: str,
) -> tuple[Check, ...]:
    """Whether the installation has every external package: a check with code `external` or `external-missing` each.

    `wanted` are the values of ``Python.External``, compared as PEP 503 tells, `installed` the result of
    `probe_externals` on `executable`. A missing one makes the installation unusable if `fatal`, the value of
    ``Python.ExternalsCheckIsFatal``. When the interpreter did not answer there is one check, `externals-unknown`.
    """
    names = list(dict.fromkeys(canonicalize_name(name.strip()) for name in wanted if name.strip()))
    bad = CheckStatus.FAILED if fatal else CheckStatus.WARNING
    if isinstance(installed, ProbeFailure):
        detail = installed.detail or installed.code
        finding = f"cannot tell which external packages are installed: {detail}"
        check = Check("externals-unknown", bad, clean(finding), "Run the interpreter by hand and see what it says")
        return (check,) if names else ()
    checks = []
    for name in names:
        if package := installed.get(name):
            finding = f"the external package {name} is installed: {package.version}"
            checks.append(Check("external", CheckStatus.OK, clean(finding)))
        else:
            remedy = f"{shlex.quote(executable)} -m pip install {name}, or remove it from Python.External"
            if fatal:
                remedy += ", or set Python.ExternalsCheckIsFatal = false"
            checks.append(
                Check("external-missing", bad, clean(f"the external package {name} is not installed"), clean(remedy))
            )
    return tuple(checks)


class _Found(Struct, frozen=True):
    """A package as the interpreter reports it: what it requires is not yet evaluated."""

    version: Version
    location: str
    entries: tuple[str, ...]
    requires: tuple[Requirement, ...]
    commands: tuple[Command, ...]


def _read(report: dict[str, dict[str, dict[str, object]]]) -> tuple[dict[NormalizedName, _Found], dict[str, str]]:
    """The packages and the marker environment of a report, in which nothing is taken for granted.

    Raises one of the errors that come of values of wrong types.
    """
    found = {}
    for name, fields in report["packages"].items():
        version, location = fields["version"], _text(fields["location"])
        if not location.startswith("/") or "\0" in location:
            raise ValueError(location)
        # The length first: Python refuses to read numbers of thousands of digits.
        if isinstance(version, str) and len(version) <= _LONGEST_VERSION:
            with suppress(InvalidVersion):
                found[canonicalize_name(name)] = _Found(
                    Version(version),
                    location,
                    tuple(entry for entry in _texts(fields["entries"]) if _is_below(entry)),
                    tuple(r for text in _texts(fields["requires"]) if (r := _requirement(text))),
                    _commands(fields["commands"]),
                )
    return found, {name: _text(value) for name, value in report["environment"].items()}


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise TypeError(value)
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(value)
    return [_text(item) for item in value]


def _is_below(entry: str) -> bool:
    """Whether the path is relative and leads down: it names a place in a directory of ours."""
    path = PurePosixPath(entry)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in entry


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError):
        # Metadata of old packages can hold anything, and pip passes over it too.
        return None


def _commands(value: object) -> tuple[Command, ...]:
    """The commands that can be written as files of these names."""
    commands = []
    for pair in value if isinstance(value, list) else ():
        name, target = _texts(pair)
        module, _, function = (part.strip() for part in target.partition(":"))
        if _FILE_NAME.fullmatch(name) and _MODULE.fullmatch(module) and _MODULE.fullmatch(function):
            commands.append(Command(name, module, function))
    return tuple(commands)


def _closure(
    found: Mapping[NormalizedName, _Found], names: Iterable[NormalizedName], environment: Mapping[str, str]
) -> dict[NormalizedName, ExternalPackage]:
    """The packages among `found` that `names` are or need, by name."""
    pending = [(name, "") for name in names]
    reached: set[tuple[NormalizedName, str]] = set()
    while pending:
        name, extra = pending.pop()
        if name not in found or (name, extra) in reached:
            continue
        reached.add((name, extra))
        for requirement in found[name].requires:
            if _applies(requirement, extra, environment):
                required = canonicalize_name(requirement.name)
                pending.extend((required, wanted) for wanted in ("", *requirement.extras))
    return {
        name: ExternalPackage(
            name,
            package.version,
            package.location,
            package.entries,
            tuple(sorted({canonicalize_name(r.name) for r in package.requires if _applies(r, "", environment)})),
            package.commands,
        )
        for name, package in sorted(found.items())
        if (name, "") in reached
    }


def _applies(requirement: Requirement, extra: str, environment: Mapping[str, str]) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate({**environment, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        return False

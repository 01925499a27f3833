"""What the wheel store may put into an environment before pip looks at it, and whether a lock may be replayed. Pure.

pip takes an installed package for satisfied by its name and version alone: it compares no hash, asks no index and
heeds none of the options that decide which file it would have fetched (builds.md, A.4 and C, T7). So a wheel may be
put there only where pip would have installed that same file: for a line that pins a version, has nothing else to
say, and, where hashes count, allows the hash of the wheel. pip runs afterwards and has the last word on all the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from msgspec import Struct, field
from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.bundles.model import LineKind, RequirementLine
from engine.bundles.requirements import origin, parse_requirements
from engine.errors import InputError, Problem, Where
from engine.packages.lint import examine

__all__ = ["OLDEST_PIP", "Seedable", "SeedablePin", "seedable"]

OLDEST_PIP = (22, 3)
"""The first pip that installs into another environment than its own (``--python``); an older one is installed into
each environment, which then is not what the store would make."""

_HARMLESS_OPTIONS = frozenset(
    {"--all-releases", "--no-binary", "--only-binary", "--only-final", "--pre", "--prefer-binary", "--require-hashes"}
)
"""Options of a requirements file that do not change which wheel an exact pin gets, or are heeded here."""

_HARMLESS_SETTINGS = frozenset(
    {
        "all-releases",
        "break-system-packages",
        "cache-dir",
        "cert",
        "client-cert",
        "constraint",
        "debug",
        "disable-pip-version-check",
        "exists-action",
        "extra-index-url",
        "find-links",
        "index-url",
        "keyring-provider",
        "log",
        "no-binary",
        "no-build-isolation",
        "no-cache-dir",
        "no-clean",
        "no-color",
        "no-index",
        "no-input",
        "no-warn-conflicts",
        "no-warn-script-location",
        "only-binary",
        "only-final",
        "pre",
        "prefer-binary",
        "progress-bar",
        "proxy",
        "quiet",
        "require-hashes",
        "require-virtualenv",
        "resume-retries",
        "retries",
        "root-user-action",
        "timeout",
        "trusted-host",
        "use-pep517",
        "verbose",
    }
)
"""Options of pip's configuration of which the same is true, those included that the store tells apart."""

_OFF = ("", "0", "false", "no", "off")


class SeedablePin(Struct, frozen=True):
    """A package of which a wheel of the store will do."""

    name: NormalizedName
    version: str
    hashes: frozenset[str] = frozenset()
    """The SHA-256 digests that are allowed, in hexadecimal; empty when any is."""

    def allows(self, sha256: str) -> bool:
        return not self.hashes or sha256 in self.hashes


class Seedable(Struct, frozen=True):
    """What the wheel store may do for one list of requirements."""

    pins: tuple[SeedablePin, ...] = ()
    """What may be put there, by name."""
    requested: frozenset[NormalizedName] = frozenset()
    """The packages that the lines ask for by name, whatever the version: pip marks them as requested."""
    left: Mapping[NormalizedName, str] = field(default_factory=dict)
    """Packages that a line asks for and that are left to pip, each with the reason."""
    unusable: str = ""
    """Why the store may not be used at all; empty when it may."""
    mutable: str = ""
    """Why a lock of these lines may not be replayed: the first line that can mean something else tomorrow."""


def seedable(
    requirements: str,
    constraints: str = "",
    *,
    settings: Mapping[str, str],
    interpreter: Mapping[str, object],
    externals: Collection[str] = (),
) -> Seedable:
    """What the store may do where pip is given these files.

    `requirements` and `constraints` are their texts, `settings` every option that pip's configuration sets,
    `interpreter` the result of `interpreter_identity`, `externals` the names of the packages that the environment sees
    of the installation.
    """
    try:
        lines, limits = _read(requirements, "requirements.txt"), _read(constraints, "constraints.txt")
    except InputError as error:
        return Seedable(unusable=error.problem.message)
    asking = [line for line in lines if line.kind is not LineKind.OPTION]
    if unusable := _unusable([*lines, *limits], settings, interpreter):
        return Seedable(unusable=unusable)
    hashed = _on(settings.get("require-hashes", "")) or any(_has(line, "--hash", "--require-hashes") for line in lines)
    no_binary = _no_binary([*lines, *limits], settings)
    external = {canonicalize_name(name) for name in externals}
    limited_by_hash = {line.name for line in limits if _has(line, "--hash")}
    pins: dict[NormalizedName, SeedablePin] = {}
    left: dict[NormalizedName, str] = {}
    for line in asking:
        name = line.name
        if name is None or not _applies(line, interpreter):
            continue
        pin = _pin(line, hashed=hashed)
        if isinstance(pin, SeedablePin):
            if name in external:
                pin = "the installation provides it"
            elif name in no_binary or ":all:" in no_binary:
                pin = "it has to be built from source"
            elif name in limited_by_hash:
                pin = "a constraint limits it to a hash"
            elif pins.get(name, pin) != pin:
                pin = "two lines ask for it in different ways"
        if isinstance(pin, str):
            left.setdefault(name, pin)
        else:
            pins[name] = pin
    return Seedable(
        tuple(pins[name] for name in sorted(pins) if name not in left),
        frozenset(line.name for line in asking if line.name and _applies(line, interpreter)),
        left,
        mutable=next((_mutable(line) for line in asking if _mutable(line)), ""),
    )


# What is planned is planned again when it is done, and decided once more by the supervisor that is forked then.
@lru_cache(maxsize=4)
def _read(text: str, name: str) -> tuple[RequirementLine, ...]:
    return parse_requirements(text.encode(), name, _nested)


def _nested(_path: str, where: Where) -> bytes:
    # The plan has put the lines of nested files in their place long before.
    raise InputError(Problem("requirement-bad-include", "it names another file", where=where))


def _unusable(lines: Iterable[RequirementLine], settings: Mapping[str, str], interpreter: Mapping[str, object]) -> str:
    """Why nothing may come from the store, as one clause; empty when something may."""
    if interpreter.get("implementation") != "CPython":
        return f"it is made for CPython, and this is {interpreter.get('implementation') or 'another'}"
    for line in lines:
        for name, _ in line.options if line.kind is LineKind.OPTION else ():
            if name not in _HARMLESS_OPTIONS:
                return f"the requirements decide with {name} where packages come from"
    odd = sorted(set(settings) - _HARMLESS_SETTINGS)
    return f"pip is configured with {odd[0]}, which may change what it installs" if odd else ""


def _on(value: str) -> bool:
    return value.strip().lower() not in _OFF


def _has(line: RequirementLine, *names: str) -> bool:
    return any(name in names for name, _ in line.options)


def _no_binary(lines: Iterable[RequirementLine], settings: Mapping[str, str]) -> set[str]:
    """The packages that may not be installed from a wheel; ``:all:`` for every one.

    What takes a package off that list again is not looked at: to be asked of pip too often costs time alone.
    """
    values = [value for line in lines for name, value in line.options if name == "--no-binary"]
    values.append(settings.get("no-binary", ""))
    words = {word.strip() for value in values for word in value.replace(" ", ",").split(",")}
    return {":all:" if word == ":all:" else canonicalize_name(word) for word in words if word and word != ":none:"}


def _applies(line: RequirementLine, interpreter: Mapping[str, object]) -> bool:
    """Whether the line's marker holds for the interpreter. One that cannot be judged is taken not to: pip will tell."""
    marker = line.requirement.marker if line.requirement else None
    if marker is None:
        return True
    return _evaluate(marker, str(interpreter.get("version", "")))


def _evaluate(marker: Marker, version: str) -> bool:
    about = {
        "implementation_name": "cpython",
        "implementation_version": version,
        "platform_python_implementation": "CPython",
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "extra": "",
    }
    try:
        return marker.evaluate(about)
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion, ValueError):
        return False


def _pin(line: RequirementLine, *, hashed: bool) -> SeedablePin | str:
    """The pin that the line is, or why it is none that the store could serve. `hashed` is whether hashes count."""
    requirement = line.requirement
    if requirement is None or requirement.url or line.name is None:
        return f"it comes from {origin(line)}, not from the index"
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==" or specifiers[0].version.endswith(".*"):
        return "no version is pinned"
    others = sorted({name for name, _ in line.options if name != "--hash"})
    if others:
        return f"{others[0]} changes how it is built"
    hashes = frozenset(value.partition(":")[2].lower() for _, value in line.options if value.startswith("sha256:"))
    if hashed and not hashes:
        return "no SHA-256 of it is given, and hashes count here"
    return SeedablePin(line.name, str(Version(specifiers[0].version)), hashes)


def _mutable(line: RequirementLine) -> str:
    """Why the line can mean something else tomorrow, with its name; empty when it cannot."""
    if line.kind is LineKind.SOURCE or (line.requirement is not None and line.requirement.url):
        return f"{line.name or 'a line'} comes from {origin(line)}, not from the index"
    return f"{line.name} is not pinned" if examine(line).mutable else ""

"""What the wheel store holds, as values, and the names under which it keeps it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from msgspec import Struct
from packaging.utils import NormalizedName, canonicalize_name, canonicalize_version
from packaging.version import InvalidVersion, Version

from engine.digest import sha256
from engine.text import mask_credentials

__all__ = [
    "SERVED_BY",
    "WAYS",
    "Directory",
    "Entry",
    "Pin",
    "Script",
    "StoredWheel",
    "Wanted",
    "bytecode_tag",
    "index_digest",
]

WAYS = frozenset(
    {
        "cert",
        "client-cert",
        "extra-index-url",
        "find-links",
        "index-url",
        "no-index",
        "proxy",
        "trusted-host",
    }
)
"""pip's options that say where wheels are, and whom to believe on the way there."""
SERVED_BY = WAYS | {"constraint", "no-binary", "only-binary", "pre"}
"""Those, and the ones that decide which of the wheels there pip picks."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_VERSION = re.compile(r"[0-9A-Za-z.!+]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SOABI = re.compile(r"cpython-3\d+t?d?(-[a-z0-9_]+)*")


class Pin(Struct, frozen=True, order=True):
    """Exactly one version of a package."""

    name: NormalizedName
    version: str
    """In the one spelling that all equal versions share (PEP 440)."""

    @classmethod
    def of(cls, name: str, version: str) -> Pin:
        return cls(canonicalize_name(name), canonicalize_version(version))


class Wanted(Struct, frozen=True, order=True):
    """A wheel that a build has installed: what it is and the digest of the file, in hexadecimal."""

    pin: Pin
    sha256: str

    @property
    def sound(self) -> bool:
        """Whether it is what it says and nothing else that pip could read into a line of requirements.

        A build names what it has installed, and it could name an option, a path or a URL.
        """
        return all(
            pattern.fullmatch(text)
            for pattern, text in ((_NAME, self.pin.name), (_VERSION, self.pin.version), (_SHA256, self.sha256))
        )


class Directory(Struct, frozen=True, array_like=True):
    """One directory of a stored wheel, and where it belongs."""

    source: str
    """Relative to the entry."""
    target: str
    """Relative to the environment."""
    names: tuple[str, ...]
    """The files in it that are linked."""


class Script(Struct, frozen=True, array_like=True):
    """A script that the wheel brings along and whose first line names Python: it is written for each environment."""

    name: str
    executable: bool
    bytecode: str
    """The name of its bytecode, beside it in ``__pycache__``; empty without."""


class Entry(Struct, frozen=True):
    """What ``entry.json`` says: all that it takes to put the wheel into an environment."""

    name: str
    """As its metadata spells it."""
    version: str
    info: str
    """Its metadata directory, relative to the environment."""
    directories: tuple[Directory, ...]
    """A directory comes after the one that it is in."""
    commands: tuple[tuple[str, str, str], ...]
    """Name, module and function of what pip writes a script for."""
    scripts: tuple[Script, ...]
    record: tuple[tuple[str, str], ...]
    """RECORD in pieces: the path of a file that is written for each environment, as RECORD names it, and the text that
    follows its row. The first path is empty."""
    files: int
    """How many files are linked."""
    size: int
    """Their bytes."""
    format: Literal[1] = 1
    """How all this is written."""


# No struct, because those compare all of their fields.
@dataclass(frozen=True, slots=True)
class StoredWheel:
    """One wheel in the store, unpacked and compiled for one kind of interpreter."""

    sha256: str
    tag: str
    path: Path
    pin: Pin
    entry: Entry = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Bytes of the files that environments share."""
        return self.entry.size

    @property
    def files(self) -> int:
        return self.entry.files


def bytecode_tag(identity: Mapping[str, object]) -> str | None:
    """Under which name the store keeps wheels for an interpreter; None when it keeps none for its kind.

    `identity` is what `engine.installations.identity.interpreter_identity` says. Interpreters of one name load the same
    extensions and the same bytecode. Only CPython 3 that was built with an SOABI has one; versions before a release
    have a name each, because their bytecode changes under one SOABI.
    """
    soabi, implementation = str(identity.get("soabi") or ""), identity.get("implementation")
    try:
        version = Version(str(identity.get("version")))
    except InvalidVersion:
        return None
    if implementation != "CPython" or version.major != 3 or not _SOABI.fullmatch(soabi):
        return None
    return f"{soabi}-{version}" if version.is_prerelease else soabi


def index_digest(settings: Mapping[str, str], identity: Mapping[str, object]) -> str:
    """Names what a pin gets: equal only where pip sees the same indexes and accepts the same files.

    `settings` is pip's configuration. The way to the indexes counts too: whoever can write the configuration, as the
    account of builds can write its own, could lead it by a proxy that says what it likes. Credentials are left out.
    `identity` is what `engine.installations.identity.interpreter_identity` says: which file fits depends on the version
    of Python and on the platform, not on where the interpreter lies.
    """
    public = {name: mask_credentials(value) for name, value in settings.items() if name in SERVED_BY}
    accepts = {name: value for name, value in identity.items() if name != "base_prefix"}
    text = json.dumps([public, accepts], sort_keys=True, default=str)
    return sha256(text.encode()).hex()[:32]

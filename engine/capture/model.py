"""What a capture is asked for, and what it found, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import force_setattr

from engine.bundles.constraint import Provenance
from engine.text import one_line

__all__ = ["CaptureOptions", "Captured", "CapturedFile", "Choice", "FrozenLine", "LeftOut"]


class CaptureOptions(Struct, frozen=True):
    """What the author decides; empty strings and None leave it to the project."""

    python: str = ""
    """The interpreter to inspect: a path, or a name on PATH."""
    app_mode: str = ""
    """Such as ``python-fastapi`` (connect.md §5.2)."""
    entrypoint: str = ""
    """A file, ``module`` or ``module:object``."""
    requires: str = ""
    """``environment.python.requires``, instead of what the project's files say."""
    manage_environment: bool | None = None
    """``environment.environment_management.python``."""
    image: str = ""
    """``environment.image``."""


class Choice(Struct, frozen=True):
    """A decision, the reason for it, and what was looked at in vain before. The sentences are safe to show."""

    value: str
    reason: str
    looked_at: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "reason", one_line(self.reason, 1000))
        force_setattr(self, "looked_at", tuple(one_line(sentence, 1000) for sentence in self.looked_at))


class CapturedFile(Struct, frozen=True):
    """A file of the bundle. `md5` is what the manifest calls its checksum, in hexadecimal."""

    name: str
    """Relative to the bundle's root, with ``/``."""
    size: int
    md5: str
    executable: bool = False


class LeftOut(Struct, frozen=True):
    """A file or directory of the project that is not put into the bundle."""

    name: str
    reason: str


class FrozenLine(Struct, frozen=True):
    """A line of ``pip freeze`` and what became of it."""

    original: str
    """Safe to show."""
    kept: str
    """What the bundle lists; empty for a dropped line. May hold a password: never show it."""
    reason: str = ""
    """Why it was changed or dropped."""


class Captured(Struct, frozen=True):
    """Everything about a bundle before it is written."""

    directory: Path
    app_mode: Choice
    entrypoint: Choice
    interpreter: Choice
    """Its value is the path of the interpreter that was inspected."""
    requirements: Choice
    """Its value is the requirements file's name."""
    frozen: tuple[FrozenLine, ...]
    """The lines of ``pip freeze``; none when the project has a requirements file."""
    provenance: Provenance
    """Where the version constraint comes from."""
    manifest: Mapping[str, object]
    files: tuple[CapturedFile, ...]
    """In order of name, without the manifest."""
    generated: Mapping[str, bytes]
    """The content of those files that the project itself does not have."""
    left_out: tuple[LeftOut, ...]

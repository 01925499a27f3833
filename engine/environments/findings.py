"""What verification finds, as plain values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import force_setattr

from engine.environments.model import Environment
from engine.text import clean

__all__ = ["Finding", "FindingKind", "Verification"]


class FindingKind(StrEnum):
    """In what way an environment is not what was built."""

    CHANGED = "changed"
    """A file has other content, or a link leads elsewhere."""
    MISSING = "missing"
    EXTRA = "extra"
    """Something that Python or a shell would run, and that was not there."""
    OUTSIDE = "outside"
    """A RECORD names a place that is not in the environment; nobody looked there."""
    UNREADABLE = "unreadable"
    RECORD = "record"
    """What was written down about the environment cannot be read, so that nothing can be proven by it."""
    PACKAGE_MISSING = "package-missing"
    PACKAGE_EXTRA = "package-extra"
    PACKAGE_VERSION = "package-version"
    INTERPRETER = "interpreter"
    EXTERNAL = "external"
    """A package of the installation that the environment sees is not the one that it saw when it was built."""


class Finding(Struct, frozen=True):
    """One thing that is not as it was built. All text is safe to show."""

    kind: FindingKind
    file: str = ""
    """Relative to the environment, or absolute for what is not in it; empty where it is about no file."""
    package: str = ""
    """Empty where it is about none."""
    expected: str = ""
    found: str = ""

    def __post_init__(self) -> None:
        for name in ("file", "package", "expected", "found"):
            force_setattr(self, name, clean(getattr(self, name)))

    def __str__(self) -> str:
        about = f"{self.package}: {self.file}" if self.package and self.file else self.file or self.package
        sides = (("expected", self.expected), ("found", self.found))
        details = [f"{word} {_short(value)}" for word, value in sides if value]
        return f"{about} {_WORDS[self.kind]}" + (f" ({', '.join(details)})" if details else "")

    def to_json(self) -> dict[str, object]:
        """The finding as plain JSON values."""
        return {
            "kind": self.kind.value,
            "file": self.file,
            "package": self.package,
            "expected": self.expected,
            "found": self.found,
        }


def _short(value: str) -> str:
    """A digest as far as it takes to tell it from another one."""
    return f"{value[:18]}…" if value.startswith("sha") else value


_WORDS = {
    FindingKind.CHANGED: "is changed",
    FindingKind.MISSING: "is missing",
    FindingKind.EXTRA: "was not there when it was built",
    FindingKind.OUTSIDE: "is outside of the environment, but a RECORD names it",
    FindingKind.UNREADABLE: "cannot be read",
    FindingKind.RECORD: "does not parse",
    FindingKind.PACKAGE_MISSING: "is not installed",
    FindingKind.PACKAGE_EXTRA: "is installed, but was not when it was built",
    FindingKind.PACKAGE_VERSION: "is installed in another version",
    FindingKind.INTERPRETER: "is not the interpreter that it was built on",
    FindingKind.EXTERNAL: "is not the external package that it was built with",
}


class Verification(Struct, frozen=True):
    """What comparing one environment with what was built came to."""

    name: str
    """The key; of a foreign environment its hash."""
    path: Path
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    """What could not be proven, and why, and what was passed over. Safe to show."""
    files: int
    """How many files were read."""
    bytes: int
    """How much was read of them."""
    seconds: float
    verified_at: float
    """Seconds since the epoch."""
    environment: Environment | None = None
    """None for a foreign one."""

    @property
    def ok(self) -> bool:
        return not self.findings

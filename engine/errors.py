"""What can be wrong, as data: a stable code, what was expected and found, where, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from engine.text import clean, one_line

__all__ = ["EnvdeckError", "InputError", "Problem", "Refused", "Severity", "Where"]


class Severity(StrEnum):
    """How much a problem weighs: an error stops the thing it is about, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class Where(Struct, frozen=True):
    """A place in a text: a file (or a name such as ``bundle.tar.gz!manifest.json``), 1-based line and column."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [clean(self.file), *(str(n) for n in (self.line, self.column) if n is not None)]
        return ":".join(parts)


class Problem(Struct, frozen=True):
    """One thing that is wrong. Foreign text is made safe on the way in, so every field can be shown as it is."""

    code: str
    message: str
    expected: str = ""
    found: str = ""
    where: Where | None = None
    hint: str = ""
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        for name in ("message", "expected", "found", "hint"):
            force_setattr(self, name, one_line(getattr(self, name), 1000))

    def __str__(self) -> str:
        """One line: ``where: message (expected …, found …). hint``."""
        return f"{self.where}: {self._told()}" if self.where else self._told()

    @property
    def what_first(self) -> str:
        """The same for where a line may be cut off at its end, with the place, which can be long, behind the rest."""
        return f"{self._told()} ({self.where})" if self.where else self._told()

    def _told(self) -> str:
        text = self.message
        details = [f"{word} {value}" for word, value in (("expected", self.expected), ("found", self.found)) if value]
        if details:
            text += f" ({', '.join(details)})"
        if self.hint:
            text += f". {self.hint}"
        return text

    def to_json(self) -> dict[str, object]:
        """The problem as plain JSON values; `where` is ``file:line:column`` or null."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "expected": self.expected,
            "found": self.found,
            "where": str(self.where) if self.where else None,
            "hint": self.hint,
        }


class EnvdeckError(Exception):
    """Base of every error that envdeck raises on purpose; `problem` says all there is to say."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class InputError(EnvdeckError):
    """The input cannot be read or makes no sense (the command line exits with 2)."""


class Refused(EnvdeckError):
    """The input is fine, but what was asked for cannot be done now (the command line exits with 1)."""

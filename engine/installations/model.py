"""What is known of one Python installation, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
from msgspec import Struct
from packaging.version import Version

from engine.targets import LOCAL

__all__ = ["Check", "CheckStatus", "Installation", "InterpreterFacts", "ProbeFailure", "Usability"]


class Usability(StrEnum):
    """Whether content can be given an installation."""

    USABLE = "usable"
    UNUSABLE = "unusable"
    PROBING = "probing"


class CheckStatus(StrEnum):
    """Outcome of one check: a failed one makes the installation unusable, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Check(Struct, frozen=True):
    """One thing that was looked at: a stable code, what was found in plain words, and what to do about it."""

    code: str
    status: CheckStatus
    finding: str
    remedy: str = ""


class InterpreterFacts(Struct, frozen=True):
    """What an interpreter said of itself when it was run. All paths as the interpreter gave them."""

    version: Version
    implementation: str
    executable: str
    """``sys.executable``: differs from the configured path for shims and links."""
    prefix: str
    base_prefix: str
    soabi: str
    platform: str
    machine: str
    pointer_bits: int
    libc: str
    pip: str | None
    """pip's version, None when pip cannot be imported."""
    purelib: str
    missing: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Standard modules that cannot be imported, each with the reason Python gave."""
    externally_managed: bool = False
    debug: bool = False
    free_threaded: bool = False
    real_executable: str = ""
    """``sys.executable`` with its links resolved, which tells one interpreter from another; empty when not known."""
    sys_path: tuple[str, ...] = ()
    """Where the interpreter looks for modules: a change there can change these facts."""
    virtualenv: str | None = None
    """Version of the ``virtualenv`` package, None when it is not installed."""

    @property
    def is_venv(self) -> bool:
        return self.prefix != self.base_prefix


class ProbeFailure(Struct, frozen=True):
    """Why an interpreter gave no facts: a stable code and what the system or the program said, safe to show."""

    code: str
    detail: str = ""


# No struct, because those compare all of their fields.
@dataclass(frozen=True, slots=True)
class Installation:
    """One interpreter named by ``Python.Executable`` and the judgement on it."""

    declared: str
    """The setting's value, as written."""
    origin: str
    """Where it is declared, such as ``/etc/…gcfg:4`` or ``default``."""
    executable: str
    """The interpreter that is run: `declared`, or the interpreter found in that directory."""
    usability: Usability
    checks: tuple[Check, ...] = ()
    facts: InterpreterFacts | None = None
    target: str = LOCAL
    seconds: float = field(default=0.0, compare=False)
    """How long the probe took; 0 when its result came from the probe cache."""

    @property
    def version(self) -> Version | None:
        return self.facts.version if self.facts else None

    @property
    def decisive(self) -> Check | None:
        """The check that made it unusable, or the first warning of a usable one, or None."""
        for status in (CheckStatus.FAILED, CheckStatus.WARNING):
            for check in self.checks:
                if check.status is status:
                    return check
        return None

    @property
    def reason(self) -> str:
        """Why it cannot be used or what to mind, in one sentence; empty when all is well."""
        return self.decisive.finding if self.decisive else ""

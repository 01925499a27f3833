"""What the last verification of an environment came to, as it was noted beside the environment."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from engine.environments.findings import Finding, FindingKind
from engine.environments.model import Environment
from engine.environments.store import DAMAGED, VERIFIED
from engine.files import read_json
from engine.text import one_line

__all__ = ["LastVerification", "read_verification"]


class LastVerification(Struct, frozen=True):
    """When (seconds since the epoch, 0 where that is not known) and by whom it was verified last, and what was found.

    All text is safe to show.
    """

    at: float
    by: str
    findings: tuple[str, ...]
    """The first ones, each in a sentence; none when it is what was built."""
    count: int
    """How many there were."""

    @property
    def ok(self) -> bool:
        return not self.count


def read_verification(environment: Environment) -> LastVerification | None:
    """What is noted of the attempt that counts; None when it was never verified."""
    for name in (DAMAGED, VERIFIED):
        record = read_json(environment.key_dir / name)
        if record is not None and record.get("attempt") == environment.attempt:
            at, found = record.get("at"), record.get("findings")
            findings = tuple(filter(None, map(_sentence, found if isinstance(found, list) else ())))
            count = record.get("count")
            return LastVerification(
                float(at) if isinstance(at, int | float) and not isinstance(at, bool) else 0.0,
                one_line(str(record.get("by", ""))),
                findings,
                # A mark means that something was found, whatever else can be read of it.
                (count if isinstance(count, int) else len(findings)) or int(name == DAMAGED),
            )
    return None


def _sentence(record: object) -> str:
    if not isinstance(record, Mapping):
        return ""
    kind = next((one for one in FindingKind if one.value == record.get("kind")), None)
    if kind is None:
        return ""
    return str(Finding(kind, *(str(record.get(name, "")) for name in ("file", "package", "expected", "found"))))

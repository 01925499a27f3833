"""The visual language: every state is a word, a symbol and a colour, so that each alone would do.

Only glyphs of neutral width (textual.md §3.9) and the sixteen ANSI colours. `ASCII` gives the stand-ins of `--ascii`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from rich.text import Text

from app.tui.text import safe
from engine import (
    Action,
    AuditResult,
    BuildState,
    CheckStatus,
    EnvironmentState,
    ImpactKind,
    Life,
    Severity,
    Standing,
    StepStanding,
    Usability,
    Verdict,
)

if TYPE_CHECKING:
    from engine import (
        BuildPlan,
    )

__all__ = [
    "ACTION",
    "ASCII",
    "AUDIT",
    "BUILD",
    "CHECK",
    "ENVIRONMENT",
    "FOREIGN",
    "IMPACT",
    "LIFE",
    "MISSING",
    "NO_ENVIRONMENT",
    "SEVERITY",
    "STANDING",
    "STEP",
    "USABILITY",
    "VERDICT",
    "Mark",
    "plan_mark",
]


class Mark(Struct, frozen=True):
    """How one state looks."""

    symbol: str
    word: str
    style: str

    def text(self, word: str | None = None) -> Text:
        """``✓ usable`` in its colour; `word`, which may be foreign, replaces the state's own word."""
        return safe(f"{self.symbol} {self.word if word is None else word}".rstrip(), self.style)


USABILITY = {
    Usability.USABLE: Mark("✓", "usable", "green"),
    Usability.UNUSABLE: Mark("✗", "unusable", "bold red"),
    Usability.PROBING: Mark("?", "probing", "dim"),
}
CHECK = {
    CheckStatus.OK: Mark("✓", "ok", "green"),
    CheckStatus.WARNING: Mark("!", "warning", "yellow"),
    CheckStatus.FAILED: Mark("✗", "failed", "bold red"),
}
LIFE = {
    Life.SUPPORTED: Mark("✓", "supported", "green"),
    Life.ENDING: Mark("!", "ends soon", "yellow"),
    Life.ENDED: Mark("✗", "ended", "bold red"),
    Life.UNKNOWN: Mark("?", "unknown", "dim"),
}
ENVIRONMENT = {
    EnvironmentState.READY: Mark("✓", "ready", "green"),
    EnvironmentState.STALE: Mark("⊘", "stale", "yellow"),
    EnvironmentState.DAMAGED: Mark("✗", "damaged", "bold red"),
}
FOREIGN = Mark("-", "foreign", "dim")
MISSING = Mark("◌", "missing", "bold yellow")
NO_ENVIRONMENT = Mark("-", "NO ENV", "cyan")
BUILD = {
    BuildState.QUEUED: Mark("◌", "queued", "dim"),
    BuildState.RUNNING: Mark("↻", "running", "bold yellow"),
    BuildState.DONE: Mark("✓", "done", "green"),
    BuildState.FAILED: Mark("✗", "failed", "bold red"),
    BuildState.CANCELLED: Mark("⊘", "cancelled", "dim"),
    BuildState.LOST: Mark("?", "lost", "magenta"),
}
VERDICT = {
    Verdict.CHOSEN: Mark("▸", "chosen", "bold green"),
    Verdict.PASSED_OVER: Mark("◌", "passed over", ""),
    Verdict.REJECTED: Mark("-", "rejected", "dim"),
    Verdict.UNUSABLE: Mark("✗", "unusable", "red"),
}
ACTION = {
    Action.INSTALL: Mark("+", "install", "green"),
    Action.EXTERNAL: Mark("=", "external", "cyan"),
    Action.SUPPORT: Mark("+", "support", "green"),
    Action.REWRITTEN: Mark("*", "rewritten", "yellow"),
    Action.PROHIBITED: Mark("⊘", "prohibited", "yellow"),
    Action.REFUSED: Mark("✗", "refused", "bold red"),
    Action.OPTION: Mark("-", "option", "dim"),
    Action.CONSTRAINT: Mark("-", "constraint", "dim"),
}
STANDING = {
    Standing.DECIDES: Mark("▸", "decides", "bold green"),
    Standing.UNSET: Mark("-", "unset", "dim"),
    Standing.NOT_ALLOWED: Mark("⊘", "not allowed", "yellow"),
    Standing.OVERRIDDEN: Mark("◌", "overridden", ""),
}
STEP = {
    StepStanding.DECIDES: Mark("▸", "decides", "bold green"),
    StepStanding.PASSED_OVER: Mark("◌", "passed over", ""),
    StepStanding.REJECTED: Mark("✗", "rejected", "red"),
    StepStanding.ABSENT: Mark("-", "absent", "dim"),
    StepStanding.WARNING: Mark("!", "warning", "yellow"),
}
SEVERITY = {
    Severity.ERROR: Mark("✗", "error", "bold red"),
    Severity.WARNING: Mark("!", "warning", "yellow"),
}
IMPACT = {
    ImpactKind.BREAKS: Mark("✗", "breaks", "bold red"),
    ImpactKind.MOVES: Mark("▸", "another Python", "yellow"),
    ImpactKind.REBUILDS: Mark("↻", "rebuilt first", "yellow"),
    ImpactKind.READY: Mark("✓", "is ready now", "green"),
    ImpactKind.MENDS: Mark("✓", "works again", "green"),
}
AUDIT = {
    AuditResult.OK: Mark("✓", "ok", "green"),
    AuditResult.REFUSED: Mark("⊘", "refused", "yellow"),
    AuditResult.FAILED: Mark("✗", "failed", "bold red"),
}

_HIT = Mark("✓", "HIT", "bold green")
_MISS = Mark("◌", "MISS", "bold yellow")
_RUNNING = Mark("↻", "BUILDING", "bold yellow")
_NO = Mark("✗", "NO", "bold red")

ASCII = {
    "✓": "+",
    "✗": "x",
    "▸": ">",
    "↻": ">",
    "⊘": "~",
    "◌": ".",
    "…": ".",
    "▴": "^",
    "▾": "v",
    "▐": "|",
    "╎": "|",
    "╌": "-",
}


def plan_mark(plan: BuildPlan | None) -> Mark:
    """What a bundle's plan comes to: HIT, MISS, BUILDING, NO ENV when none is wanted, NO when it cannot be served."""
    if plan is None or plan.problem is not None or plan.match.chosen is None:
        return _NO
    if not plan.management.managed:
        return NO_ENVIRONMENT
    if plan.hit:
        return _HIT
    return _RUNNING if plan.running is not None else _MISS

"""What happened: messages of this session, what changed between two snapshots, and what everybody did by the audit."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

from app.tui.symbols import AUDIT, Mark
from app.tui.text import count, duration, safe
from engine import BuildState, Usability

if TYPE_CHECKING:
    from rich.text import Text

    from engine import AuditPage, AuditRecord, Build, Snapshot

__all__ = ["Event", "EventRow", "Level", "changes", "event_rows"]


class Level(StrEnum):
    """How loud a message is; the value is its style."""

    INFO = ""
    GOOD = "green"
    WARNING = "yellow"
    ERROR = "bold red"


_MARKS = {
    Level.INFO: Mark("-", "note", "dim"),
    Level.GOOD: Mark("✓", "good", "green"),
    Level.WARNING: Mark("!", "warning", "yellow"),
    Level.ERROR: Mark("✗", "error", "bold red"),
}


class Event(Struct, frozen=True):
    """One message. `at` is seconds since the epoch."""

    at: float
    level: Level
    text: str

    def line(self) -> Text:
        """The message as the status line shows it."""
        symbol = "" if self.level is Level.INFO else f"{_MARKS[self.level].symbol} "
        return safe(f"{symbol}{self.text}", self.level.value)


class EventRow(Struct, frozen=True):
    """One line of the Events page: a record of the audit, or a message of this session."""

    at: float
    who: str
    mark: Mark
    action: str
    what: str
    why: str = ""
    record: AuditRecord | None = None
    """None for a message."""

    @property
    def command(self) -> str:
        """The command line that does the same; empty when there is none."""
        return self.record.event.command if self.record else ""


def event_rows(audit: AuditPage, messages: Iterable[Event]) -> list[EventRow]:
    """Both in the order of their time, the newest last."""
    rows = [_of_record(record) for record in audit.records]
    rows += [EventRow(one.at, "session", _MARKS[one.level], "message", one.text) for one in messages]
    return sorted(rows, key=lambda row: row.at)


def _of_record(record: AuditRecord) -> EventRow:
    event = record.event
    what = ", ".join(filter(None, (event.subject, event.details)))
    return EventRow(record.at, record.who.user, AUDIT[event.result], event.action, what, event.why, record)


def changes(old: Snapshot, new: Snapshot) -> list[Event]:
    """What is worth telling about the way from `old` to `new`, the most important last."""
    found: list[tuple[Level, str]] = []
    before = {one.executable: one.usability for one in old.installations}
    for one in new.installations:
        was = before.get(one.executable)
        if was is Usability.USABLE and one.usability is Usability.UNUSABLE:
            found.append((Level.WARNING, f"{one.executable} is not usable any more: {one.reason}"))
        elif was is Usability.UNUSABLE and one.usability is Usability.USABLE:
            found.append((Level.GOOD, f"{one.executable} is usable again"))
    known = {build.id: build for build in old.builds}
    for build in reversed(new.builds):
        earlier = known.get(build.id)
        if build.state.final and earlier is not None and not earlier.state.final:
            found.append(_ended(build, new.taken_at))
    if new.config.errors and new.config.problems != old.config.problems:
        first = new.config.errors[0]
        place = f"{first.where}: " if first.where else ""
        found.append((Level.ERROR, f"config not taken over: {place}{first.message}"))
    elif new.config.loaded_at != old.config.loaded_at:
        what = f"{count(len(new.config.changed), 'setting')} changed" if new.config.changed else "nothing changed"
        found.append((Level.INFO, f"config read again: {what}"))
    for problem, before_that in ((new.audit.problem, old.audit.problem), (new.audit_problem, old.audit_problem)):
        if problem is not None and problem != before_that:
            found.append((Level.WARNING, str(problem)))
    return [Event(new.taken_at, level, text) for level, text in found]


def _ended(build: Build, now: float) -> tuple[Level, str]:
    took = duration(build.seconds(now))
    match build.state:
        case BuildState.DONE:
            return Level.GOOD, f"{build.bundle}: built in {took}"
        case BuildState.CANCELLED:
            return Level.INFO, f"{build.bundle}: build cancelled after {took}"
        case _:
            reason = str(build.fault) if build.fault else "its supervisor went away"
            return Level.ERROR, f"{build.bundle}: build {build.state.value} after {took}: {reason}"

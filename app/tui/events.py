"""What happened in this session: messages of the UI, and what changed by itself between two snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.text import Text

from app.tui.document import Document, Line
from app.tui.text import clock, count, duration, safe
from engine import Build, BuildState, Snapshot, Usability

__all__ = ["Event", "Level", "changes", "event_lines"]


class Level(StrEnum):
    """How loud a message is; the value is its style."""

    INFO = ""
    GOOD = "green"
    WARNING = "yellow"
    ERROR = "bold red"


_SYMBOLS = {Level.INFO: " ", Level.GOOD: "✓", Level.WARNING: "!", Level.ERROR: "✗"}


@dataclass(frozen=True, slots=True)
class Event:
    """One message. `at` is seconds since the epoch."""

    at: float
    level: Level
    text: str

    def line(self) -> Text:
        """The message as the status line shows it."""
        symbol = _SYMBOLS[self.level].strip()
        return safe(f"{symbol} {self.text}" if symbol else self.text, self.level.value)


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


def event_lines(events: Sequence[Event], now: float) -> list[Line]:
    """The events, newest first."""
    document = Document()
    for event in reversed(events):
        mark = safe(_SYMBOLS[event.level], event.level.value)
        document.add(safe(clock(event.at, now), "dim"), "  ", mark, " ", event.text, hang=9)
    if not events:
        document.add(safe("Nothing has happened yet.", "dim"))
    return document.lines

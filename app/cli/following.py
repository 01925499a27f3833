"""Following one build: its log and its progress, on a terminal that can redraw a line and on one that cannot."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from app.cli.terminal import Terminal
from app.cli.units import duration, iso
from engine import Build, Engine, LogLine, Phase, clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["PlainReporter", "Reporter", "follow", "reporter", "stamped"]

_TICK = 0.25
"""Seconds between two looks at a build: four redraws a second are few bytes even on a slow line."""


class Reporter(Protocol):
    """What is told of the log and the state of a build."""

    def lines(self, lines: Sequence[LogLine]) -> None: ...
    def progress(self, build: Build) -> None: ...


def follow(engine: Engine, build_id: str, report: Reporter) -> Build:
    """Report the log of a build and its progress until the build has ended; returns it as it ended."""
    ring = engine.follow(build_id)
    seen = 0
    looked = 0.0
    while True:
        # Asked before reading: what was written before the end is then surely read below.
        finished = ring.finished
        before = seen
        lines, seen = ring.since(seen)
        if lines:
            missed = seen - before - len(lines)
            if missed:
                report.lines([LogLine(lines[0].at, f"… {missed} lines came too fast to be shown; the log has them")])
            report.lines(lines)
        if finished:
            return engine.wait(build_id)
        if time.monotonic() - looked >= _TICK:
            looked = time.monotonic()
            report.progress(engine.build(build_id))
        ring.wait(seen, _TICK)


def stamped(line: LogLine, timestamps: bool) -> str:
    """One line of the log as it is shown, with its UTC time in front if wanted."""
    return f"{iso(line.at or None) or '-'} {clean(line.text)}" if timestamps else clean(line.text)


class PlainReporter:
    """Lines only, for pipes and files; a change of phase is a line too."""

    def __init__(
        self, terminal: Terminal, *, timestamps: bool = False, phases: bool = True, error: bool = False
    ) -> None:
        self._terminal = terminal
        self._error = error
        self._timestamps = timestamps
        self._phases = phases
        self._phase: Phase | None = None

    def lines(self, lines: Sequence[LogLine]) -> None:
        self._terminal.say("\n".join(stamped(line, self._timestamps) for line in lines), error=self._error)

    def progress(self, build: Build) -> None:
        if self._phases and build.phase is not self._phase:
            self._phase = build.phase
            told = f"phase {build.phase.value} after {duration(build.seconds(time.time()))}"
            self._terminal.say(told, error=self._error)


class LineReporter:
    """The log with one progress line under it that is erased and drawn again.

    Not `rich.live`: that hides the cursor, which a killed process would leave hidden.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line: Text | None = None

    def _erase(self) -> None:
        from rich.control import Control
        from rich.segment import ControlType

        if self._line is not None:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def _draw(self) -> None:
        if self._line is not None:
            # One column stays free: a full line would wrap, and what wrapped cannot be erased.
            self._line.truncate(self._console.width - 1, overflow="ellipsis")
            self._console.print(self._line, end="", no_wrap=True)
            self._console.file.flush()

    def lines(self, lines: Sequence[LogLine]) -> None:
        from rich.text import Text

        self._erase()
        self._console.print(Text("\n".join(stamped(line, False) for line in lines)), soft_wrap=True)
        self._draw()

    def progress(self, build: Build) -> None:
        from app.cli import render

        self._erase()
        self._line = render.progress(build, time.time())
        self._draw()

    def clear(self) -> None:
        """Take the progress line off the screen."""
        self._erase()
        self._line = None


@contextmanager
def reporter(terminal: Terminal, *, error: bool = False) -> Iterator[Reporter]:
    """The reporter that suits where the words go; its progress line is gone afterwards.

    With `error` they go to standard error, for when standard output belongs to a command that is run.
    """
    stream = sys.stderr if error else sys.stdout
    if not terminal.json and stream.isatty():
        console = terminal.console(stream)
        if not console.is_dumb_terminal:
            line = LineReporter(console)
            try:
                yield line
            finally:
                line.clear()
            return
    yield PlainReporter(terminal, error=error)

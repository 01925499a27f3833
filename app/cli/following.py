"""Following one build: its log and its progress, on a terminal that can redraw a line and on one that cannot."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from app.cli.interrupting import check
from app.cli.terminal import Terminal
from app.cli.units import duration, iso
from engine import Build, BuildState, Engine, LogLine, Phase, clean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["PlainReporter", "Reporter", "follow", "reporter", "stamped", "wait"]

_TICK = 0.25
"""Seconds between two looks at a build: four redraws a second are few bytes even on a slow line."""
_TURN = 1.0
"""Seconds of waiting after which a signal is noticed at the latest, should its exception get lost."""
_EVERY = 10.0
"""Seconds between two lines about the progress, where lines cannot be drawn over."""


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
        check()
        # Asked before reading: what was written before the end is then surely read below.
        finished = ring.finished
        before = seen
        lines, seen = ring.since(seen)
        if lines:
            missed = seen - before - len(lines)
            if missed:
                report.lines([LogLine(lines[0].at, f"… {missed} lines are left out here; the log has them")])
            report.lines(lines)
        if finished:
            return wait(engine, build_id)
        if time.monotonic() - looked >= _TICK:
            looked = time.monotonic()
            report.progress(engine.build(build_id))
        ring.wait(seen, _TICK)


def wait(engine: Engine, build_id: str, patience: float = math.inf) -> Build:
    """The build when it has ended, or as it is after so many seconds."""
    end = time.monotonic() + patience
    while True:
        check()
        build = engine.wait(build_id, min(_TURN, max(0.0, end - time.monotonic())))
        if build.state.final or time.monotonic() >= end:
            return build


def stamped(line: LogLine, timestamps: bool) -> str:
    """One line of the log as it is shown, with its UTC time in front if wanted."""
    return f"{iso(line.at or None) or '-'} {clean(line.text)}" if timestamps else clean(line.text)


class PlainReporter:
    """Lines only, for pipes and files; a change of phase is a line too, and of what a queued build waits for.

    In a long phase a line every now and then tells how far it is.
    """

    def __init__(
        self,
        terminal: Terminal,
        *,
        timestamps: bool = False,
        phases: bool = True,
        error: bool = False,
        wanted: Callable[[LogLine], bool] = lambda _line: True,
    ) -> None:
        self._terminal = terminal
        self._error = error
        self._wanted = wanted
        self.shown = 0
        """How many lines of the log were `wanted`."""
        self._timestamps = timestamps
        self._phases = phases
        self._phase: Phase | None = None
        self._waits = ""
        self._told_at = 0.0

    def lines(self, lines: Sequence[LogLine]) -> None:
        chosen = [stamped(line, self._timestamps) for line in lines if self._wanted(line)]
        self.shown += len(chosen)
        if chosen:
            self._terminal.say("\n".join(chosen), error=self._error)

    def progress(self, build: Build) -> None:
        if self._phases and build.phase is not self._phase:
            self._phase = build.phase
            self._told_at = time.monotonic()
            told = f"phase {build.phase.value} after {duration(build.seconds(time.time()))}"
            self._terminal.say(told, error=self._error)
        elif self._phases and build.state is BuildState.RUNNING and time.monotonic() - self._told_at >= _EVERY:
            from app.cli import render

            self._told_at = time.monotonic()
            self._terminal.say(f"progress  {render.numbers(build, time.time())}", error=self._error)
        if self._phases and build.state is BuildState.QUEUED and build.message != self._waits:
            self._waits = build.message
            self._terminal.say(clean(build.message), error=self._error)


class LineReporter:
    """The log with one progress line under it."""

    def __init__(self, console: Console) -> None:
        from app.cli.progress_line import ProgressLine

        self._console = console
        self._line = ProgressLine(console)

    def lines(self, lines: Sequence[LogLine]) -> None:
        from rich.text import Text

        self._line.erase()
        self._console.print(Text("\n".join(stamped(line, False) for line in lines)), soft_wrap=True)
        self._line.draw()

    def progress(self, build: Build) -> None:
        from app.cli import render

        self._line.draw(render.progress(build, time.time()))

    def clear(self) -> None:
        """Take the progress line off the screen."""
        self._line.clear()


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
                with suppress(OSError):  # the terminal may be gone, which is told elsewhere
                    line.clear()
            return
    yield PlainReporter(terminal, error=error)

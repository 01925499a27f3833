"""What a build says while it runs: its output becomes the log, the events, and how far it is."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from msgspec.structs import replace

from engine.builds import pip_output, uv_output
from engine.builds.job import append_event
from engine.builds.log import LogLine, format_line
from engine.builds.model import Phase
from engine.builds.progress import Progress
from engine.text import clean_log_line, decode

__all__ = ["Transcript"]

_LAST_LINES = 400
"""How much of the log's end is kept to explain a failure."""


class Transcript:
    """Writes the log and the events of one job directory. Every method but the end raises `OSError`."""

    def __init__(self, job_dir: Path, mark: str, installer: str = "pip") -> None:
        """`mark` is what a line of output begins with that is an event of the builder; `installer` prints the rest."""
        self._events = job_dir / "events.jsonl"
        self._mark = mark
        self._log = (job_dir / "log").open("ab", buffering=0)
        self._read_line = uv_output.read_line if installer == "uv" else pip_output.read_line
        self._progress = Progress()
        self._told = ""
        self._last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._supplied = 0
        self.phase = Phase.QUEUE

    def __enter__(self) -> Transcript:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    @property
    def last_lines(self) -> Sequence[str]:
        """The end of the output."""
        return tuple(self._last)

    @property
    def installing(self) -> int:
        """How many packages are being installed now; 0 outside that phase."""
        return self._progress.installing

    def take(self, raw: bytes) -> None:
        """One line of output: an event of the builder, or a line for the log and the progress."""
        text = decode(raw)
        if text.startswith(self._mark):
            self._builder_event(text[len(self._mark) :])
            return
        line = clean_log_line(text)
        before = self._progress
        self._progress = self._read_line(before, line)
        if self._progress.noise:
            if self._progress.message != before.message:
                self._tell_progress()
            return
        self.say(line)
        self._last.append(line)
        if self._progress == before:
            return
        if self._progress.phase is Phase.INSTALL and self.phase is Phase.RESOLVE:
            self.enter(Phase.INSTALL)
        self._tell_progress()

    def _tell_progress(self) -> None:
        told = self._progress
        done, total = told.collected, 0
        if told.installing or self._supplied:
            done, total = self._there + told.installed, self._there + told.installing
        counts = {"done": done, "total": total, "bytes": told.bytes_done, "bytes_total": told.bytes_total}
        self._told = told.message
        self.event(type="progress", message=told.message, **counts)

    def supplied(self, packages: int) -> None:
        """So many packages are there before the installer begins."""
        if packages:
            self._supplied = packages
            self.event(type="progress", done=packages, total=packages, supplied=packages)

    @property
    def _there(self) -> int:
        """How many of what was there before the installer began are there to stay."""
        return max(0, self._supplied - self._progress.replaced)

    def installed(self, done: int) -> None:
        """So many packages are on the disk by now, which no installer tells before the last of them is."""
        done = min(done, self.installing)
        if done > self._progress.installed:
            self._progress = replace(self._progress, installed=done)
            self.event(type="progress", done=self._there + done, total=self._there + self.installing)

    def enter(self, phase: Phase) -> None:
        """The build has come to `phase`."""
        self.phase = phase
        self.event(type="phase", phase=phase.value)

    def tell(self, message: str) -> None:
        """The one thing worth telling now, unless it was told last."""
        if message != self._told:
            self._told = message
            self.event(type="message", message=message)

    def event(self, **event: object) -> None:
        """Something happened that is not a line of output."""
        append_event(self._events, event)

    def say(self, text: str) -> None:
        """A line for the log."""
        self._log.write(format_line(LogLine(time.time(), text)).encode() + b"\n")

    def _builder_event(self, text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            return
        if isinstance(event, dict) and (phase := Phase.read(event.get("phase"))):
            self.enter(phase)
            if phase is Phase.COMPILE:
                # pip's last words were that all is installed.
                self.tell("Compiling the last modules")

"""A build's log: on disk as ``<UTC time> <text>`` lines, in memory as a bounded ring that a front can poll."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from engine.text import clean_log_line, decode

__all__ = ["LogLine", "LogReader", "LogRing", "format_line", "parse_line", "read_log"]

_READ_SIZE = 1 << 20
_STAMP = len("2026-01-31T12:00:00.250Z")


class LogLine(Struct, frozen=True):
    """One line of output. `at` is seconds since the epoch, `text` is safe to show."""

    at: float
    text: str


def format_line(line: LogLine) -> str:
    """`line` as it stands in the file, without the line end."""
    milliseconds = int(line.at * 1000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{stamp}.{milliseconds % 1000:03d}Z {line.text}"


def parse_line(text: str) -> LogLine:
    """The inverse of `format_line`; a line without a time gets 0."""
    stamp, _, rest = text.partition(" ")
    if len(stamp) == _STAMP and stamp[-1] == "Z":
        try:
            # Takes a fiftieth of the time of `strptime`, which counts with half a million lines.
            return LogLine(datetime.fromisoformat(stamp).timestamp(), clean_log_line(rest))
        except (ValueError, OverflowError):
            pass
    return LogLine(0.0, clean_log_line(text))


class LogReader:
    """Reads the log file at `path` as it grows. Opened anew each time, which is what shows new text over NFS."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def skip_to_last(self, keep: int) -> int:
        """Leave out all but about the last `keep` lines that are there now; returns how many are left out."""
        ends: list[tuple[int, int]] = []
        lines = offset = 0
        try:
            with self._path.open("rb") as file:
                while data := file.read(_READ_SIZE):
                    lines += data.count(b"\n")
                    last = data.rfind(b"\n")
                    if last >= 0:
                        ends.append((lines, offset + last + 1))
                    offset += len(data)
        except OSError:
            return 0
        skipped = 0
        for counted, end in ends:
            if lines - counted < keep:
                break
            skipped, self._offset = counted, end
        return skipped

    def poll(self) -> list[LogLine]:
        """The complete lines that were added since the last call, at most about a megabyte of them."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_READ_SIZE)
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        if not complete and len(data) == _READ_SIZE:
            # A line longer than what is read at once is given in pieces.
            complete = data
        self._offset += len(complete)
        return [parse_line(decode(line)) for line in complete.splitlines()]


def read_log(path: Path) -> Iterator[LogLine]:
    """Every line that is in the log file at `path` now, from its beginning."""
    reader = LogReader(path)
    while lines := reader.poll():
        yield from lines


class LogRing:
    """The last `keep` lines of a log, written by one engine thread and polled by any number of readers.

    A reader that stalls costs the writer nothing: it finds fewer old lines when it comes back.
    """

    def __init__(self, keep: int = 50_000) -> None:
        self.keep = keep
        self._lines: deque[LogLine] = deque(maxlen=keep)
        self._total = 0
        self._finished = False
        self._changed = threading.Condition()

    def extend(self, lines: Sequence[LogLine]) -> None:
        with self._changed:
            self._lines.extend(lines)
            self._total += len(lines)
            self._changed.notify_all()

    def skip(self, lines: int) -> None:
        """Count so many lines that are only on the disk."""
        with self._changed:
            self._total += lines

    def finish(self) -> None:
        """Say that no more lines will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    @property
    def total(self) -> int:
        """How many lines were ever written."""
        return self._total

    @property
    def finished(self) -> bool:
        return self._finished

    def since(self, seen: int) -> tuple[list[LogLine], int]:
        """The lines after the first `seen` ones that are still held, and the new value for `seen`."""
        with self._changed:
            missing = max(0, min(self._total - seen, len(self._lines)))
            newest = self._lines if missing == len(self._lines) else list(self._lines)[-missing:] if missing else []
            return list(newest), self._total

    def wait(self, seen: int, timeout: float) -> None:
        """Return once there is a line after the first `seen`, the log is finished, or `timeout` seconds passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._total > seen or self._finished, timeout)

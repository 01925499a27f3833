"""Runs a program in a pseudo-terminal: sends it keys, counts the bytes it writes, shows what the screen became."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyte

_FRAME = b"\x1b[?2026h"
"""Begins what a terminal is to show all at once."""
_END_OF_FRAME = b"\x1b[?2026l"
_BUSY = frozenset("RD")
"""States of threads that run, would if they got a processor, or wait for a disk."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What came back for some keys."""

    bytes: int
    frames: int
    sending: float
    """Seconds that the keys took, from the first to the last."""
    seconds: float
    """From the last key to the last byte."""


class Terminal:
    """A program and the terminal it runs in.

    With `rate` the line to it carries that many bytes a second, as a slow SSH line does.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        columns: int = 120,
        rows: int = 40,
        environ: Mapping[str, str] | None = None,
        rate: float = 0.0,
    ) -> None:
        self._rate = rate
        self.chunks: list[tuple[float, bytes]] = []
        """What arrived, and how many seconds after the start."""
        self.started = time.monotonic()
        env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX", "SSH_CONNECTION")}
        env = {name: value for name, value in env.items() if not name.startswith("TEXTUAL_")}
        env.pop("COLUMNS", None)
        env.pop("LINES", None)
        env |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environ or {})}
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.output = bytearray()
        self._screens: list[str] = []
        """What was on the screen since the last key."""
        self._last = time.monotonic()
        self._closing = False
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            list(argv),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            # A session of its own with this terminal, as a login shell gives.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _read(self) -> None:
        while not self._closing:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready:
                continue
            try:
                # A twentieth of a second's worth, which then takes as long to arrive.
                data = os.read(self._master, int(self._rate / 20) or 65536)
            except OSError:
                return
            if not data:
                return
            if self._rate:
                time.sleep(len(data) / self._rate)
            with self._lock:
                self.chunks.append((time.monotonic() - self.started, data))
                self.output += data
                # pyte does not know the queries that a terminal answers.
                self._stream.feed(data.replace(b"\x1b[?2026$p", b"").replace(b"\x1b[>1u", b""))
                self._screens.append("\n".join(self._screen.display))
                self._last = time.monotonic()
            if b"\x1b[?2026$p" in data:
                os.write(self._master, b"\x1b[?2026;2$y")

    @property
    def text(self) -> str:
        """The screen as it is now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def send(self, keys: str | bytes) -> None:
        self._screens.clear()
        os.write(self._master, keys.encode() if isinstance(keys, str) else keys)

    def until(self, condition: Callable[[], object], what: str, timeout: float = 90.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"{what} did not come about:\n{self.text}"
            time.sleep(0.01)

    def until_shown(self, *words: str) -> None:
        """Wait until all of the words are on the screen, and what came with them."""
        self.until(lambda: self._is_whole() and all(each in self.text for each in words), repr(words))

    def until_told(self, words: str) -> None:
        """Wait until the words were on the screen since the last key, though something else may be there by now."""
        self.until(lambda: any(words in screen for screen in tuple(self._screens)), repr(words))

    def _is_whole(self) -> bool:
        """Whether no frame has come in part."""
        with self._lock:
            return self.output.count(_FRAME) == self.output.count(_END_OF_FRAME)

    def until_quiet(self, seconds: float = 0.25) -> None:
        """Wait until for that long nothing was written, by a program that had nothing to do.

        One that gets no processor writes nothing either.
        """
        since = time.monotonic()

        def quiet() -> bool:
            nonlocal since
            if self._is_busy():
                since = time.monotonic()
            return time.monotonic() - max(since, self._last) > seconds and self._is_whole()

        self.until(quiet, "quiet")

    def _is_busy(self) -> bool:
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                if task.read_text().rpartition(")")[2].split()[0] in _BUSY:
                    return True
        return False

    def cost_of(self, *keys: str, gap: float = 0.0, shown: str = "") -> Cost:
        """What comes back for these keys, until the screen is at rest and has `shown` on it."""
        self.until_quiet()
        before, began = len(self.output), time.monotonic()
        for key in keys:
            self.send(key)
            time.sleep(gap)
        sent = time.monotonic()
        self.until(lambda: len(self.output) > before and shown in self.text, repr(shown))
        self.until_quiet()
        new = bytes(self.output[before:])
        return Cost(len(new), new.count(_FRAME), sent - began, max(0.0, self._last - sent))

    def bytes_for(self, *keys: str, gap: float = 0.0, shown: str = "") -> int:
        """`cost_of` in bytes alone."""
        return self.cost_of(*keys, gap=gap, shown=shown).bytes

    @property
    def frames(self) -> int:
        """How many frames came so far."""
        return self.output.count(_FRAME)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as pulling at its window does."""
        with self._lock:
            self._screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Take the terminal away, as a lost connection does."""
        self._closing = True
        self._reader.join()
        os.close(self._master)
        self._master = -1

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 90.0) -> int:
        return self.process.wait(timeout)

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._closing = True
        self._reader.join()
        if self._master >= 0:
            os.close(self._master)

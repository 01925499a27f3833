"""A build's log: polled from the engine's ring, drawn only where it is visible, never moving under the reader."""

from __future__ import annotations

import time

from rich.text import Text
from textual.message import Message
from textual.strip import Strip

from app.tui.text import safe
from app.tui.widgets.lines import LineWidget
from engine import LogLine, LogRing

__all__ = ["BuildLog"]

_KEEP = 50_000
_SLACK = 5_000
_SHIFT = 16
_STYLES = (
    (("ERROR", "error:", "Traceback "), "bold red"),
    (("WARNING", "warning:", "DEPRECATION"), "yellow"),
    (("Successfully installed",), "green"),
)


class BuildLog(LineWidget):
    """Follows the end of the log until the reader moves up; `G` or `f` follows again."""

    class Changed(Message):
        """There are more lines, or following or the search changed."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.following = True
        self.times = False
        self.ring: LogRing | None = None
        self.needle = ""
        self.place = -1
        """Index in `found` of the match that was jumped to last."""
        self.found: list[int] = []
        self._seen = 0
        self._lines: list[LogLine] = []
        self._left = 0

    @property
    def count(self) -> int:
        return len(self._lines)

    @property
    def text(self) -> str:
        """All lines that are held, as text."""
        return "".join(f"{line.text}\n" for line in self._lines)

    def poll(self) -> None:
        """Take what is new from the ring. To be called some ten times a second while the log is visible."""
        if self.ring is None or self.ring.total == self._seen:
            return
        lines, self._seen = self.ring.since(self._seen)
        self._lines.extend(lines)
        if self.needle:
            start = len(self._lines) - len(lines)
            self.found += [start + i for i, line in enumerate(lines) if self._hit(line)]
        dropped = len(self._lines) - _KEEP
        if dropped > _SLACK:
            del self._lines[:dropped]
            self.top = max(0, self.top - dropped)
            self.search(self.needle, jump=False)
        if not self.following or not self.scroll_top(self.count):
            self._refresh_tail(len(lines))
        self.post_message(self.Changed())

    def _refresh_tail(self, new: int) -> None:
        if self.overflows and self.count - new <= self.page:
            self.refresh()
        for index in range(max(self.top, self.count - new), min(self.count, self.top + self.page)):
            self.refresh_line(index)

    # Moving

    def move(self, step: str) -> None:
        super().move(step)
        if step == "last":
            self._follow(True)

    def move_by(self, lines: int) -> None:
        super().move_by(lines)
        if lines < 0:
            self._follow(False)

    def toggle_follow(self) -> None:
        self._follow(not self.following)
        if self.following:
            self.scroll_top(self.count)

    def _follow(self, following: bool) -> None:
        if following is not self.following:
            self.following = following
            self.post_message(self.Changed())

    def shift(self, direction: int) -> None:
        """Scroll sideways."""
        left = max(0, self._left + direction * _SHIFT)
        if left != self._left:
            self._left = left
            self.refresh()

    def toggle_times(self) -> None:
        self.times = not self.times
        self.refresh()

    # Searching

    def _hit(self, line: LogLine) -> bool:
        return self.needle in line.text.casefold()

    def search(self, text: str, *, jump: bool = True) -> None:
        """Find `text` in every line, whatever its letter case, and go to the next match from here on."""
        self.needle = text.casefold()
        self.found = [i for i, line in enumerate(self._lines) if self._hit(line)] if text else []
        self.place = -1
        if jump and self.found:
            self.place = next((n for n, index in enumerate(self.found) if index >= self.top), 0) - 1
            self.next_match(1)
        self.refresh()
        self.post_message(self.Changed())

    def next_match(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) match, around the end."""
        if not self.found:
            return
        self.place = (self.place + direction) % len(self.found)
        index = self.found[self.place]
        self._follow(False)
        if not self.top <= index < self.top + self.page:
            self.scroll_top(index - self.page // 2)
        self.refresh()
        self.post_message(self.Changed())

    # Drawing

    def draw(self, index: int, width: int) -> Strip:
        line = self._lines[index]
        text = safe(line.text, next((style for words, style in _STYLES if line.text.startswith(words)), ""))
        if self.needle:
            folded, start = text.plain.casefold(), 0
            while (start := folded.find(self.needle, start)) >= 0:
                text.stylize("reverse", start, start + len(self.needle))
                start += len(self.needle)
        if self.found and self.place >= 0 and self.found[self.place] == index:
            text.stylize("bold")
        prefix = Text(" ", end="")
        if self.times:
            prefix = Text(time.strftime(" %H:%M:%S ", time.localtime(line.at)), style="dim", end="")
        room = width - prefix.cell_len
        return Strip.join([self.strip(prefix), self.strip(text).crop(self._left, self._left + room)])

"""A build's log: polled from the engine's ring, drawn only where it is visible, never moving under the reader."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from rich.text import Text
from textual.events import Resize
from textual.message import Message
from textual.strip import Strip

from app.tui.document import Line
from app.tui.filters import Filter, line_test
from app.tui.log_text import LogText, Wanted
from app.tui.text import count, safe
from app.tui.widgets.detail import wrapped
from app.tui.widgets.lines import LineWidget
from engine import LogLevel, LogRing, log_level

__all__ = ["BuildLog"]

_SHIFT = 16
_MARGIN = 2
"""Cells for the mark of a line."""
_SCAN = 5_000
"""Lines that are looked at for errors at one poll: a few milliseconds."""
_MARK = {LogLevel.ERROR: "✗", LogLevel.WARNING: "!"}
_STYLE = {LogLevel.ERROR: "bold red", LogLevel.WARNING: "yellow", LogLevel.GOOD: "green", LogLevel.PLAIN: ""}
_TIME = "%H:%M:%S "


class BuildLog(LineWidget):
    """Follows the end of the log until the reader moves up; `G` or `f` follows again.

    The first column marks errors, warnings, and the line that was jumped to last.
    """

    class Changed(Message):
        """There are more lines, or what is shown of them is another."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.following = True
        self.times = False
        self.wrapping = False
        self.ring: LogRing | None = None
        self.log_text = LogText()
        self.sought = Filter()
        """What is looked for; without terms, nothing is."""
        self.place = -1
        """The number of the line that was jumped to last."""
        self._ending: Sequence[Line] = ()
        """What is said below the last line."""
        self._ending_rows: list[Text] = []
        self._seen = 0
        self._left = 0

    # Rows: a remark on what is not shown, the lines, the ending

    @property
    def count(self) -> int:
        return self._head + self.log_text.rows + len(self._ending_rows)

    @property
    def _head(self) -> int:
        return 1 if self.log_text.dropped else 0

    @property
    def line_number(self) -> int:
        """The number of the first line in sight, from 1; 0 when there is none."""
        rows = self.log_text.rows
        return self.log_text.row(max(0, min(self.top - self._head, rows - 1)))[0] + 1 if rows else 0

    @property
    def ended(self) -> bool:
        """Whether everything was shown that will ever come."""
        return self.ring is not None and self.ring.finished and self.ring.total == self._seen

    def poll(self) -> None:
        """Take what is new from the ring. To be called some ten times a second while the log is visible."""
        text = self.log_text
        if self.ring is None or self.ring.total == self._seen:
            errors = len(text.errors)
            text.scan(_SCAN)
            if len(text.errors) != errors:
                self.post_message(self.Changed())
            return
        head, before = self._head, text.rows
        lines, self._seen = self.ring.since(self._seen)
        gone = text.take(lines, self._seen)
        text.scan(_SCAN)
        if gone or head != self._head:
            self.top = max(0, self.top - gone + self._head - head)
            self.refresh()
        if not self.following or not self.scroll_top(self.count):
            self._refresh_tail(text.rows - before + gone)
        self.post_message(self.Changed())

    def _refresh_tail(self, new: int) -> None:
        if self.overflows and self.count - new <= self.page:
            self.refresh()
        for index in range(max(self.top, self.count - new), min(self.count, self.top + self.page)):
            self.refresh_line(index)

    def end(self, ending: Sequence[Line]) -> None:
        """Say `ending` below the last line."""
        if self._ending != ending:
            self._ending = ending
            self._wrap_ending()
            self._show_again()

    def _wrap_ending(self) -> None:
        width = max(10, self.size.width - 2)
        self._ending_rows = [row for line in self._ending for row in wrapped(line, width, self.app.console)]

    # Moving

    def move(self, step: str) -> None:
        super().move(step)
        if step == "last":
            self._follow(True)

    def move_by(self, lines: int) -> None:
        super().move_by(lines)
        if lines < 0:
            self._follow(False)
        self.post_message(self.Changed())

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
        if left != self._left and not self.wrapping:
            self._left = left
            self.refresh()

    def on_resize(self, event: Resize) -> None:
        self._wrap_ending()
        self._change(self._wrap)
        super().on_resize(event)

    # What is shown and how

    def toggle_times(self) -> None:
        self.times = not self.times
        self._change(self._wrap)

    def toggle_wrap(self) -> None:
        self.wrapping = not self.wrapping
        self._left = 0
        self._change(self._wrap)

    def _wrap(self) -> None:
        # As if there were always a thumb: its appearance must not break the lines anew.
        self.log_text.wrap(max(8, self.size.width - _MARGIN - 1 - self._prefix) if self.wrapping else 0)

    @property
    def _prefix(self) -> int:
        """Cells between the mark and the text of a line."""
        return len(time.strftime(_TIME)) if self.times else 0

    def filter(self, wanted: Wanted | None) -> None:
        """Show only the lines that are wanted, or all."""
        self._change(lambda: self.log_text.filter(wanted))

    def _change(self, change: Callable[[], None]) -> None:
        """Do what changes the rows, and keep in sight what is at the top."""
        number = self.line_number - 1
        change()
        self.top = self._head + self.log_text.row_of(number) if number >= 0 else 0
        self._show_again()

    def _show_again(self) -> None:
        self.scroll_top(self.count if self.following else self.top)
        self.refresh()
        self.post_message(self.Changed())

    # Jumping

    def search(self, sought: Filter) -> None:
        """Find the lines that are `sought` among those that are shown, and go to the next one from here on."""
        self.sought = sought
        self.log_text.search(line_test(sought))
        self.place = -1
        found = self.log_text.found
        if found:
            self._jump(found[bisect_left(found, self.line_number - 1) % len(found)])
        self._show_again()

    def next_match(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) match, around the end."""
        self._next(self.log_text.found, direction)

    def next_error(self, direction: int) -> bool:
        """Go to the next (1) or previous (-1) line that tells of an error; False when there is none to be seen."""
        while self.log_text.scan(_SCAN):
            pass
        return self._next([n for n in self.log_text.errors if self.log_text.shows(n)], direction)

    def _next(self, numbers: Sequence[int], direction: int) -> bool:
        if not numbers:
            return False
        here = self.place
        if here < 0 and direction > 0:
            # From the end on one goes round to the first; from elsewhere what is in sight counts.
            here = self.line_number - 2 if not self.following else self.log_text.total
        elif here < 0:
            here = self.line_number - 1 if not self.following else self.log_text.total
        index = bisect_left(numbers, here + 1 if direction > 0 else here) - (direction < 0)
        self._jump(numbers[index % len(numbers)])
        return True

    def _jump(self, number: int) -> None:
        """Bring line `number` into sight and mark it."""
        self._follow(False)
        self.place = number
        row = self._head + self.log_text.row_of(number)
        if not self.top <= row < self.top + self.page:
            self.scroll_top(row - self.page // 2)
        self.refresh()
        self.post_message(self.Changed())

    # Drawing

    def draw(self, index: int, width: int) -> Strip:
        row = index - self._head
        if row < 0:
            dropped = count(self.log_text.dropped, "line")
            left_out = f"  the first {dropped} are only in the file, where / does not look; s saves all of it"
            return self.strip(safe(left_out, "dim italic"))
        if row >= self.log_text.rows:
            return self.strip(self._ending_rows[row - self.log_text.rows])
        number, part = self.log_text.row(row)
        line = self.log_text.line(number)
        level = log_level(line.text)
        mark = "▸" if number == self.place else _MARK.get(level, " ")
        prefix = Text(f"{' ' if part else mark} ", _STYLE[level], end="")
        if self.times:
            stamp = time.strftime(_TIME, time.localtime(line.at)) if not part and line.at else ""
            prefix.append(stamp.ljust(self._prefix), "dim not bold default")
        start, end = self.log_text.part(number, part)
        if not self.wrapping:
            # What is beyond the screen needs no looks. Some characters take no cell, so not exactly.
            end = min(end, 4 * (self._left + width))
        text = safe(line.text[:end], _STYLE[level])
        if self.sought.patterns and self.log_text.finds(number):
            for pattern in self.sought.patterns:
                for span in pattern.spans(text.plain):
                    text.stylize("reverse", *span)
        if number == self.place:
            text.stylize("bold")
        room = width - prefix.cell_len
        strip = self.strip(text[start:]) if self.wrapping else self.strip(text).crop(self._left, self._left + room)
        return Strip.join([self.strip(prefix), strip])

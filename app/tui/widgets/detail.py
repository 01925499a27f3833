"""Read-only text that scrolls: descriptions, the explanation of a match, help."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from textual.events import Resize
from textual.strip import Strip

from app.tui.document import Line
from app.tui.patterns import Pattern
from app.tui.widgets.lines import LineWidget

__all__ = ["Detail", "wrapped"]


class Detail(LineWidget):
    """A document wrapped to its width, with hanging indents.

    With `share` it is only as high as its text, and at most that part of the screen.
    """

    def __init__(self, *, share: float = 0.0, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.share = share
        self.document: Sequence[Line] = ()
        self.pattern: Pattern | None = None
        """What is looked for."""
        self.found: list[int] = []
        """The lines it is on."""
        self.place = 0
        """Which of them is the one that was gone to."""
        self._wrapped: list[Text] = []
        self._width = 0
        """The width that `_wrapped` was made for; 0 when it is out of date."""

    @property
    def count(self) -> int:
        return len(self._lines)

    @property
    def _lines(self) -> list[Text]:
        # A blank column on the left, and one for the thumb whether it is needed or not: appearing, it reflows nothing.
        width = max(10, self.size.width - 3)
        if width != self._width:
            self._width = width
            self._wrapped = [part for line in self.document for part in wrapped(line, width, self.app.console)]
        return self._wrapped

    def show(self, document: Sequence[Line], *, keep_place: bool = True) -> None:
        """Show `document`, from its start unless `keep_place`; only lines that differ are sent."""
        before, top, overflowed = self._lines, self.top, self.overflows
        self.document, self._width = document, 0
        after = self._lines
        self._fit()
        if self.pattern is not None:
            self._search()
            self.place = min(self.place, max(0, len(self.found) - 1))
        self.top = max(0, min(self.top, self.count - self.page)) if keep_place else 0
        if self.top != top or self.overflows or overflowed:
            if self.top != top or not _same(before, after):
                self.refresh()
            return
        for index in range(max(len(before), len(after))):
            if not _same(before[index : index + 1], after[index : index + 1]):
                self.refresh_line(index)

    def find(self, pattern: Pattern | None) -> None:
        """Look for `pattern` and go to the first place at or below the top; None stops looking."""
        self.pattern = pattern
        self._search()
        below = [index for index, line in enumerate(self.found) if line >= self.top]
        self.place = below[0] if below else 0
        self.go_to_place(0)
        self.refresh()

    def go_to_place(self, step: int) -> None:
        """Go `step` places on, around the end."""
        if self.found:
            self.place = (self.place + step) % len(self.found)
            line = self.found[self.place]
            if not self.top <= line < self.top + self.page:
                self.scroll_top(line - self.page // 3)

    def _search(self) -> None:
        pattern = self.pattern
        self.found = []
        if pattern is not None:
            self.found = [i for i, line in enumerate(self._lines) if pattern.found(line.plain.casefold())]

    def _fit(self) -> None:
        if self.share:
            height = max(1, min(self.count, int(self.app.size.height * self.share)))
            if self.size.height != height:
                self.styles.height = height

    def draw(self, index: int, width: int) -> Strip:  # noqa: ARG002 - wrapped already
        line = Text.assemble(" ", self._lines[index], end="")
        if self.pattern is not None:
            for start, end in self.pattern.spans(line.plain):
                line.stylize("reverse", start, end)
        return self.strip(line)

    def on_resize(self, _event: Resize) -> None:
        self._fit()
        self._search()


def _same(before: Sequence[Text], after: Sequence[Text]) -> bool:
    return len(before) == len(after) and all(
        old == new and old.spans == new.spans for old, new in zip(before, after, strict=True)
    )


def wrapped(line: Line, width: int, console: Console) -> list[Text]:
    """`line` as lines that are no wider than `width`."""
    text = line.text.copy()
    if text.cell_len <= width:
        return [text]
    hang = min(line.hang, width * 3 // 5)
    head = text.wrap(console, width, no_wrap=False)[0]
    if len(head.plain.rstrip()) <= hang:
        # A word too long for the line, such as a path behind its label: break it rather than leave the line empty.
        head = text[:width]
    # Wrapping takes the blanks at a break away; the rest starts at the first character behind them.
    start = len(head.plain)
    while text.plain[start : start + 1] == " ":
        start += 1
    parts = [head]
    for part in text[start:].wrap(console, width - hang, no_wrap=False):
        indented = Text(" " * hang, end="")
        indented.append_text(part)
        parts.append(indented)
    return parts

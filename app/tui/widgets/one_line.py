"""A widget that is one line of text: what header, titles, prompt and footer are made of."""

from __future__ import annotations

from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from app.tui.text import cut
from app.tui.widgets.chrome import rule

__all__ = ["OneLine"]


class OneLine(Widget):
    """Shows a text, cut to its width; sent again only when it differs."""

    DEFAULT_CSS = "OneLine { height: 1; width: 1fr; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.text = Text("")
        self._ruled = False

    def show(self, text: Text, *, ruled: bool = False) -> None:
        """Show `text` from now on; `ruled` as a heading across the widget, however wide that becomes."""
        before, self.text = self.text, text
        was_ruled, self._ruled = self._ruled, ruled
        if ruled != was_ruled or text != before or text.spans != before.spans or text.style != before.style:
            self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        text = cut(rule(self.text, width) if self._ruled else self.text, width)
        console = self.app.console
        base = self.rich_style + console.get_style(text.style)
        return Strip([Segment(s.text, base + s.style if s.style else base) for s in text.render(console)], width)

"""Base of everything that scrolls: a widget that draws one line at a time and knows how to move."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.events import MouseScrollDown, MouseScrollUp, Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

__all__ = ["LineWidget"]

_DIM = Style(dim=True)


class LineWidget(Widget, can_focus=True):
    """Shows `count` lines from `top` on, with a thumb in the last column when there are more.

    Above them `fixed` lines (none or one) stay where they are.

    Textual sends every refreshed cell again (textual.md §3.2), so subclasses refresh single lines where they can.
    """

    DEFAULT_CSS = "LineWidget { height: 1fr; width: 1fr; }"
    fixed = 0
    MOVES: ClassVar[dict[str, Callable[[LineWidget], int]]] = {
        "down": lambda _widget: 1,
        "up": lambda _widget: -1,
        "half-down": lambda widget: max(1, widget.page // 2),
        "half-up": lambda widget: -max(1, widget.page // 2),
        "page-down": lambda widget: max(1, widget.page - 1),
        "page-up": lambda widget: -max(1, widget.page - 1),
        "first": lambda widget: -widget.count,
        "last": lambda widget: widget.count,
    }
    """By action id, how many lines down it goes."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self.top = 0

    @property
    def count(self) -> int:
        """How many lines there are to scroll through."""
        raise NotImplementedError

    def draw(self, index: int, width: int) -> Strip:
        """Line `index`, at most `width` cells."""
        raise NotImplementedError

    def draw_head(self, width: int) -> Strip:
        """The line that stays, for widgets that have one."""
        raise NotImplementedError

    @property
    def page(self) -> int:
        """How many lines are visible at once."""
        return max(1, self.size.height - self.fixed)

    @property
    def overflows(self) -> bool:
        return self.count > self.page

    def scroll_top(self, top: int) -> bool:
        """Show from line `top` on, as far as there are lines; True if that changed anything."""
        top = max(0, min(top, self.count - self.page))
        if top == self.top:
            return False
        self.top = top
        self.refresh()
        return True

    def move(self, step: str) -> None:
        """Do one of `MOVES`."""
        self.move_by(self.MOVES[step](self))

    def move_by(self, lines: int) -> None:
        self.scroll_top(self.top + lines)

    def refresh_line(self, index: int) -> None:
        """Send line `index` again, if it is visible."""
        y = index - self.top + self.fixed
        if self.fixed <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if y < self.fixed:
            return self.draw_head(width).crop_extend(0, width, base).apply_style(base)
        index = self.top + y - self.fixed
        inner = width - 1 if self.overflows else width
        strip = self.draw(index, inner) if index < self.count else Strip.blank(inner)
        strip = strip.crop_extend(0, inner, None)
        if inner < width:
            strip = Strip.join([strip, self.strip(Text("▐" if self._in_thumb(y - self.fixed) else " ", style=_DIM))])
        return strip.apply_style(base)

    def strip(self, text: Text) -> Strip:
        """A rich text as what Textual draws."""
        console = self.app.console
        strip = Strip(text.render(console), text.cell_len)
        # Rich leaves a text's own style out when nothing in it has another.
        return strip.apply_style(console.get_style(text.style)) if text.style else strip

    def _in_thumb(self, y: int) -> bool:
        page, count = self.page, self.count
        length = max(1, page * page // count)
        start = (page - length) * self.top // max(1, count - page)
        return start <= y < start + length

    def on_resize(self, _event: Resize) -> None:
        self.scroll_top(self.top)

    def on_mouse_scroll_down(self, _event: MouseScrollDown) -> None:
        self.move_by(3)

    def on_mouse_scroll_up(self, _event: MouseScrollUp) -> None:
        self.move_by(-3)

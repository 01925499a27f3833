"""One line at the bottom of a terminal that is erased and drawn again.

Not `rich.live`: that hides the cursor, which a killed process would leave hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.control import Control
from rich.segment import ControlType

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["ProgressLine"]


class ProgressLine:
    """Draws on the terminal of `console`, which must be able to erase a line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._line: Text | None = None

    def erase(self) -> None:
        """Take the line off the screen, to print something above it."""
        if self._line is not None:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def draw(self, line: Text | None = None) -> None:
        """Show `line`, or the last one again."""
        if line is not None:
            self.erase()
            self._line = line
        if self._line is not None:
            # One column stays free: a full line would wrap, and what wrapped cannot be erased.
            self._line.truncate(self._console.width - 1, overflow="ellipsis")
            self._console.print(self._line, end="", no_wrap=True)
            self._console.file.flush()

    def clear(self) -> None:
        """Take the line off the screen for good."""
        self.erase()
        self._line = None

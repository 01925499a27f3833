"""The last gate before the terminal: filters over every segment that Textual draws."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from app.tui.symbols import ASCII

__all__ = ["AsciiOnly", "NoColor", "StripControl"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_FOREIGN = re.compile(r"[^\x00-\x7f]")


def _substitute(segments: Iterable[Segment], pattern: re.Pattern[str], stand_in: dict[str, str]) -> list[Segment]:
    def replace(found: re.Match[str]) -> str:
        character = found.group()
        return stand_in.get(character, "?" * cell_len(character))

    return [Segment(pattern.sub(replace, text), style, control) for text, style, control in segments]


class StripControl(LineFilter):
    """Defence in depth: nothing that looks like a control character leaves the app (textual.md §3.4)."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        if any(_CONTROL.search(segment.text) for segment in segments):
            return [Segment(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", t), style, c) for t, style, c in segments]
        return segments


class NoColor(LineFilter):
    """For NO_COLOR: bold, dim and reverse stay, colours go. Textual's own filter lets ANSI colours through."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        return [Segment(text, style.without_color if style else style, control) for text, style, control in segments]


class AsciiOnly(LineFilter):
    """For terminals without UTF-8: our symbols get their stand-ins, any other character a ``?`` of its width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        if all(segment.text.isascii() for segment in segments):
            return segments
        return _substitute(segments, _FOREIGN, ASCII)

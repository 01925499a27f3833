"""Sends only what the terminal does not show already.

Textual sends every refreshed cell again, the same or not, and fills lines up with blanks (textual.md §3.2). Over an
SSH line that is most of what there is to send: a page above a view is drawn four times, a refreshed list is mostly the
old one. `Frames` remembers what each cell of the terminal was sent last and lets through the difference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import cast

from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Size
from textual.strip import Strip

from app.tui.symbols import ASCII

__all__ = ["Frames", "ReadyUpdate"]

Cell = tuple[str, str]
"""A character (empty behind a wide one) and the numbers of its SGR sequence (empty for the terminal's defaults)."""
_REACH = 4
"""Cells that are the same and sent all the same, since moving the cursor over them costs as much."""
_ERASED = 4
"""From this many blanks on, erasing the rest of the line is shorter than sending them."""
_BACKGROUND = re.compile(r"4[0-7]|10[0-7]|48;[25](;\d+)+")
_LINES_AND_REVERSE = frozenset(("4", "7", "9", "21", "53"))
_WORTH_SCROLLING = 3
"""So many lines at least have to move, that doing so is shorter than sending them."""
_AGREED = frozenset(map(chr, range(32, 127))) | frozenset(ASCII)
"""Characters that are one cell wide in every terminal."""


class Frames:
    """What the terminal shows, as far as it was told through here."""

    def __init__(self, *, erases_in_colour: bool = False) -> None:
        """`erases_in_colour` says that what the terminal erases gets the background that is set then."""
        self._erases_in_colour = erases_in_colour
        self._size = Size(0, 0)
        self._shown: list[list[Cell | None]] = []
        """Per line its cells; None where it is not known what the terminal shows."""

    def forget(self) -> None:
        """Send everything that comes, since something else may have written to the terminal."""
        self._size = Size(0, 0)

    def reduce(self, update: CompositorUpdate, console: Console, size: Size) -> str:
        """What to send for `update` on a terminal of that size; empty when it is all there already."""
        if size != self._size:
            self._size = size
            self._shown = [[None] * size.width for _ in range(size.height)]
        # As Strip.render does.
        colors = console._color_system or ColorSystem.TRUECOLOR
        changed: dict[int, list[Cell | None]] = {}
        for y, x, strip in _strips(update):
            # A screen may still be drawn for the size that the terminal had before.
            if not 0 <= y < size.height or x >= size.width:
                continue
            line = changed.setdefault(y, list(self._shown[y]))
            cells = _cells(strip, colors)[: size.width - x]
            line[x : x + len(cells)] = cells
        output = _Output(self._erases_in_colour)
        if scroll := _find_scroll(self._shown, changed):
            top, bottom, lines = scroll
            changed = {**{y: self._shown[y] for y in range(top, bottom)}, **changed}
            output.scroll(top, bottom, lines)
            _scroll(self._shown, top, bottom, lines)
        for y in sorted(changed):
            output.line(y, self._shown[y], changed[y])
            self._shown[y] = changed[y]
        return output.text()


class ReadyUpdate(CompositorUpdate):
    """An update that is what to send already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def render_segments(self, console: Console) -> str:  # noqa: ARG002 - Textual's signature
        return self._text


class _Output:
    """The characters and sequences of one frame; the graphic rendition carries on from one line to the next."""

    def __init__(self, erases_in_colour: bool) -> None:
        self._erases_in_colour = erases_in_colour
        self._parts: list[str] = []
        self._codes = ""

    def scroll(self, top: int, bottom: int, lines: int) -> None:
        """Move what is between two rows up by so many lines, or down by as many as it is less than none."""
        at, step = (bottom, "\n") if lines > 0 else (top + 1, "\x1bM")
        self._parts.append(f"\x1b[{top + 1};{bottom}r\x1b[{at};1H{step * abs(lines)}\x1b[r")

    def line(self, y: int, old: list[Cell | None], new: list[Cell | None]) -> None:
        """Turn the line `old` at row `y` into `new`."""
        if old == new:
            return
        if not (_agreed(old) and _agreed(new)):
            # Terminals disagree about the width of something in it, so no column is certain: the line is sent whole.
            old = [None] * len(new)
        end = len(new)
        tail = new[-1]
        if tail is not None and self._erases_as(tail):
            while end and new[end - 1] == tail:
                end -= 1
            if len(new) - end < _ERASED or all(cell == tail for cell in old[end:]):
                end, tail = len(new), None
        else:
            tail = None
        for start, stop in _runs(old, new, end):
            self._parts.append(f"\x1b[{y + 1};{start + 1}H")
            for cell in new[start:stop]:
                self._put(*cast(Cell, cell))
        if tail is not None:
            if not end or old[end - 1] == new[end - 1]:
                self._parts.append(f"\x1b[{y + 1};{end + 1}H")
            self._put("\x1b[K", tail[1])

    def _erases_as(self, cell: Cell) -> bool:
        """Whether erasing looks like this cell."""
        text, codes = cell
        return text == " " and (not codes or (self._erases_in_colour and _BACKGROUND.fullmatch(codes) is not None))

    def _put(self, text: str, codes: str) -> None:
        if codes != self._codes and not (text == " " and codes == _bare(self._codes)):
            reset = "0;" if self._codes and codes else ""
            self._parts.append(f"\x1b[{reset}{codes}m")
            self._codes = codes
        self._parts.append(text)

    def text(self) -> str:
        if self._codes:
            self._parts.append("\x1b[m")
            self._codes = ""
        return "".join(self._parts)


def _find_scroll(
    shown: list[list[Cell | None]], changed: Mapping[int, list[Cell | None]]
) -> tuple[int, int, int] | None:
    """Where what is shown has to move as a whole: from which row to before which, and how many lines up.

    The last column does not count: a thumb in it moves otherwise.
    """
    rows = [y for y, line in changed.items() if line != shown[y]]
    if len(rows) < _WORTH_SCROLLING:
        return None
    top, bottom = min(rows), max(rows) + 1
    if any(None in shown[y] for y in range(top, bottom)):
        return None
    places: dict[tuple[Cell | None, ...], int] = {}
    for y in range(top, bottom):
        key = tuple(shown[y][:-1])
        # A line that is there twice says nothing about where it went.
        places[key] = -1 if key in places else y
    found = Counter(
        places[key] - y for y in rows if places.get(key := tuple(changed[y][:-1]), -1) >= 0 and places[key] != y
    )
    lines, votes = found.most_common(1)[0] if found else (0, 0)
    unmoved = bottom - top - len(rows)
    return (top, bottom, lines) if votes - unmoved >= _WORTH_SCROLLING else None


def _scroll(shown: list[list[Cell | None]], top: int, bottom: int, lines: int) -> None:
    """Do to what is shown what `_Output.scroll` does to the terminal."""
    blank: list[list[Cell | None]] = [[(" ", "")] * len(shown[top]) for _ in range(abs(lines))]
    if lines > 0:
        shown[top:bottom] = [*shown[top + lines : bottom], *blank]
    else:
        shown[top:bottom] = [*blank, *shown[top : bottom + lines]]


def _runs(old: list[Cell | None], new: list[Cell | None], end: int) -> Iterator[tuple[int, int]]:
    """The stretches of `new` up to `end` that have to be sent, none of them with an unknown cell in it."""
    start = last = -1
    for x in range(end):
        if new[x] is None or new[x] == old[x]:
            continue
        if start >= 0 and (x - last > _REACH + 1 or None in new[last + 1 : x]):
            yield start, last + 1
            start = -1
        if start < 0:
            start = x
        last = x
    if start >= 0:
        yield start, last + 1


def _agreed(line: Iterable[Cell | None]) -> bool:
    return _AGREED.issuperset(cell[0] for cell in line if cell is not None)


def _strips(update: CompositorUpdate) -> Iterator[tuple[int, int, Strip]]:
    """The strips of an update with the row and column of each, as its own `render_segments` places them."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in line:
                yield y, x, strip
                x += strip.cell_length
    elif isinstance(update, ChopsUpdate):
        for y, x1, x2 in update.spans:
            for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if chop is not None and x <= x2 and end > x1:
                    yield y, x, chop if end <= x2 else chop.crop(0, x2 - x)


@lru_cache(maxsize=4096)
def _cell(character: str, look: str) -> Cell:
    """Each is there once: of the thousands on a screen nearly all are equal to another."""
    return (character, look)


def _cells(strip: Strip, colors: ColorSystem) -> list[Cell]:
    cells: list[Cell] = []
    for text, style, _control in strip:
        inked, bare = _codes(style, colors) if style is not None else ("", "")
        if text.isascii():
            cells += [_cell(character, bare if character == " " else inked) for character in text]
            continue
        spans, _width = split_graphemes(text)
        for start, end, width in spans:
            look = bare if text[start:end] == " " else inked
            cells += [(text[start:end], look), *[("", look)] * (width - 1)] if width else []
    return cells


@lru_cache(maxsize=4096)
def _codes(style: Style, colors: ColorSystem) -> tuple[str, str]:
    """The SGR numbers of a style, for characters and for blanks."""
    sequence = style.update_link(None).render("x", color_system=colors).partition("x")[0]
    # Without those that say what is the default anyway.
    kept = [part for part in _parts(sequence.removeprefix("\x1b[").removesuffix("m")) if part not in ("39", "49")]
    codes = ";".join(kept)
    return codes, _bare(codes)


@lru_cache(maxsize=4096)
def _bare(codes: str) -> str:
    """What of these SGR numbers can be seen on a blank."""
    parts = list(_parts(codes))
    if not _LINES_AND_REVERSE.isdisjoint(parts):
        return codes
    return ";".join(part for part in parts if _BACKGROUND.fullmatch(part))


def _parts(codes: str) -> Iterator[str]:
    """SGR numbers, those of one colour together."""
    numbers = iter(codes.split(";") if codes else ())
    for number in numbers:
        if number in ("38", "48"):
            # A colour of the palette (5, and one number) or any (2, and three).
            kind = next(numbers, "")
            yield ";".join([number, kind, *(next(numbers, "") for _ in range(1 if kind == "5" else 3))])
        else:
            yield number

"""Lines of read-only text with hanging indents, and the few shapes that every description is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from rich.text import Text

from app.tui.symbols import SEVERITY
from app.tui.text import safe

if TYPE_CHECKING:
    from engine import Excerpt, Problem

__all__ = ["Document", "Line", "empty_note", "note", "plain"]

_REMARK = 10
_LABEL = 16


class Line(Struct, frozen=True):
    """One line; when it is wider than the screen it continues at column `hang`."""

    text: Text
    hang: int = 0


class Document:
    """A text under construction, from top to bottom. Values that are `str` are foreign and made safe."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def add(self, *parts: Text | str, hang: int = 0, style: str = "") -> None:
        """A line of `parts` joined as they are."""
        text = Text("", style=style, end="")
        for part in parts:
            text.append_text(part if isinstance(part, Text) else safe(part))
        self.lines.append(Line(text, hang))

    def blank(self) -> None:
        """An empty line, unless there is one already or nothing to set apart."""
        if self.lines and self.lines[-1].text.plain:
            self.lines.append(Line(Text("")))

    def heading(self, title: str, note: str = "") -> None:
        """A section's title, set apart from what is above, with a quiet remark beside it."""
        self.blank()
        self.add(safe(title, "bold cyan"), "  " if note else "", safe(note, "dim"), hang=2)

    def field(self, label: str, *values: Text | str) -> None:
        """``Label       value``; further `values` go on lines of their own beneath the first."""
        for index, value in enumerate(values):
            name = safe((label if index == 0 else "").ljust(_LABEL), "dim")
            self.add("  ", name, value, hang=_LABEL + 2)

    def remark(self, label: str, *parts: Text | str) -> None:
        """``Label     text``, for the few lines above a view's rows; an empty label continues the one above."""
        self.add(safe(label.ljust(_REMARK), "dim"), *parts, hang=_REMARK)

    def table(
        self, rows: Iterable[Sequence[Text | str]], indent: int = 2, notes: Sequence[Sequence[Text | str]] = ()
    ) -> None:
        """Rows with aligned columns; the last column wraps under itself.

        `notes`, if any, are lines for each row, which begin below its second column.
        """
        cells = [[cell if isinstance(cell, Text) else safe(cell) for cell in row] for row in rows]
        if not cells:
            return
        widths = [max(row[column].cell_len for row in cells) for column in range(len(cells[0]) - 1)]
        hang = indent + sum(widths) + 2 * len(widths)
        second = indent + sum(widths[:1]) + 2
        for index, row in enumerate(cells):
            parts: list[Text] = []
            for cell, width in zip(row, widths, strict=False):
                padded = cell.copy()
                padded.pad_right(width - cell.cell_len + 2)
                parts.append(padded)
            self.add(" " * indent, *parts, row[-1], hang=hang)
            for remark in notes[index] if notes else ():
                self.add(" " * second, remark, hang=second)

    def problem(self, problem: Problem, place: Excerpt | None = None) -> None:
        """A problem in full: what, where, what was expected and found, and the hint; with a `place` the line itself."""
        mark = SEVERITY[problem.severity]
        self.add("  ", mark.text(""), " ", safe(problem.message, mark.style), hang=4)
        if problem.where is not None:
            self.add("    ", safe(problem.where), hang=6)
        if place is not None:
            number = f"{place.line} "
            self.add("    ", safe(f"{number}| ", "dim"), safe(place.text), hang=6 + len(number))
            if place.pointed:
                blanks = " " * safe(place.before).cell_len
                self.add("    ", safe(" " * len(number) + "| ", "dim"), safe(f"{blanks}^", mark.style))
        if problem.expected:
            self.add("    ", safe("expected  ", "dim"), problem.expected, hang=14)
        if problem.found:
            self.add("    ", safe("found     ", "dim"), problem.found, hang=14)
        if problem.hint:
            self.add("    ", safe("try       ", "dim"), problem.hint, hang=14)


def note(*lines: str) -> list[Line]:
    """A remark such as an empty state: the first line stands out, the others are quiet."""
    return [Line(safe(line, "bold" if index == 0 else "dim"), 2) for index, line in enumerate(lines)]


def empty_note(obstacles: Sequence[Problem], lead: str, *lines: str) -> list[Line]:
    """Why a list is empty and what to do next: what stands in the way, else `lead` and the quiet `lines`.

    Where what is there cannot be seen, nobody knows that there is nothing.
    """
    if not obstacles:
        return note(lead, *lines)
    document = Document()
    if all(problem.code != "data-dir-unreadable" for problem in obstacles):
        document.lines += note(lead)
    for problem in obstacles:
        document.problem(problem)
    return document.lines


def plain(lines: Sequence[Line]) -> str:
    """The text without its looks, for the clipboard."""
    return "".join(f"{line.text.plain.rstrip()}\n" for line in lines)

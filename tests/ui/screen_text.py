"""A screen as text: its rows, and which stretches of each have which look."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual.strip import Strip

__all__ = ["screen_text"]

_LOOKS = ("bold", "dim", "italic", "underline", "reverse")


def screen_text(strips: Sequence[Strip], *, looks: bool) -> str:
    """The rows without blanks at their ends; with `looks` below them a line for each row that is not all plain.

    ``4: 0-8 green, 12-20 bold red`` are the cells 0 to 8 and 12 to 20 of the fourth row. Blanks have no look unless it
    shows, as a background does.
    """
    rows = ["".join(segment.text for segment in strip).rstrip() for strip in strips]
    if not looks:
        return "".join(f"{row}\n" for row in rows)
    lines = [f"{number}: {', '.join(found)}" for number, strip in enumerate(strips, 1) if (found := _stretches(strip))]
    return "".join(f"{line}\n" for line in [*rows, "-- looks", *lines])


def _stretches(strip: Strip) -> list[str]:
    found: list[tuple[int, int, str]] = []
    at = 0
    for segment in strip:
        width = segment.cell_length
        look = _look(segment.style)
        if not segment.text.strip() and not {"reverse", "underline", "on"} & set(look.split()):
            look = ""
        if found and found[-1][1:] == (at, look):
            found[-1] = (found[-1][0], at + width, look)
        elif look:
            found.append((at, at + width, look))
        at += width
    return [f"{start}-{end} {look}" for start, end, look in found]


def _look(style: Style | None) -> str:
    if style is None:
        return ""
    words = [name for name in _LOOKS if getattr(style, name)]
    for prefix, color in (("", style.color), ("on ", style.bgcolor)):
        if color is not None and not color.is_default:
            words.append(prefix + color.name)
    return " ".join(words)

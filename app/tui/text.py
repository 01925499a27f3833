"""How values become text on the screen: foreign strings made safe, sizes, ages and times in few characters."""

from __future__ import annotations

import math
import time

from rich.text import Text

from engine import clean

__all__ = ["age", "ago", "clock", "count", "cut", "cut_path", "duration", "named", "safe", "since", "size"]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def safe(text: object, style: str = "") -> Text:
    """`text` as a rich Text: never read as markup, every control character shown as an escape."""
    return Text(clean(str(text)), style=style, no_wrap=True, end="")


def cut(text: Text, width: int, *, right: bool = False) -> Text:
    """A copy of `text` that is exactly `width` cells wide: padded (on the left if `right`) or ended with ``…``."""
    if width <= 0:
        return Text("", end="")
    text = text.copy()
    missing = width - text.cell_len
    if missing < 0:
        text.truncate(width, overflow="ellipsis")
        missing = width - text.cell_len
    if right:
        text.pad_left(missing)
    else:
        text.pad_right(missing)
    return text


def cut_path(text: Text, width: int) -> Text:
    """As `cut`, but for a path: its end stays, with the first directory where there is room for it as well.

    ``/root/…/3.8.18/bin/python3``: the paths of a list begin alike, and what tells them apart is near their end.
    """
    if text.cell_len <= width or width <= 0:
        return cut(text, width)
    plain = text.plain
    starts = [index for index, letter in enumerate(plain) if letter == "/"] or [0]
    # The longest run of last components that fits, else the end of the last one.
    tail = next((text[start:] for start in starts[1:] if text[start:].cell_len < width), text[starts[-1] :])
    while tail.cell_len >= width:
        tail = tail[1:]
    head = text[: starts[1] + 1] if len(starts) > 1 else text[:0]
    if head.cell_len + 1 + tail.cell_len > width:
        head = text[:0]
    return cut(Text.assemble(head, "…", tail, end="", style=text.style), width)


def count(number: int, noun: str, nouns: str = "") -> str:
    """``1 line``, ``2 lines``; `nouns` where that is not the noun and an s."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"


def size(number: int) -> str:
    """Bytes in decimal units and few characters: ``980B``, ``1.2M``, ``412M``."""
    value = float(number)
    for unit in "BkMGT":
        if value < 999.5 or unit == "T":
            break
        value /= 1000
    return f"{value:.1f}{unit}" if value < 9.95 and unit != "B" else f"{value:.0f}{unit}"


def age(seconds: float) -> str:
    """How long ago, in the largest fitting unit: ``now``, ``42s``, ``5m``, ``3h``, ``12d``; ``?`` for no number."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 1:
        return "now"
    for limit, unit, letter in ((_MINUTE, 1, "s"), (_HOUR, _MINUTE, "m"), (2 * _DAY, _HOUR, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)}{letter}"
    return f"{int(seconds // _DAY)}d"


def since(at: float, now: float) -> str:
    """The `age` of what was at `at`; ``?`` where a record does not tell when that was."""
    return age(now - at) if at else "?"


def named(key: str, bundle: str) -> str:
    """An environment in a few words: ``9f3ac1d2 (dash-sales)``, without the bundle where that is not known."""
    return f"{key[:8]} ({bundle})" if bundle else key[:8]


def ago(seconds: float) -> str:
    """`age` as a phrase: ``just now``, ``5m ago``."""
    return "just now" if 0 <= seconds < 1 else f"{age(seconds)} ago"


def duration(seconds: float) -> str:
    """Elapsed time as ``0:41`` or ``1:02:03``; ``?`` for no number."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def clock(at: float, now: float | None = None) -> str:
    """Local time of day of `at` (seconds since the epoch); with the date when that is not the day of `now`.

    ``?`` when a record holds a number that is no time.
    """
    try:
        moment = time.localtime(at)
    except (ValueError, OverflowError, OSError):
        return "?"
    if now is not None and time.localtime(now)[:3] != moment[:3]:
        return time.strftime("%Y-%m-%d %H:%M", moment)
    return time.strftime("%H:%M", moment)

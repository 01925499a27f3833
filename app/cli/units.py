"""Times, durations and sizes as text: for people, and as ISO 8601 for programs."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = ["about", "duration", "iso", "moment", "number", "size"]


def _datetime(at: float | None) -> datetime | None:
    """`at` as a UTC time; None when there is none or a record holds a number that is no time."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def iso(at: float | None) -> str | None:
    """Seconds since the epoch as ``2026-01-31T12:00:00.000Z``."""
    time = _datetime(at)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None


def number(value: float | None) -> float | None:
    """`value` rounded to milliseconds; None when JSON has no such number."""
    return round(value, 3) if value is not None and math.isfinite(value) else None


def moment(at: float | None) -> str:
    """Seconds since the epoch as this machine's local time, to the minute."""
    time = _datetime(at)
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time else "-"


def duration(seconds: float) -> str:
    """``3.4 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def about(seconds: float) -> str:
    """An estimate, no finer than it can be: ``40 s``, ``3 min`` or ``2 h 10 min``."""
    if not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{max(1, math.ceil(seconds))} s"
    if seconds < 57.5:
        return f"{round(seconds / 5) * 5} s"
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def size(count: int) -> str:
    """Bytes in decimal units: ``812 B``, ``41.2 MB``."""
    if abs(count) < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if abs(value) < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"

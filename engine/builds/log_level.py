"""Which lines of a log an admin looks for first. Pure: the text of one line in, how grave it is out."""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["LogLevel", "log_level"]


class LogLevel(StrEnum):
    """How grave a line is."""

    PLAIN = "plain"
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


# At the beginning, because the same words in the middle are names: "Collecting error-report". Written against pip 22
# to 26, uv, gcc, and the last line of a Python traceback. The supervisor's verdict is the last line of every log.
_ERROR = re.compile(
    r"\s*(?:ERROR\b|[Ee]rror:|FATAL\b|CRITICAL\b|[×✗] |Traceback \(most recent call last\)|Failed to build\b"
    r"|(?:failed|lost): |[A-Za-z_][\w.]*(?:Error|Exception)(?::|$)"
    r"|[^\s:]+(?::\d+)*: (?:fatal )?error:)"
)
_WARNING = re.compile(
    r"\s*(?:WARNING\b|[Ww]arning:|DEPRECATION\b|[\w.]*Warning: |cancelled: |[^\s:]+(?::\d+)*: warning:)"
)
_GOOD = re.compile(r"Successfully |Installed \d+ packages? |done: ")


def log_level(text: str) -> LogLevel:
    """How grave the line `text` is, by how such lines begin."""
    if _ERROR.match(text):
        return LogLevel.ERROR
    if _WARNING.match(text):
        return LogLevel.WARNING
    return LogLevel.GOOD if _GOOD.match(text) else LogLevel.PLAIN

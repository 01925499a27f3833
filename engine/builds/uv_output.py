"""What uv's output says about the progress of an installation. Pure: one line in, what it changes out.

uv has resolved everything before it fetches the first file, so it says early how many packages there will be. Of what
it fetches it names only what takes a moment.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from engine.builds.model import Phase
from engine.builds.progress import Progress, bytes_in
from engine.text import one_line

__all__ = ["read_line"]

_COUNTED = re.compile(r"^(?P<verb>Resolved|Prepared|Installed) (?P<count>\d{1,9}) packages?\b")
_DOWNLOADING = re.compile(r"^Downloading (?P<name>\S+) \((?P<size>\d{1,12}(?:\.\d{1,6})?)(?P<unit>[A-Za-z]+)\)")
# The second spelling is that of some releases for the end of a download.
_DOWNLOADED = re.compile(r"^ Download(?:ed|ing) (?P<name>\S+)$")
_ACTIVITY = re.compile(r"^(?: +(?:Building|Built|Updating|Updated)|Bytecode compiled)\b")


def read_line(progress: Progress, line: str) -> Progress:
    """`progress` after `line`; the same object when the line says nothing new."""
    if match := _COUNTED.match(line):
        count, message = int(match["count"]), one_line(line, 120)
        if match["verb"] == "Resolved":
            return replace(progress, phase=Phase.INSTALL, installing=count, message=message)
        if match["verb"] == "Prepared":
            return replace(progress.has_fetched(), message=message)
        return replace(progress, installed=count, message=f"Compiling the bytecode of {count} packages")
    if match := _DOWNLOADING.match(line):
        size = bytes_in(match["size"], match["unit"])
        return replace(progress.fetches(match["name"], size), message=one_line(line, 120))
    if match := _DOWNLOADED.match(line):
        return replace(progress.has_fetched(match["name"]), message=one_line(line, 120))
    if _ACTIVITY.match(line):
        return replace(progress, message=one_line(line, 120))
    return progress

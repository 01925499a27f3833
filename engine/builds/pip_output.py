"""What pip's output says about the progress of an installation. Pure: one line in, what it changes out."""

from __future__ import annotations

import re

from msgspec.structs import replace

from engine.builds.model import Phase
from engine.builds.progress import Progress, bytes_in
from engine.text import one_line

__all__ = ["read_line"]

_COLLECTING = re.compile(r"^(?P<verb>Collecting|Processing|Obtaining) (?P<what>\S+)")
_ACTIVITY = re.compile(
    r"^\s*(?P<verb>Downloading|Using cached|Building wheel for|Preparing metadata|Getting requirements"
    r"|Installing build dependencies|Building editable for|Cloning|Running setup\.py)\b(?P<rest>.*)"
)
_FILE = re.compile(r"^\s*(?:Downloading|Using cached) (?P<name>\S+)(?: \((?P<size>[\d.]{1,20}) (?P<unit>\w+)\))?")
_INSTALLING = re.compile(r"^Installing collected packages: (?P<names>.+)$")
_INSTALLED = re.compile(r"^Successfully installed (?P<names>.+)$")
_BYTES = re.compile(r"^Progress (?P<done>\d{1,18}) of (?P<total>\d{1,18})$")


def read_line(progress: Progress, line: str) -> Progress:
    """`progress` after `line`; the same object when the line says nothing new."""
    if match := _BYTES.match(line):
        done, total = int(match["done"]), int(match["total"])
        head = progress.message.partition(" · ")[0]
        share = f"{100 * done // total} %" if total else f"{done} bytes"
        # pip fetches one file at a time; the exact number of bytes takes the place of the one in its name's line.
        name = progress.fetching[-1][0] if progress.fetching else ""
        fetching = (*progress.fetching[:-1], (name, done, total))
        return replace(progress, message=f"{head} · {share}", fetching=fetching, noise=True)
    if progress.noise:
        progress = replace(progress, noise=False)
    if match := _COLLECTING.match(line):
        progress = progress.has_fetched()
        return replace(progress, collected=progress.collected + 1, message=_collecting(match["verb"], match["what"]))
    if match := _INSTALLING.match(line):
        count = len(match["names"].split(","))
        message = f"Installing {count} packages"
        return replace(progress.has_fetched(), phase=Phase.INSTALL, installing=count, message=message)
    if line.startswith("  Attempting uninstall: "):
        return replace(progress, replaced=progress.replaced + 1)
    if match := _INSTALLED.match(line):
        count = len(match["names"].split())
        return replace(progress, installed=count, message=f"Installed {count} packages")
    if match := _FILE.match(line):
        size = _size(match["size"], match["unit"])
        return replace(progress.has_fetched().fetches(match["name"], size), message=one_line(line, 120))
    if match := _ACTIVITY.match(line):
        return replace(progress, message=one_line(line, 120))
    return progress


def _size(number: str | None, unit: str | None) -> int:
    try:
        return bytes_in(number, unit) if number and unit else 0
    except ValueError:
        return 0


def _collecting(verb: str, what: str) -> str:
    """A local file by its name alone: the directory says nothing to the reader."""
    return one_line(f"{verb} {what.rpartition('/')[2] or what}", 120)

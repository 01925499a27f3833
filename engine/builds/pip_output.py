"""What pip's output says about the progress of an installation. Pure: one line in, what it changes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from engine.builds.model import Phase
from engine.text import one_line

__all__ = ["PipProgress", "read_line"]

_COLLECTING = re.compile(r"^(?P<verb>Collecting|Processing|Obtaining) (?P<what>\S+)")
_ACTIVITY = re.compile(
    r"^\s*(?P<verb>Downloading|Using cached|Building wheel for|Preparing metadata|Getting requirements"
    r"|Installing build dependencies|Building editable for|Cloning|Running setup\.py)\b(?P<rest>.*)"
)
_INSTALLING = re.compile(r"^Installing collected packages: (?P<names>.+)$")
_INSTALLED = re.compile(r"^Successfully installed (?P<names>.+)$")
_BYTES = re.compile(r"^Progress (?P<done>\d+) of (?P<total>\d+)$")


@dataclass(frozen=True, slots=True)
class PipProgress:
    """How far pip is, as far as its output tells."""

    phase: Phase = Phase.RESOLVE
    collected: int = 0
    installing: tuple[str, ...] = ()
    """The distributions that pip is writing now; empty before that phase."""
    installed: int = 0
    message: str = ""
    noise: bool = False
    """True when the last line was machine-readable progress that does not belong in a log for people."""


def read_line(progress: PipProgress, line: str) -> PipProgress:
    """`progress` after `line`; the same object when the line says nothing new."""
    if match := _BYTES.match(line):
        done, total = int(match["done"]), int(match["total"])
        head = progress.message.partition(" · ")[0]
        share = f"{100 * done // total} %" if total else f"{done} bytes"
        return replace(progress, message=f"{head} · {share}", noise=True)
    if progress.noise:
        progress = replace(progress, noise=False)
    if match := _COLLECTING.match(line):
        return replace(progress, collected=progress.collected + 1, message=_collecting(match["verb"], match["what"]))
    if match := _INSTALLING.match(line):
        names = tuple(name.strip() for name in match["names"].split(","))
        return replace(progress, phase=Phase.INSTALL, installing=names, message=f"Installing {len(names)} packages")
    if match := _INSTALLED.match(line):
        count = len(match["names"].split())
        return replace(progress, installed=count, message=f"Installed {count} packages")
    if match := _ACTIVITY.match(line):
        return replace(progress, message=one_line(line, 120))
    return progress


def _collecting(verb: str, what: str) -> str:
    """A local file by its name alone: the directory says nothing to the reader."""
    return one_line(f"{verb} {what.rpartition('/')[2] or what}", 120)

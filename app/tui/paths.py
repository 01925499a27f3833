"""Completing a path that is being typed: what it could become, from what a directory holds.

Directories are read away from the UI loop, because one may be on a network disk that does not answer.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import takewhile

from msgspec import Struct

__all__ = ["BUNDLES", "Listing", "PathCompletion", "completions", "directory_of", "list_directory", "shown_name"]

BUNDLES = (".tar.gz", ".tgz", ".tar", "manifest.json")
"""How the names of files end that can be opened as a bundle."""

_MOST = 100_000
"""Entries of a directory that are looked at: more are not chosen from by eye, and must not fill the memory."""


class Listing(Struct, frozen=True):
    """What a directory holds that can be completed to."""

    names: tuple[str, ...] = ()
    """In order; those of directories end with a slash."""
    whole: bool = True
    """False when there is more, so that nothing can be said of what all names have in common."""


def directory_of(text: str) -> str:
    """The directory, as it was typed, in which the last part of the path `text` is to be found; "" for the current."""
    return text[: text.rfind("/") + 1]


def completions(text: str, listing: Listing) -> list[str]:
    """The paths that `text` could become, by what its directory holds. Pure.

    Hidden names are for whoever types the dot.
    """
    directory = directory_of(text)
    start = text[len(directory) :]
    if not directory and start.startswith("~"):
        return [f"{start}/"]
    if not listing.whole:
        return []
    first = bisect_left(listing.names, start)
    found = takewhile(lambda name: name.startswith(start), listing.names[first:])
    return [directory + name for name in found if start or not name.startswith(".")]


def shown_name(path: str) -> str:
    """What tells a completion from the others: the last part of the path."""
    return path[path.rfind("/", 0, -1) + 1 :]


def list_directory(directory: str, suffixes: tuple[str, ...] = ("",)) -> Listing:
    """What is in `directory`: its directories, and its files with these endings. Nothing where it cannot be read.

    Names that cannot be typed, such as those with line breaks or escape sequences, are left out.
    """
    names: list[str] = []
    try:
        with os.scandir(os.path.expanduser(directory) or ".") as entries:  # noqa: PTH111 - as it was typed
            for seen, entry in enumerate(entries):
                if seen == _MOST:
                    return Listing(whole=False)
                if not entry.name.isprintable():
                    continue
                if _is_directory(entry):
                    names.append(f"{entry.name}/")
                elif entry.name.endswith(suffixes):
                    names.append(entry.name)
    except (OSError, ValueError):
        return Listing()
    return Listing(tuple(sorted(names)))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


class PathCompletion:
    """Completes the paths of one line that is being typed. Each directory is read once, when it is first needed."""

    def __init__(
        self,
        perform: Callable[[Callable[[], Listing], Callable[[Listing], object]], None],
        changed: Callable[[], None],
        suffixes: tuple[str, ...] = ("",),
    ) -> None:
        """`perform` does its first argument off the loop and gives the result to the second; `changed` is called when
        there is something new to complete to."""
        self._perform = perform
        self._changed = changed
        self._suffixes = suffixes
        self._listings: dict[str, Listing | None] = {}
        """By directory; None for one that is being read."""

    def __call__(self, text: str) -> Sequence[str] | None:
        """The paths that `text` could become; None while that is not known."""
        directory = directory_of(text)
        if directory not in self._listings:
            self._listings[directory] = None
            self._perform(
                lambda: list_directory(directory, self._suffixes), lambda listing: self._take(directory, listing)
            )
        listing = self._listings[directory]
        return None if listing is None else completions(text, listing)

    def _take(self, directory: str, listing: Listing) -> None:
        self._listings[directory] = listing
        self._changed()

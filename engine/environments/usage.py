"""Who uses an environment now: the processes of this machine, and the lock that running content holds.

Neither sees everything. Processes show only on the machine they run on and only as far as this account may look;
the lock is held only by content that envdeck started, but it is seen from every machine that shares the directory.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.text import clean, mask_credentials, one_line

# Where processes are looked at, psutil is loaded: until then it is memory for nothing.
if TYPE_CHECKING:
    import psutil

__all__ = ["ProcessUse", "Users", "in_use", "users_of"]

_BEFORE, _BELOW, _BEHIND = r"(?<![\w./-])", r"(?:/[\w.@+-]+)*", r"(?![\w.@+-])"
_VARIABLES = ("VIRTUAL_ENV", "PATH", "PYTHONPATH")
"""Variables through which a process, or whatever it starts next, comes to use an environment."""


_PAUSES = (0.0, 0.0003, 0.001, 0.003)
"""Seconds before each try for a lock that others take for an instant."""


class ProcessUse(Struct, frozen=True):
    """One process that uses a directory. All text is safe to show."""

    pid: int
    user: str
    """Empty when it is not known."""
    command: str
    """The command line, cut to fit a line, with the passwords in its URLs masked."""
    how: tuple[str, ...]
    """Where the directory turned up, such as ``command line`` or ``working directory``."""

    def __str__(self) -> str:
        owner = f" of {self.user}" if self.user else ""
        return f"process {self.pid}{owner}: {self.command} ({', '.join(self.how)})"


class Users(Struct, frozen=True):
    """The outcome of one look at the processes."""

    by_path: Mapping[Path, tuple[ProcessUse, ...]]
    """An entry for every path that was asked for, empty when nobody uses it."""
    unreadable: int = 0
    """How many processes could not be seen into completely, for lack of permission."""


def users_of(paths: Iterable[Path]) -> Users:
    """Which processes use each of `paths`, or anything below it, in one pass over the processes of this machine.

    A process counts when a path is on its command line, its executable, working directory, an open or mapped file,
    or named by one of its variables. This process itself does not count. Never fails: what may not be read is
    counted in `Users.unreadable`.
    """
    import psutil

    finder = _Finder(paths)
    found: dict[Path, list[ProcessUse]] = {path: [] for path in finder.paths}
    unreadable = 0
    if not finder.paths:
        return Users({})
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(psutil.NoSuchProcess), process.oneshot():
            uses, complete = _uses(process, finder)
            unreadable += not complete
            if uses:
                user, command = _describe(process)
                for path, how in uses.items():
                    found[path].append(ProcessUse(process.pid, user, command, tuple(how)))
    return Users({path: tuple(uses) for path, uses in found.items()}, unreadable)


class _Finder:
    """Finds paths in text, also by what they resolve to: the kernel reports resolved paths, people type others.

    A path is found whole: neither behind another directory nor as the beginning of a longer name. What lies below the
    directory that all of them share is looked up, not searched for: there may be ten thousand paths.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.paths = tuple(dict.fromkeys(paths))
        typed = {path: str(path) for path in self.paths}
        resolved = {path: os.path.realpath(path) for path in self.paths}
        self._places: dict[str, re.Pattern[str]] = {}
        self._below: dict[str, set[Path]] = {}
        self._others: list[tuple[re.Pattern[str], Path]] = []
        for spellings in (typed, resolved):
            place = _common(spellings.values())
            self._places[place] = re.compile(rf"{_BEFORE}{re.escape(place)}({_BELOW}){_BEHIND}")
            for path, spelling in spellings.items():
                if spelling.startswith(place) and re.fullmatch(_BELOW, spelling[len(place) :]):
                    self._below.setdefault(spelling, set()).add(path)
                else:
                    self._others.append((re.compile(f"{_BEFORE}{re.escape(spelling)}{_BEHIND}"), path))

    def find(self, text: str) -> Iterator[Path]:
        """The paths that occur in `text`, each at least once."""
        for place, pattern in self._places.items():
            if place not in text:
                continue
            for found in pattern.finditer(text):
                below = found[1]
                yield from self._below.get(place + below, ())
                while below:
                    below = below[: below.rindex("/")]
                    yield from self._below.get(place + below, ())
        for pattern, path in self._others:
            if pattern.search(text):
                yield path


def _common(spellings: Iterable[str]) -> str:
    """The directory that all of them are in or are; empty for none and for the root."""
    absolute = [spelling for spelling in spellings if spelling.startswith("/")]
    return os.path.commonpath(absolute).rstrip("/") if absolute else ""


def _uses(process: psutil.Process, finder: _Finder) -> tuple[dict[Path, list[str]], bool]:
    """How `process` uses what `finder` looks for, and whether all of it could be looked at."""
    import psutil

    uses: dict[Path, list[str]] = {}
    complete = True

    def look(how: str, texts: Iterable[str]) -> None:
        for text in texts:
            for path in finder.find(text):
                if how not in uses.setdefault(path, []):
                    uses[path].append(how)

    try:
        command = process.cmdline()
    except (psutil.AccessDenied, OSError):
        return uses, False
    if not command:
        # A thread of the kernel, or a process that has ended and was not collected.
        return uses, complete
    look("command line", command)
    sources: tuple[tuple[str, Callable[[], Iterable[str]]], ...] = (
        # Resolved against the working directory for one started by a relative path, such as bin/python.
        ("command line", lambda: [os.path.normpath(Path(process.cwd(), command[0]))] if "/" in command[0] else []),
        ("working directory", lambda: [process.cwd()]),
        ("executable", lambda: [process.exe()]),
        ("open file", lambda: [file.path for file in process.open_files()]),
        ("mapped file", lambda: [_mapped_files(process.pid)]),
        ("variables", lambda: [process.environ().get(name, "") for name in _VARIABLES]),
    )
    for how, read in sources:
        try:
            look(how, read())
        except (psutil.AccessDenied, OSError):
            # psutil lets some errors of the system through as they are.
            complete = False
    return uses, complete


def _mapped_files(pid: int) -> str:
    """The names of the files that the process has mapped; empty where there is no ``/proc``.

    The one trace of a server that rewrites its command line and with it its variables, as many do. Read directly,
    because psutil sums up the memory of every mapping, which takes a hundred times as long.
    """
    try:
        return Path("/proc", str(pid), "maps").read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _describe(process: psutil.Process) -> tuple[str, str]:
    """The user and the command line of `process`, safe to show."""
    import psutil

    user = ""
    with suppress(psutil.Error, KeyError):
        user = clean(process.username())
    return user, one_line(mask_credentials(" ".join(process.cmdline())), 120)


def in_use(path: Path) -> bool:
    """Whether somebody holds the use lock at `path`, shared or not. True as well when that cannot be found out.

    Asks by trying for the lock exclusively for an instant, so whoever wants to hold it must be ready to wait. Tries
    more than once, because it may be somebody else who only asks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return True
    try:
        for pause in _PAUSES:
            if pause:
                time.sleep(pause)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        return True
    finally:
        os.close(descriptor)

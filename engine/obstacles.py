"""What stands in the way of everything: the few conditions that make all views look empty or useless. Pure.

Each is a problem with what to do about it, so that an admin who has just installed the server is not left to guess.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.errors import Problem, Severity
from engine.installations.model import Usability

if TYPE_CHECKING:
    from engine.config.model import ConfigState
    from engine.installations.model import Installation

__all__ = ["MOUNT_AGAIN", "Unwritable", "find_obstacles", "gone", "look_failed", "start_as", "unreadable", "unwritable"]

MOUNT_AGAIN = "Mount it with rw; when it became so by itself, `dmesg` says why"


def find_obstacles(
    config: ConfigState,
    installations: tuple[Installation, ...],
    *,
    off_host: bool,
    data_dir: Problem | None,
    space: Problem | None,
) -> tuple[Problem, ...]:
    """The obstacles, the worst first.

    `data_dir` and `space` say what is wrong with the data directory and with the space in it. Content that runs
    `off_host` needs no installation of this machine.
    """
    settings = config.settings
    found = [data_dir] if data_dir is not None else []
    if config.errors and not config.good:
        found.append(
            Problem(
                "config-errors",
                "the configuration has errors: what could be understood of it is in force, the rest is default",
                where=config.errors[0].where,
                hint="Correct the file; it takes effect when it is saved. `envdeck config check` shows every error",
            )
        )
    if not settings.python_enabled:
        found.append(
            Problem(
                "python-disabled",
                "Python is turned off, so nothing is matched or built",
                hint="Write Enabled = true under [Python]; it takes effect when the file is saved",
            )
        )
    if not off_host:
        found += _installations(installations)
    if space is not None:
        found.append(space)
    return tuple(found)


def _installations(installations: tuple[Installation, ...]) -> list[Problem]:
    if not installations:
        return [
            Problem(
                "no-installation",
                "no Python installation is configured, so nothing can be built",
                hint="Write Executable = /path/to/python3 under [Python], one line for each",
            )
        ]
    if all(one.usability is Usability.UNUSABLE for one in installations):
        many = f"none of the {len(installations)} installations" if len(installations) > 1 else "the only installation"
        verb = "can" if len(installations) > 1 else "cannot"
        return [
            Problem(
                "no-usable-installation",
                f"{many} {verb} be used, so nothing can be built",
                hint="Each tells why and what to do about it: `envdeck installations`",
            )
        ]
    return []


class Unwritable(Struct, frozen=True):
    """Who cannot write in the data directory, and which of the reasons it is, since each has its own remedy."""

    data_dir: str
    user: str
    owner: str = ""
    """The account that owns the directory; empty when that is not known."""
    read_only_mount: bool = False
    above: str = ""
    """The directory in which it would be made; empty when it is there."""

    def __str__(self) -> str:
        if self.read_only_mount:
            return f"{self.data_dir} is on a file system that is mounted read-only"
        if self.above:
            return f"{self.data_dir} is not there, and {self.user} cannot make it in {self.above}"
        return f"{self.data_dir} is not writable for {self.user}"

    @property
    def remedy(self) -> str:
        if self.read_only_mount:
            return MOUNT_AGAIN
        if self.above:
            make = shlex.join(["install", "-d", "-o", self.user, self.data_dir])
            return f"Have root make it, {make}, or name another one with DataDir under [Server]"
        return start_as(self.owner)


def start_as(owner: str) -> str:
    """The advice to be whom the data directory belongs to."""
    if not owner:
        return "Start envdeck as the account that owns it"
    sudo = "sudo" if owner == "root" else f"sudo -u {shlex.quote(owner)}"
    return f"Start envdeck as {owner}, the account that owns it: {sudo} envdeck"


def unwritable(why: Unwritable) -> Problem:
    """The data directory may be looked at, and not changed."""
    return Problem(
        "data-dir-unwritable",
        f"{why}: everything can be looked at, nothing be changed" if not why.above else str(why),
        hint=why.remedy,
        severity=Severity.WARNING,
    )


def gone(data_dir: str) -> Problem:
    """The data directory was there when somebody looked, and is not any more."""
    return Problem(
        "data-dir-gone",
        f"{data_dir} was there and is not any more: whatever was in it cannot be seen, and nothing runs in it",
        hint="Mount it or bring it back; it is noticed by itself. What is built or deployed now begins an empty one",
    )


def look_failed(data_dir: str, reason: str) -> Problem:
    """The data directory could not be looked at, for a reason that nobody foresaw."""
    return Problem(
        "look-failed",
        f"what is in {data_dir} could not be looked at, so this picture is old: {reason}",
        hint="It is tried again all the time; `envdeck doctor` examines the directory",
    )


def unreadable(data_dir: str, user: str, reason: str, owner: str = "", *, denied: bool = True) -> Problem:
    """What is in the data directory cannot be seen: because it is `denied`, or something else is wrong with it."""
    return Problem(
        "data-dir-unreadable",
        f"what is in {data_dir} cannot be seen by {user}: {reason}",
        hint=f"{start_as(owner)}; or correct Server.DataDir" if denied else "Correct that, or Server.DataDir",
    )

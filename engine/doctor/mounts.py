"""Whether the file system of the data directory can do what envdeck asks of it, by its type and mount options. Pure.

The facts about NFS are measured (executors.md, section 4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from engine.doctor.model import Health, HealthCheck
from engine.obstacles import MOUNT_AGAIN

__all__ = ["Mount", "judge_mount", "mount_of", "parse_mounts"]

_ESCAPED = re.compile(r"\\([0-7]{3})")
_CODE = "mount"
_WITHOUT_LINKS = ("vfat", "exfat", "msdos", "cifs", "smb3", "9p", "drvfs")
_VOLATILE = ("tmpfs", "ramfs")


class Mount(Struct, frozen=True):
    """One line of ``/proc/self/mountinfo``."""

    point: Path
    type: str
    source: str
    options: frozenset[str]
    """Those of the mount and those of the file system."""

    def option(self, name: str) -> str | None:
        """The value of the option ``name=value``; None when it is not set."""
        found = (option.partition("=")[2] for option in sorted(self.options) if option.startswith(f"{name}="))
        return next(found, None)


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The mounts in the text of ``/proc/self/mountinfo``, in its order; lines that make no sense are passed over."""
    return tuple(mount for line in text.splitlines() if (mount := _mount(line)))


def _mount(line: str) -> Mount | None:
    # proc(5): a varying number of fields stands between the options of the mount and a lone dash.
    before, dash, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not dash or len(fields) < 6 or len(rest) < 3:
        return None
    options = frozenset(filter(None, [*fields[5].split(","), *rest[2].split(",")]))
    return Mount(Path(_unescape(fields[4])), rest[0], _unescape(rest[1]), options)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def mount_of(path: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that the absolute `path`, without links in it, is on; of several at one place the last one counts."""
    best: Mount | None = None
    for mount in mounts:
        is_above = path.is_relative_to(mount.point)
        if is_above and (best is None or len(mount.point.parts) >= len(best.point.parts)):
            best = mount
    return best


def judge_mount(mount: Mount) -> tuple[HealthCheck, ...]:
    """What there is to say of the file system that the data directory is on: one check when all is well."""
    found = tuple(_objections(mount))
    if found:
        return found
    return (HealthCheck(_CODE, Health.OK, f"{mount.type} on {mount.point}, mounted fit for its use"),)


def _objections(mount: Mount) -> Iterator[HealthCheck]:
    where = f"{mount.type} on {mount.point}"
    if "noexec" in mount.options:
        yield HealthCheck(
            _CODE,
            Health.FAILED,
            f"{where} is mounted noexec",
            "the commands in environments cannot be run, nor can compiled modules be loaded",
            "Mount it without noexec, or move Server.DataDir",
        )
    if "ro" in mount.options:
        yield HealthCheck(
            _CODE,
            Health.FAILED,
            f"{where} is mounted read-only",
            "nothing can be built or recorded",
            MOUNT_AGAIN,
        )
    if mount.type in _VOLATILE:
        yield HealthCheck(
            _CODE,
            Health.WARNING,
            f"{where} is kept in memory",
            "content and environments are gone after a restart of the machine",
            "Move Server.DataDir to a disk",
        )
    if mount.type in _WITHOUT_LINKS:
        yield HealthCheck(
            _CODE,
            Health.WARNING,
            f"{where} knows few of the things that a Unix file system does",
            "environments consist of links and executable files, and builds rely on locks",
            "Move Server.DataDir to a local disk, or to NFS",
        )
    if mount.type in ("overlay", "aufs"):
        yield HealthCheck(
            _CODE,
            Health.NOTE,
            f"{where} is the layer of a container",
            "content and environments are gone with the container",
            "Give the container a volume for Server.DataDir",
        )
    if mount.type in ("nfs", "nfs4"):
        yield from _nfs_objections(mount, where)


def _nfs_objections(mount: Mount, where: str) -> Iterator[HealthCheck]:
    local = mount.option("local_lock")
    if "nolock" in mount.options or local in ("all", "flock"):
        option = "nolock" if "nolock" in mount.options else f"local_lock={local}"
        yield HealthCheck(
            _CODE,
            Health.FAILED,
            f"{where} is mounted with {option}",
            "locks do not keep other machines out, so two of them may build or delete the same at once",
            "Mount it without that option",
        )
    if mount.option("lookupcache") not in ("pos", "positive", "none"):
        yield HealthCheck(
            _CODE,
            Health.WARNING,
            f"{where} is mounted without lookupcache=pos",
            "what another machine makes may stay unseen here for half a minute or longer",
            "Mount it with lookupcache=pos",
        )
    if "soft" in mount.options or "softerr" in mount.options:
        yield HealthCheck(
            _CODE,
            Health.WARNING,
            f"{where} is mounted soft",
            "a server that is slow for a moment makes writing fail in the middle of a build",
            "Mount it with hard, which is the default",
        )
    version = mount.option("vers") or ""
    if version.startswith(("2", "3")):
        yield HealthCheck(
            _CODE,
            Health.WARNING,
            f"{where} is NFS version {version}",
            "a lock whose machine dies is not set free, so its key cannot be built until an admin steps in",
            "Mount it with vers=4.2, or the latest version that the server knows",
        )

"""Whether the data directory is where it should be: there, ours, out of reach of others, and with room in it."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.audit.actor import account_name
from engine.doctor.model import Health, HealthCheck
from engine.doctor.mounts import judge_mount, mount_of, parse_mounts
from engine.environments.space import file_system, mounted_read_only, space_problem
from engine.executors.accounts import Account, first_barrier
from engine.obstacles import MOUNT_AGAIN, start_as

__all__ = ["examine_account", "examine_directory", "examine_mount", "examine_space", "examine_way"]

_PATIENCE = 15.0
_MOUNTS = Path("/proc/self/mountinfo")


def examine_directory(data_dir: Path, account: Account | None) -> HealthCheck:
    """Whether the directory is there and ours. `account` is who builds run as, None for this process's own."""
    code = "directory"
    try:
        status = data_dir.stat()
    except FileNotFoundError:
        above = next((path for path in data_dir.parents if path.exists()), Path("/"))
        if os.access(above, os.W_OK | os.X_OK):
            return HealthCheck(code, Health.NOTE, f"{data_dir} is not there yet; the first build makes it")
        return HealthCheck(
            code,
            Health.FAILED,
            f"{data_dir} is not there and cannot be made: {above} is {_rights(above)}",
            "builds and content are kept there",
            "Make it as root and give it to this account, or set Server.DataDir",
        )
    except OSError as error:
        return HealthCheck(code, Health.FAILED, f"{data_dir} cannot be looked at: {error.strerror or error}")
    told = f"{data_dir} is {_rights(data_dir)}"
    if not stat.S_ISDIR(status.st_mode):
        return HealthCheck(code, Health.FAILED, f"{data_dir} is not a directory", remedy="Correct Server.DataDir")
    if not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        if os.access(data_dir, os.R_OK | os.X_OK) and mounted_read_only(data_dir):
            finding = f"{told}, on a file system that is mounted read-only"
            return HealthCheck(code, Health.FAILED, finding, "nothing can be built or recorded", MOUNT_AGAIN)
        return HealthCheck(
            code,
            Health.FAILED,
            f"{told}, and this process, of {account_name(os.geteuid())}, may not write there",
            "nothing can be built or recorded",
            start_as(account_name(status.st_uid)),
        )
    if account is not None and status.st_uid == account.uid:
        return HealthCheck(
            code,
            Health.WARNING,
            f"{told}, the account of Applications.RunAs",
            "the build script of any package runs as that account, and may change everything there",
            f"chown root {data_dir}",
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return HealthCheck(
            code,
            Health.WARNING,
            f"{told}, so others may change what is in it",
            "who can rename a directory there can put another environment in its place",
            f"chmod go-w {data_dir}",
        )
    return HealthCheck(code, Health.OK, told)


def examine_way(data_dir: Path) -> HealthCheck:
    """Whether any directory or link above the data directory can be exchanged by somebody else.

    As sshd asks of the way to its files: all of it belongs to root or to this account, and only they may write, but
    where the sticky bit keeps others from renaming.
    """
    trusted = {0, os.geteuid()}
    with suppress(OSError):
        trusted.add(data_dir.stat().st_uid)
    bad = tuple(dict.fromkeys(_weak_places(data_dir, trusted)))
    if not bad:
        return HealthCheck("way", Health.OK, "nobody else can exchange a directory or a link on the way to it")
    return HealthCheck(
        "way",
        Health.WARNING,
        f"somebody else can exchange {data_dir}: see the places below",
        "another account can put a directory of its own in the place of the one that holds all environments",
        "Take the others' right to write away (chmod go-w), or move Server.DataDir",
        bad,
    )


def _weak_places(path: Path, trusted: set[int]) -> Iterator[str]:
    # Both as it is written and as it is resolved: a link can be exchanged, and so can what it leads through.
    for way in dict.fromkeys((path.absolute(), path.resolve())):
        for place in reversed((way, *way.parents)):
            with suppress(OSError):
                status = place.lstat()
                if status.st_uid not in trusted:
                    yield f"{place} belongs to {account_name(status.st_uid)}"
                writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
                # The directory itself is judged by `examine_directory`; the mode of a link means nothing.
                if writable and place != way and not stat.S_ISLNK(status.st_mode):
                    yield f"{place} is {_rights(place)}"


def examine_account(data_dir: Path, account: Account | None) -> HealthCheck | None:
    """Whether the account that builds run as can enter the data directory, tried as that account. Only for root."""
    if account is None or os.geteuid() != 0 or not data_dir.is_dir():
        return None
    try:
        can = (
            subprocess.run(
                ["/bin/sh", "-c", 'cd "$1" && ls >/dev/null', "sh", str(data_dir)],
                user=account.uid,
                group=account.gid,
                extra_groups=account.groups,
                cwd="/",
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=False,
            ).returncode
            == 0
        )
    except (OSError, subprocess.SubprocessError) as error:
        return HealthCheck("run-as", Health.FAILED, f"a process of {account.name} cannot be started: {error}")
    if can:
        return HealthCheck("run-as", Health.OK, f"{account.name}, who builds run as, can enter it")
    barrier = first_barrier(account, data_dir, os.X_OK) or data_dir
    return HealthCheck(
        "run-as",
        Health.FAILED,
        f"{account.name}, the account of Applications.RunAs, cannot enter it: {barrier} is {_rights(barrier)}",
        "builds and content run as that account",
        f"chmod o+rx {barrier}, or move Server.DataDir",
    )


def examine_space(data_dir: Path, reserve: int) -> HealthCheck:
    """Whether there is room for another environment, as every build asks before it starts."""
    problem = space_problem(data_dir, reserve)
    if problem is not None:
        told = f"{problem.message}: {problem.found} free, expected {problem.expected}"
        return HealthCheck("space", Health.FAILED, told, "no build is started", problem.hint)
    found = file_system(data_dir)
    if found is None:
        return HealthCheck("space", Health.NOTE, "how much space is free cannot be told")
    files = f" and {found.f_favail} inodes" if found.f_files else ""
    return HealthCheck("space", Health.OK, f"{found.f_bavail * found.f_frsize / 1e9:.1f} GB{files} are free")


def examine_mount(data_dir: Path) -> tuple[HealthCheck, ...]:
    """What the file system and its mount options mean for a data directory."""
    try:
        mounts = parse_mounts(_MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return (HealthCheck("mount", Health.NOTE, "how it is mounted cannot be told on this system"),)
    mount = mount_of(data_dir.resolve(), mounts)
    return judge_mount(mount) if mount else ()


def _rights(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError as error:
        return error.strerror or str(error)
    return f"{stat.filemode(status.st_mode)} of {account_name(status.st_uid)}"

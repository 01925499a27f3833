"""Trying out, for real, what envdeck asks of the file system of a data directory.

What a mount promises and what it does differ; only doing it tells. Everything happens in a directory of its own that is
gone afterwards, but for the lock, which lies where locks lie and is never removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.doctor.model import Health, HealthCheck
from engine.environments.locks import open_lock_file
from engine.environments.trash import trash_of
from engine.files import StorageError, write_atomic

__all__ = ["LOCK", "PREFIX", "try_out"]

PREFIX = ".doctor-"
"""Begins the name of the directory that everything is tried in."""
LOCK = "doctor.lock"

_SKEW = 5.0
"""Seconds that the file server's clock may be wrong by: grace periods are minutes and more."""
_PATIENCE = 10.0
"""Seconds that another process gets for what takes it moments."""
_ASK_FOR_LOCK = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("held")
else:
    print("free")
"""
_LOOK = """
import os, sys
print("seen" if sys.argv[2] in os.listdir(sys.argv[1]) and os.path.exists(os.path.join(*sys.argv[1:])) else "unseen")
"""


def try_out(data_dir: Path) -> tuple[HealthCheck, ...]:
    """Try out everything in `data_dir`, which exists and may be written."""
    try:
        with _place(data_dir) as place:
            trials: tuple[Callable[[Path, Path], HealthCheck], ...] = (
                _locks,
                _names,
                _clock,
                _replacing,
                _links,
                _running,
                _case,
                _trash,
            )
            return tuple(_tried(trial, data_dir, place) for trial in trials)
    except OSError as error:
        return (
            HealthCheck(
                "trials",
                Health.FAILED,
                f"nothing can be written in {data_dir}: {error.strerror or error}",
                "builds write there",
                "Check its space, quota and permissions",
            ),
        )


@contextmanager
def _place(data_dir: Path) -> Iterator[Path]:
    place = data_dir / f"{PREFIX}{os.urandom(4).hex()}"
    place.mkdir(mode=0o700)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _tried(trial: Callable[[Path, Path], HealthCheck], data_dir: Path, place: Path) -> HealthCheck:
    code = trial.__name__.strip("_")
    try:
        return trial(data_dir, place)
    except (OSError, StorageError, subprocess.SubprocessError) as error:
        told = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        return HealthCheck(code, Health.FAILED, f"trying it out failed: {told}", "a build would fail in the same way")


def _ask(code: str, *arguments: str) -> str:
    """What another process of this machine says to `code`."""
    command = [sys.executable, "-I", "-S", "-c", code, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=_PATIENCE, check=True)
    return ended.stdout.strip()


def _locks(data_dir: Path, _: Path) -> HealthCheck:
    path = data_dir / "locks" / LOCK
    path.parent.mkdir(exist_ok=True)
    descriptor = open_lock_file(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return HealthCheck("locks", Health.NOTE, "another doctor tries the locks right now")
        during = _ask(_ASK_FOR_LOCK, str(path))
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        after = _ask(_ASK_FOR_LOCK, str(path))
    except OSError as error:
        during, after = "held", error.strerror or str(error)
    finally:
        os.close(descriptor)
    if (during, after) == ("held", "free"):
        return HealthCheck(
            "locks", Health.OK, "a locked file is locked for other processes of this machine, till set free"
        )
    found = "a locked file can be locked again by another process" if during == "free" else f"locking fails: {after}"
    return HealthCheck(
        "locks",
        Health.FAILED,
        found,
        "two builds of one key, or a build and the reaper, would not see each other",
        "Mount the file system with locks (over NFS: version 4, without nolock and local_lock)",
    )


def _names(_: Path, place: Path) -> HealthCheck:
    name = "new"
    # Asked for before it is there, as a build does that looks for its environment: NFS remembers such an answer.
    _ask(_LOOK, str(place), name)
    (place / name).touch()
    started = time.monotonic()
    while _ask(_LOOK, str(place), name) != "seen":
        if time.monotonic() - started > _PATIENCE:
            return HealthCheck(
                "names",
                Health.FAILED,
                f"a new file is not seen by another process within {_PATIENCE:g} s",
                "an environment that was just built would not be found",
                "Mount the file system with lookupcache=pos",
            )
    return HealthCheck("names", Health.OK, "a new file is seen by other processes of this machine at once")


def _clock(_: Path, place: Path) -> HealthCheck:
    before = time.time()
    (place / "clock").write_bytes(b"x")
    written, after = (place / "clock").stat().st_mtime, time.time()
    # File systems cut times off to what they can hold, at the coarsest two seconds.
    skew = written - after if written > after else min(0.0, written + 2.0 - before)
    if abs(skew) <= _SKEW:
        return HealthCheck("clock", Health.OK, "new files get the time of this machine's clock")
    side = "ahead of" if skew > 0 else "behind"
    return HealthCheck(
        "clock",
        Health.WARNING,
        f"new files get a time that is {abs(skew):.0f} s {side} this machine's clock",
        "grace periods of the reaper and ages of what lies about are wrong by as much",
        "Let NTP keep the clocks of this machine and of the file server",
    )


def _replacing(_: Path, place: Path) -> HealthCheck:
    path = place / "record"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    directory = place / "directory"
    directory.mkdir()
    (directory / "file").touch()
    directory.rename(place / "renamed")
    if path.read_bytes() == b"new" and (place / "renamed" / "file").exists():
        return HealthCheck("replacing", Health.OK, "files are replaced and directories renamed in one step")
    return HealthCheck(
        "replacing",
        Health.FAILED,
        "a file that was replaced still has its old content",
        "an environment is published by replacing its record",
        "Move Server.DataDir to a local disk, or to NFS",
    )


def _links(_: Path, place: Path) -> HealthCheck:
    (place / "file").touch()
    (place / "symbolic").symlink_to("file")
    if not (place / "symbolic").exists():
        return HealthCheck("links", Health.FAILED, "a symbolic link leads nowhere", "environments consist of them")
    try:
        (place / "hard").hardlink_to(place / "file")
    except OSError as error:
        return HealthCheck(
            "links",
            Health.FAILED,
            f"a file cannot get a second name: {error.strerror}",
            "of several that write a verdict one wins in this way",
            "Move Server.DataDir to a file system with hard links",
        )
    return HealthCheck("links", Health.OK, "symbolic and hard links work")


def _running(_: Path, place: Path) -> HealthCheck:
    program = place / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    try:
        subprocess.run([str(program)], check=True, timeout=_PATIENCE)
    except PermissionError:
        return HealthCheck(
            "running",
            Health.FAILED,
            "a program in the data directory cannot be run",
            "the commands in environments cannot be run, nor can compiled modules be loaded",
            "Mount it without noexec, or move Server.DataDir",
        )
    return HealthCheck("running", Health.OK, "programs in the data directory can be run")


def _case(_: Path, place: Path) -> HealthCheck:
    (place / "lower").touch()
    if (place / "LOWER").exists():
        return HealthCheck(
            "case",
            Health.FAILED,
            "names that differ in upper and lower case only are the same file",
            "the keys of two environments may differ in nothing else",
            "Move Server.DataDir to a file system that tells them apart",
        )
    return HealthCheck("case", Health.OK, "names in upper and lower case are told apart")


def _trash(data_dir: Path, place: Path) -> HealthCheck:
    trash = trash_of(data_dir)
    trash.mkdir(exist_ok=True)
    (place / "deleted").mkdir()
    target = trash / place.name
    try:
        (place / "deleted").rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return HealthCheck(
            "trash",
            Health.NOTE,
            "the trash is on another file system than the rest",
            "what is deleted is then only hidden beside where it was until it is gone, which is as safe",
            f"Nothing needs to be done; {trash} may as well be an ordinary directory",
        )
    with suppress(OSError):
        target.rmdir()
    return HealthCheck("trash", Health.OK, "what is deleted can be moved into the trash in one step")

"""Which account a build runs as: ``Applications.RunAs`` when envdeck may change to it, else the current one.

All Python restores of the server run under that account (package-management-posit.txt, "Configuring pip"), so its pip
configuration applies, and what a package's build script does is done with its rights, not with those of the service
(builds.md, section G).
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.errors import Problem

__all__ = ["Account", "BuildAccount", "build_account", "cannot_build_as", "cannot_reach", "first_barrier"]

_CANNOT_REACH = 77
_PROOF = f"import os, sys; sys.exit(0 if os.access(sys.argv[1], os.X_OK) else {_CANNOT_REACH})"
_PROOF_SECONDS = 15.0


class Account(Struct, frozen=True):
    """An account of this machine, as its user database has it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    """The ids of all its groups, the first one included."""
    home: Path


class BuildAccount(Struct, frozen=True):
    """Who builds run as. `account` is None when that is the account that envdeck itself runs as."""

    name: str
    home: Path
    """The home directory whose pip configuration applies."""
    account: Account | None = None
    note: str = ""
    """Why ``Applications.RunAs`` is not applied; empty when it is or is not set."""
    problem: Problem | None = None
    """`run-as-unknown`: nothing can be built."""


def build_account(run_as: str, environ: Mapping[str, str], uid: int | None = None) -> BuildAccount:
    """The account of builds, where `run_as` is the value of ``Applications.RunAs`` (empty when it is not set).

    `uid` is whose rights envdeck has: those of this process unless given. Never raises; an account that does not
    exist is the result's `problem`.
    """
    uid = os.geteuid() if uid is None else uid
    current = BuildAccount(_name_of(uid), Path(environ.get("HOME", "/")))
    if not run_as:
        return current
    try:
        entry = pwd.getpwnam(run_as)
    except KeyError:
        problem = Problem(
            "run-as-unknown",
            f"Applications.RunAs names the account {run_as}, which does not exist on this machine",
            expected="an account that `getent passwd` knows",
            hint="Correct Applications.RunAs, or create the account",
        )
        return BuildAccount(run_as, Path("/"), problem=problem)
    if entry.pw_uid == uid:
        return current
    if uid != 0:
        note = f"builds run as {current.name}: only root can change to {run_as}, the account of Applications.RunAs"
        return BuildAccount(current.name, current.home, note=note)
    groups = tuple(sorted(os.getgrouplist(entry.pw_name, entry.pw_gid)))
    home = Path(entry.pw_dir)
    return BuildAccount(entry.pw_name, home, Account(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, home))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # An account without an entry in the user database, as in a container.
        return f"uid {uid}"


def cannot_build_as(account: Account, python: str, data_dir: Path) -> Problem | None:
    """Why `account` cannot run the interpreter `python` or reach `data_dir`; None when it can.

    Runs the interpreter as that account, because no reading of permission bits knows of access lists or mounts. Call
    it as root.
    """
    while not data_dir.exists():
        data_dir = data_dir.parent
    try:
        code = subprocess.run(
            [python, "-E", "-s", "-B", "-c", _PROOF, str(data_dir)],
            user=account.uid,
            group=account.gid,
            extra_groups=account.groups,
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=_PROOF_SECONDS,
            check=False,
        ).returncode
        said = f"exit code {code}"
    except subprocess.TimeoutExpired:
        code, said = 1, f"no answer in {_PROOF_SECONDS:g} s"
    except OSError as error:
        code, said = 1, error.strerror or str(error)
    if code == 0:
        return None
    if code == _CANNOT_REACH:
        return _unreachable(account, data_dir, first_barrier(account, data_dir, os.X_OK) or data_dir)
    blocked = first_barrier(account, Path(python), os.X_OK)
    by_hand = f"sudo -u {shlex.quote(account.name)} {shlex.quote(python)} --version"
    remedy = f"Run it by hand: {by_hand}"
    if blocked:
        remedy = f"chmod o+x {shlex.quote(str(blocked))}, or install this Python where every account can read it"
    return Problem(
        "run-as-cannot-execute",
        f"{account.name}, the account of Applications.RunAs, cannot run {python}",
        found=_permissions(blocked) if blocked else said,
        hint=remedy,
    )


def cannot_reach(account: Account, data_dir: Path) -> Problem | None:
    """Why `account` cannot reach `data_dir`, as far as permission bits tell; None when they let it.

    What `cannot_build_as` can still find out where the interpreter is in an image.
    """
    barrier = first_barrier(account, data_dir, os.X_OK)
    return _unreachable(account, data_dir, barrier) if barrier else None


def _unreachable(account: Account, data_dir: Path, barrier: Path) -> Problem:
    return Problem(
        "run-as-cannot-reach",
        f"{account.name}, the account of Applications.RunAs, cannot reach the data directory {data_dir}",
        found=_permissions(barrier),
        hint=f"chmod o+x {shlex.quote(str(barrier))}, or move Server.DataDir to a place it can reach",
    )


def first_barrier(account: Account, path: Path, need: int) -> Path | None:
    """The first directory above `path`, or `path` itself, whose permission bits keep `account` from it.

    `need` is what is wanted of `path`: `os.R_OK`, `os.X_OK`. None when nothing is in the way or there is no such file.
    """
    absolute = path.absolute()
    for way in dict.fromkeys((absolute, absolute.resolve())):
        for directory in reversed(way.parents):
            if not _permits(account, directory, os.X_OK):
                return directory
        if not _permits(account, way, need):
            return way
    return None


def _permits(account: Account, path: Path, need: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return True
    if account.uid == 0:
        return True
    if status.st_uid == account.uid:
        shift = 6
    elif status.st_gid in account.groups:
        shift = 3
    else:
        shift = 0
    return (status.st_mode >> shift) & need == need


def _permissions(path: Path) -> str:
    """A path with its mode and owner, as `ls -ld` shows them."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path} is {stat.filemode(status.st_mode)} and belongs to {_name_of(status.st_uid)}"

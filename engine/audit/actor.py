"""Who acts: the real user behind sudo and su, the terminal, and where the line comes from."""

from __future__ import annotations

import os
import platform
import pwd
from collections.abc import Mapping
from pathlib import Path

from engine.audit.model import Actor

__all__ = ["account_name", "acting"]

_NOBODY = 2**32 - 1
"""What the kernel has for a process that no login led to: a service, a container."""


def acting(environ: Mapping[str, str], *, user: str = "") -> Actor:
    """Who this process acts for; `user`, if given, is who told it to.

    The user is the one that sudo names, else for root the one who logged in (`su` names nobody), else the account of
    the process. sudo takes SSH_CONNECTION away unless it is told to keep it.
    """
    effective, login = account_name(os.geteuid()), _login()
    real = environ.get("SUDO_USER") or (login if os.geteuid() == 0 else "") or effective
    return Actor(
        user=user or real,
        login=login,
        effective=effective,
        tty=_terminal(),
        ssh=environ.get("SSH_CONNECTION", "").partition(" ")[0],
        host=platform.node(),
        pid=os.getpid(),
    )


def account_name(uid: int) -> str:
    """The name of the account, or ``uid N`` for one without an entry in the user database, as in a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return f"uid {uid}"


def _login() -> str:
    """Who logged in at the beginning of this session; proc(5): only root can change it, and sudo and su do not."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
    except (OSError, ValueError):
        return ""
    return "" if uid == _NOBODY else account_name(uid)


def _terminal() -> str:
    """``pts/3``; empty without a terminal on any of the standard streams."""
    for stream in range(3):
        try:
            return os.ttyname(stream).removeprefix("/dev/")
        except OSError:
            continue
    return ""

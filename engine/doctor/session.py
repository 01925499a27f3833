"""Whether logging out ends the builds that were started from this session. Pure but for the reading.

logind.conf(5), ``KillUserProcesses=``: at log-out everything in the scope of the session is ended, detached or not.
Lingering keeps what runs under the user's own manager, not what is in the session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from engine.doctor.model import Health, HealthCheck

__all__ = ["examine_session", "kills_processes", "session_of"]

_DIRECTORIES = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")
"""The later one wins, file by file of the same name."""
_SESSION = re.compile(r"/(session-[^/\s]+\.scope)(?:/|$)", re.MULTILINE)
_SETTING = re.compile(r"^[ \t]*(#?)[ \t]*KillUserProcesses[ \t]*=[ \t]*(\S*)[ \t]*$", re.MULTILINE)


def session_of(cgroups: str) -> str:
    """The scope of a log-in session that ``/proc/self/cgroup`` says a process is in; empty for none."""
    found = _SESSION.search(cgroups)
    return found[1] if found else ""


def kills_processes(texts: Iterable[str]) -> bool:
    """What the files of logind's configuration, in the order in which they count, say of ``KillUserProcesses``.

    Without a word it is as systemd was built, which the file that comes with it has as a comment.
    """
    setting, default = "", "no"
    for text in texts:
        for comment, value in _SETTING.findall(text):
            if comment:
                default = value
            else:
                setting = value
    setting = setting or default
    return setting.lower() in ("yes", "true", "on", "1", "y", "t")


def examine_session() -> HealthCheck:
    """Whether builds that are started from here outlive this session."""
    session = session_of(_read(Path("/proc/self/cgroup")))
    if not session:
        return HealthCheck("session", Health.OK, "no log-out ends what is started from here")
    if not kills_processes(_read(path) for path in _configuration()):
        return HealthCheck("session", Health.OK, "builds that are started from here go on after log-out")
    return HealthCheck(
        "session",
        Health.NOTE,
        f"logind ends everything in {session} at log-out (KillUserProcesses=yes)",
        "builds that were started from this session end with it, and are lost",
        "Start envdeck by `systemd-run --user --scope envdeck` after `loginctl enable-linger`, let a service build, or "
        "set KillUserProcesses=no",
    )


def _configuration() -> list[Path]:
    main = [path for base in _DIRECTORIES if (path := Path(base, "logind.conf")).is_file()]
    drop_ins = {path.name: path for base in _DIRECTORIES for path in Path(base, "logind.conf.d").glob("*.conf")}
    return [*main[-1:], *(drop_ins[name] for name in sorted(drop_ins))]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

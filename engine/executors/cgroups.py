"""What the kernel counts for the control group of a process of this machine."""

from __future__ import annotations

from pathlib import Path

__all__ = ["in_group", "memory_kills"]

_MOUNTED = Path("/sys/fs/cgroup")
_PROCESSES = Path("/proc")


def in_group(pid: int, name: str, processes: Path = _PROCESSES) -> bool:
    """Whether the process `pid` is there and in a control group that has `name` in its path."""
    return bool(_groups(pid, name, processes))


def memory_kills(pid: int, name: str, mounted: Path = _MOUNTED, processes: Path = _PROCESSES) -> int:
    """How many processes the kernel has killed because the group of process `pid` used more memory than it may.

    `name` is a part of the group's path: another process that has got the number `pid` meanwhile counts for nothing.
    """
    kills = 0
    for controllers, path in _groups(pid, name, processes):
        if not controllers:
            kills += _counter(mounted / path / "memory.events", "oom_kill")
        elif "memory" in controllers.split(","):
            kills += _counter(mounted / "memory" / path / "memory.oom_control", "oom_kill")
    return kills


def _groups(pid: int, name: str, processes: Path) -> list[tuple[str, str]]:
    """The controllers of each hierarchy, none for version 2, and the group in it: cgroups(7), "/proc/pid/cgroup"."""
    try:
        entries = (processes / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return []
    split = (entry.split(":", 2) for entry in entries)
    return [(controllers, path.lstrip("/")) for _, controllers, path in split if name in path]


def _counter(path: Path, name: str) -> int:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return next((int(words[1]) for words in pairs if words[:1] == [name]), 0)
    except (OSError, ValueError, IndexError):
        return 0

"""Ends a cluster of the tests when whoever started it is gone, also where that was killed.

    python -m tests.executors.slurm_keeper ROOT SOCKETS NAME

Its standard input ends then, because nobody else has the other side of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

__all__ = ["guards", "kill_all"]

_DAEMONS = {"munged", "slurmctld", "slurmd"}
_GUARD = "slurmstepd"
_CGROUPS = Path("/sys/fs/cgroup")
_SECONDS = 60.0


def guards(root: Path) -> list[psutil.Process]:
    """The processes of Slurm that hold one job each, of the cluster in the directory `root`."""
    return _running(root, {_GUARD})


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill the processes and all their descendants."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def end_cluster(root: Path, sockets: Path, name: str) -> None:
    """Kill all daemons and jobs of the cluster, and remove its cgroups and the directories `root` and `sockets`."""
    # The daemons first, because they start further guards.
    _until(partial(_kill_running, root, _DAEMONS))
    _until(partial(_kill_running, root, {_GUARD}))
    for group in _CGROUPS.glob(f"*/*{name}n*"):
        for directory in [Path(path) for path, _, _ in os.walk(group, topdown=False)]:
            _until(partial(_remove_cgroup, directory))
    for directory in (sockets, root):
        shutil.rmtree(directory, ignore_errors=True)


def _running(root: Path, names: set[str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() in names and Path(process.cwd()).is_relative_to(root):
                found.append(process)
    return found


def _kill_running(root: Path, names: set[str]) -> bool:
    kill_all(found := _running(root, names))
    return not found


def _remove_cgroup(directory: Path) -> bool:
    with suppress(OSError, psutil.NoSuchProcess):
        kill_all(psutil.Process(int(pid)) for pid in (directory / "cgroup.procs").read_text().split())
        directory.rmdir()
    return not directory.exists()


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + _SECONDS
    while not done() and time.monotonic() < end:
        time.sleep(0.05)


def main() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    root, sockets, name = sys.argv[1:]
    sys.stdin.read()
    end_cluster(Path(root), Path(sockets), name)


if __name__ == "__main__":
    main()

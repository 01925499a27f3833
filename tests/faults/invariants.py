"""What must hold after a build has ended, however it ended. Each check yields what it found wrong."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from engine import Build, BuildState, Environment, EnvironmentState
from tests.faults.faults import Fault, allowed_states, processes_of

__all__ = ["violations"]

_GONE_WITHIN = 60.0
"""Seconds in which the last process must be gone: a kernel takes a moment to end a namespace."""


def violations(data_dir: Path, build: Build, environments: tuple[Environment, ...], fault: Fault) -> Iterator[str]:
    """Everything that is wrong after `build` ended, with what is published now."""
    yield from _verdict(build, fault)
    yield from _processes(build)
    yield from _leftovers(data_dir, build)
    there = [e for e in environments if e.key == build.key]
    if build.state is BuildState.DONE:
        yield from _published(there, build)
    elif any(e.attempt == build.id for e in there):
        yield f"a build that is {build.state.value} has published its attempt"
    yield from _locks(data_dir, build)


def _verdict(build: Build, fault: Fault) -> Iterator[str]:
    if build.state not in allowed_states(fault.victim):
        yield f"it ended {build.state.value}: {build.message}"
    try:
        json.loads((build.directory / "result.json").read_text())
    except (OSError, ValueError) as error:
        yield f"its verdict cannot be read: {error}"


def _processes(build: Build) -> Iterator[str]:
    end = time.monotonic() + _GONE_WITHIN
    while (alive := list(processes_of(build.id))) and time.monotonic() < end:
        time.sleep(0.02)
    for process, command in alive:
        yield f"process {process.pid} is still there: {command[:200]}"
        process.kill()


def _leftovers(data_dir: Path, build: Build) -> Iterator[str]:
    if build.state is not BuildState.DONE:
        for attempt in (data_dir / "python-environments").glob(f"*/*/*/{build.id}"):
            yield f"its attempt was not discarded: {attempt}"
    for path in (build.directory / "work" / "tmp", build.directory / "work" / "source"):
        if path.exists():
            yield f"{path} was not removed"
    for path in (data_dir / "trash").glob(f"{build.id}*"):
        yield f"{path} is still in the trash"


def _published(there: list[Environment], build: Build) -> Iterator[str]:
    if len(there) != 1:
        yield f"{len(there)} environments of its key are published"
        return
    (environment,) = there
    if environment.state is not EnvironmentState.READY:
        yield f"its environment is {environment.state.value}: {environment.reason}"
        return
    files = sum(not path.is_dir() or path.is_symlink() for path in environment.path.rglob("*"))
    if files != environment.files:
        yield f"its environment has {files} files, not {environment.files} as recorded"
    code = "import alpha, beta, gamma; [__import__('gamma.part%d' % n) for n in range(40)]"
    argv = [str(environment.path / "bin" / "python"), "-I", "-B", "-c", code]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    if run.returncode:
        yield f"its environment does not work: {run.stderr.strip().splitlines()[-1:]}"


def _locks(data_dir: Path, build: Build) -> Iterator[str]:
    for path in (data_dir / "locks" / f"{build.key}.lock", build.directory / "alive"):
        # Another thread of the harness may just be between fork and exec, with a copy of every descriptor.
        end = time.monotonic() + _GONE_WITHIN
        while (locked := _is_locked(path)) and time.monotonic() < end:
            time.sleep(0.02)
        if locked:
            yield f"{path.name} is still locked"


def _is_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False

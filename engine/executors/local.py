"""Jobs as processes of this machine, children of the process that holds this object (the supervisor of a build)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from engine.executors.base import JobSpec, JobState, JobStatus

__all__ = ["LocalExecutor", "adopt_orphans", "limit_resources"]

_PR_SET_CHILD_SUBREAPER = 36
_MOST_OPEN_FILES = 16_384
_MOST_PROCESSES = 4_096
_READ_SIZE = 1 << 16
_LONGEST_LINE = 1 << 16


def adopt_orphans() -> bool:
    """Make this process the parent of every descendant whose own parent ends, so that none can be lost sight of.

    A compiler that a build script started in a session of its own is otherwise out of reach of `killpg`. Returns
    whether the operating system can do it (Linux 3.4 and newer).
    """
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def limit_resources(*, processes: bool) -> None:
    """Lower the limits of this process and all that it starts: no core files, a bounded number of open files.

    `processes` limits their number too. It counts every process of the account, so it is right only where the account
    does nothing but builds and content.
    """
    # Before the job starts, not between its fork and exec: Python code is not safe to run there.
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, _MOST_OPEN_FILES)
    if processes:
        _lower(resource.RLIMIT_NPROC, _MOST_PROCESSES)


def _lower(which: int, limit: int) -> None:
    soft, hard = (limit if now == resource.RLIM_INFINITY else min(now, limit) for now in resource.getrlimit(which))
    resource.setrlimit(which, (soft, hard))


class LocalExecutor:
    """One job per key. Call `adopt_orphans` first: `stop` ends every descendant of this process."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[JobSpec, subprocess.Popen[bytes]]] = {}
        self._stopped: set[str] = set()

    def submit(self, spec: JobSpec) -> str:
        """Start the process in a session of its own: no terminal can be asked for a password, none hangs it up."""
        if spec.key not in self._jobs:
            user = spec.user
            process = subprocess.Popen(
                spec.argv,
                cwd=spec.cwd,
                env=dict(spec.env),
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=user.groups if user else None,
                umask=0o022,
                # Held open by this process alone, so that a job can notice its end, however it ends.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._jobs[spec.key] = (spec, process)
        return spec.key

    def status(self, job_id: str) -> JobStatus:
        _, process = self._jobs[job_id]
        code = process.poll()
        if code is None:
            return JobStatus(JobState.RUNNING)
        if code < 0:
            code = 128 - code
        if job_id in self._stopped:
            return JobStatus(JobState.CANCELLED, code)
        return JobStatus(JobState.FINISHED if code == 0 else JobState.FAILED, code)

    def output(self, job_id: str) -> Iterator[bytes]:
        """Lines without their end; one longer than 64 KiB comes in pieces, so that no output can exhaust memory."""
        stream = self._jobs[job_id][1].stdout
        assert stream is not None
        pending = b""
        with stream:
            while chunk := os.read(stream.fileno(), _READ_SIZE):
                *lines, pending = (pending + chunk).split(b"\n")
                yield from lines
                if len(pending) > _LONGEST_LINE:
                    yield pending
                    pending = b""
        if pending:
            yield pending

    def stop(self, job_id: str) -> None:
        spec, process = self._jobs[job_id]
        if process.poll() is None:
            self._stopped.add(job_id)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(spec.grace)
        # New children may appear while the known ones are being killed, hence until a look finds none.
        while remaining := _living_descendants():
            for child in remaining:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    child.kill()
            psutil.wait_procs(remaining, timeout=1)
            process.poll()
            time.sleep(0.01)


def _living_descendants() -> list[psutil.Process]:
    living = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.append(child)
            elif child.ppid() == os.getpid():
                # An adopted orphan that has ended: nobody else will collect it.
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, os.WNOHANG)
    return living

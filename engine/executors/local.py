"""Jobs as processes of this machine, each under a guard (guard.py) that dies with the process that submitted it."""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from engine.errors import Problem
from engine.executors.base import Availability, Cause, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus
from engine.executors.guard import NO_NAMESPACE, OUTPUT, RECORD, START, USER_NAMESPACE, VERDICT, started_at
from engine.executors.lines import split_lines
from engine.executors.notes import Notes, noted_keys, read_notes, remove_notes, start_notes, write_notes
from engine.files import StorageError, read_json, write_problem
from engine.text import decode, one_line

if TYPE_CHECKING:
    from engine.executors.guard import Task

__all__ = ["LocalExecutor"]

_GUARD = (sys.executable, "-I", "-S", "-c", START, str(Path(__file__).with_name("guard.py")))
_READ_SIZE = 1 << 16
_SHORTEST_WAIT, _LONGEST_WAIT = 0.01, 0.25
"""Seconds between two looks at output that does not grow."""
_PATIENCE = 5.0
"""Seconds that a guard may take to start, or to end a job beyond its grace; then it is killed, and the job with it."""
_GONE_SECONDS = 60.0
"""Seconds after which a process that was killed and is still there is given up."""

_ISOLATION_NOTES = {
    USER_NAMESPACE: "jobs run in a user namespace, where files of other accounts seem to belong to nobody",
    NO_NAMESPACE: (
        "no PID namespace can be made here: what a job leaves behind is found by its parents and killed, unless guard "
        "and init of the job are killed at the same instant"
    ),
}


class _Process(Struct, frozen=True):
    """One process of this machine, whoever has its id later."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return self.started != 0 and started_at(self.pid) == self.started

    def send(self, number: int) -> None:
        """Send the signal if the process is still there. Raises `ExecutorError` when that is not allowed."""
        try:
            if self.alive:
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            problem = Problem(
                "executor-failed",
                f"process {self.pid}, which guards the job, belongs to another account",
                hint="Stop the job as the account that started it, or as root",
            )
            raise ExecutorError(problem) from error


class _Guarded(Struct, frozen=True):
    """The processes without which there is no job: guard and init, or the submitter until these are known."""

    processes: tuple[_Process, ...]
    started: bool

    @property
    def alive(self) -> bool:
        return any(process.alive for process in self.processes)


class _Waiting:
    """Waits, but not beyond the end of a process: that is noticed at once where the system tells of it."""

    def __init__(self, process: _Process) -> None:
        self._poll = select.poll()
        self._descriptor: int | None = None
        # An old kernel cannot tell, nor can one where the process is not known any more.
        with suppress(OSError):
            self._descriptor = os.pidfd_open(process.pid)
            self._poll.register(self._descriptor, select.POLLIN)
        if not process.alive:
            # Somebody else may have its id.
            self._close()

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def wait(self, seconds: float) -> None:
        if self._descriptor is None:
            time.sleep(seconds)
        elif self._poll.poll(seconds * 1000):
            # Told once: what comes of that end may take a moment.
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class LocalExecutor:
    """Runs jobs on this machine. It keeps nothing in memory: every object with this directory sees the same jobs.

    A job ends with the thread that submits it, because that is what a parent death signal is tied to: submit from the
    main thread, or one that lives as long as the job.
    """

    name = "local"

    def __init__(self, jobs_dir: Path) -> None:
        self.jobs_dir = jobs_dir

    def availability(self) -> Availability:
        """Whether guards can run here, found out by running one, and how well they can isolate jobs."""
        version = f"{platform.system()} {platform.release()}"
        try:
            asked = subprocess.run([*_GUARD, "--check"], capture_output=True, timeout=_PATIENCE, check=False)
            isolation, said = decode(asked.stdout).strip(), asked.stderr
        except (OSError, subprocess.TimeoutExpired) as error:
            isolation, said = "", str(error).encode()
        if isolation:
            note = _ISOLATION_NOTES.get(isolation)
            return Availability(self.name, version, (note,) if note else ())
        problem = Problem(
            "executor-unavailable",
            "jobs cannot be guarded here",
            expected="Linux",
            found=_last_line(said),
            hint="Choose another executor with [Envdeck] Executor",
        )
        return Availability(self.name, version, problem=problem)

    def submit(self, spec: JobSpec) -> None:
        """Start the job, and return once its guard has it. Raises `ExecutorError`, `StorageError`."""
        if read_notes(self.jobs_dir, spec.key):
            return
        output = self.jobs_dir / spec.key / OUTPUT
        start_notes(self.jobs_dir, self.name, spec, f"{_machine()} {os.getpid()} {started_at(os.getpid())}")
        try:
            # For nobody else to read, not even the account of the job.
            os.close(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            failure = _start_guard(spec, output.parent)
        except FileExistsError:
            return  # another submitter of the same job was first
        except OSError as error:
            self._remove(spec.key)
            raise StorageError(write_problem("start the job", output, error)) from error
        if failure is not None:
            found = _last_line(failure or output.read_bytes())
            self._remove(spec.key)
            raise ExecutorError(
                Problem("executor-failed", f"the guard of job {spec.key} ended before it started the job", found=found)
            )

    def status(self, key: str) -> JobStatus:
        """The state of the job now. The guard enforces its limits. Raises `JobNotFound`, `ExecutorError`."""
        notes = self._notes(key)
        host = notes.backend_id.partition(" ")[0]
        if verdict := self._verdict(key, host):
            return verdict
        guarded = self._guarded(key, notes)
        if guarded.alive:
            return JobStatus(JobState.RUNNING if guarded.started else JobState.PENDING, host=host)
        # Written since the look above, perhaps: a guard does that last, and before it goes.
        if verdict := self._verdict(key, host):
            return verdict
        if notes.ended:
            return JobStatus(notes.ended, None, host, notes.cause, notes.reason)
        return JobStatus(JobState.LOST, None, host, Cause.HOST, "its guard ended without a verdict")

    def output(self, key: str) -> Iterator[bytes]:
        """The job's output in lines, from its start and as it comes. Raises `JobNotFound`, `ExecutorError`."""
        self._notes(key)
        return split_lines(self._follow(key))

    def stop(self, key: str) -> None:
        """End the job, asking first; return when all its processes are gone. Raises `JobNotFound`, `ExecutorError`.

        A guard that does not answer is killed, which ends the job without grace.
        """
        notes = self._notes(key)
        guarded = self._guarded(key, notes)
        asked = time.monotonic()
        while not guarded.started and guarded.alive:
            if time.monotonic() > asked + _PATIENCE:
                raise ExecutorError(Problem("executor-failed", f"job {key} does not get beyond its start"))
            time.sleep(_SHORTEST_WAIT)
            guarded = self._guarded(key, notes)
        if not guarded.alive:
            return
        guard, init = guarded.processes
        if self._verdict(key, "") is None:
            guard.send(signal.SIGTERM)
        if _gone_within(guarded, notes.grace + _PATIENCE):
            return
        # One after the other: without a namespace it is init that ends the rest.
        guard.send(signal.SIGKILL)
        if not _gone_within(guarded, _PATIENCE):
            init.send(signal.SIGKILL)
        if not _gone_within(guarded, _GONE_SECONDS):
            raise ExecutorError(
                Problem(
                    "executor-failed",
                    f"job {key} was killed, but process {init.pid} does not go away",
                    hint="It waits for a device or a file server, perhaps: see ps -o pid,stat,wchan,cmd",
                )
            )
        if self._verdict(key, "") is None:
            write_notes(self.jobs_dir, key, notes, ended=JobState.CANCELLED, reason="stopped, with its guard")

    def jobs(self) -> tuple[str, ...]:
        return noted_keys(self.jobs_dir, self.name)

    def forget(self, key: str) -> None:
        """Stop the job if need be and remove its files. Idempotent. Raises `ExecutorError`, `StorageError`."""
        if read_notes(self.jobs_dir, key) is None:
            return
        self.stop(key)
        self._remove(key)

    def _notes(self, key: str) -> Notes:
        notes = read_notes(self.jobs_dir, key)
        if notes is None:
            raise JobNotFound(self.name, key)
        return notes

    def _verdict(self, key: str, host: str) -> JobStatus | None:
        """What the guard wrote about the end; None when it did not."""
        record = read_json(self.jobs_dir / key / VERDICT) or {}
        code, cause = record.get("exit_code"), record.get("cause")
        try:
            return JobStatus(
                JobState(str(record.get("state"))),
                code if isinstance(code, int) else None,
                host,
                Cause(str(cause)) if cause else None,
                one_line(str(record.get("reason"))),
            )
        except ValueError:
            return None

    def _guarded(self, key: str, notes: Notes) -> _Guarded:
        """Whose life is that of the job. Raises `ExecutorError` when that cannot be seen from this machine."""
        there, here = notes.backend_id.split(), _machine().split()
        host, boot = there[:1], there[1:2]
        # Its name alone may change under a running job.
        if there[1:3] != here[1:]:
            if host == here[:1] and boot != here[1:2]:
                return _Guarded((), started=True)  # this machine was started anew
            problem = Problem(
                "executor-failed",
                f"job {key} belongs to {' '.join(host)}, and only there its processes can be seen",
                found=f"this is {here[0]}",
                hint="Look at it, or stop it, there",
            )
            raise ExecutorError(problem)
        submitter = _process([int(word) for word in there[3:] if word.isdigit()])
        alive = submitter.alive
        record = read_json(self.jobs_dir / key / RECORD)
        if record is None:
            return _Guarded((submitter,) if alive else (), started=not alive)
        return _Guarded((_process(record.get("guard")), _process(record.get("init"))), started=True)

    def _follow(self, key: str) -> Iterator[bytes]:
        """The bytes of the output, until the job has ended or was forgotten."""
        try:
            file = (self.jobs_dir / key / OUTPUT).open("rb", buffering=0)
        except FileNotFoundError:
            return
        record = read_json(self.jobs_dir / key / RECORD) or {}
        with file, _Waiting(_process(record.get("guard"))) as waiting:
            ended, grown = False, time.monotonic()
            while True:
                if chunk := file.read(_READ_SIZE):
                    yield chunk
                    grown = time.monotonic()
                elif ended:
                    return
                else:
                    # What was printed up to the end that is seen here is read after it.
                    ended = self._ended(key)
                    if not ended:
                        quiet = time.monotonic() - grown
                        waiting.wait(min(max(_SHORTEST_WAIT, quiet / 4), _LONGEST_WAIT))

    def _ended(self, key: str) -> bool:
        try:
            return self.status(key).state.final
        except JobNotFound:
            return True

    def _remove(self, key: str) -> None:
        directory = self.jobs_dir / key
        try:
            for name in (OUTPUT, RECORD, VERDICT):
                for path in (directory / name, directory / f".{name}"):
                    path.unlink(missing_ok=True)
            # Last: until then the job can still be found.
            remove_notes(self.jobs_dir, key)
        except OSError as error:
            raise StorageError(write_problem("remove the files of the job", directory, error)) from error


def _start_guard(spec: JobSpec, directory: Path) -> bytes | None:
    """Start the guard of the job; None when it says that all is well, otherwise what it said."""
    user = spec.user
    task: Task = {
        "parent": os.getpid(),
        "directory": str(directory),
        "argv": list(spec.argv),
        "cwd": str(spec.cwd),
        "env": dict(spec.env),
        "user": (user.uid, user.gid, list(user.groups)) if user else None,
        "memory": spec.memory,
        "timeout": spec.timeout,
        "grace": spec.grace,
    }
    guard = subprocess.Popen(
        [*_GUARD, spec.key],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # No terminal can be asked for a password, none hangs it up.
        start_new_session=True,
    )
    # Collects its exit status, whenever that comes.
    threading.Thread(target=guard.wait, daemon=True, name=f"guard-{spec.key}").start()
    assert guard.stdin is not None
    assert guard.stdout is not None
    with guard.stdin, guard.stdout:
        try:
            guard.stdin.write(json.dumps(task).encode())
            guard.stdin.close()
        except BrokenPipeError:
            pass
        said = guard.stdout.readline()
        return None if said == b"ready\n" else said + guard.stdout.read()


def _process(noted: object) -> _Process:
    """The process that was noted as id and start; one that is gone when it makes no sense."""
    match noted:
        case [int(pid), int(started)]:
            return _Process(pid, started)
    return _Process(0, 0)


def _machine() -> str:
    """Within what process ids are unique: this host, this boot of it, this PID namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{platform.node()} {boot} {Path('/proc/self/ns/pid').readlink()}"


def _gone_within(guarded: _Guarded, seconds: float) -> bool:
    end = time.monotonic() + seconds
    for process in guarded.processes:
        with _Waiting(process) as waiting:
            wait = 0.001
            while process.alive:
                if (left := end - time.monotonic()) < 0:
                    return False
                waiting.wait(min(wait, left))
                wait = min(wait * 2, 0.05)
    return True


def _last_line(said: bytes) -> str:
    return one_line((decode(said).strip().splitlines() or [""])[-1])

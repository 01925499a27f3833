"""Jobs as containers of podman or docker on this machine (executors.md §2.1).

A job is the container ``envdeck-KEY``. It is detached, so that killing whoever started it changes nothing, and has an
init of the tool's as its first process, because Python as process 1 ignores TERM. What it needs of this machine is
mounted at the same path.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from engine.config.model import ExecutorSettings
from engine.digest import sha256
from engine.errors import EnvdeckError
from engine.executors.base import Availability, Cause, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus, Mount
from engine.executors.cgroups import in_group, memory_kills
from engine.executors.container_tool import (
    NO_IMAGE,
    Container,
    Tool,
    find_tool,
    has_registry,
    image_variables,
    options,
    read_container,
    refusal,
)
from engine.executors.guard import MOST_OUTPUT, started_at
from engine.executors.notes import Notes, noted_keys, read_notes, remove_notes, start_notes, write_notes
from engine.executors.tail import follow, make_output, size_of
from engine.executors.tools import last_line, printed, run_tool, tool_failed
from engine.files import StorageError, write_problem
from engine.text import decode

__all__ = ["ContainerExecutor"]

_CALL_SECONDS = 60.0
"""A tool may wait for another call of itself, and for a disk."""
_PREFIX = "envdeck-"
_OUTPUT, _ID = "output", "container.id"
_OUT_OF_MEMORY = "oom"
"""What podman's guard of a container leaves, in the directory that podman was started in, when the kernel has killed a
process of it for want of memory. It is told by the kernel, and so misses none; whoever asks later may find no control
group any more."""
_GONE_SECONDS = 30.0
_POLL = 0.2
_ABANDONED_SECONDS = 60.0
"""How long after its time limit podman ends a job that nobody looks after."""

_THERE_ALREADY = re.compile(r"already in use|ID file found")
_NO_CONTAINER = re.compile(r"no such (container|object)", re.IGNORECASE)
_NOT_STARTED = (1, 126, 127)
"""How the shell ends, or the init without a shell, when the program of a job cannot be run."""
_KILLED = 137
_CRASHED = 255
"""What docker says of a container that ran when the machine or the daemon died."""

_UNGUARDED = "conmon, which guards it for podman, died"

_PROGRAM = """\
umask 022
command -v "$1" >/dev/null || { echo "$1: not there, or not a program" >&2; exit 127; }
exec "$@" >>"$0" 2>&1
"""
"""What the container runs: the output goes to the file $0, and the rest of the arguments is the command.

The file and not the log of the container, because docker drops or changes some of what it logs (bytes that are not
UTF-8, or the end of a line over 16 KiB, by driver) and `podman logs --follow` may never end. The log has only what kept
the job from being started.
"""


class ContainerExecutor:
    """Runs jobs in containers. `environ` is what podman or docker is run in: it says which storage, which daemon."""

    name = "container"

    def __init__(self, jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]) -> None:
        self.jobs_dir = jobs_dir
        self.settings = settings
        self.environ = environ
        self._label = f"envdeck.jobs={sha256(os.fsencode(jobs_dir.resolve())).hex()[:16]}"

    def availability(self) -> Availability:
        """Whether podman or docker works here, which of them is used, and what it does not do for builds."""
        try:
            tool = find_tool(self.settings.container_command, self.environ)
        except ExecutorError as error:
            return Availability(self.name, problem=error.problem)
        notes = [f"containers are run by {tool.command}, {'without root' if tool.rootless else 'as root'}"]
        if tool.rootless:
            notes.append("they end with the last session of their account, unless `loginctl enable-linger` was run")
        if not tool.limits_memory:
            notes.append("a limit on memory is not enforced: no control group for it can be used")
        if tool.remote:
            notes.append(f"they run on {tool.host}, which must see {self.jobs_dir} as this machine does")
        return Availability(self.name, tool.version, tuple(notes))

    def submit(self, spec: JobSpec) -> None:
        """Start the job. Raises `ExecutorError`, `StorageError`.

        An image that is missing is fetched when its name says from where; until then the job is pending, and it needs
        this process. What the tool refuses is a failed job from then on.
        """
        notes = read_notes(self.jobs_dir, spec.key)
        if notes and (notes.ended or self._path(spec.key, _ID).exists()):
            return
        image_env = self._image_env(spec.image)
        notes = notes or start_notes(self.jobs_dir, self.name, spec)
        output = self._path(spec.key, _OUTPUT)
        try:
            make_output(output, (spec.user.uid, spec.user.gid) if spec.user else None)
        except OSError as error:
            raise StorageError(write_problem("start the job", output, error)) from error
        if image_env is None and has_registry(spec.image):
            write_notes(self.jobs_dir, spec.key, notes, reason=f"the image {spec.image} is being fetched")
            threading.Thread(target=self._fetch, args=(spec,), daemon=True, name=f"fetch-{spec.key}").start()
        else:
            self._start(spec, image_env or ())

    def status(self, key: str) -> JobStatus:
        """The state of the job now. Raises `JobNotFound`, `ExecutorError`, `StorageError`."""
        container = self._look(key)
        # After the container: whoever ends a job notes that first, so the end that is seen is not without its note.
        notes = self._notes(key)
        host = self._tool.host
        if container and container.running:
            return self._running(key, notes, container)
        if notes.ended:
            code = container.exit_code if container and container.ended else None
            return JobStatus(notes.ended, code, host, notes.cause, notes.reason)
        if container and container.ended:
            return self._verdict(key, notes, container)
        if container and container.started:
            # podman after the machine was started anew.
            return JobStatus(JobState.LOST, None, host, Cause.HOST, f"{host} went down while it ran")
        if container is None and self._path(key, _ID).exists():
            return JobStatus(JobState.LOST, None, host, Cause.HOST, "its container was removed")
        if time.time() < notes.submitted_at + notes.start_timeout:
            return JobStatus(JobState.PENDING, None, host, reason=notes.reason)
        self._end(key, notes, JobState.FAILED, Cause.START_TIMEOUT, notes.reason or "its container was not started")
        return self.status(key)

    def output(self, key: str) -> Iterator[bytes]:
        """The job's output in lines, from its start and as it comes. Raises `JobNotFound`."""
        self._notes(key)
        return follow(self._path(key, _OUTPUT), lambda: self.status(key).state.final)

    def stop(self, key: str) -> None:
        """Signal TERM to the job and after its grace KILL, and return when its container has ended.

        Raises `JobNotFound`, `ExecutorError`, `StorageError`.
        """
        if not self.status(key).state.final:
            self._end(key, self._notes(key), JobState.CANCELLED, None, "stopped")

    def jobs(self) -> tuple[str, ...]:
        """Those that have notes, and those whose containers are there although their notes were lost."""
        asked = self._run("ps", "--all", f"--filter=label={self._label}", "--format={{.Names}}")
        names = {name.removeprefix(_PREFIX) for name in printed(asked).split()}
        return tuple(sorted({*noted_keys(self.jobs_dir, self.name), *names}))

    def forget(self, key: str) -> None:
        """Stop the job if need be and remove its container and files. Raises `ExecutorError`, `StorageError`."""
        with suppress(JobNotFound):
            self.stop(key)
        self._remove_container(key)
        for name in (_OUTPUT, _ID, _OUT_OF_MEMORY):
            self._path(key, name).unlink(missing_ok=True)
        # Last: until then the job can still be found.
        remove_notes(self.jobs_dir, key)

    # Starting

    def _fetch(self, spec: JobSpec) -> None:
        """Fetch the image, then start the job, unless it was stopped or given up meanwhile."""
        try:
            if self._pull(spec):
                self._start(spec, self._image_env(spec.image) or ())
        except EnvdeckError as error:
            self._refused(spec.key, None, error.problem.found or str(error))

    def _pull(self, spec: JobSpec) -> bool:
        """Whether the image came, and the job still wants it."""
        command = [self._tool.command, "pull", "--quiet", spec.image]
        process = subprocess.Popen(
            command, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        with process:
            while True:
                try:
                    said = decode(process.communicate(timeout=_POLL)[1])
                    break
                except subprocess.TimeoutExpired:
                    if self._given_up(spec.key):
                        process.kill()
                        return False
        if process.returncode:
            self._refused(spec.key, Cause.IMAGE, refusal(said) or f"exit code {process.returncode}")
        return process.returncode == 0

    def _given_up(self, key: str) -> bool:
        try:
            return self.status(key).state.final
        except JobNotFound:
            return True
        except ExecutorError:
            return False

    def _start(self, spec: JobSpec, image_env: Sequence[str]) -> None:
        """Make the container, then start it: of two submitters one makes it, and only that one starts it."""
        created = self._run("create", *self._create_options(spec, image_env), environ={**spec.env, **self.environ})
        if created.returncode:
            if not _THERE_ALREADY.search(created.stderr):
                cause = Cause.IMAGE if NO_IMAGE.search(created.stderr) else None
                self._refused(spec.key, cause, refusal(created.stderr))
            return
        notes = read_notes(self.jobs_dir, spec.key)
        if notes is None or notes.ended:
            # Stopped or forgotten before there was a container. From here on, whoever does that removes it.
            self._remove_container(spec.key)
            return
        started = self._run("start", _PREFIX + spec.key, cwd=self.jobs_dir / spec.key)
        if started.returncode:
            self._refused(spec.key, None, refusal(started.stderr))

    def _create_options(self, spec: JobSpec, image_env: Sequence[str]) -> list[str]:
        tool, output = self._tool, self._path(spec.key, _OUTPUT)
        given = [
            f"--name={_PREFIX}{spec.key}",
            f"--label={self._label}",
            f"--label=envdeck.key={spec.key}",
            f"--cidfile={self._path(spec.key, _ID)}",
            "--init",
            "--pull=never",
            "--log-driver=json-file",
            "--stop-signal=TERM",
            f"--stop-timeout={math.ceil(spec.grace)}",
        ]
        if not tool.docker:
            given.append(f"--timeout={math.ceil(spec.timeout + spec.grace + _ABANDONED_SECONDS)}")
        if spec.memory and tool.limits_memory:
            given += [f"--memory={spec.memory}", f"--memory-swap={spec.memory}"]
        given += options(
            tool,
            env=spec.env,
            environ={**spec.env, **self.environ},
            image_env=image_env,
            mounts=(*spec.mounts, Mount(output, read_only=False)),
            cwd=spec.cwd,
            user=spec.user,
        )
        command = ["--entrypoint=/bin/sh", spec.image, "-c", _PROGRAM, str(output), *spec.argv]
        return [*given, *self.settings.container_options, *command]

    def _image_env(self, image: str) -> tuple[str, ...] | None:
        """The names of the variables that the image sets; None when there is no such image."""
        found = image_variables(self._tool.command, image, self.environ)
        return None if found is None else tuple(found)

    def _refused(self, key: str, cause: Cause | None, reason: str) -> None:
        notes = read_notes(self.jobs_dir, key)
        if notes and not notes.ended:
            write_notes(self.jobs_dir, key, notes, ended=JobState.FAILED, cause=cause, reason=reason)
        self._remove_container(key)

    # Looking

    def _look(self, key: str) -> Container | None:
        """What the tool says about the job's container; None when there is none."""
        asked = self._run("container", "inspect", _PREFIX + key)
        if asked.returncode and _NO_CONTAINER.search(asked.stderr):
            return None
        try:
            return read_container(printed(asked))
        except ValueError as error:
            raise tool_failed(asked.args, str(error), f"Run it by hand: {shlex.join(asked.args)}") from error

    def _running(self, key: str, notes: Notes, container: Container) -> JobStatus:
        """The state of a job whose container runs as far as the tool knows: here its limits are enforced."""
        host = self._tool.host
        if not self._guarded(container):
            if notes.ended is not JobState.LOST:
                notes = write_notes(self.jobs_dir, key, notes, ended=JobState.LOST, cause=Cause.HOST, reason=_UNGUARDED)
            self._kill(key, container)
            return JobStatus(JobState.LOST, None, host, notes.cause, notes.reason)
        if notes.ended:
            # Whoever decided that was killed before the container had ended, or is waiting for it now.
            self._end_container(key, notes)
        elif over := self._over_a_limit(key, notes, container):
            self._end(key, notes, JobState.FAILED, *over)
        else:
            return JobStatus(JobState.RUNNING, None, host)
        return self.status(key)

    def _over_a_limit(self, key: str, notes: Notes, container: Container) -> tuple[Cause | None, str] | None:
        if notes.memory and not self._tool.remote and memory_kills(container.pid, container.id):
            return Cause.MEMORY, _too_much(notes)
        if container.started and self._ran(container) > notes.timeout:
            return Cause.TIMEOUT, _too_long(notes)
        if size_of(self._path(key, _OUTPUT)) > MOST_OUTPUT:
            return None, f"it printed more than {MOST_OUTPUT >> 20} MiB"
        return None

    def _ran(self, container: Container) -> float:
        """For how many seconds a container runs by now: by a clock that nobody sets, where its process can be seen."""
        if not self._tool.remote and in_group(container.pid, container.id) and (ticks := started_at(container.pid)):
            return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return time.time() - container.started

    def _guarded(self, container: Container) -> bool:
        """Whether podman will notice the end of the container; docker always does."""
        if self._tool.remote or not container.guard:
            return True
        # Only here: the view of the configuration asks every kind of executor whether builds can run there.
        import psutil

        try:
            return any(container.id in word for word in psutil.Process(container.guard).cmdline())
        except psutil.Error:
            return False

    def _verdict(self, key: str, notes: Notes, container: Container) -> JobStatus:
        """What the end of the container means when nobody here brought it about."""
        code, host, docker = container.exit_code, self._tool.host, self._tool.docker
        if code == 0:
            return JobStatus(JobState.FINISHED, 0, host)
        if code < 0:
            # What podman says when somebody ended a container that conmon did not guard any more.
            return JobStatus(JobState.LOST, None, host, Cause.HOST, _UNGUARDED)
        ran_out = container.out_of_memory or self._path(key, _OUT_OF_MEMORY).exists()
        if notes.memory and (ran_out or (code == _KILLED and not docker)):
            return JobStatus(JobState.FAILED, code, host, Cause.MEMORY, _too_much(notes))
        if docker and code in (_KILLED, _CRASHED):
            return JobStatus(JobState.LOST, code, host, Cause.HOST, f"it was killed from outside: exit code {code}")
        if code == _KILLED and container.finished > container.started + notes.timeout:
            return JobStatus(JobState.FAILED, code, host, Cause.TIMEOUT, _too_long(notes))
        said = last_line(self._run("logs", "--tail=1", _PREFIX + key).stderr)
        return JobStatus(JobState.FAILED, code, host, Cause.COMMAND if said and code in _NOT_STARTED else None, said)

    # Ending

    def _end(self, key: str, notes: Notes, state: JobState, cause: Cause | None, reason: str) -> None:
        """Decide how the job ended and end it. Noted first: the tool only knows that its container was stopped."""
        self._end_container(key, write_notes(self.jobs_dir, key, notes, ended=state, cause=cause, reason=reason))

    def _end_container(self, key: str, notes: Notes) -> None:
        """Return when the container does not run any more. Raises `ExecutorError`."""
        container = self._look(key)
        if container is None or container.ended:
            return
        if not container.running:
            # Removed, so that it cannot be started in this moment by whoever made it.
            self._remove_container(key)
            return
        seconds = math.ceil(notes.grace)
        done = self._run("stop", f"-t={seconds}", _PREFIX + key, seconds=seconds + _CALL_SECONDS)
        container = self._look(key)
        if container and container.running and self._guarded(container):
            printed(done)
            raise tool_failed(done.args, f"container {_PREFIX}{key} is still there", "See what its processes wait for")

    def _kill(self, key: str, container: Container) -> None:
        """End what nobody guards any more, and return when it is gone. Raises `ExecutorError`."""
        end = time.monotonic() + _GONE_SECONDS
        while in_group(container.pid, container.id):
            done = self._run("kill", "--signal=KILL", _PREFIX + key)
            if time.monotonic() > end:
                raise tool_failed(done.args, last_line(done.stderr), "See what its processes wait for")
            time.sleep(_POLL)

    def _remove_container(self, key: str) -> None:
        removed = self._run("rm", "--force", "--volumes", _PREFIX + key)
        if not _NO_CONTAINER.search(removed.stderr):
            printed(removed)

    # What is needed everywhere

    @cached_property
    def _tool(self) -> Tool:
        return find_tool(self.settings.container_command, self.environ)

    def _run(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        seconds: float = _CALL_SECONDS,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        environ = self.environ if environ is None else environ
        return run_tool((self._tool.command, *arguments), environ, seconds, cwd=cwd)

    def _notes(self, key: str) -> Notes:
        notes = read_notes(self.jobs_dir, key)
        if notes is None:
            raise JobNotFound(self.name, key)
        return notes

    def _path(self, key: str, name: str) -> Path:
        return self.jobs_dir / key / name


def _too_much(notes: Notes) -> str:
    return f"it used more memory than the {notes.memory >> 20} MiB that it may"


def _too_long(notes: Notes) -> str:
    return f"it ran longer than {notes.timeout:g} s"

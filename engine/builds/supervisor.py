"""The supervisor: one detached process per build that brings it to an end, whatever becomes of who started it.

    python -m engine.builds.supervisor <job directory>       or a fork of the command (`engine.builds.starting`)

It waits for the lock of the key and for its turn, runs the builder through an executor, keeps log and events, honours
cancel and time limits, and publishes the attempt or discards it. It writes the verdict last, while it still holds the
job's ``alive`` lock. Should somebody else have given the verdict meanwhile, because its machine was frozen and it was
taken for lost, it publishes nothing and changes nothing: it only ends what it has started.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from engine.audit.actor import acting
from engine.audit.writing import record
from engine.builds.attending import PATIENCE, attend
from engine.builds.audit import build_ended
from engine.builds.faults import build_timeout, explain, fault_of_job, fault_of_problem, start_timeout
from engine.builds.job import CANCEL, JobReader, write_result
from engine.builds.line import Position, line_directory, stand_in_line
from engine.builds.model import BuildState, Fault, Phase
from engine.builds.pip_config import index_configuration, named_options
from engine.builds.publishing import publish, read_outcome
from engine.builds.seeding import Seeding
from engine.builds.spec import SCRATCH, Job, read_job
from engine.builds.transcript import Transcript
from engine.builds.vitals import keep_beating
from engine.environments.locks import acquire
from engine.environments.seal import InterpreterSeal, interpreter_seal
from engine.environments.space import space_problem
from engine.environments.store import EnvironmentStore
from engine.errors import EnvdeckError, Problem
from engine.executors.base import Executor, JobNotFound, JobSpec, JobState, JobStatus, Mount
from engine.executors.registry import executor as make_executor
from engine.files import StorageError, read_json, write_problem
from engine.text import mask_credentials

__all__ = ["Supervisor", "main", "supervise"]

P = TypeVar("P")
R = TypeVar("R")
_LOOK = 1.0
"""Seconds between two looks at who holds the key's lock."""
_AGAIN = 2.0
"""Seconds before something that failed for a reason of the moment is tried again."""
_SWITCH = 0.0005
"""Seconds that a thread may keep Python to itself while others want it: a tenth of what is usual."""
_VERDICT_TRIES = 5
_SIGNALLED = 128
"""Exit codes above this one tell the signal that ended the process."""


class _Ended(Exception):
    """The build ends without an environment of its own, for a reason that is not an error of this program."""

    def __init__(self, state: BuildState, message: str, fault: Fault | None = None, *, reused: bool = False) -> None:
        super().__init__(message)
        self.state = state
        self.message = message
        self.fault = fault
        self.reused = reused


class _Settled(Exception):
    """Somebody else has given the verdict."""


def _failed(fault: Fault) -> _Ended:
    return _Ended(BuildState.FAILED, str(fault), fault)


def _index_problem(job: Job) -> Problem | None:
    """Why what pip would install now is not what the key of `job` stands for; None when it is.

    uv is run with the configuration that was written when the build was started.
    """
    planned = job.ingredients.get("index")
    now = index_configuration(job.home, account=job.account)
    found = {name: mask_credentials(value) for name, value in now.items()}
    if job.uv or not isinstance(planned, Mapping) or found == planned:
        return None
    return Problem(
        "build-index-changed",
        "pip is configured to take packages from elsewhere since this build was planned",
        expected=named_options(planned),
        found=named_options(found),
        hint="Build it again: it gets an environment of its own",
    )


def _beside(function: Callable[[P], R], argument: P) -> Callable[[], R]:
    """Begin what `function` does in a thread of its own; returns what waits for it."""
    pool = ThreadPoolExecutor(1, function.__name__)
    result = pool.submit(function, argument).result
    pool.shutdown(wait=False)
    return result


class Supervisor:
    """Brings one build to its end."""

    def __init__(self, job: Job, executor: Executor, transcript: Transcript) -> None:
        self.job = job
        self.executor = executor
        self.transcript = transcript
        self.store = EnvironmentStore(job.data_dir)
        self.terminated = False
        self._seeding = Seeding(job)
        self._remember: Callable[[], str] = lambda: ""
        self._interpreter: Callable[[], InterpreterSeal | None] = lambda: None
        self._others: JobReader | None = None
        self._next_look = 0.0
        self._submitted_at = 0.0
        self._running_since: float | None = None
        self._there_before: int | None = None
        """How many distributions were there before the installer began: an old pip's own, say."""

    def run(self) -> BuildState:
        """Build, publish or discard, and write the verdict. Returns it."""
        began = time.monotonic()
        with ExitStack() as turn:
            try:
                end = self._end_of(turn)
            except _Settled:
                self._clean()
                return BuildState.LOST
            if end.state is not BuildState.DONE and self._is_published():
                # Everything was written, and then the disk failed.
                end = _Ended(BuildState.DONE, f"published {self.job.attempt_dir}")
            self._clean()
            with suppress(OSError):  # on a full disk the verdict matters more
                self.transcript.say(f"{end.state.value}: {end.message}")
            given = self._give_verdict(end)
        if given:
            job, seconds = self.job, time.monotonic() - began
            event = build_ended(job.attempt, job.key, job.bundle, end.state, end.message, seconds=seconds)
            record(job.data_dir, event, acting(os.environ, user=job.by))
        # Now that nobody waits for it any more, neither for the key nor for a place in the line.
        with suppress(OSError, EnvdeckError):
            if kept := self._remember():
                self.transcript.event(type="kept", kept=kept)
        return end.state

    def _end_of(self, turn: ExitStack) -> _Ended:
        """Wait and build; what the build comes to. What is waited for is held in `turn` from then on."""
        try:
            self._wait(turn)
            return self._build()
        except _Ended as ended:
            return ended
        except EnvdeckError as error:
            return _failed(fault_of_problem(error.problem, self.transcript.phase))
        except OSError as error:
            problem = write_problem("go on building", Path(error.filename or self.job.job_dir), error)
            return _failed(fault_of_problem(problem, self.transcript.phase))

    # Waiting

    def _wait(self, turn: ExitStack) -> None:
        """Hold the key's lock, then a place among those that run; in this order, so that who waits for a build of its
        own environment keeps nobody else from running."""
        turn.enter_context(acquire(self.store.lock_path(self.job.key), self._waits_for_key))
        self._reuse()
        line = line_directory(self.job.data_dir, self.job.machine.host)
        turn.enter_context(stand_in_line(line, self.job.concurrency, self._waits, self._tell_place))

    def _tell_place(self, position: Position) -> None:
        self.transcript.event(type="waiting", place=position.place, message=str(position))

    def _waits(self) -> bool:
        self._check()
        return False

    def _waits_for_key(self) -> bool:
        self._check()
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK
            self.transcript.tell(self._waited_for())
        return False

    def _waited_for(self) -> str:
        """Who has the key's lock, in words."""
        if self._others is None:
            self._others = JobReader(self.job.job_dir.parent)
        same = [b for b in self._others.builds() if b.key == self.job.key and not b.state.final]
        others = sorted((b.state is not BuildState.RUNNING, b.id) for b in same if b.id != self.job.attempt)
        if others:
            return f"waits for build {others[0][1]} of the same environment"
        return "waits for another process that holds the environment"

    def _check(self) -> None:
        """Raise what ends the build from outside."""
        # Listed, because over NFS a name that was looked for before it was made stays unknown for half a minute.
        names = {path.name for path in self.job.job_dir.iterdir()}
        if "result.json" in names:
            raise _Settled
        if self.terminated or CANCEL in names:
            asked = read_json(self.job.job_dir / CANCEL)
            by = f"by {asked.get('by', 'somebody')}" if asked else "by a signal to its supervisor"
            raise _Ended(BuildState.CANCELLED, f"cancelled {by}")

    def _reuse(self) -> None:
        """End the build when another one has published what it is to make."""
        there = self.store.find(self.job.key_dir)
        if there is not None and there.attempt != self.job.replaces:
            raise _Ended(BuildState.DONE, f"reused {there.path}, which another build published", reused=True)

    # Building

    def _build(self) -> _Ended:
        # All of it here, because it may have waited for hours.
        self._check()
        if problem := space_problem(self.job.data_dir, self.job.space_reserve) or _index_problem(self.job):
            raise _failed(fault_of_problem(problem, self.transcript.phase))
        self.transcript.event(type="started", pid=os.getpid(), message="")
        started = time.monotonic()
        self._make_directories()
        outcome = self._judge(self._run_builder())
        self.transcript.enter(Phase.PUBLISH)
        seconds, seeding = time.monotonic() - started, self._seeding
        sealed = publish(
            self.store,
            self.job,
            outcome,
            seconds,
            self._may_publish,
            self._interpreter,
            seeding.vouched,
            seeding.whole(),
        )
        self._remember = partial(self._seeding.remember, outcome, sealed.distributions, lambda: self.terminated)
        return _Ended(BuildState.DONE, f"published {self.job.attempt_dir}")

    def _make_directories(self) -> None:
        """The two directories that the builder may write in: the attempt and the job's ``work``."""
        job = self.job
        job.attempt_dir.mkdir(parents=True)
        if not self._seeding.late:
            self._supply()
        job.work_dir.mkdir(mode=0o700)
        (job.work_dir / "tmp").mkdir()
        source = job.job_dir / "source"
        if source.is_dir():
            # A copy, because pip builds local projects where they are; a rebuild wants them as they were.
            shutil.copytree(source, job.work_dir / "source", symlinks=True)
        if job.account:
            # From the inside out: what the account can reach already, it could swap for something else of ours.
            for path in (*reversed(list(job.work_dir.rglob("*"))), job.work_dir, job.attempt_dir):
                os.chown(path, job.account.uid, job.account.gid, follow_symlinks=False)

    def _supply(self) -> None:
        """Link what the wheel store has for the build into its attempt."""
        self._seeding.begin(self.transcript.say, self._check)
        self.transcript.supplied(len(self._seeding.supply.wheels))

    def _job_spec(self) -> JobSpec:
        job = self.job
        temporary, source = job.work_dir / "tmp", job.work_dir / "source"
        # Python 2 has no -I. Without -S the installation's .pth files run, which the builder has no use for.
        isolated = ("-E", "-s") if job.python_version.startswith("2.") else ("-I", "-S")
        overlay = (Mount(Path(job.overlay)),) if job.overlay else ()
        program = [job.python_path, *isolated, "-B", str(job.job_dir / "builder.py"), str(job.job_dir / "spec.json")]
        return JobSpec(
            key=job.attempt,
            argv=(*program, "late") if self._seeding.late else tuple(program),
            cwd=source if source.is_dir() else temporary,
            env={**job.env, "TMPDIR": str(temporary)},
            image=job.image,
            python_version=job.python_version,
            mounts=(
                Mount(job.job_dir),
                Mount(job.work_dir, read_only=False),
                Mount(job.attempt_dir, read_only=False),
                *overlay,
                *job.mounts,
            ),
            memory=job.memory,
            timeout=job.timeout,
            start_timeout=job.start_timeout,
            user=job.account,
        )

    def _run_builder(self) -> JobStatus:
        """Run the job to its end. Nothing of it runs any more afterwards, whatever is raised."""
        ended = False
        self._submitted_at = time.monotonic()
        try:
            if self._seeding.late:
                with self._seeding.deciding():
                    self.executor.submit(self._job_spec())
                    self._supply()
            else:
                self.executor.submit(self._job_spec())
            self._interpreter = _beside(interpreter_seal, None if self.job.image else Path(self.job.python_path))
            attended = attend(self.executor, self.job.attempt, take=self.transcript.take, look=self._look)
            ended = True
        finally:
            self._end_job(ended)
        if attended.output_problem:
            self.transcript.say(f"The rest of the output is missing: {attended.output_problem}")
        return attended.status

    def _look(self, status: JobStatus) -> None:
        """What has to be noticed while the job goes on, whether or not it prints."""
        self._check()
        job, now = self.job, time.monotonic()
        if status.state is JobState.PENDING:
            if status.reason:
                self.transcript.tell(f"waits for {job.executor}: {status.reason}")
            if now - self._submitted_at > job.start_timeout:
                raise _failed(start_timeout(job, status.reason))
            return
        if self._running_since is None:
            self._running_since = now
        if now - self._running_since > job.timeout:
            raise _failed(build_timeout(self.transcript.phase, job.timeout))
        if self.transcript.phase is Phase.RESOLVE and self._there_before is None:
            self._there_before = self._distributions()
        if self.transcript.installing:
            # pip prints nothing from "Installing collected packages" to the end; the disk shows how far it is.
            self.transcript.installed(self._distributions() - (self._there_before or 0))

    def _distributions(self) -> int:
        """How many are on the disk in the attempt."""
        return sum(1 for _ in self.job.attempt_dir.glob("lib/python*/site-packages/*.dist-info/RECORD"))

    def _end_job(self, ended: bool) -> None:
        """Stop the job unless it has `ended`, and have the executor forget it.

        Raises `_Ended` (lost) when the executor does not say for two minutes that it is stopped.
        """
        job, end = self.job, time.monotonic() + PATIENCE
        while True:
            try:
                if not ended:
                    self.executor.stop(job.attempt)
                    ended = True
                self.executor.forget(job.attempt)
                return
            except JobNotFound:
                return
            except EnvdeckError as error:
                problem = error.problem
                # A disk that takes no changes is not waited for: the job has ended, and its files harm nobody.
                if ended and isinstance(error, StorageError):
                    break
            if time.monotonic() > end:
                break
            with suppress(OSError):
                self.transcript.tell(f"{job.executor} does not answer, and is asked again: {problem.message}")
            time.sleep(_AGAIN)
        if not ended:
            raise _Ended(BuildState.LOST, f"whether it still runs is not known: {problem}")
        with suppress(OSError):
            self.transcript.say(f"{job.executor} still keeps the job: {problem}")

    def _judge(self, status: JobStatus) -> Mapping[str, object]:
        """What the builder says it made. Raises `_Ended` unless both it and the executor say that all is well."""
        phase = self.transcript.phase
        if fault := fault_of_job(status, phase, self.job):
            raise _Ended(BuildState.LOST if status.state is JobState.LOST else BuildState.FAILED, str(fault), fault)
        if status.state is JobState.CANCELLED:
            message = f"stopped through {self.job.executor}, not through envdeck: {status.reason}"
            raise _Ended(BuildState.CANCELLED, message)
        outcome = read_outcome(self.job)
        if status.state is JobState.FINISHED and outcome is not None and outcome.get("ok") is True:
            return outcome
        if outcome is None:
            why = status.reason or (f"exit code {status.exit_code}" if status.exit_code else "it says not why")
            message = f"the builder ended without a verdict: {why}"
            if status.exit_code is None or status.exit_code > _SIGNALLED:
                # It was ended, so what it printed before says nothing about that.
                raise _failed(Fault(phase, "", message, "See the log"))
        else:
            message = str(outcome.get("message"))
        raise _failed(explain(self.transcript.last_lines, phase, message, self.job.installer))

    # The end

    def _may_publish(self) -> None:
        """Raise what forbids to publish, asked at the last moment: locks may have been lost on the way."""
        self._check()
        self._reuse()

    def _is_published(self) -> bool:
        there = self.store.read(self.job.key_dir)
        return there is not None and there.attempt == self.job.attempt

    def _clean(self) -> None:
        """Remove what nobody needs any more: the attempt unless it is published, and what only the builder used."""
        with suppress(OSError, EnvdeckError):  # the disk is failing, which the verdict says
            # Who has made none may not have the key's lock, and another build may be making its own beside it.
            if os.path.lexists(self.job.attempt_dir):
                self.store.discard_attempt(self.job.attempt_dir)
        for name in SCRATCH:
            shutil.rmtree(self.job.work_dir / name, ignore_errors=True)

    def _give_verdict(self, end: _Ended) -> bool:
        """Write the verdict; False when somebody else has given one. Raises `StorageError`."""
        for rest in reversed(range(_VERDICT_TRIES)):
            try:
                return write_result(
                    self.job.job_dir, end.state, fault=end.fault, reused=end.reused, message=end.message
                )
            except StorageError:
                # What was just discarded may be all the space there is, and takes a moment to be free.
                if not rest:
                    raise
                time.sleep(_AGAIN)
        raise AssertionError


def main() -> int:
    """Run the build of the job directory named on the command line; 0 when there is an environment at the end."""
    return supervise(Path(sys.argv[1]))


def supervise(job_dir: Path) -> int:
    """Run the build of `job_dir` in this process, which does nothing else; 0 when there is an environment at the end.

    This process holds the lock on the file ``alive`` there.
    """
    os.umask(0o022)
    # Threads here wait for the system most of the time, and what they then have to do is short.
    sys.setswitchinterval(_SWITCH)
    job = read_job(job_dir)
    if job is None:
        raise SystemExit(f"{job_dir}/spec.json does not parse")
    keep_beating(job_dir / "alive")
    with Transcript(job_dir, job.mark, job.installer) as transcript:
        executor = make_executor(job.executor, job_dir.parent, job.executors, os.environ)
        supervisor = Supervisor(job, executor, transcript)

        def terminate(_signal: int, _frame: object) -> None:
            supervisor.terminated = True

        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return 0 if supervisor.run() is BuildState.DONE else 1


if __name__ == "__main__":
    sys.exit(main())

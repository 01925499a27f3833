"""The supervisor: one detached process per build that brings it to an end, whatever becomes of who started it.

    python -m engine.builds.supervisor <job directory>

It takes the lock of the key, runs the builder through an executor, keeps log and events, honours cancel and timeout,
and publishes the attempt or discards it. It writes the verdict last, while it still holds the job's ``alive`` lock.
"""

from __future__ import annotations

import collections
import json
import os
import queue
import shutil
import signal
import stat
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from engine.builds.faults import explain
from engine.builds.job import append_event, write_result
from engine.builds.log import LogLine, format_line
from engine.builds.model import BuildState, Fault, Phase
from engine.builds.pip_output import PipProgress, read_line
from engine.environments.locks import acquire
from engine.environments.store import EnvironmentStore, measure
from engine.errors import EnvdeckError
from engine.executors.accounts import Account
from engine.executors.base import Executor, JobSpec, JobState
from engine.executors.local import LocalExecutor, adopt_orphans, limit_resources
from engine.files import read_json, sync_filesystem, write_atomic
from engine.text import clean_log_line, decode

__all__ = ["Supervisor", "main"]

_POLL = 0.2
"""Seconds between looks at cancel, the timeout and the number of installed packages."""
_LAST_LINES = 400
"""How much of the log's end is kept to explain a failure."""


class _Stopped(Exception):
    """The build ends without an environment, for a reason that is not the builder's."""

    def __init__(self, state: BuildState, fault: Fault | None, message: str) -> None:
        super().__init__(message)
        self.state = state
        self.fault = fault
        self.message = message


class Supervisor:
    """Brings the build in one job directory to its end."""

    def __init__(self, job_dir: Path, executor: Executor) -> None:
        spec = read_json(job_dir / "spec.json")
        if spec is None:
            raise SystemExit(f"{job_dir}/spec.json does not parse")
        self.job_dir = job_dir
        self.executor = executor
        self.spec = spec
        self.store = EnvironmentStore(Path(str(spec["data_dir"])))
        self.attempt_dir = Path(str(spec["attempt_dir"]))
        self.key_dir = self.attempt_dir.parent
        self.work_dir = Path(str(spec["work_dir"]))
        self.account = _account(spec.get("account"))
        self.mark = str(spec["mark"])
        self.deadline = float("inf")
        self.terminated = False
        self.phase = Phase.QUEUE
        self.progress = PipProgress()
        self.last_lines: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)

    def run(self) -> BuildState:
        """Build, publish or discard, and write the verdict. Returns it."""
        state, fault, reused, message = BuildState.FAILED, None, False, ""
        with (self.job_dir / "log").open("ab", buffering=0) as self.log:
            try:
                with acquire(self.store.lock_path(str(self.spec["key"])), self._cancelled, _POLL) as held:
                    if not held:
                        raise _Stopped(BuildState.CANCELLED, None, self._cancelled_by())
                    reused, message = self._reuse_or_build()
                state = BuildState.DONE
            except _Stopped as stop:
                state, fault, message = stop.state, stop.fault, stop.message
            except (OSError, EnvdeckError) as error:
                fault = explain([f"ERROR: {error}"], self.phase, str(error))
                message = str(fault)
            if state is not BuildState.DONE:
                with suppress(OSError):  # the disk is failing, which the verdict already says
                    self.store.discard_attempt(self.attempt_dir)
            with suppress(OSError):  # on a full disk the verdict matters more
                self._write_log(f"{state.value}: {message}")
        for name in ("tmp", "source"):
            shutil.rmtree(self.work_dir / name, ignore_errors=True)
        write_result(self.job_dir, state, fault=fault, reused=reused, message=message)
        return state

    def _reuse_or_build(self) -> tuple[bool, str]:
        """With the key's lock held: reuse what another build published meanwhile, or build."""
        self._event(type="started", pid=os.getpid())
        there = self.store.find(self.key_dir)
        if there is not None and there.attempt != self.spec["replaces"]:
            return True, f"reused {there.path}, which another build published"
        started = time.time()
        # Waiting for another build of the key does not count.
        self.deadline = time.monotonic() + float(str(self.spec["timeout"]))
        self._make_directories()
        self._run_builder()
        outcome = self._outcome()
        self._publish(outcome, time.time() - started)
        return False, f"published {self.attempt_dir}"

    def _make_directories(self) -> None:
        """The two directories that the builder may write in: the attempt and the job's ``work``."""
        self.attempt_dir.mkdir(parents=True)
        self.work_dir.mkdir(mode=0o700)
        (self.work_dir / "tmp").mkdir()
        source = self.job_dir / "source"
        if source.is_dir():
            # A copy, because pip builds local projects where they are; a rebuild wants them as they were.
            shutil.copytree(source, self.work_dir / "source", symlinks=True)
        if self.account:
            # From the inside out: what the account can reach already, it could swap for something else of ours.
            for path in (*reversed(list(self.work_dir.rglob("*"))), self.work_dir, self.attempt_dir):
                os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _run_builder(self) -> None:
        temporary, source = self.work_dir / "tmp", self.work_dir / "source"
        # Python 2 has no -I.
        isolated = ("-E", "-s") if str(self.spec["python_version"]).startswith("2.") else ("-I",)
        job_id = self.executor.submit(
            JobSpec(
                key=self.job_dir.name,
                argv=(
                    str(self.spec["python_path"]),
                    *isolated,
                    "-B",
                    str(self.job_dir / "builder.py"),
                    str(self.job_dir / "spec.json"),
                ),
                cwd=source if source.is_dir() else temporary,
                env={**_strings(read_json(self.job_dir / "env.json")), "TMPDIR": str(temporary)},
                user=self.account,
            )
        )
        output: queue.Queue[bytes | None] = queue.Queue(maxsize=10_000)

        def pump() -> None:
            for line in self.executor.output(job_id):
                output.put(line)
            output.put(None)

        threading.Thread(target=pump, daemon=True).start()
        try:
            self._attend(job_id, output)
        finally:
            self.executor.stop(job_id)

    def _attend(self, job_id: str, output: queue.Queue[bytes | None]) -> None:
        """Take the builder's output until it has ended."""
        streaming, next_look = True, 0.0
        # A grandchild may hold the pipe open after the job has ended, so the end of the stream is not waited for.
        while streaming and (self.executor.status(job_id).state is JobState.RUNNING or not output.empty()):
            try:
                line = output.get(timeout=_POLL)
                streaming = line is not None
                if line is not None:
                    self._take(line)
            except queue.Empty:
                pass
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + _POLL
                self._look(job_id)
        while self.executor.status(job_id).state is JobState.RUNNING:
            self._look(job_id)
            time.sleep(_POLL)

    def _look(self, job_id: str) -> None:
        """What has to be noticed while the builder runs, whether or not it prints."""
        if self._cancelled():
            self.executor.stop(job_id)
            raise _Stopped(BuildState.CANCELLED, None, self._cancelled_by())
        if time.monotonic() > self.deadline:
            self.executor.stop(job_id)
            fault = Fault(
                self.phase,
                "",
                f"it took longer than {float(str(self.spec['timeout'])):g} seconds",
                "Raise BuildTimeout under [Envdeck], or see in the log what it waits for",
            )
            raise _Stopped(BuildState.FAILED, fault, str(fault))
        if self.progress.installing:
            # pip prints nothing from "Installing collected packages" to the end; the disk shows how far it is.
            done = sum(1 for _ in self.attempt_dir.glob("lib/python*/site-packages/*.dist-info/RECORD"))
            self._report(min(done, len(self.progress.installing)), len(self.progress.installing))

    def _take(self, raw: bytes) -> None:
        """One line of output: an event of the builder, or a line for the log and the progress."""
        text = decode(raw)
        if text.startswith(self.mark):
            self._builder_event(text[len(self.mark) :])
            return
        line = clean_log_line(text)
        before = self.progress
        self.progress = read_line(before, line)
        if self.progress.noise:
            if self.progress.message != before.message:
                self._event(type="message", message=self.progress.message)
            return
        self._write_log(line)
        self.last_lines.append(line)
        if self.progress == before:
            return
        if self.progress.phase is Phase.INSTALL and self.phase is Phase.RESOLVE:
            self._enter(Phase.INSTALL)
        if self.progress.installing:
            self._event(
                type="progress",
                done=self.progress.installed,
                total=len(self.progress.installing),
                message=self.progress.message,
            )
        else:
            self._event(type="progress", done=self.progress.collected, total=0, message=self.progress.message)

    def _builder_event(self, text: str) -> None:
        try:
            event = json.loads(text)
        except ValueError:
            return
        if isinstance(event, dict) and (phase := Phase.read(event.get("phase"))):
            self._enter(phase)

    def _outcome(self) -> dict[str, object]:
        """What the builder says it made. Raises `_Stopped` unless it says that all is well."""
        path = self.work_dir / "outcome.json"
        # A build script can put anything there; opening a pipe would wait for ever. From here on it cannot.
        os.chown(self.work_dir, os.geteuid(), os.getegid())
        outcome = read_json(path) if path.is_file() and not path.is_symlink() else None
        if outcome is not None and outcome.get("ok") is True:
            return outcome
        message = str((outcome or {}).get("message") or "the builder ended without a verdict")
        fault = explain(list(self.last_lines), self.phase, message)
        raise _Stopped(BuildState.FAILED, fault, str(fault))

    def _publish(self, outcome: dict[str, object], seconds: float) -> None:
        self._enter(Phase.PUBLISH)
        packages = outcome.get("packages")
        if self.account:
            _seal(self.attempt_dir, self.account)
        size, files = measure(self.attempt_dir)
        record = {
            name: self.spec[name]
            for name in (
                "key",
                "installer",
                "python_version",
                "python_path",
                "target",
                "bundle",
                "lines",
                "ingredients",
                "overlay",
            )
        }
        record |= {
            "attempt": self.attempt_dir.name,
            "packages": [
                {"name": p[0], "version": p[1]}
                for p in (packages if isinstance(packages, list) else [])
                if isinstance(p, list) and len(p) == 2
            ],
            "conflicts": outcome.get("conflicts", []),
            "size": size,
            "files": files,
            "built_at": time.time(),
            "built_by": self.spec["by"],
            "built_as": self.account.name if self.account else "",
            "seconds": round(seconds, 3),
        }
        sync_filesystem(self.attempt_dir)
        # Beside the attempts, not in one: an environment whose directory is gone is what a rebuild is most wanted for.
        write_atomic(self.key_dir / "request.json", (self.job_dir / "request.json").read_bytes(), 0o600)
        self.store.publish(self.key_dir, record)

    def _cancelled(self) -> bool:
        return self.terminated or (self.job_dir / "cancel").exists()

    def _cancelled_by(self) -> str:
        asked = read_json(self.job_dir / "cancel")
        if asked is not None:
            return f"cancelled by {asked.get('by', 'somebody')}"
        return "cancelled by a signal to its supervisor"

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._event(type="phase", phase=phase.value)

    def _report(self, done: int, total: int) -> None:
        if done > self.progress.installed:
            self.progress = PipProgress(
                self.progress.phase, self.progress.collected, self.progress.installing, done, self.progress.message
            )
            self._event(type="progress", done=done, total=total)

    def _event(self, **event: object) -> None:
        append_event(self.job_dir / "events.jsonl", event)

    def _write_log(self, text: str) -> None:
        self.log.write(format_line(LogLine(time.time(), text)).encode() + b"\n")


def _strings(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _account(value: object) -> Account | None:
    """The account that the spec names, None for the one of this process."""
    if not isinstance(value, dict):
        return None
    groups = tuple(int(group) for group in value["groups"])
    return Account(str(value["name"]), int(value["uid"]), int(value["gid"]), groups, Path(str(value["home"])))


def _seal(directory: Path, account: Account) -> None:
    """Make everything in `directory` that belongs to `account` ours: it can read and run it, and change none of it.

    Content runs as the same account, and must not be able to change what other content uses too.
    """
    pending = [directory]
    while pending:
        path = pending.pop()
        # Its directory is ours by now, so nobody can put a link in the place of what is looked at here.
        status = path.lstat()
        is_directory = stat.S_ISDIR(status.st_mode)
        if status.st_uid == account.uid:
            os.chown(path, os.geteuid(), os.getegid(), follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                path.chmod(0o755 if is_directory or status.st_mode & 0o111 else 0o644)
        if is_directory:
            pending.extend(path.iterdir())


def main() -> int:
    """Run the build of the job directory named on the command line; 0 when there is an environment at the end."""
    os.umask(0o022)
    adopt_orphans()
    supervisor = Supervisor(Path(sys.argv[1]), LocalExecutor())
    limit_resources(processes=supervisor.account is not None)

    def terminate(_signal: int, _frame: object) -> None:
        supervisor.terminated = True

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return 0 if supervisor.run() is BuildState.DONE else 1


if __name__ == "__main__":
    sys.exit(main())

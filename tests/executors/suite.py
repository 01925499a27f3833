"""The cases. Each runs real jobs, returns a remark for the table, and raises when the executor does not hold."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pickle
import queue
import secrets
import shlex
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from engine.executors.base import Cause, Executor, JobNotFound, JobSpec, JobState, JobStatus
from tests.executors.bench import Bench, Feature
from tests.integration.conftest import make_wheel

__all__ = ["CASES", "Hold", "NotApplicable", "output", "settle", "submitter", "title"]

_PIECE = 1 << 16
_MB = 1 << 20

_HOLD = """
import fcntl, signal, sys, time
signal.signal(signal.SIGTERM, signal.{term})
held = open({path!r})
fcntl.flock(held, fcntl.LOCK_SH)
print("holding", flush=True)
time.sleep(600)
"""

_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.{term})
subprocess.Popen([sys.executable, "-c", {child!r}], start_new_session=True)
time.sleep(600)
"""


class NotApplicable(Exception):
    """The case asks for something that the backend cannot do; the message says why."""


def title(case: Callable[[Bench], str]) -> str:
    """The case in the words of its docstring."""
    return (case.__doc__ or "").splitlines()[0].rstrip(".")


def need(bench: Bench, feature: Feature) -> None:
    if feature in bench.lacks:
        raise NotApplicable(bench.lacks[feature])


def settle(executor: Executor, key: str, within: float, *wanted: JobState) -> JobStatus:
    """The first status with a `wanted` state, or a final one where none is given."""
    end = time.monotonic() + within
    while True:
        status = executor.status(key)
        if status.state in wanted or (not wanted and status.state.final):
            return status
        assert not status.state.final, f"ended unexpectedly: {status}"
        assert time.monotonic() < end, f"still {status} after {within:g} s"
        time.sleep(0.02)


class Output:
    """The output of a job, read in a thread so that a stream that never ends fails the case instead of hanging it."""

    def __init__(self, executor: Executor, key: str, within: float) -> None:
        self._lines: queue.Queue[bytes | BaseException | None] = queue.Queue()
        self._end = time.monotonic() + within
        threading.Thread(target=self._pump, args=(executor, key), daemon=True).start()

    def _pump(self, executor: Executor, key: str) -> None:
        try:
            for line in executor.output(key):
                self._lines.put(line)
        except BaseException as error:
            self._lines.put(error)
        self._lines.put(None)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, self._end - time.monotonic()))
            except queue.Empty:
                raise AssertionError("the output did not end in time") from None
            if isinstance(line, BaseException):
                raise line
            if line is None:
                return
            yield line

    def until(self, text: bytes) -> None:
        seen = []
        for line in self:
            seen.append(line)
            if line == text:
                return
        raise AssertionError(f"the output ended without {text!r}: {seen[-5:]}")


def output(bench: Bench, executor: Executor, key: str) -> list[bytes]:
    return list(Output(executor, key, bench.patience + 60))


class Hold:
    """A job whose processes hold a lock, which is free when, and only when, none of them is left."""

    def __init__(self, bench: Bench, *, stubborn: bool = False, detached: bool = False, **changes: object) -> None:
        self.path = bench.shared_dir / f"held-{secrets.token_hex(4)}"
        self.path.touch()
        term = "SIG_IGN" if stubborn else "SIG_DFL"
        code = _HOLD.format(path=str(self.path), term=term)
        self.spec = bench.spec(_PARENT.format(child=code, term=term) if detached else code, **changes)
        self.key = self.spec.key
        self._patience = bench.patience

    def submit(self, executor: Executor) -> None:
        """Start the job and return once its innermost process holds the lock."""
        executor.submit(self.spec)
        self.wait(executor)

    def wait(self, executor: Executor) -> None:
        Output(executor, self.key, self._patience).until(b"holding")
        assert not self.free(), "the lock is not seen from here, so the case could not fail"

    def free(self) -> bool:
        with self.path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


def case_finish(bench: Bench) -> str:
    """A job ends well and its output is exact."""
    executor = bench.executor()
    spec = bench.spec("import sys; sys.stdout.write('one\\n\\n  three'); sys.stderr.write('')")
    executor.submit(spec)
    lines, status = output(bench, executor, spec.key), settle(executor, spec.key, bench.patience)
    assert lines == [b"one", b"", b"  three"], lines
    assert (status.state, status.exit_code, status.cause) == (JobState.FINISHED, 0, None), status
    return status.host and f"on {status.host}"


def case_exit_code(bench: Bench) -> str:
    """Exit code 7 is reported, with the output of both streams."""
    executor = bench.executor()
    spec = bench.spec("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)")
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.exit_code) == (JobState.FAILED, 7), status
    assert output(bench, executor, spec.key) == [b"out", b"err"]
    return status.reason


def case_killed_by_signal(bench: Bench) -> str:
    """A job that a signal ends fails with 128 + its number."""
    executor = bench.executor()
    # Not the first process of a container, which no signal ends that it has not asked for.
    code = (
        "import os, subprocess, sys; sys.exit(128 - subprocess.call([sys.executable, '-c', 'import os; os.abort()']))"
    )
    spec = bench.spec(code)
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.exit_code) == (JobState.FAILED, 128 + signal.SIGABRT), status
    return status.reason


def case_live(bench: Bench) -> str:
    """Lines come while the job runs."""
    executor, seen = bench.executor(), bench.shared_dir / f"seen-{secrets.token_hex(4)}"
    seen.touch()
    # Each is printed only when the one before has been seen.
    spec = bench.spec(
        "import os, time\nfor number in range(10):\n    print(time.time(), flush=True)\n"
        f"    while os.path.getsize({str(seen)!r}) <= number: time.sleep(0.01)"
    )
    executor.submit(spec)
    delays = []
    for line in Output(executor, spec.key, bench.patience):
        delays.append(time.time() - float(line))
        with seen.open("ab") as file:
            file.write(b".")
    median = statistics.median(delays)
    assert len(delays) == 10
    return f"median {median * 1000:.0f} ms, worst {max(delays) * 1000:.0f} ms"


def case_stop(bench: Bench) -> str:
    """Stopping ends a grandchild in a session of its own."""
    executor, job = bench.executor(), Hold(bench, detached=True)
    job.submit(executor)
    started = time.monotonic()
    executor.stop(job.key)
    took = time.monotonic() - started
    assert job.free(), "a process is left"
    status = executor.status(job.key)
    assert status.state is JobState.CANCELLED, status
    assert bench.executor().status(job.key).state is JobState.CANCELLED, "a new object does not know"
    return f"{took:.2f} s"


def case_stop_stubborn(bench: Bench) -> str:
    """Stopping ends processes that ignore TERM, after the grace."""
    executor, job = bench.executor(), Hold(bench, detached=True, stubborn=True, grace=1.0)
    job.submit(executor)
    started = time.monotonic()
    executor.stop(job.key)
    took = time.monotonic() - started
    assert job.free(), "a process is left"
    assert executor.status(job.key).state is JobState.CANCELLED
    assert 1 <= took < 30, took
    return f"{took:.2f} s, grace 1 s"


def case_stop_grace(bench: Bench) -> str:
    """A job that is stopped may use its grace to clean up."""
    executor = bench.executor()
    done = bench.shared_dir / f"cleaned-{secrets.token_hex(4)}"
    code = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_): time.sleep(0.5); pathlib.Path({str(done)!r}).touch(); sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, end)\nprint('ready', flush=True)\ntime.sleep(600)"
    )
    spec = bench.spec(code, grace=20.0)
    executor.submit(spec)
    Output(executor, spec.key, bench.patience).until(b"ready")
    executor.stop(spec.key)
    assert done.exists()
    status = executor.status(spec.key)
    assert status.state is JobState.CANCELLED, status
    return ""


def case_stop_elsewhere(bench: Bench) -> str:
    """A new object, as in another process, can stop a job."""
    first, job = bench.executor(), Hold(bench, detached=True)
    job.submit(first)
    bench.executor().stop(job.key)
    assert job.free(), "a process is left"
    assert first.status(job.key).state is JobState.CANCELLED
    return ""


def case_stop_ended(bench: Bench) -> str:
    """Stopping a job that has ended changes nothing."""
    executor, spec = bench.executor(), bench.spec("print('done')")
    executor.submit(spec)
    before = settle(executor, spec.key, bench.patience)
    executor.stop(spec.key)
    executor.stop(spec.key)
    after = bench.executor().status(spec.key)
    assert (after.state, after.exit_code) == (JobState.FINISHED, 0), (before, after)
    assert output(bench, executor, spec.key) == [b"done"]
    return ""


def case_reattach(bench: Bench) -> str:
    """A new object reads the whole output, also after the end."""
    executor = bench.executor()
    spec = bench.spec("import time\nfor i in range(15):\n    print(i, flush=True); time.sleep(0.1)")
    executor.submit(spec)
    settle(executor, spec.key, bench.patience, JobState.RUNNING, JobState.FINISHED)
    expected = [str(i).encode() for i in range(15)]
    other = bench.executor()
    assert spec.key in other.jobs()
    assert output(bench, other, spec.key) == expected
    assert settle(other, spec.key, bench.patience).state is JobState.FINISHED
    assert output(bench, bench.executor(), spec.key) == expected
    return ""


def case_submit_twice(bench: Bench) -> str:
    """Submitting twice starts one job."""
    executor, trace = bench.executor(), bench.shared_dir / f"trace-{secrets.token_hex(4)}"
    trace.mkdir(mode=0o777)
    spec = bench.spec(f"import tempfile; tempfile.mkstemp(dir={str(trace)!r}); print('once')")
    executor.submit(spec)
    executor.submit(spec)
    bench.executor().submit(spec)
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED
    executor.submit(spec)
    assert executor.status(spec.key).state is JobState.FINISHED
    assert output(bench, executor, spec.key) == [b"once"]
    assert len(list(trace.iterdir())) == 1
    return ""


def case_side_by_side(bench: Bench) -> str:
    """Two jobs at once do not mix."""
    executor = bench.executor()
    specs = [
        bench.spec(f"import time\nfor i in range(5):\n    print({n}, i, flush=True); time.sleep(0.1)") for n in "12"
    ]
    for spec in specs:
        executor.submit(spec)
    for name, spec in zip("12", specs, strict=True):
        assert output(bench, executor, spec.key) == [f"{name} {i}".encode() for i in range(5)]
        assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED
    return ""


def case_unknown(bench: Bench) -> str:
    """An unknown key is said to be unknown."""
    executor = bench.executor()
    for ask in (executor.status, executor.stop, lambda key: list(executor.output(key))):
        try:
            ask("case-nobody-knows")
        except JobNotFound:
            continue
        raise AssertionError(f"{ask} did not raise JobNotFound")
    executor.forget("case-nobody-knows")
    return ""


def _many_lines(bench: Bench, count: int) -> str:
    executor = bench.executor()
    spec = bench.spec(f"for i in range({count}): print('line', i, 'x' * 40)")
    expected = hashlib.sha256(b"".join(b"line %d %s\n" % (i, b"x" * 40) for i in range(count)))
    started = time.monotonic()
    executor.submit(spec)
    seen, number = hashlib.sha256(), 0
    for line in Output(executor, spec.key, bench.patience + 120):
        seen.update(line + b"\n")
        number += 1
    took = time.monotonic() - started
    assert number == count, f"{number} lines"
    assert seen.digest() == expected.digest()
    return f"{took:.1f} s"


def case_20_000_lines(bench: Bench) -> str:
    """20 000 lines come complete."""
    return _many_lines(bench, 20_000)


def case_500_000_lines(bench: Bench) -> str:
    """500 000 lines come complete."""
    return _many_lines(bench, 500_000)


def case_long_line(bench: Bench) -> str:
    """A line of 1 MB comes complete, in pieces."""
    executor = bench.executor()
    spec = bench.spec("print('a'); print('0123456789' * 100_000); print('z')")
    executor.submit(spec)
    lines = output(bench, executor, spec.key)
    assert (lines[0], lines[-1]) == (b"a", b"z"), (lines[0][:80], lines[-1][:80])
    assert b"".join(lines[1:-1]) == b"0123456789" * 100_000
    assert max(map(len, lines)) <= _PIECE, max(map(len, lines))
    return f"{len(lines) - 2} pieces"


def case_any_bytes(bench: Bench) -> str:
    """Output that is not UTF-8 comes byte for byte."""
    executor = bench.executor()
    spec = bench.spec("import sys; sys.stdout.buffer.write(bytes(range(256)) + b'\\xff\\xfe\\r\\n' + b'\\x80\\n')")
    executor.submit(spec)
    everything = bytes(range(256)) + b"\xff\xfe\r\n\x80"
    lines = output(bench, executor, spec.key)
    assert lines == everything.split(b"\n"), lines
    return ""


def case_environment(bench: Bench) -> str:
    """A job sees its own environment and nothing of the submitter's."""
    executor = bench.executor()
    spec = bench.spec("import json, os, sys; print(json.dumps([dict(os.environ), os.getcwd(), sys.stdin.read()]))")
    given = {**spec.env, "EMPTY": "", "SPACED": "a b\tc=d $HOME 'x' \"y\" \\", "LINES": "one\ntwo", "UMLAUT": "ß"}
    spec = bench.spec(spec.argv, env=given, cwd=bench.shared_dir)
    os.environ["ENVDECK_LEAK"] = "leaked"
    try:
        executor.submit(spec)
    finally:
        del os.environ["ENVDECK_LEAK"]
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED
    seen, cwd, stdin = json.loads(b"".join(output(bench, executor, spec.key)))
    assert given.items() <= seen.items(), {name: seen.get(name) for name in given if seen.get(name) != given[name]}
    added = {name for name in seen.keys() - given.keys() if not any(fnmatch(name, p) for p in bench.added_env)}
    assert not added, added
    assert cwd == str(bench.shared_dir), cwd
    assert stdin == "", stdin
    return f"the backend adds {len(seen) - len(given)}"


def case_arguments(bench: Bench) -> str:
    """Arguments arrive as they are: no shell takes them apart."""
    executor = bench.executor()
    odd = ["", " ", "a b", "$HOME", "`id`", "'", '"', "\\", "*", "-x", "one\ntwo", "ß", "%s", "{}"]
    spec = bench.spec([bench.python, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))", *odd])
    executor.submit(spec)
    lines = output(bench, executor, spec.key)
    assert json.loads(lines[0]) == odd, lines
    return ""


def case_umask(bench: Bench) -> str:
    """Files that a job makes can be read by everyone: its umask is 022."""
    executor = bench.executor()
    spec = bench.spec("import os; print(oct(os.umask(0)))")
    before = os.umask(0o077)
    try:
        executor.submit(spec)
    finally:
        os.umask(before)
    assert output(bench, executor, spec.key) == [b"0o22"]
    return ""


def case_user(bench: Bench) -> str:
    """A job runs as another account, with its groups and without a way back."""
    need(bench, Feature.USER)
    account = bench.account
    assert account is not None
    executor = bench.executor()
    code = "import os; print(*os.getresuid(), *os.getresgid(), sorted(os.getgroups()))"
    spec = bench.spec(code, user=account)
    executor.submit(spec)
    lines, status = output(bench, executor, spec.key), settle(executor, spec.key, bench.patience)
    ids = f"{account.uid} " * 3 + f"{account.gid} " * 3
    assert lines == [f"{ids}{sorted(set(account.groups))}".encode()], (lines, status)
    assert status.state is JobState.FINISHED
    return account.name


def case_pip(bench: Bench) -> str:
    """A real environment is made and a package is installed in it."""
    executor = bench.executor()
    root = bench.shared_dir / f"pip-{secrets.token_hex(4)}"
    wheel = make_wheel(root / "packages", "gadget", "1.2")
    quoted = shlex.quote(str(root / "venv"))
    script = (
        f"{shlex.quote(bench.python)} -m venv {quoted} && {quoted}/bin/python -m pip install -q --no-index "
        f"--disable-pip-version-check --no-cache-dir --find-links {shlex.quote(str(wheel.parent))} gadget && "
        f"{quoted}/bin/python -c 'import gadget, sys; print(gadget.__version__, sys.prefix)'"
    )
    spec = bench.spec(["sh", "-c", script])
    executor.submit(spec)
    lines, status = output(bench, executor, spec.key), settle(executor, spec.key, bench.patience)
    assert status.state is JobState.FINISHED, (status, lines)
    assert lines[-1] == f"1.2 {root / 'venv'}".encode(), lines
    assert (root / "venv" / "pyvenv.cfg").exists(), "not seen from here"
    return ""


def case_timeout(bench: Bench) -> str:
    """A build that takes too long is ended and says so."""
    executor = bench.executor()
    for seconds in (3.0, 30.0):
        job, started = Hold(bench, detached=True, timeout=seconds), time.monotonic()
        executor.submit(job.spec)
        if b"holding" in output(bench, executor, job.key):
            break
        # The machine was too busy to bring it that far in the time.
    status = settle(executor, job.key, bench.patience)
    took = time.monotonic() - started
    assert (status.state, status.cause) == (JobState.FAILED, Cause.TIMEOUT), status
    assert job.free(), "a process is left"
    again = bench.executor().status(job.key)
    assert (again.state, again.cause) == (JobState.FAILED, Cause.TIMEOUT), again
    return f"{took:.1f} s for {seconds:g} s: {status.reason}"


def case_memory(bench: Bench) -> str:
    """A build that takes too much memory is ended and says so."""
    need(bench, Feature.MEMORY)
    executor = bench.executor()
    # Spread over processes none of which is over the limit alone.
    child = f"import time; held = bytearray({60 * _MB}); held[::4096] = b'x' * len(held[::4096]); time.sleep(600)"
    start = f"subprocess.Popen([sys.executable, '-c', {child!r}])"
    # A kernel that enforces the limit may kill one of them only: the others end as a build does whose compiler died.
    code = f"import os, subprocess, sys\nchildren = [{start} for _ in range(4)]\nos.wait()\nsys.exit(5)"
    spec = bench.spec(code, memory=150 * _MB)
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.MEMORY), status
    again = bench.executor().status(spec.key)
    assert (again.state, again.cause) == (JobState.FAILED, Cause.MEMORY), again
    return status.reason


def case_missing_command(bench: Bench) -> str:
    """A program that is not there is reported as that."""
    executor, spec = bench.executor(), bench.spec(["/no/such/python", "-V"])
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.COMMAND), status
    return status.reason


def case_missing_image(bench: Bench) -> str:
    """An image that is not there is reported as that, and soon."""
    need(bench, Feature.IMAGES)
    executor, spec = bench.executor(), bench.spec("print('never')", image=bench.missing_image)
    started = time.monotonic()
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    took = time.monotonic() - started
    assert (status.state, status.cause) == (JobState.FAILED, Cause.IMAGE), status
    assert took < 30, took
    return f"{took:.1f} s: {status.reason}"


def case_start_timeout(bench: Bench) -> str:
    """A job that is not started in time is given up, and says what it waited for."""
    need(bench, Feature.QUEUE)
    executor = bench.executor()
    with bench.congestion() as changes:
        spec = bench.spec("print('never')", **changes, start_timeout=3.0)
        executor.submit(spec)
        waiting = executor.status(spec.key)
        status = settle(executor, spec.key, bench.patience)
        assert (status.state, status.cause) == (JobState.FAILED, Cause.START_TIMEOUT), status
        again = bench.executor().status(spec.key)
        assert (again.state, again.cause) == (JobState.FAILED, Cause.START_TIMEOUT), again
    assert output(bench, executor, spec.key) == []
    return f"{status.reason} (before: {waiting.reason})"


def case_stop_waiting(bench: Bench) -> str:
    """A job that waits can be stopped and never starts."""
    need(bench, Feature.QUEUE)
    executor = bench.executor()
    with bench.congestion() as changes:
        spec = bench.spec("print('never')", **changes)
        executor.submit(spec)
        settle(executor, spec.key, bench.patience, JobState.PENDING)
        executor.stop(spec.key)
        assert executor.status(spec.key).state is JobState.CANCELLED
    assert bench.executor().status(spec.key).state is JobState.CANCELLED
    assert output(bench, executor, spec.key) == []
    return ""


def case_host_dies(bench: Bench) -> str:
    """A job whose machine or guard is killed is lost, never finished."""
    need(bench, Feature.HOST_DEATH)
    executor, job = bench.executor(), Hold(bench, detached=True)
    job.submit(executor)
    settle(executor, job.key, bench.patience, JobState.RUNNING)
    started = time.monotonic()
    bench.kill_host(job.key)
    try:
        status = settle(executor, job.key, bench.death_patience)
        took = time.monotonic() - started
        assert (status.state, status.cause) == (JobState.LOST, Cause.HOST), status
        assert bench.executor().status(job.key).state is JobState.LOST
        executor.stop(job.key)
        assert executor.status(job.key).state is JobState.LOST, "stopping what was lost makes it no cancelled job"
        assert job.free(), "a process is left after stop"
    finally:
        bench.repair()
    return f"noticed after {took:.1f} s: {status.reason}"


@contextmanager
def submitter(
    bench: Bench, spec: JobSpec, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that is about to submit the job, and says so when it has; killed at the end of the block."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.executors.submitter"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=environ)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            process.stdin.write(pickle.dumps((bench.make, bench.arguments, spec)))
            process.stdin.close()
            assert process.stdout.readline() == b"ready\n", "the other process did not start"
            yield process
        finally:
            process.kill()


def case_submitter_dies(bench: Bench) -> str:
    """When the submitter is killed, a new object says what became of the job."""
    job = Hold(bench, detached=True)
    executor = bench.executor()
    with submitter(bench, job.spec) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"submitted\n", "the other process could not submit"
        job.wait(executor)
    if bench.outlives_submitter:
        status = executor.status(job.key)
        assert status.state is JobState.RUNNING, status
        assert not job.free()
        Output(bench.executor(), job.key, bench.patience).until(b"holding")
        executor.stop(job.key)
        assert job.free(), "a process is left"
        assert executor.status(job.key).state is JobState.CANCELLED
        return "goes on, and can be stopped"
    status = settle(executor, job.key, bench.patience)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST), status
    assert job.free(), "a process is left"
    return "lost, and all of it gone"


def case_jobs_and_forget(bench: Bench) -> str:
    """Jobs are listed until they are forgotten, and then nothing is left of them."""
    executor, job, ended = bench.executor(), Hold(bench, detached=True), bench.spec("print('done')")
    executor.submit(ended)
    job.submit(executor)
    settle(executor, ended.key, bench.patience)
    assert {job.key, ended.key} <= set(bench.executor().jobs())
    for key in (job.key, ended.key):
        executor.forget(key)
        bench.executor().forget(key)
        assert key not in executor.jobs()
        try:
            raise AssertionError(f"still known: {bench.executor().status(key)}")
        except JobNotFound:
            pass
    assert job.free(), "a process is left"
    return ""


def case_availability(bench: Bench) -> str:
    """The executor says that it can be used."""
    availability = bench.executor().availability()
    assert availability.usable, availability.problem
    assert availability.executor == bench.executor().name
    return " · ".join((availability.version, *availability.notes))


CASES: tuple[Callable[[Bench], str], ...] = (
    case_availability,
    case_finish,
    case_exit_code,
    case_killed_by_signal,
    case_live,
    case_stop,
    case_stop_stubborn,
    case_stop_grace,
    case_stop_elsewhere,
    case_stop_ended,
    case_reattach,
    case_submit_twice,
    case_side_by_side,
    case_unknown,
    case_20_000_lines,
    case_500_000_lines,
    case_long_line,
    case_any_bytes,
    case_environment,
    case_arguments,
    case_umask,
    case_user,
    case_pip,
    case_timeout,
    case_memory,
    case_missing_command,
    case_missing_image,
    case_start_timeout,
    case_stop_waiting,
    case_host_dies,
    case_submitter_dies,
    case_jobs_and_forget,
)

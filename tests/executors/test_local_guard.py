"""What the guard of a local job does beyond the conformance cases: faults forced one by one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import EnvdeckError
from engine.executors import guard, local
from engine.executors.base import Cause, ExecutorError, JobNotFound, JobState, JobStatus
from engine.executors.guard import MOST_OUTPUT, OUTPUT, RECORD, VERDICT, started_at
from engine.executors.local import LocalExecutor
from engine.executors.notes import read_notes, start_notes, write_notes
from engine.files import StorageError
from tests.executors.bench import Bench, Feature
from tests.executors.suite import Hold, output, settle
from tests.records import replace

WITHIN = 120.0


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> Bench:
    return bench_of("local")


@pytest.fixture
def executor(bench: Bench) -> Iterator[LocalExecutor]:
    executor = LocalExecutor(bench.jobs_dir)
    yield executor
    for key in executor.jobs():
        executor.forget(key)


def processes(bench: Bench, key: str) -> tuple[int, int]:
    """The ids of guard and init."""
    record = json.loads((bench.jobs_dir / key / RECORD).read_text())
    return record["guard"][0], record["init"][0]


def run(bench: Bench, executor: LocalExecutor, command: str | list[str], **changes: object) -> list[str]:
    spec = bench.spec(command, **changes)
    executor.submit(spec)
    lines = [line.decode() for line in output(bench, executor, spec.key)]
    assert settle(executor, spec.key, WITHIN).state is JobState.FINISHED, lines
    return lines


def test_the_end_of_a_silent_job_is_told_and_not_looked_for(
    bench: Bench, executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wait in ("_SHORTEST_WAIT", "_LONGEST_WAIT"):
        monkeypatch.setattr(local, wait, 600.0)
    assert run(bench, executor, ["sh", "-c", "sleep 0.2; echo one; sleep 0.2"]) == ["one"]


# What a job gets


def test_a_job_ignores_and_blocks_no_signal(bench: Bench, executor: LocalExecutor) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        lines = run(bench, executor, ["/bin/grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert [line.split() for line in lines] == [["SigBlk:", "0" * 16], ["SigIgn:", "0" * 16]]


def test_a_job_has_a_session_of_its_own_and_three_descriptors(bench: Bench, executor: LocalExecutor) -> None:
    code = "import os; print(os.getsid(0) == os.getpid() == os.getpgrp(), sorted(os.listdir('/proc/self/fd')))"
    # The fourth is that of the listing.
    assert run(bench, executor, code) == ["True ['0', '1', '2', '3']"]


def test_the_limits_of_a_job(bench: Bench, executor: LocalExecutor) -> None:
    code = "import resource as r; print(r.getrlimit(r.RLIMIT_CORE), max(r.getrlimit(r.RLIMIT_NOFILE)) <= 16384)"
    assert run(bench, executor, code) == ["(0, 0) True"]
    if Feature.USER not in bench.lacks:
        code = "import resource as r; print(max(r.getrlimit(r.RLIMIT_NPROC)) <= 4096)"
        assert run(bench, executor, code, user=bench.account) == ["True"]


def test_a_job_sees_no_process_but_its_own(bench: Bench, executor: LocalExecutor) -> None:
    if executor.availability().notes and "no PID namespace" in executor.availability().notes[0]:
        pytest.skip("no PID namespace can be made here")
    code = "import os; print(os.getpid(), sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))"
    assert run(bench, executor, code) == ["2 [1, 2]"]


def test_what_a_job_prints_is_for_its_submitter_alone(bench: Bench, executor: LocalExecutor) -> None:
    spec = bench.spec("print('secret')")
    executor.submit(spec)
    assert (bench.jobs_dir / spec.key / OUTPUT).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("other_account", [False, True])
def test_a_script_that_writes_to_dev_stderr_takes_nothing_away(
    bench: Bench, executor: LocalExecutor, other_account: bool
) -> None:
    if other_account and Feature.USER in bench.lacks:
        pytest.skip(bench.lacks[Feature.USER])
    script = ["sh", "-c", "echo one; echo two > /dev/stderr; echo three > /dev/stdout; echo four"]
    lines = run(bench, executor, script, user=bench.account if other_account else None)
    assert lines == ["one", "two", "three", "four"]


def test_a_directory_that_cannot_be_entered_is_said(bench: Bench, executor: LocalExecutor) -> None:
    spec = bench.spec("print('never')", cwd=Path("/no/such/place"))
    executor.submit(spec)
    status = settle(executor, spec.key, WITHIN)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.COMMAND)
    assert status.reason == "cannot enter /no/such/place: No such file or directory"


# Its end


def test_what_a_job_leaves_behind_ends_with_it(bench: Bench, executor: LocalExecutor) -> None:
    job = Hold(bench, detached=True)
    # The parent ends as soon as its child holds the lock.
    wait = "import fcntl, time\nwith open({!r}) as f:\n    while True:\n        try: fcntl.flock(f, fcntl.LOCK_EX | "
    wait = wait.format(str(job.path)) + "fcntl.LOCK_NB)\n        except OSError: break\n"
    wait += "        fcntl.flock(f, fcntl.LOCK_UN); time.sleep(0.01)"
    code = job.spec.argv[-1].replace("time.sleep(600)\n", wait)
    assert code != job.spec.argv[-1]
    executor.submit(replace(job.spec, argv=(*job.spec.argv[:-1], code)))
    assert settle(executor, job.key, WITHIN) == JobStatus(JobState.FINISHED, 0, os.uname().nodename)
    assert job.free()


def test_a_job_that_is_asked_to_end_just_when_it_has_ended_is_left_alone() -> None:
    """Init would print a traceback into its output otherwise, and end without a word on how it ended."""
    job = os.posix_spawn("/bin/true", ["true"], {}, setsid=True)
    os.waitpid(job, 0)
    guard._ask_to_end(job)


def test_a_job_that_prints_without_end_is_ended(bench: Bench, executor: LocalExecutor) -> None:
    spec = bench.spec("import sys\nwhile True: sys.stdout.write('x' * 99_999 + '\\n')")
    executor.submit(spec)
    status = settle(executor, spec.key, WITHIN)
    assert (status.state, status.cause) == (JobState.FAILED, None)
    assert status.reason == f"it printed more than {MOST_OUTPUT >> 20} MiB"


def test_memory_that_forks_share_counts_once(bench: Bench, executor: LocalExecutor) -> None:
    code = (
        "import os, time\nheld = bytearray(80 << 20); held[::4096] = b'x' * len(held[::4096])\n"
        "for _ in range(4):\n    if os.fork() == 0: time.sleep(1); os._exit(0)\n"
        "for _ in range(4): os.wait()\nprint('done')"
    )
    assert run(bench, executor, code, memory=200 << 20) == ["done"]


def test_when_init_is_killed_the_job_is_lost(bench: Bench, executor: LocalExecutor) -> None:
    job = Hold(bench, detached=True)
    job.submit(executor)
    os.kill(processes(bench, job.key)[1], signal.SIGKILL)
    status = settle(executor, job.key, WITHIN)
    assert (status.state, status.cause, status.exit_code) == (JobState.LOST, Cause.HOST, None)
    assert job.free()


def test_a_guard_that_does_not_answer_is_killed_with_the_job(
    bench: Bench, executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_PATIENCE", 0.2)
    job = Hold(bench, detached=True, grace=0.1)
    job.submit(executor)
    os.kill(processes(bench, job.key)[0], signal.SIGSTOP)
    executor.stop(job.key)
    assert job.free()
    status = LocalExecutor(bench.jobs_dir).status(job.key)
    assert (status.state, status.reason) == (JobState.CANCELLED, "stopped, with its guard")


def test_output_ends_when_the_job_is_forgotten(bench: Bench, executor: LocalExecutor) -> None:
    job = Hold(bench)
    job.submit(executor)
    lines = executor.output(job.key)
    assert next(lines) == b"holding"
    executor.forget(job.key)
    assert list(lines) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield tmp_path
    # A guard lives on for a moment after its verdict.
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_full_disk_takes_no_verdict_away(bench: Bench, small_disk: Path) -> None:
    executor = LocalExecutor(small_disk)
    fill = f"import os, sys\nfd = os.open({str(small_disk / 'fill')!r}, os.O_WRONLY | os.O_CREAT)\n"
    fill += "try:\n    while True: os.write(fd, bytes(1024))\nexcept OSError: pass\n"
    spec = bench.spec(fill + "print('x' * 10_000, flush=True)\nsys.exit(3)")
    (small_disk / spec.key).mkdir()
    executor.submit(spec)
    status = settle(executor, spec.key, WITHIN)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)
    assert status.reason == "not all that it printed could be kept: No space left on device"
    executor.stop(spec.key)
    executor.forget(spec.key)
    assert list((small_disk / spec.key).iterdir()) == []


def test_nothing_is_started_on_a_full_disk(bench: Bench, small_disk: Path) -> None:
    executor, job = LocalExecutor(small_disk), Hold(bench)
    (small_disk / job.key).mkdir()
    with (small_disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024))
    with pytest.raises(EnvdeckError, match="No space left on device"):
        executor.submit(job.spec)
    assert job.free()
    assert executor.jobs() == ()
    assert list((small_disk / job.key).iterdir()) == []


# Its start


def test_a_job_without_a_directory_is_refused(bench: Bench, executor: LocalExecutor) -> None:
    spec = replace(bench.spec("print('never')"), key="case-no-directory")
    with pytest.raises(StorageError):
        executor.submit(spec)
    assert spec.key not in executor.jobs()


def test_a_guard_that_cannot_keep_its_record_starts_nothing(bench: Bench, executor: LocalExecutor) -> None:
    job = Hold(bench)
    (bench.jobs_dir / job.key / f".{RECORD}").symlink_to("/no/such/directory/record")
    with pytest.raises(ExecutorError) as caught:
        executor.submit(job.spec)
    assert "No such file or directory" in caught.value.problem.found
    assert job.free()
    with pytest.raises(JobNotFound):
        executor.status(job.key)
    assert not (bench.jobs_dir / job.key / OUTPUT).exists()


def test_a_job_waits_while_its_submitter_lives_and_is_lost_after(bench: Bench, executor: LocalExecutor) -> None:
    spec = bench.spec("print('never')")
    with subprocess.Popen(["sleep", "600"]) as submitter:
        here = f"{local._machine()} {submitter.pid} {started_at(submitter.pid)}"
        start_notes(bench.jobs_dir, "local", spec, here)
        try:
            assert executor.status(spec.key).state is JobState.PENDING
        finally:
            submitter.kill()
    status = executor.status(spec.key)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    executor.stop(spec.key)
    assert list(executor.output(spec.key)) == []


# Its records, seen from elsewhere


def moved(bench: Bench, key: str, position: int, text: str) -> None:
    """The record of where the job runs (host, boot, namespace, process, start), with one part replaced."""
    notes = read_notes(bench.jobs_dir, key)
    assert notes is not None
    parts = notes.backend_id.split()
    parts[position] = text
    write_notes(bench.jobs_dir, key, notes, backend_id=" ".join(parts))


def test_from_another_host_nothing_is_said_about_a_job_that_may_run(bench: Bench, executor: LocalExecutor) -> None:
    job = Hold(bench)
    job.submit(executor)
    here = os.uname().nodename
    for position, text in ((0, "elsewhere"), (1, "another-boot")):
        moved(bench, job.key, position, text)
    for ask in (executor.status, executor.stop, executor.forget):
        with pytest.raises(ExecutorError, match="elsewhere"):
            ask(job.key)
    assert not job.free()
    moved(bench, job.key, 0, here)
    assert executor.status(job.key).state is JobState.LOST, "this host was started anew"
    executor.stop(job.key)
    os.kill(processes(bench, job.key)[0], signal.SIGTERM)
    assert settle_verdict(bench, job.key)["state"] == "cancelled"
    moved(bench, job.key, 0, "elsewhere")
    assert executor.status(job.key) == JobStatus(JobState.CANCELLED, 143, "elsewhere", None, "stopped")
    moved(bench, job.key, 0, here)


def settle_verdict(bench: Bench, key: str) -> dict[str, object]:
    end = time.monotonic() + WITHIN
    while not (bench.jobs_dir / key / VERDICT).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return json.loads((bench.jobs_dir / key / VERDICT).read_text())


def test_a_process_that_has_the_id_of_a_guard_by_now_is_left_alone(bench: Bench, executor: LocalExecutor) -> None:
    spec = bench.spec("print('done')")
    executor.submit(spec)
    settle(executor, spec.key, WITHIN)
    executor.stop(spec.key)  # the guard lives on for a moment after its verdict
    (bench.jobs_dir / spec.key / VERDICT).unlink()
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            other = [stranger.pid, started_at(stranger.pid) - 1]
            (bench.jobs_dir / spec.key / RECORD).write_text(json.dumps({"guard": other, "init": other}))
            assert executor.status(spec.key).state is JobState.LOST
            executor.stop(spec.key)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_job_that_ends_between_two_looks_is_not_lost(
    bench: Bench, executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = bench.spec("print('done')")
    executor.submit(spec)
    settle(executor, spec.key, WITHIN)
    executor.stop(spec.key)
    verdict = bench.jobs_dir / spec.key / VERDICT
    later = verdict.rename(verdict.with_suffix(".later"))

    def it_ends_just_now(_pid: int) -> int:
        if later.exists():
            later.rename(verdict)
        return 0

    monkeypatch.setattr(local, "started_at", it_ends_just_now)
    assert executor.status(spec.key).state is JobState.FINISHED


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"state": "splendid"}', '{"state": "failed", "cause": "moon"}'])
def test_a_verdict_that_makes_no_sense_is_none(bench: Bench, executor: LocalExecutor, text: str) -> None:
    spec = bench.spec("print('done')")
    executor.submit(spec)
    settle(executor, spec.key, WITHIN)
    executor.stop(spec.key)  # the guard lives on for a moment after its verdict
    (bench.jobs_dir / spec.key / VERDICT).write_text(text)
    assert executor.status(spec.key).state is JobState.LOST


@pytest.mark.parametrize("text", ["{}", '{"guard": 1, "init": []}', '{"guard": ["x", null], "init": [1, 2, 3]}'])
def test_a_record_that_makes_no_sense_is_none(bench: Bench, executor: LocalExecutor, text: str) -> None:
    spec = bench.spec("print('done')")
    executor.submit(spec)
    settle(executor, spec.key, WITHIN)
    executor.stop(spec.key)  # the guard lives on for a moment after its verdict
    (bench.jobs_dir / spec.key / VERDICT).unlink()
    (bench.jobs_dir / spec.key / RECORD).write_text(text)
    assert executor.status(spec.key).state is JobState.LOST
    moved(bench, spec.key, 3, "x")
    assert executor.status(spec.key).state is JobState.LOST
    executor.forget(spec.key)

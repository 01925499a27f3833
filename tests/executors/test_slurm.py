"""What only Slurm does, on a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import engine.executors.slurm
from engine.config.model import ExecutorSettings
from engine.executors.base import Cause, ExecutorError, JobNotFound, JobState
from engine.executors.notes import read_notes, start_notes, write_notes
from engine.executors.slurm import SlurmExecutor
from tests.executors.bench import Bench, Unavailable
from tests.executors.slurm_bench import SlurmBench
from tests.executors.slurm_cluster import ClusterError, start_cluster, wait_for
from tests.executors.suite import Hold, Output, output, settle
from tests.records import replace

pytestmark = pytest.mark.slow

_STARTS_CLUSTER = """
import pathlib, sys, time
from tests.executors.slurm_cluster import ClusterError, start_cluster
try:
    with start_cluster(pathlib.Path(sys.argv[1]), 1) as cluster:
        detached = f"setsid sh -c 'sleep 600; :' {cluster.name} & wait"
        job = cluster.tool("sbatch", "--parsable", "--output=/dev/null", f"--wrap={detached}").strip()
        while cluster.tool("squeue", "--noheader", f"--jobs={job}", "--format=%T").strip() != "RUNNING":
            time.sleep(0.05)
        print(cluster.name, cluster.sockets, flush=True)
        time.sleep(600)
except ClusterError as reason:
    sys.exit(str(reason))
"""


@pytest.fixture
def bench(bench_of: Callable[[str], Bench]) -> SlurmBench:
    found = bench_of("slurm")
    assert isinstance(found, SlurmBench)
    return found


@pytest.fixture
def running(bench: SlurmBench) -> Iterator[Hold]:
    """A job whose process holds a lock."""
    job = Hold(bench)
    job.submit(bench.executor())
    yield job
    bench.executor().forget(job.key)


def with_options(bench: SlurmBench, *options: str) -> SlurmExecutor:
    return SlurmExecutor(bench.jobs_dir, ExecutorSettings(slurm_options=options), bench.cluster.environ)


def test_what_slurm_refuses_is_an_error_and_a_failed_job(bench: SlurmBench) -> None:
    executor, spec = with_options(bench, "--constraint=py2"), bench.spec("print('never')")
    with pytest.raises(ExecutorError) as error:
        executor.submit(spec)
    assert "Invalid feature specification" in error.value.problem.found
    executor.submit(spec)
    status = bench.executor().status(spec.key)
    assert status.state is JobState.FAILED
    assert "Invalid feature specification" in status.reason
    executor.forget(spec.key)
    assert spec.key not in executor.jobs()


def test_options_choose_the_node_by_the_version_of_python(bench: SlurmBench) -> None:
    executor = with_options(bench, "--constraint=node-{python}")
    spec = bench.spec("print('here')", python_version="2")
    executor.submit(spec)
    assert settle(executor, spec.key, bench.patience).host == bench.cluster.nodes[1]


def test_a_job_whose_submitter_died_before_it_noted_the_job_is_found(bench: SlurmBench, running: Hold) -> None:
    notes = read_notes(bench.jobs_dir, running.key)
    assert notes is not None
    write_notes(bench.jobs_dir, running.key, notes, backend_id="")
    executor = bench.executor()
    executor.submit(running.spec)
    assert executor.status(running.key).state is JobState.RUNNING
    named = bench.cluster.tool("squeue", "--noheader", f"--name=envdeck-{running.key}", "--format=%i")
    assert named.split() == [notes.backend_id]
    executor.stop(running.key)
    assert running.free()


def test_a_job_of_the_same_name_in_another_directory_is_not_taken_for_it(
    bench: SlurmBench, running: Hold, tmp_path: Path
) -> None:
    elsewhere = SlurmExecutor(tmp_path, ExecutorSettings(), bench.cluster.environ)
    (tmp_path / running.key).mkdir()
    start_notes(tmp_path, "slurm", running.spec)
    assert elsewhere.status(running.key).state is JobState.PENDING
    assert elsewhere.jobs() == (running.key,)
    elsewhere.forget(running.key)
    assert not running.free()


def test_a_submission_that_never_arrived_is_lost(bench: SlurmBench) -> None:
    executor, spec = bench.executor(), bench.spec("print('never')")
    notes = start_notes(bench.jobs_dir, "slurm", spec)
    assert executor.status(spec.key).state is JobState.PENDING
    write_notes(bench.jobs_dir, spec.key, notes, submitted_at=notes.submitted_at - 3600)
    executor.submit(spec)
    status = executor.status(spec.key)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    assert output(bench, executor, spec.key) == []


def test_without_its_controller_nothing_is_known_and_nothing_is_lost(bench: SlurmBench) -> None:
    executor, go = bench.executor(), bench.shared_dir / "go"
    code = (
        "import os, time\nprint('one', flush=True)\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.05)\nprint('two')"
    )
    spec = bench.spec(code)
    executor.submit(spec)
    lines = Output(executor, spec.key, 120)
    lines.until(b"one")
    bench.cluster.stop_controller()
    try:
        with pytest.raises(ExecutorError) as error:
            executor.status(spec.key)
        unsent = bench.spec("print('unsent')")
        with pytest.raises(ExecutorError):
            executor.submit(unsent)
        with pytest.raises(JobNotFound):
            executor.status(unsent.key)
        assert not executor.availability().usable
    finally:
        bench.cluster.start_controller()
    assert error.value.problem.code == "executor-failed"
    go.touch()
    assert list(lines) == [b"two"]
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED


def test_what_slurm_forgets_is_kept_when_it_was_seen_and_lost_otherwise(bench: SlurmBench) -> None:
    executor = bench.executor()
    seen, unseen = bench.spec("raise SystemExit(3)"), bench.spec("print('unseen')")
    for spec in (seen, unseen):
        executor.submit(spec)
    settle(executor, seen.key, bench.patience)
    bench.cluster.stop_controller()
    bench.cluster.start_controller("-c")
    # The controller counts from one again, so that these get the numbers of the others.
    later = [bench.spec("print('later')") for _ in range(40)]
    numbers = set()
    for spec in later:
        executor.submit(spec)
        notes = read_notes(bench.jobs_dir, spec.key)
        assert notes is not None
        numbers.add(notes.backend_id)
    old = read_notes(bench.jobs_dir, unseen.key)
    assert old is not None
    status = bench.executor().status(seen.key)
    assert (status.state, status.exit_code) == (JobState.FAILED, 3)
    status = bench.executor().status(unseen.key)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    for spec in later:
        executor.forget(spec.key)


@pytest.mark.parametrize("name", ["100 %j% ExitCode=0:9", "a \\b %j"])
def test_any_directory_will_do(bench: SlurmBench, name: str) -> None:
    jobs_dir = bench.shared_dir / name
    jobs_dir.mkdir()
    executor = SlurmExecutor(jobs_dir, ExecutorSettings(), bench.cluster.environ)
    spec = replace(bench.spec("print('here')"), cwd=jobs_dir)
    (jobs_dir / spec.key).mkdir()
    executor.submit(spec)
    assert output(bench, executor, spec.key) == [b"here"]
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED


def test_what_a_job_is_given_cannot_be_taken_for_options(bench: SlurmBench) -> None:
    sly = "\r\n#SBATCH --time=1\n#SBATCH --job-name=other\r\n#PBS -N other\n#BSUB -J other\n"
    executor, spec = bench.executor(), bench.spec("import os; print(ascii(os.environ['SLY']))", env={"SLY": sly})
    executor.submit(spec)
    assert output(bench, executor, spec.key) == [ascii(sly).encode()]
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED


def test_a_directory_that_cannot_be_entered_is_said(bench: SlurmBench) -> None:
    executor, spec = bench.executor(), bench.spec("print('never')", cwd=bench.shared_dir / "none")
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.COMMAND)
    assert str(bench.shared_dir / "none") in status.reason


def test_an_exit_code_of_the_program_is_no_missing_command(bench: SlurmBench) -> None:
    executor, spec = bench.executor(), bench.spec("print('my own'); raise SystemExit(127)")
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.exit_code, status.cause) == (JobState.FAILED, 127, None)


def test_a_job_that_an_admin_cancels_is_cancelled(bench: SlurmBench, running: Hold) -> None:
    bench.cluster.tool("scancel", f"--name=envdeck-{running.key}")
    executor = bench.executor()
    status = settle(executor, running.key, bench.patience)
    assert (status.state, status.reason) == (JobState.CANCELLED, "cancelled in Slurm")
    assert running.free()


def test_whoever_was_killed_while_stopping_a_job_is_stood_in_for(bench: SlurmBench, running: Hold) -> None:
    notes = read_notes(bench.jobs_dir, running.key)
    assert notes is not None
    notes = write_notes(bench.jobs_dir, running.key, notes, ended=JobState.CANCELLED, ended_at=time.time())
    executor = bench.executor()
    assert executor.status(running.key).state is JobState.RUNNING
    assert not running.free()
    write_notes(bench.jobs_dir, running.key, notes, ended_at=time.time() - 3600)
    assert settle(executor, running.key, bench.patience).state is JobState.CANCELLED
    assert running.free()


def test_a_job_that_prints_without_end_is_ended(bench: SlurmBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.executors.slurm, "MOST_OUTPUT", 1 << 20)
    executor, spec = bench.executor(), bench.spec("while True: print('x' * 1000)")
    executor.submit(spec)
    status = settle(executor, spec.key, bench.patience)
    assert (status.state, status.reason) == (JobState.FAILED, "it printed more than 1 MiB")
    executor.forget(spec.key)


def test_a_cluster_that_polls_memory_reports_it_too(tmp_path: Path) -> None:
    try:
        with start_cluster(tmp_path / "cluster", 1, cgroups=False) as cluster:
            bench = SlurmBench(tmp_path, cluster)
            executor = bench.executor()
            assert any("ProctrackType" in note for note in executor.availability().notes)
            spec = bench.spec("import time\nheld = b'x' * (300 << 20)\ntime.sleep(600)", memory=100 << 20)
            executor.submit(spec)
            status = settle(executor, spec.key, bench.patience)
            assert (status.state, status.cause) == (JobState.FAILED, Cause.MEMORY)
    except (ClusterError, Unavailable) as reason:
        pytest.skip(str(reason))


def test_a_cluster_goes_with_whoever_started_it_also_when_that_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "cluster"
    with subprocess.Popen([sys.executable, "-c", _STARTS_CLUSTER, root], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        told = starter.stdout.readline().split()
        starter.kill()
    if not told:
        pytest.skip("no cluster here")
    name, sockets = told
    wait_for(lambda: not root.exists(), "the cluster stays")
    assert not Path(sockets).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/*{name}*"))
    # What removed all that has the name among its own arguments, and ends a moment later.
    wait_for(lambda: not [each for each in psutil.process_iter() if name in _words_of(each)], "a process stays")


def _words_of(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def test_of_an_answer_without_sense_nothing_follows(bench: SlurmBench, tmp_path: Path) -> None:
    executor, spec = bench.executor(), bench.spec("print('here')")
    executor.submit(spec)
    tool = tmp_path / "scontrol"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    misled = SlurmExecutor(bench.jobs_dir, ExecutorSettings(), {**bench.cluster.environ, "PATH": path})
    with pytest.raises(ExecutorError) as error:
        misled.status(spec.key)
    assert "scontrol" in error.value.problem.message
    assert settle(executor, spec.key, bench.patience).state is JobState.FINISHED


def test_without_its_tools_it_cannot_be_used(tmp_path: Path) -> None:
    executor = SlurmExecutor(tmp_path, ExecutorSettings(), {**os.environ, "PATH": str(tmp_path)})
    problem = executor.availability().problem
    assert problem is not None
    assert problem.code == "executor-unavailable"
    assert "sbatch" in problem.message

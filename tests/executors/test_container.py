"""What only containers can go through: podman for real, with a storage of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.executors import container as container_module
from engine.executors.base import Cause, JobState, Mount
from tests.executors.bench import Bench
from tests.executors.container_bench import ContainerBench
from tests.executors.suite import Hold, output, settle
from tests.integration.conftest import wait_until
from tests.records import replace

pytestmark = pytest.mark.slow


@pytest.fixture
def podman(bench_of: Callable[[str], Bench]) -> ContainerBench:
    bench = bench_of("podman")
    assert isinstance(bench, ContainerBench)
    return bench


def run_podman(bench: ContainerBench, *arguments: str) -> None:
    subprocess.run(["podman", *arguments], env=bench.environ, capture_output=True, check=True, timeout=60)


def test_a_job_is_lost_when_its_container_dies_with_its_guard(podman: ContainerBench) -> None:
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    state = podman.inspect(job.key)["State"]
    for name in ("ConmonPid", "Pid"):
        os.kill(state[name], signal.SIGKILL)
    status = settle(executor, job.key, podman.patience)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    assert job.free()


def test_a_job_is_lost_when_somebody_ends_a_container_without_a_guard(podman: ContainerBench) -> None:
    """podman then says that it was stopped, with an exit code of -1."""
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    podman.kill_host(job.key)
    subprocess.run(["podman", "kill", f"envdeck-{job.key}"], env=podman.environ, capture_output=True, check=False)
    wait_until(lambda: podman.inspect(job.key)["State"]["ExitCode"] == -1, what="what podman says of such an end")
    status = executor.status(job.key)
    assert (status.state, status.exit_code, status.cause) == (JobState.LOST, None, Cause.HOST)


def test_a_job_is_lost_when_the_machine_is_started_anew(podman: ContainerBench, tmp_path: Path) -> None:
    """podman then says that the container was made and never started: it is not to wait for ever."""
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    state = podman.inspect(job.key)["State"]
    for name in ("ConmonPid", "Pid"):
        os.kill(state[name], signal.SIGKILL)
    scratch = podman.jobs_dir.parent
    # A boot ends every mount, and with them the file that podman knows one boot from the next by.
    while mounts := [
        m.mountpoint for m in psutil.disk_partitions(all=True) if Path(m.mountpoint).is_relative_to(scratch)
    ]:
        # What cleans up after the container of another test may be faster.
        subprocess.run(["umount", "--lazy", max(mounts)], check=False, capture_output=True)
    (scratch / "tmp" / "alive").unlink()
    assert podman.inspect(job.key)["State"]["Status"] == "created"
    status = executor.status(job.key)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    executor.forget(job.key)


def test_a_job_is_lost_when_its_container_is_removed(podman: ContainerBench) -> None:
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    run_podman(podman, "rm", "--force", "--time", "0", f"envdeck-{job.key}")
    status = executor.status(job.key)
    assert (status.state, status.cause, status.reason) == (JobState.LOST, Cause.HOST, "its container was removed")
    executor.submit(job.spec)
    assert executor.status(job.key).state is JobState.LOST, "it was started a second time"


def test_of_many_who_submit_a_job_at_once_one_starts_it(podman: ContainerBench) -> None:
    trace = podman.shared_dir / "at-once"
    trace.mkdir(mode=0o777)
    spec = podman.spec(f"import tempfile; tempfile.mkstemp(dir={str(trace)!r})")
    barrier = threading.Barrier(4)

    def submit() -> None:
        executor = podman.executor()
        barrier.wait()
        executor.submit(spec)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settle(podman.executor(), spec.key, podman.patience).state is JobState.FINISHED
    assert len(list(trace.iterdir())) == 1


def test_an_image_that_the_registry_does_not_give_is_missing(podman: ContainerBench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        refused = f"127.0.0.1:{server.getsockname()[1]}/nothing/there:1"
    spec = podman.spec("print('never')", image=refused)
    podman.executor().submit(spec)
    status = settle(podman.executor(), spec.key, podman.patience)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.IMAGE)
    assert "connection refused" in status.reason


@pytest.mark.parametrize("end", ["stop", "forget"])
def test_a_job_that_is_ended_while_its_image_is_fetched_leaves_nothing(podman: ContainerBench, end: str) -> None:
    executor = podman.executor()
    with podman.congestion() as changes:
        spec = podman.spec("print('never')", **changes)
        executor.submit(spec)
        assert executor.status(spec.key).reason == f"the image {spec.image} is being fetched"
        getattr(podman.executor(), end)(spec.key)
        fetcher = next((thread for thread in threading.enumerate() if thread.name == f"fetch-{spec.key}"), None)
        if fetcher:
            fetcher.join(60)
            assert not fetcher.is_alive(), "the image is still being fetched"
    assert (spec.key in executor.jobs()) is (end == "stop")


def test_what_podman_refuses_is_a_failed_job_in_its_own_words(podman: ContainerBench) -> None:
    jobs_dir, settings, environ = podman.arguments
    executor = type(podman.executor())(jobs_dir, replace(settings, container_options=("--no-such-option",)), environ)
    spec = podman.spec("print('never')")
    executor.submit(spec)
    status = executor.status(spec.key)
    assert (status.state, status.cause) == (JobState.FAILED, None)
    assert status.reason == "unknown flag: --no-such-option"


def test_a_job_without_a_directory_to_run_in_fails(podman: ContainerBench) -> None:
    executor, spec = podman.executor(), podman.spec("print('never')", cwd=Path("/no/such/directory"))
    executor.submit(spec)
    assert settle(executor, spec.key, podman.patience).state is JobState.FAILED


def test_a_job_that_prints_too_much_is_ended(podman: ContainerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_module, "MOST_OUTPUT", 1 << 20)
    executor, spec = podman.executor(), podman.spec("while True: print('x' * 1000)")
    executor.submit(spec)
    status = settle(executor, spec.key, podman.patience)
    assert (status.state, status.reason) == (JobState.FAILED, "it printed more than 1 MiB")


def test_a_mount_that_is_read_only_is_that(podman: ContainerBench) -> None:
    code = f"import os\ntry: os.mkdir({str(podman.shared_dir / 'new')!r})\nexcept OSError as e: print(e.strerror)"
    spec = podman.spec(code, mounts=(Mount(podman.shared_dir),))
    executor = podman.executor()
    executor.submit(spec)
    assert output(podman, executor, spec.key) == [b"Read-only file system"]


def test_a_clock_that_is_set_forward_ends_no_job(podman: ContainerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    today = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(container_module.time, "time", lambda: today + 86400)
        assert executor.status(job.key).state is JobState.RUNNING
    executor.stop(job.key)


def test_a_job_that_its_decider_could_not_end_is_ended_by_the_next_look(podman: ContainerBench) -> None:
    """As when a supervisor is killed between its decision and the end of the container."""
    executor, job = podman.executor(), Hold(podman)
    job.submit(executor)
    notes: Any = container_module.read_notes(podman.jobs_dir, job.key)
    container_module.write_notes(podman.jobs_dir, job.key, notes, ended=JobState.CANCELLED)
    assert podman.executor().status(job.key).state is JobState.CANCELLED
    assert job.free()

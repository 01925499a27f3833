"""Builds that run as jobs of a real Slurm cluster: published, cancelled, and left alone by their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine import Build, BuildState, Engine, EnvironmentState
from tests.executors.slurm_cluster import Cluster, ClusterError, start_cluster

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Wait = Callable[..., None]

HANGS = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {tag!r}], start_new_session=True)\n"
    "time.sleep(600)\n"
)
"""A build script that does not end, and starts a process in a session of its own."""


@pytest.fixture(scope="module")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        with start_cluster(tmp_path_factory.mktemp("slurm") / "cluster", 2) as cluster:
            yield cluster
    except ClusterError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def cluster(running_cluster: Cluster, server, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster that the builds of `server` are given to."""
    server.configure("[Envdeck]", "Executor = slurm", "SlurmOption = --constraint=py3")
    server.environ["SLURM_CONF"] = running_cluster.environ["SLURM_CONF"]
    monkeypatch.setenv("SLURM_CONF", running_cluster.environ["SLURM_CONF"])
    return running_cluster


def start(server, requirement: str) -> tuple[Engine, Build]:
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle(requirement))))
    assert plan.problem is None
    build = engine.execute(plan).build
    assert build is not None
    assert build.executor == "slurm"
    return engine, build


@pytest.fixture
def hanging(
    server, cluster: Cluster, make_source: Make, wait_until: Wait
) -> Iterator[tuple[Engine, Build, Callable[[], list[psutil.Process]]]]:
    """A build that hangs in a package's build script, and what tells the processes that this has started."""
    tag = f"hangs-{os.getpid()}-{time.monotonic_ns()}"
    make_source(server.packages, "hangs", HANGS.format(tag=tag))
    engine, build = start(server, "hangs")

    def children() -> list[psutil.Process]:
        return [process for process in psutil.process_iter(["cmdline"]) if tag in (process.info["cmdline"] or ())]

    wait_until(children, 60, "the process of the build script")
    yield engine, build, children
    cluster.tool("scancel", "--signal=KILL", "--full", f"--name=envdeck-{build.id}")


def in_queue(cluster: Cluster, build: Build) -> list[str]:
    """The states of the build's jobs that Slurm has not done with."""
    return cluster.tool("squeue", "--noheader", f"--name=envdeck-{build.id}", "--format=%T").split()


def ended_in_slurm(cluster: Cluster, build: Build) -> list[str]:
    """How the jobs of the build ended, which Slurm remembers for some minutes."""
    name = f"--name=envdeck-{build.id}"
    return cluster.tool("squeue", "--noheader", "--states=all", name, "--format=%T").split()


def left_in(data_dir: Path) -> list[Path]:
    return [*(data_dir / "python-environments").glob("*/*/*"), *(data_dir / "trash").glob("*")]


def test_a_build_on_the_cluster_is_published_and_its_environment_works(
    server, cluster: Cluster, make_wheel: Make
) -> None:
    make_wheel(server.packages, "alpha", "1.5")
    engine, build = start(server, "alpha")
    done = engine.wait(build.id, 300)
    assert done.state is BuildState.DONE, done.log.read_text()
    assert "Successfully installed alpha-1.5" in done.log.read_text()
    (environment,) = engine.refresh().environments
    assert environment.state is EnvironmentState.READY
    command = [str(environment.path / "bin" / "python"), "-c", "import alpha; print(alpha.__version__)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1.5\n"
    assert ended_in_slurm(cluster, build) == ["COMPLETED"]


def test_a_build_that_is_cancelled_leaves_no_job_and_no_process(server, cluster: Cluster, hanging) -> None:
    engine, build, children = hanging
    assert in_queue(cluster, build) == ["RUNNING"]
    engine.execute(engine.plan_cancel(build.id))
    assert engine.wait(build.id, 300).state is BuildState.CANCELLED
    assert in_queue(cluster, build) == []
    assert children() == []
    assert left_in(server.data_dir) == []


def test_the_job_of_a_killed_supervisor_goes_on_until_the_build_is_settled(
    server, cluster: Cluster, hanging, wait_until: Wait
) -> None:
    engine, build, children = hanging
    (supervisor,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"engine.builds.supervisor", str(build.directory)} <= set(process.info["cmdline"] or ())
    ]
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait(300)
    assert in_queue(cluster, build) == ["RUNNING"]
    assert children() != []
    wait_until(lambda: engine.refresh().builds[0].finished_at, 60, "the verdict")
    lost = engine.build(build.id)
    assert lost.state is BuildState.LOST
    assert lost.fault is not None
    assert "went away without a verdict" in lost.fault.message
    assert in_queue(cluster, build) == []
    assert children() == []
    assert left_in(server.data_dir) == []

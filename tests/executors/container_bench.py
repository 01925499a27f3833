"""podman with a storage of its own, and docker where a daemon answers; images of this machine's own interpreters."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from engine.config.model import ExecutorSettings
from engine.executors.accounts import build_account
from engine.executors.container import ContainerExecutor
from tests.executors.bench import Bench, Feature, Unavailable
from tests.executors.images import Interpreter, import_image, interpreters, write_image

__all__ = ["ContainerBench", "image_name", "open_docker", "open_podman", "podman_environment"]

_ACCOUNT = "nobody"
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
netns = "host"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
tmp_dir = "{scratch}/tmp"
"""
_STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{scratch}/store"
runroot = "{scratch}/run"
"""


class ContainerBench(Bench):
    """Jobs in containers of `command`, in an image of `interpreter`."""

    make = ContainerExecutor
    added_env = ("HOME", "HOSTNAME", "PWD", "OLDPWD", "SHLVL", "_")

    def __init__(
        self, command: str, scratch: Path, environ: Mapping[str, str], options: Sequence[str], interpreter: Interpreter
    ) -> None:
        self.name = command
        self.jobs_dir = scratch / "jobs"
        self.shared_dir = scratch / "shared"
        for directory in (self.jobs_dir, self.shared_dir):
            directory.mkdir()
        self.shared_dir.chmod(0o777)
        settings = ExecutorSettings(container_command=command, container_options=tuple(options))
        self.arguments = (self.jobs_dir, settings, environ)
        self.environ = environ
        self.python = interpreter.inside
        self.image = image_name(interpreter)
        self.missing_image = "localhost/envdeck-test:missing"
        self.account = build_account(_ACCOUNT, {}).account
        self.lacks = {} if self.account else {Feature.USER: f"not root, or no account {_ACCOUNT}"}

    def inspect(self, key: str) -> dict[str, Any]:
        """What the tool says about the container of a job."""
        asked = subprocess.run(
            [self.name, "container", "inspect", f"envdeck-{key}"],
            env=self.environ,
            capture_output=True,
            check=True,
            timeout=60,
        )
        return dict(json.loads(asked.stdout)[0])

    def kill_host(self, key: str) -> None:
        """Kill what watches the container for podman or docker; podman leaves the container to itself then."""
        state = self.inspect(key)["State"]
        guard = state.get("ConmonPid") or psutil.Process(state["Pid"]).ppid()
        os.kill(guard, signal.SIGKILL)

    @contextmanager
    def congestion(self) -> Iterator[Mapping[str, Any]]:
        """A registry that takes calls and never answers."""
        with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
            yield {"image": f"127.0.0.1:{server.getsockname()[1]}/never:1"}


def image_name(interpreter: Interpreter) -> str:
    return f"localhost/envdeck-test:{interpreter.version}"


def podman_environment(scratch: Path) -> dict[str, str]:
    """Variables with which podman keeps everything in `scratch`. Raises `Unavailable`."""
    if shutil.which("podman") is None:
        raise Unavailable("podman is not installed")
    if os.geteuid() != 0:
        raise Unavailable("containers without root are not tested")
    # crun wants version 2 of control groups, and alone; runc takes any.
    runtime = "runc" if shutil.which("runc") else "crun"
    mounts = sorted(psutil.disk_partitions(all=True), key=lambda mount: len(mount.mountpoint))
    below = [mount.fstype for mount in mounts if scratch.is_relative_to(mount.mountpoint)]
    driver = "vfs" if below[-1] == "overlay" else "overlay"
    variables = {}
    for name, text in (("CONTAINERS_CONF", _CONTAINERS), ("CONTAINERS_STORAGE_CONF", _STORAGE)):
        path = scratch / f"{name.lower()}.conf"
        path.write_text(text.format(scratch=scratch, runtime=runtime, driver=driver))
        variables[name] = str(path)
    return {**os.environ, **variables}


@contextmanager
def open_podman(scratch: Path) -> Iterator[Bench]:
    environ = podman_environment(scratch)
    try:
        yield _bench("podman", scratch, environ, ())
    finally:
        subprocess.run(["podman", "rm", "--all", "--force"], env=environ, capture_output=True, check=False)
        subprocess.run(["podman", "system", "reset", "--force"], env=environ, capture_output=True, check=False)


@contextmanager
def open_docker(scratch: Path) -> Iterator[Bench]:
    environ = dict(os.environ)
    # A daemon in a test machine often has no bridge.
    bench = _bench("docker", scratch, environ, ("--network=host",))
    try:
        yield bench
    finally:
        names = bench.executor().jobs()
        for name in names:
            bench.executor().forget(name)


def _bench(command: str, scratch: Path, environ: Mapping[str, str], options: Sequence[str]) -> ContainerBench:
    availability = ContainerExecutor(scratch, ExecutorSettings(container_command=command), environ).availability()
    if availability.problem:
        raise Unavailable(availability.problem.found)
    interpreter = next(interpreters(), None)
    if interpreter is None:
        raise Unavailable("no interpreter of this machine from 3.8 on has venv, ensurepip and pip")
    archive = scratch / "image.tar"
    write_image(interpreter, archive)
    import_image([command], archive, image_name(interpreter), environ)
    archive.unlink()
    return ContainerBench(command, scratch, environ, options, interpreter)

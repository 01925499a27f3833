"""The Kubernetes executor, on a cluster that is there already.

It is used when the environment names what cannot be guessed:

    ENVDECK_TEST_KUBERNETES_IMAGE      an image that all nodes have or can pull, with Python 3.8 or newer, venv and pip
    ENVDECK_TEST_KUBERNETES_SHARED     a directory that this machine and all nodes share at the same path

and, where they are not what is assumed:

    ENVDECK_TEST_KUBERNETES_PYTHON     the interpreter in the image; /usr/bin/python3
    ENVDECK_TEST_KUBERNETES_OPTIONS    options of every kubectl, such as --context=NAME; none
    ENVDECK_TEST_KUBERNETES_NAMESPACE  default
    ENVDECK_TEST_KUBERNETES_CLAIM      the persistent volume claim that holds the shared directory; hostPath
    ENVDECK_TEST_KUBERNETES_KILL       a command that kills the node whose name is added to it; no node is killed
    ENVDECK_TEST_KUBERNETES_REPAIR     a command that brings such a node back
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config.model import ExecutorSettings
from engine.executors.accounts import build_account
from engine.executors.kubernetes import KubernetesExecutor
from tests.executors.bench import Bench, Feature, Unavailable

__all__ = ["KubernetesBench", "open_bench"]

_PREFIX = "ENVDECK_TEST_KUBERNETES_"
_MORE_THAN_ANY_NODE = 1 << 50


class KubernetesBench(Bench):
    name = "kubernetes"
    make = KubernetesExecutor
    missing_image = "localhost/envdeck-test-missing:1"
    # Of a shell that is bash.
    added_env = ("PWD", "OLDPWD", "SHLVL", "_")
    death_patience = 240.0

    def __init__(self, directory: Path, asked: Mapping[str, str]) -> None:
        self.jobs_dir, self.shared_dir = directory / "jobs", directory / "shared"
        for made in (self.jobs_dir, self.shared_dir):
            made.mkdir()
        self.shared_dir.chmod(0o777)
        claim = asked.get("CLAIM")
        settings = ExecutorSettings(
            kubernetes_options=tuple(shlex.split(asked.get("OPTIONS", ""))),
            kubernetes_namespace=asked.get("NAMESPACE", "default"),
            kubernetes_volumes=(f"{asked['SHARED']}={claim}",) if claim else (),
        )
        self.arguments = (self.jobs_dir, settings, dict(os.environ))
        self.image, self.python = asked["IMAGE"], asked.get("PYTHON", "/usr/bin/python3")
        self.account = build_account("nobody", {}).account
        self.lacks = {}
        if self.account is None:
            self.lacks[Feature.USER] = "only root can give files to another account"
        self._kill, self._repair = shlex.split(asked.get("KILL", "")), shlex.split(asked.get("REPAIR", ""))
        if not self._kill:
            self.lacks[Feature.HOST_DEATH] = f"{_PREFIX}KILL names no command that kills a node"
        self._killed = ""

    def kill_host(self, key: str) -> None:
        self._killed = self.executor().status(key).host
        subprocess.run([*self._kill, self._killed], check=True, timeout=60)

    def repair(self) -> None:
        if self._repair and self._killed:
            subprocess.run([*self._repair, self._killed], check=True, timeout=120)

    @contextmanager
    def congestion(self) -> Iterator[Mapping[str, Any]]:
        yield {"memory": _MORE_THAN_ANY_NODE}


@contextmanager
def open_bench(scratch: Path) -> Iterator[Bench]:
    asked = {name.removeprefix(_PREFIX): text for name, text in os.environ.items() if name.startswith(_PREFIX)}
    if not {"IMAGE", "SHARED"} <= asked.keys():
        raise Unavailable(f"{_PREFIX}IMAGE and {_PREFIX}SHARED do not name what is needed to use a cluster")
    directory = Path(tempfile.mkdtemp(dir=asked["SHARED"], prefix="envdeck-kubernetes-"))
    directory.chmod(0o755)
    try:
        bench = KubernetesBench(directory, asked)
        if problem := bench.executor().availability().problem:
            raise Unavailable(str(problem))
        try:
            yield bench
        finally:
            for key in bench.executor().jobs():
                bench.executor().forget(key)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

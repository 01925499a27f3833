"""What the conformance cases need to know of an executor under test."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine.executors.accounts import Account
from engine.executors.base import Executor, JobSpec, Mount
from tests.records import replace

__all__ = ["BENCHES", "Bench", "Feature", "Unavailable", "open_bench"]

BENCHES = {
    "local": "tests.executors.local_bench:open_bench",
    "podman": "tests.executors.container_bench:open_podman",
    "docker": "tests.executors.container_bench:open_docker",
    "slurm": "tests.executors.slurm_bench:open_bench",
    "kubernetes": "tests.executors.kubernetes_bench:open_bench",
}
"""Where the bench of each name is opened."""


class Unavailable(Exception):
    """The bench cannot be had here; the message says why."""


class Feature(StrEnum):
    """What a backend may be unable to do."""

    IMAGES = "images"
    QUEUE = "queue"
    """Jobs can wait for a machine."""
    MEMORY = "memory"
    """A limit on memory is enforced."""
    USER = "user"
    """A job can run as another account."""
    HOST_DEATH = "host-death"
    """The machine under a job can be killed here."""


class Bench:
    """One backend, ready to run jobs. A bench of a backend sets the attributes and overrides what differs."""

    name: str
    make: Callable[..., Executor]
    """Makes an executor from `arguments`; both can be pickled, because another process does the same."""
    arguments: tuple[Any, ...]
    jobs_dir: Path
    python: str
    """The interpreter of the jobs, 3.8 or newer, with venv and pip. `account` can run it."""
    shared_dir: Path
    """A directory that jobs and tests see at the same path, writable for jobs of every account."""
    image: str = ""
    missing_image: str = ""
    account: Account | None = None
    """Another account that jobs can run as."""
    lacks: Mapping[Feature, str] = {}
    """What this backend cannot do, or not here, and why."""
    outlives_submitter: bool = True
    """Whether a job goes on when the process that submitted it is killed; otherwise all of it must be gone."""
    added_env: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of environment variables that the backend adds."""
    patience: float = 180.0
    """Seconds that a state may take to come about, the death of a machine apart."""
    death_patience: float = 180.0
    """Seconds until a dead machine is noticed."""

    def executor(self) -> Executor:
        """A new object, as another process would make it."""
        return self.make(*self.arguments)

    def spec(self, command: str | Sequence[str], **changes: Any) -> JobSpec:
        """A job with a key of its own, whose directory is made: the text is Python code, otherwise arguments.

        `changes` replace fields of the `JobSpec`.
        """
        key = f"case-{secrets.token_hex(5)}"
        (self.jobs_dir / key).mkdir()
        argv = (self.python, "-c", command) if isinstance(command, str) else tuple(command)
        spec = JobSpec(
            key=key,
            argv=argv,
            cwd=Path("/"),
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            image=self.image,
            mounts=(Mount(self.shared_dir, read_only=False),),
            timeout=300.0,
            start_timeout=self.patience,
            grace=5.0,
        )
        return replace(spec, **changes)

    def kill_host(self, key: str) -> None:
        """Kill the machine, the worker or the guard under the running job, without a chance to say anything."""
        raise NotImplementedError

    def repair(self) -> None:
        """Make the backend fit for further jobs after `kill_host`."""

    def congestion(self) -> AbstractContextManager[Mapping[str, Any]]:
        """While this lasts, a job with these changes to its spec is accepted and never started."""
        raise NotImplementedError


def open_bench(name: str, scratch: Path) -> AbstractContextManager[Bench]:
    """The bench of that name, with `scratch` for its files. Raises `Unavailable` here or when it is entered."""
    module, _, function = BENCHES[name].partition(":")
    opener: Callable[[Path], AbstractContextManager[Bench]] = getattr(importlib.import_module(module), function)
    return opener(scratch)

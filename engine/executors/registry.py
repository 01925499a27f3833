"""Which executors there are, and which of them a build is given to."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.config.model import ExecutorSettings
from engine.errors import InputError, Problem
from engine.executors.base import Availability, Executor
from engine.targets import LOCAL

__all__ = ["availabilities", "cannot_run", "choose", "executor"]

NAMES = ("local", "container", "slurm", "kubernetes")


def choose(setting: str, target: str) -> str:
    """The name of the executor for builds of `target`, where `setting` is the value of ``Envdeck.Executor``."""
    if setting != "auto":
        return setting
    return "local" if target == LOCAL else "container"


def cannot_run(name: str, target: str) -> Problem | None:
    """Why the executor of that name cannot run what belongs to `target`; None when it can."""
    if name == "local" and target != LOCAL:
        return Problem(
            "executor-without-images",
            f"the content runs in the image {target}, and the executor that is configured runs builds on this machine",
            expected="Executor = auto, container, slurm or kubernetes under [Envdeck]",
            found="Executor = local",
            hint="An environment that was made outside the image does not run in it",
        )
    if name in ("container", "kubernetes") and target == LOCAL:
        return Problem(
            "executor-needs-image",
            f"the content runs on this machine, and the executor that is configured, {name}, runs builds in images",
            expected="Executor = auto, local or slurm under [Envdeck]",
            found=f"Executor = {name}",
            hint="ExecutionEnvironments.ConfigFilePath declares images, and content then runs in them",
        )
    return None


def executor(name: str, jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]) -> Executor:
    """The executor of that name for the jobs in `jobs_dir`. Raises `InputError` (`executor-unknown`)."""
    match name:
        # Each is imported where it is wanted: every build starts a process that needs one of them.
        case "local":
            from engine.executors.local import LocalExecutor

            return LocalExecutor(jobs_dir)
        case "container":
            from engine.executors.container import ContainerExecutor

            return ContainerExecutor(jobs_dir, settings, environ)
        case "slurm":
            from engine.executors.slurm import SlurmExecutor

            return SlurmExecutor(jobs_dir, settings, environ)
        case "kubernetes":
            from engine.executors.kubernetes import KubernetesExecutor

            return KubernetesExecutor(jobs_dir, settings, environ)
        case _:
            raise InputError(
                Problem("executor-unknown", "there is no such executor", expected=", ".join(NAMES), found=name)
            )


def availabilities(jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]) -> tuple[Availability, ...]:
    """Of every executor whether it can be used from here, asked at the same time: some answer late."""
    executors = [executor(name, jobs_dir, settings, environ) for name in NAMES]
    with ThreadPoolExecutor(max_workers=len(executors)) as pool:
        return tuple(pool.map(lambda one: one.availability(), executors))

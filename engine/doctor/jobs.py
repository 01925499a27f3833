"""What executors still keep for builds that have ended or are not there any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.builds.model import Build
from engine.builds.spec import read_job
from engine.builds.vitals import this_machine
from engine.doctor.leftovers import TEMPORARY_AGE
from engine.doctor.model import Health, HealthCheck, RepairKind, RepairStep, counted
from engine.errors import EnvdeckError
from engine.executors.base import Executor
from engine.executors.registry import choose, executor
from engine.targets import LOCAL
from engine.world import World

__all__ = ["examine_jobs", "executor_named", "orphaned_jobs"]

_ANY_IMAGE = "an image"


def executor_named(world: World, name: str) -> Executor:
    """The executor of that name for the builds of the data directory."""
    return executor(name, world.store.data_dir / "jobs", world.config.settings.executors, world.environ)


def orphaned_jobs(world: World, now: float) -> tuple[tuple[RepairStep, ...], tuple[str, ...]]:
    """A step for every job that nobody waits for any more, and why some executors could not be asked.

    Only those executors are asked that builds are given to by the configuration, and that can be used from here.
    """
    builds = {build.id: build for build in world.builds()}
    steps: list[RepairStep] = []
    silent: list[str] = []
    for name in sorted({choose(world.config.settings.executor, target) for target in (LOCAL, _ANY_IMAGE)}):
        try:
            asked = executor_named(world, name)
            if asked.availability().usable:
                steps += _orphans(asked, builds, world.store.data_dir / "jobs", now)
        except EnvdeckError as error:
            silent.append(f"{name}: {error}")
    return tuple(steps), tuple(silent)


def _orphans(asked: Executor, builds: dict[str, Build], jobs_dir: Path, now: float) -> Iterator[RepairStep]:
    for key in asked.jobs():
        build = builds.get(key)
        if build is None:
            state = "is not there any more"
        elif build.state.final and now - (build.finished_at or now) > TEMPORARY_AGE:
            state = f"is {build.state.value}"
        else:
            continue
        why = f"the executor {asked.name} still keeps the job of build {key}, which {state}"
        refusals = ("it belongs to another machine",) if _is_elsewhere(asked.name, jobs_dir / key) else ()
        yield RepairStep(RepairKind.JOB, jobs_dir / key, why, refusals=refusals, subject=f"{asked.name}:{key}")


def _is_elsewhere(name: str, job_dir: Path) -> bool:
    """Whether only another machine knows the processes of the job."""
    job = read_job(job_dir)
    return name == "local" and (job is None or job.machine != this_machine())


def examine_jobs(steps: tuple[RepairStep, ...], silent: tuple[str, ...]) -> HealthCheck:
    """The check on what `orphaned_jobs` found."""
    if not steps and not silent:
        return HealthCheck("jobs", Health.OK, "no executor keeps a job that nobody waits for")
    if not steps:
        return HealthCheck("jobs", Health.NOTE, "not every executor says which jobs it keeps", details=silent)
    feasible = any(step.feasible for step in steps)
    return HealthCheck(
        "jobs",
        Health.WARNING if feasible else Health.NOTE,
        f"{counted(len(steps), 'job')} that nobody waits for any more",
        "its processes may still be running, and its container or object takes room",
        "envdeck doctor --repair",
        (*("; ".join((step.why, *step.refusals)) for step in steps), *silent),
    )

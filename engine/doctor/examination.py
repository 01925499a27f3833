"""The examination of a data directory: all checks, and what could be repaired."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from engine.doctor.jobs import examine_jobs, orphaned_jobs
from engine.doctor.layout import examine_layout
from engine.doctor.leftovers import examine_leftovers, find_leftovers
from engine.doctor.model import Diagnosis, Health, HealthCheck, RepairPlan, RepairStep, counted
from engine.doctor.place import examine_account, examine_directory, examine_mount, examine_space, examine_way
from engine.doctor.records import broken_records, examine_records, repairs_of
from engine.doctor.session import examine_session
from engine.doctor.trials import try_out
from engine.environments.model import EnvironmentState
from engine.world import World

__all__ = ["examine", "plan_repairs"]


def examine(world: World) -> Diagnosis:
    """Look at everything. Where nothing may be written, what would have to be tried out is left out, and says so."""
    now, data_dir = time.time(), world.store.data_dir
    checks = list(_place(world))
    plan = RepairPlan()
    if hidden := world.data_dir.unreadable:
        checks.append(
            HealthCheck("inside", Health.FAILED, hidden.message, "what is in it was not examined", hidden.hint)
        )
    elif data_dir.is_dir():
        broken = tuple(broken_records(world, now))
        leftovers = find_leftovers(world, now)
        jobs, silent = orphaned_jobs(world, now)
        plan = _plan(world, (*repairs_of(broken), *jobs, *leftovers))
        checks += [
            examine_records(broken, data_dir),
            _environments(world),
            _contents(world),
            examine_jobs(jobs, silent),
            *examine_leftovers(leftovers, data_dir),
            examine_layout(data_dir),
        ]
    checks.append(examine_session())
    return Diagnosis(data_dir, tuple(checks), plan, now)


def plan_repairs(world: World) -> RepairPlan:
    """What a repair would do now; nothing is tried out for it."""
    world.require_readable()
    now = time.time()
    jobs, _ = orphaned_jobs(world, now)
    return _plan(world, (*repairs_of(tuple(broken_records(world, now))), *jobs, *find_leftovers(world, now)))


def _plan(world: World, steps: Iterable[RepairStep]) -> RepairPlan:
    """The repair that takes these steps, of which none can be done where nothing may be changed."""
    refusal = world.refusal
    if refusal is None:
        return RepairPlan(tuple(steps))
    return RepairPlan(tuple(replace(step, refusals=(*step.refusals, refusal.message)) for step in steps))


def _place(world: World) -> Iterator[HealthCheck]:
    """The checks on where the data directory is, and what the file system there does."""
    data_dir, account = world.store.data_dir, world.builder.account
    directory = examine_directory(data_dir, account)
    yield directory
    yield examine_way(data_dir)
    if directory.health is Health.FAILED and not _is_directory(data_dir):
        return
    if (reached := examine_account(data_dir, account)) is not None:
        yield reached
    # Of a directory that the first build will make, where it will be counts.
    yield examine_space(data_dir, world.config.settings.space_reserve)
    yield from examine_mount(data_dir)
    if not _is_directory(data_dir):
        return
    if world.read_only:
        finding = f"what locks, names and links do was not tried out: {world.read_only}"
        yield HealthCheck("trials", Health.NOTE, finding)
    else:
        yield from try_out(data_dir)


def _is_directory(path: Path) -> bool:
    """False also where that may not be looked at, where `Path.is_dir` raises."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _environments(world: World) -> HealthCheck:
    with world.lock:
        environments = world.store.environments()
    damaged = [e for e in environments if e.state is EnvironmentState.DAMAGED]
    if not damaged:
        told = f"none of {counted(len(environments), 'environment')} is marked as damaged"
        return HealthCheck("environments", Health.OK, told)
    return HealthCheck(
        "environments",
        Health.WARNING,
        f"{len(damaged)} of {counted(len(environments), 'environment')} damaged",
        "whoever needs one waits until it is built again",
        "envdeck rebuild KEY, or leave it to the next who needs it",
        tuple(f"{environment.key}: {environment.reason}" for environment in damaged),
    )


def _contents(world: World) -> HealthCheck:
    contents = world.contents()
    with world.lock:
        there = {e.key for e in world.store.environments()}
    without = [c for c in contents if c.problem is None and c.key and c.key not in there]
    if not without:
        return HealthCheck(
            "content", Health.OK, f"none of {counted(len(contents), 'content item')} lacks its environment"
        )
    return HealthCheck(
        "content",
        Health.WARNING,
        f"{len(without)} of {counted(len(contents), 'content item')} without an environment",
        "its next visitor waits until it is built again",
        "`envdeck serve` builds it before, or `envdeck run` does it now",
        tuple(f"{content.name or content.guid} needs {content.key}" for content in without),
    )

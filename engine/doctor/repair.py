"""Carrying repairs out: each step only if it is still right, under the lock of whoever else could change that."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from engine.actions.build import settle_lost
from engine.actions.reap import remove_items
from engine.audit.model import AuditAction, AuditEvent, AuditResult, Fact, command
from engine.builds.job import new_attempt_id
from engine.doctor.jobs import executor_named, orphaned_jobs
from engine.doctor.layout import BROKEN_RECORDS
from engine.doctor.leftovers import changed_at, is_left_over, users_of_overlay
from engine.doctor.model import RepairKind, RepairPlan, RepairResult, RepairStep
from engine.doctor.records import broken_records
from engine.doctor.trials import LOCK
from engine.environments.locks import acquire
from engine.environments.trash import trash_of
from engine.errors import EnvdeckError, Problem
from engine.files import StorageError, fsync_directory, write_problem
from engine.rebuilds.lists import RebuildLists
from engine.world import World

__all__ = ["repair"]

_CHANGED = "it has changed since this was planned"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class _NoMore(Exception):
    """The step is not to be done any more, for the reason that it carries."""


def repair(world: World, plan: RepairPlan, *, stop: Callable[[], bool] = lambda: False) -> RepairResult:
    """Do the feasible steps of `plan`, each only if it is still right; `stop` is asked before each.

    What became of each is recorded in the audit at once.
    """
    done, refused, failed = [], [], []
    for step in plan.feasible:
        if stop():
            break
        try:
            _STEPS[step.kind](world, step)
        except _NoMore as reason:
            refused.append(replace(step, refusals=(str(reason),)))
            event = _event(step).ended(AuditResult.REFUSED, Problem("repair-refused", str(reason)))
        except (EnvdeckError, OSError) as error:
            if isinstance(error, EnvdeckError):
                problem = error.problem
            else:
                problem = write_problem(f"repair {step.path.name}", step.path, error)
            failed.append((step, problem))
            event = _event(step).ended(AuditResult.FAILED, problem)
        else:
            done.append(step)
            event = _event(step)
        if step.item is None:  # the reaper records what it does
            world.record(event)
    return RepairResult(tuple(done), tuple(refused), tuple(failed))


def _event(step: RepairStep) -> AuditEvent:
    what: dict[str, Fact] = {"repair": step.kind.value, "path": str(step.path), "bytes": step.bytes}
    return AuditEvent(AuditAction.DOCTOR_REPAIR, what, why=step.why, command=command("doctor"))


def _settle(world: World, step: RepairStep) -> None:
    builds = tuple(build for build in world.builds() if build.id == step.subject)
    if not builds:
        raise _NoMore("its job is gone")
    settle_lost(world, builds)
    if not os.path.lexists(step.path / "result.json"):
        raise _NoMore("it cannot be settled now; another build of its key may be under way")


def _reap(world: World, step: RepairStep) -> None:
    assert step.item is not None
    grace = world.config.settings.reap_grace
    result = remove_items(world, (step.item,), used_by=world.used_by, grace=grace, event=lambda _: _event(step))
    for _, problem in result.failed:
        raise StorageError(problem)
    for item in result.refused:
        raise _NoMore("; ".join(reason.message for reason in item.verdict.reasons))


def _delete_temporary(world: World, step: RepairStep) -> None:
    _require_inside(world, step.path)
    if not is_left_over(step.path, world.store.data_dir, time.time()):
        raise _NoMore(_CHANGED)
    if step.path.is_dir():
        shutil.rmtree(step.path)
    else:
        step.path.unlink()


def _delete_overlay(world: World, step: RepairStep) -> None:
    _require_inside(world, step.path)
    if any(not build.state.final for build in world.builds()):
        raise _NoMore("a build is under way")
    doomed = world.store.set_aside(step.path)
    if doomed is None:
        raise _NoMore("it is gone already")
    # Asked only now that nobody can begin to use it: whoever did so before is seen, and gets it back.
    if str(step.path) in users_of_overlay(world, world.builds()):
        doomed.rename(step.path)
        raise _NoMore("a build has begun to use it")
    shutil.rmtree(doomed, ignore_errors=True)


def _move_record(world: World, step: RepairStep) -> None:
    _require_inside(world, step.path)
    with _locked(world, step.path):
        record = next((r for r in broken_records(world, time.time()) if r.path == step.path), None)
        if record is None:
            raise _NoMore(_CHANGED)
        # The lock of the key is held by ourselves, and nothing else can be in the way of what it covers.
        if record.obstacle and not step.path.is_relative_to(world.store.root):
            raise _NoMore(record.obstacle)
        shelf = trash_of(world.store.data_dir) / BROKEN_RECORDS
        shelf.mkdir(parents=True, exist_ok=True)
        name = _UNSAFE.sub("-", str(step.path.relative_to(world.store.data_dir)))
        # Not a mere renaming: the trash may be on another device.
        shutil.move(step.path, shelf / f"{new_attempt_id()}-{name}")
        fsync_directory(step.path.parent)


@contextmanager
def _locked(world: World, path: Path) -> Iterator[None]:
    """Hold the lock of whoever writes the record at `path` for the length of the block."""
    data_dir = world.store.data_dir
    if path.parent == data_dir / "rebuilds":
        lock = RebuildLists(data_dir).lock_path(path.stem)
    elif path.is_relative_to(world.store.root):
        lock = world.store.lock_path(path.parent.name)
    else:
        # A supervisor holds a lock of its own for as long as it lives, which is an obstacle to the step.
        lock = data_dir / "locks" / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    with acquire(lock, lambda: True) as held:
        if not held:
            raise _NoMore("somebody who may write it holds its lock")
        yield


def _require_inside(world: World, path: Path) -> None:
    """Raise unless `path` is what it says: below the data directory, with no link on the way to it."""
    data_dir = world.store.data_dir
    inside = path.is_relative_to(data_dir) and path.parent.resolve() == data_dir.resolve() / path.parent.relative_to(
        data_dir
    )
    if not inside:
        raise _NoMore("the way to it leads out of the data directory")
    if changed_at(path) == float("inf"):
        raise _NoMore("it is gone already")


def _forget_job(world: World, step: RepairStep) -> None:
    jobs, _ = orphaned_jobs(world, time.time())
    if not any(job.subject == step.subject and job.feasible for job in jobs):
        raise _NoMore(_CHANGED)
    name, _, key = step.subject.partition(":")
    executor_named(world, name).forget(key)


_STEPS: dict[RepairKind, Callable[[World, RepairStep], None]] = {
    RepairKind.SETTLE: _settle,
    RepairKind.ATTEMPT: _reap,
    RepairKind.TRASH: _reap,
    RepairKind.TEMPORARY: _delete_temporary,
    RepairKind.OVERLAY: _delete_overlay,
    RepairKind.RECORD: _move_record,
    RepairKind.JOB: _forget_job,
}

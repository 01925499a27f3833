"""Deleting environments that no content uses: a plan by what `engine.reaping` finds, then doing it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from msgspec.structs import replace

from engine.audit.model import AuditAction, AuditEvent, AuditResult, Fact, command
from engine.environments.attempts import is_foreign
from engine.environments.locks import acquire
from engine.environments.lookup import find_environment
from engine.environments.trash import delete_tree
from engine.environments.usage import users_of
from engine.errors import Problem
from engine.files import StorageError, is_there, read_json, write_json, write_problem
from engine.reaping.model import ReapItem, ReapKind, ReapPlan, ReapResult, UsedBy
from engine.reaping.rules import FOREIGN, ReapVerdict, changed, judge_attempt, judge_reap, judge_use
from engine.reaping.survey import Survey, changed_at
from engine.wheels.locks import LockRecords
from engine.wheels.reclaiming import Unused, idle_locks, needed, reclaim
from engine.wheels.store import WheelStore
from engine.world import World

__all__ = ["plan_reap", "reap", "reap_event", "reap_is_due", "remove_items"]

_LOCK_PATIENCE = 1.0
"""Seconds to wait for the use lock, which others take for an instant just to look."""


def plan_reap(
    world: World,
    keys: Sequence[str] | None,
    *,
    used_by: UsedBy,
    grace: float | None = None,
    now: float | None = None,
) -> ReapPlan:
    """What reaping would do now: everything, or with `keys` only these environments.

    `keys` are keys or beginnings of keys. `grace` in seconds takes the place of ``Envdeck.ReapGracePeriod``. A plan
    of everything includes attempts that were never published, what crashes left in the trash, and packages in the
    wheel store that nothing needs.
    Raises `InputError` (`environment-unknown`, `environment-ambiguous`).
    """
    now = time.time() if now is None else now
    grace = world.config.settings.reap_grace if grace is None else grace
    environments = world.environments()
    if keys is not None:
        chosen = {environment.path: environment for environment in (find_environment(environments, k) for k in keys)}
        environments = tuple(chosen.values())
    survey = Survey(world.store, world.builds, grace, now)
    items, unreadable = survey.environments(environments, used_by)
    if keys is None:
        items += (*survey.orphans(), *survey.trash(), *survey.wheels(environments))
    return ReapPlan(items, keys is None, grace, unreadable, now, world.refusal)


def reap(
    world: World,
    plan: ReapPlan,
    *,
    used_by: Callable[[], UsedBy],
    stop: Callable[[], bool] = lambda: False,
) -> ReapResult:
    """Delete the reapable items of `plan`, each only if the verdict on it is still the same under the key's lock.

    `used_by` is asked again for each of them. `stop` is asked before each; what is left then stays. A run of a
    complete plan is recorded for `reap_is_due`. What is kept because it is used is noted as used now, so that the
    grace period begins when the use ends. Raises `StorageError` when the record cannot be written.
    """
    for item in plan.kept:
        if item.used_by or item.in_use_by:
            world.store.mark_used(item.path if item.kind is ReapKind.ENVIRONMENT else item.path.parent)
    wheels = [item for item in plan.reapable if item.kind is ReapKind.WHEEL]
    others = [item for item in plan.reapable if item.kind is not ReapKind.WHEEL]
    result = remove_items(world, others, used_by=used_by, grace=plan.grace, stop=stop)
    if wheels and not stop():
        result = _remove_wheels(world, wheels, plan.grace, result)
    if plan.complete and not stop():
        locks, now = LockRecords(world.store.data_dir), time.time()
        for key in idle_locks(locks, _keys(world), now):
            locks.forget(key)
        # A data directory that the first build will make holds nothing, and nothing is to be told of it.
        if is_there(world.store.data_dir):
            write_json(
                world.store.data_dir / "reap.json",
                {"ran_at": time.time(), "by": world.user, "removed": len(result.removed), "bytes": result.bytes},
            )
    return result


def reap_is_due(world: World, now: float) -> bool:
    """Whether the last complete run is ``Applications.PythonEnvironmentReapFrequency`` ago, or never was.

    `now` is seconds since the epoch. A run recorded further in the future than that counts as none: the clock was set
    back. One that is less far does not, because the clocks of two machines differ.
    """
    ran_at = (read_json(world.store.data_dir / "reap.json") or {}).get("ran_at")
    if not isinstance(ran_at, int | float):
        return True
    return abs(now - ran_at) >= world.config.settings.reap_frequency


def reap_event(item: ReapItem) -> AuditEvent:
    """What the audit says of reaping `item`."""
    what: dict[str, Fact] = {"key": item.key} if item.key else {}
    if item.kind is not ReapKind.ENVIRONMENT:
        what[item.kind.value] = item.package or item.path.name
    if item.environment is not None:
        what["bundle"] = item.environment.bundle
    what["bytes"] = item.bytes
    return AuditEvent(AuditAction.REAP, what, command=command("reap", *filter(None, [item.key])))


def remove_items(
    world: World,
    items: Iterable[ReapItem],
    *,
    used_by: Callable[[], UsedBy],
    grace: float,
    stop: Callable[[], bool] = lambda: False,
    event: Callable[[ReapItem], AuditEvent] = reap_event,
) -> ReapResult:
    """Delete `items`, each only if nothing speaks against it under the key's lock now.

    Each is recorded in the audit as soon as its fate is known, as `event` says.
    """
    removed, refused, failed = [], [], []
    for item in items:
        if stop():
            break
        try:
            verdict = (
                _remove_trash(world, item) if item.kind is ReapKind.TRASH else _remove(world, item, used_by, grace)
            )
        except (StorageError, OSError) as error:
            if isinstance(error, StorageError):
                problem = error.problem
            else:
                hint = "Check the permissions of this directory and of the trash beside it"
                problem = write_problem(f"delete {item.path.name}", item.path, error, hint)
            failed.append((item, problem))
            world.record(event(item).ended(AuditResult.FAILED, problem))
            continue
        if verdict.reapable:
            removed.append(item)
            world.record(event(item))
        else:
            refused.append(replace(item, verdict=verdict))
            problem = Problem(verdict.reasons[0].code, "; ".join(reason.message for reason in verdict.reasons))
            world.record(event(item).ended(AuditResult.REFUSED, problem))
    return ReapResult(tuple(removed), tuple(refused), tuple(failed))


def _remove(world: World, item: ReapItem, used_by: Callable[[], UsedBy], grace: float) -> ReapVerdict:
    """Delete an environment or an attempt if that is still right; the verdict says whether it was."""
    store = world.store
    store.lock_path(item.key).parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _LOCK_PATIENCE
    with ExitStack() as locks:
        if not locks.enter_context(acquire(store.lock_path(item.key), lambda: True)):
            return ReapVerdict(tuple(judge_use((), building=True)))
        # Held to the end of the renaming: content that starts meanwhile waits, and then finds the environment gone.
        if not locks.enter_context(acquire(store.use_lock_path(item.key), lambda: time.monotonic() > deadline, 0.02)):
            return ReapVerdict(tuple(judge_use((f"running content, which holds {item.key}.use",), building=False)))
        verdict = _judge_again(world, item, used_by, grace)
        if not verdict.reapable:
            return verdict
        doomed = store.set_aside(item.path)
        if item.kind is ReapKind.ATTEMPT:
            with suppress(OSError):  # not empty: the key has an environment or other attempts
                item.path.parent.rmdir()
    if doomed is None:
        return changed("it is gone already")
    shutil.rmtree(doomed, ignore_errors=True)
    return verdict


def _judge_again(world: World, item: ReapItem, used_by: Callable[[], UsedBy], grace: float) -> ReapVerdict:
    """The verdict now. The locks of the key are held, so the environment is as it is found until they are let go."""
    if not _is_inside(world, item.path):
        return changed("the way to it leads out of the data directory")
    key_dir = item.path if item.kind is ReapKind.ENVIRONMENT else item.path.parent
    with world.lock:
        environment = world.store.read(key_dir)
    building = any(build.key == item.key and not build.state.final for build in world.builds())
    processes = users_of([item.path]).by_path[item.path]
    now = time.time()
    if item.kind is ReapKind.ATTEMPT:
        if environment is not None and environment.attempt in ("", item.path.name):
            return changed("it was published meanwhile" if environment.attempt else "the record was damaged meanwhile")
        return judge_attempt(
            in_use_by=tuple(map(str, processes)),
            superseded_at=environment.built_at if environment else changed_at(item.path),
            now=now,
            grace=grace,
            building=building,
        )
    if is_foreign(key_dir):
        return ReapVerdict((FOREIGN,))
    if environment is None:
        return changed("it is gone already")
    if item.environment is None or environment.attempt != item.environment.attempt:
        return changed("it was rebuilt meanwhile")
    return judge_reap(
        environment,
        used_by=used_by().get(item.key, ()),
        in_use_by=tuple(map(str, processes)),
        pinned=environment.pinned,
        now=now,
        grace=grace,
        building=building,
    )


def _remove_trash(world: World, item: ReapItem) -> ReapVerdict:
    if not _is_inside(world, item.path.parent):
        return changed("the way to it leads out of the data directory")
    if not os.path.lexists(item.path):
        return changed("it is gone already")
    delete_tree(item.path)
    return item.verdict


def _remove_wheels(world: World, items: Sequence[ReapItem], grace: float, result: ReapResult) -> ReapResult:
    """Take wheels out of the store that nothing needs now, all at once; what came of it is added to `result`."""
    store, now = WheelStore(world.store.data_dir), time.time()
    found = {
        Unused(item.path.parent.name, item.path.name, item.package, "", item.bytes): item
        for item in items
        if _is_inside(world, item.path)
    }
    try:
        done = reclaim(store, list(found), needed(store, _keys(world), now), now, grace)
    except StorageError as error:
        failed = tuple((item, error.problem) for item in items)
        for item, problem in failed:
            world.record(reap_event(item).ended(AuditResult.FAILED, problem))
        return replace(result, failed=(*result.failed, *failed))
    removed = tuple(found[each] for each in done.removed)
    verdict = changed("it is gone already, or something has come to need it")
    refused = tuple(replace(item, verdict=verdict) for item in items if item not in removed)
    for item in removed:
        world.record(reap_event(item))
    for item in refused:
        world.record(
            reap_event(item).ended(AuditResult.REFUSED, Problem(verdict.reasons[0].code, verdict.reasons[0].message))
        )
    return replace(result, removed=(*result.removed, *removed), refused=(*result.refused, *refused))


def _keys(world: World) -> set[str]:
    return {environment.key for environment in world.environments()}


def _is_inside(world: World, path: Path) -> bool:
    """Whether `path` is what it says: below the data directory, with no symbolic link on the way or at its end."""
    data_dir = world.store.data_dir
    # Another data directory may have been configured since the plan was made.
    return path.is_relative_to(data_dir) and path.resolve() == data_dir.resolve() / path.relative_to(data_dir)

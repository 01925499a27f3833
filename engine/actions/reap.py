"""Deleting environments that no content uses: a plan by the rules of `engine.environments.reaping`, then doing it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from engine.audit.model import AuditAction, AuditEvent, AuditResult, Fact, command
from engine.environments.locks import acquire, held_elsewhere
from engine.environments.lookup import find_environment
from engine.environments.model import Environment
from engine.environments.reaping import KeepCode, KeepReason, ReapVerdict, judge_attempt, judge_reap, judge_use
from engine.environments.store import freed_by_deleting, subdirectories
from engine.environments.trash import delete_tree, discarded_in, trash_of
from engine.environments.usage import ProcessUse, in_use, users_of
from engine.errors import Problem
from engine.files import StorageError, is_there, read_json, write_json, write_problem
from engine.wheels.locks import LockRecords
from engine.wheels.reclaiming import Unused, reclaim, unused
from engine.wheels.store import WheelStore
from engine.world import World

__all__ = [
    "ATTEMPT_NAME",
    "ReapItem",
    "ReapKind",
    "ReapPlan",
    "ReapResult",
    "UsedBy",
    "attempts_in",
    "judge_attempts",
    "judge_trash",
    "plan_reap",
    "reap",
    "reap_event",
    "reap_is_due",
    "remove_items",
    "survey",
]

UsedBy = Mapping[str, tuple[str, ...]]
"""Key to the names of the contents whose active bundle uses its environment."""

_TRASH_AGE = 3600.0
_LOCK_LIFE = 90 * 86400.0
"""Seconds that a lock is kept for the environment to be made again after it was reaped."""
"""Seconds after which what lies in the trash was left there by a crash, and is not just being deleted."""
ATTEMPT_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_LOCK_PATIENCE = 1.0
"""Seconds to wait for the use lock, which others take for an instant just to look."""


class ReapKind(StrEnum):
    """What an item of a plan is."""

    ENVIRONMENT = "environment"
    """A key with everything in its directory."""
    ATTEMPT = "attempt"
    """An attempt that is not, or not any more, the one that counts."""
    TRASH = "trash"
    """What a deletion that was cut short left behind."""
    WHEEL = "wheel"
    """A package in the wheel store that no environment shares files with and no lock in use names."""


@dataclass(frozen=True, slots=True)
class ReapItem:
    """One thing that could be deleted, and the verdict on it."""

    kind: ReapKind
    key: str
    """Empty for trash and wheels."""
    path: Path
    """What would be deleted: the key's directory, the attempt, the entry of the trash or of the wheel store."""
    bytes: int
    """What it takes on disk. Files that other environments share stay there, so deleting may free less."""
    verdict: ReapVerdict
    environment: Environment | None = None
    """The environment of the key; None for trash and where nothing is published."""
    used_by: tuple[str, ...] = ()
    in_use_by: tuple[ProcessUse, ...] = ()
    package: str = ""
    """Name and version of a wheel."""

    @property
    def name(self) -> str:
        """Which one of its kind it is."""
        return self.package or self.key or self.path.name


@dataclass(frozen=True, slots=True)
class ReapPlan:
    """What reaping would do now."""

    items: tuple[ReapItem, ...]
    complete: bool
    """True for a plan of everything, False when it was asked for by key."""
    grace: float
    """Seconds."""
    unreadable: int
    """How many processes could not be seen into, so that a use by one of them may have gone unnoticed."""
    planned_at: float
    """Seconds since the epoch."""

    @property
    def reapable(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if item.verdict.reapable)

    @property
    def kept(self) -> tuple[ReapItem, ...]:
        return tuple(item for item in self.items if not item.verdict.reapable)

    @property
    def bytes(self) -> int:
        """What the reapable items take on disk."""
        return sum(item.bytes for item in self.reapable)


@dataclass(frozen=True, slots=True)
class ReapResult:
    """What reaping did."""

    removed: tuple[ReapItem, ...]
    refused: tuple[ReapItem, ...]
    """Items that were reapable when planned and are not any more, each with the verdict on it now."""
    failed: tuple[tuple[ReapItem, Problem], ...]
    """Items that the system would not let go of."""

    @property
    def bytes(self) -> int:
        """What the removed items took on disk."""
        return sum(item.bytes for item in self.removed)


# Planning


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
    items, unreadable = survey(world, environments, used_by=used_by, grace=grace, now=now)
    if keys is None:
        items += (*judge_attempts(world, _orphans(world), now=now, grace=grace), *judge_trash(world, now))
        items += _judge_wheels(world, now, grace)
    return ReapPlan(items, keys is None, grace, unreadable, now)


def survey(
    world: World, environments: Iterable[Environment], *, used_by: UsedBy, grace: float, now: float
) -> tuple[tuple[ReapItem, ...], int]:
    """An item per environment, one per superseded attempt of those that stay, and how many processes are unreadable.

    An environment goes with all attempts of its key, so its item stands for them too.
    """
    environments = tuple(environments)
    old = {e.key_dir: _superseded(e) for e in environments}
    users = users_of([*old, *(attempt for attempts in old.values() for attempt in attempts)])
    building = _building(world, (e.key for e in environments))
    items = []
    for environment in environments:
        key, key_dir = environment.key, environment.key_dir
        item = _judge_environment(
            world, environment, users.by_path[key_dir], used_by, building=key in building, now=now, grace=grace
        )
        sizes = {attempt: _bytes(attempt) for attempt in old[key_dir]}
        if item.verdict.reapable:
            items.append(replace(item, bytes=item.bytes + sum(sizes.values())))
            continue
        items.append(item)
        for attempt, size in sizes.items():
            verdict = judge_attempt(
                in_use_by=_names(world, key, users.by_path[attempt]),
                superseded_at=environment.built_at,
                now=now,
                grace=grace,
                building=key in building,
            )
            items.append(_attempt_item(attempt, size, verdict, users.by_path[attempt], environment))
    return tuple(items), users.unreadable


def _judge_environment(
    world: World,
    environment: Environment,
    processes: tuple[ProcessUse, ...],
    used_by: UsedBy,
    *,
    building: bool,
    now: float,
    grace: float,
) -> ReapItem:
    contents = used_by.get(environment.key, ())
    verdict = judge_reap(
        environment,
        used_by=contents,
        in_use_by=_names(world, environment.key, processes),
        pinned=environment.pinned,
        now=now,
        grace=grace,
        building=building,
    )
    if _is_foreign(environment.key_dir):
        verdict = ReapVerdict((*verdict.reasons, _FOREIGN))
    size = environment.own if environment.size else _bytes(environment.key_dir)
    return ReapItem(
        ReapKind.ENVIRONMENT,
        environment.key,
        environment.key_dir,
        size,
        verdict,
        environment,
        contents,
        processes,
    )


def _attempt_item(
    attempt: Path,
    size: int,
    verdict: ReapVerdict,
    processes: tuple[ProcessUse, ...],
    environment: Environment | None,
) -> ReapItem:
    return ReapItem(ReapKind.ATTEMPT, attempt.parent.name, attempt, size, verdict, environment, in_use_by=processes)


def _superseded(environment: Environment) -> list[Path]:
    """The attempts beside the one that counts; none when the record does not tell which that is."""
    if not environment.attempt:
        return []
    return [a for a in attempts_in(environment.key_dir) if a.name != environment.attempt]


def attempts_in(key_dir: Path) -> list[Path]:
    """The attempts of a key, the one that counts among them, by name."""
    return [path for path in subdirectories(key_dir) if ATTEMPT_NAME.fullmatch(path.name)]


def _orphans(world: World) -> list[Path]:
    """Attempts of keys that have no published environment: what a build left that nobody remembers."""
    return [
        attempt
        for key_dir in world.store.key_dirs()
        if not (key_dir / "current.json").exists() and not _is_foreign(key_dir)
        for attempt in attempts_in(key_dir)
    ]


def judge_attempts(world: World, attempts: Sequence[Path], *, now: float, grace: float) -> tuple[ReapItem, ...]:
    """An item for each of `attempts`, which no record names; they count as superseded since they last changed."""
    users = users_of(attempts)
    building = _building(world, (attempt.parent.name for attempt in attempts))
    items = []
    for attempt in attempts:
        verdict = judge_attempt(
            in_use_by=_names(world, attempt.parent.name, users.by_path[attempt]),
            superseded_at=_changed_at(attempt),
            now=now,
            grace=grace,
            building=attempt.parent.name in building,
        )
        items.append(_attempt_item(attempt, _bytes(attempt), verdict, users.by_path[attempt], None))
    return tuple(items)


def judge_trash(world: World, now: float, places: Iterable[Path] = ()) -> tuple[ReapItem, ...]:
    """What has been lying in the trash, or set aside in `places`, for so long that nobody is deleting it any more."""
    trash = (path for place in (trash_of(world.store.data_dir), *places) for path in discarded_in(place))
    old = [path for path in trash if _changed_at(path) + _TRASH_AGE <= now]
    return tuple(ReapItem(ReapKind.TRASH, "", path, _bytes(path), ReapVerdict()) for path in old)


def _judge_wheels(world: World, now: float, grace: float) -> tuple[ReapItem, ...]:
    store = WheelStore(world.store.data_dir)
    found = unused(store, (), now, grace)
    # Not asked for unless it matters: there may be a lock for every environment that ever was.
    needed = _needed(world, now) if found else frozenset()
    return tuple(
        ReapItem(
            ReapKind.WHEEL,
            "",
            store.path(each.sha256, each.tag),
            each.size,
            ReapVerdict(),
            package=f"{each.name} {each.version}".strip(),
        )
        for each in found
        if each.sha256 not in needed
    )


def _needed(world: World, now: float) -> frozenset[str]:
    """The digests of the wheels that locks name which may yet be replayed."""
    locks = LockRecords(world.store.data_dir)
    idle = _idle_locks(world, locks, now)
    found = (locks.read(key) for key, _ in locks.recorded() if key not in idle)
    return frozenset(wanted.sha256 for lock in found if lock for wanted in lock.wheels)


def _idle_locks(world: World, locks: LockRecords, now: float) -> set[str]:
    """The keys whose environment is gone and whose lock nobody has used for long."""
    there = {environment.key for environment in world.environments()}
    return {key for key, used_at in locks.recorded() if key not in there and used_at + _LOCK_LIFE <= now}


_FOREIGN = KeepReason(KeepCode.FOREIGN, "its directory is a virtual environment that the server made")


def _is_foreign(key_dir: Path) -> bool:
    """Whether the directory is itself a virtual environment, as the server makes them (connect.md §6.4)."""
    return (key_dir / "pyvenv.cfg").exists()


def _names(world: World, key: str, processes: Iterable[ProcessUse]) -> tuple[str, ...]:
    """Who uses an environment of `key`, in words: processes of this machine, and whoever holds its use lock."""
    names = tuple(str(process) for process in processes)
    path = world.store.use_lock_path(key)
    return (*names, f"running content, which holds {path.name}") if in_use(path) else names


def _building(world: World, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that are being built, or whose lock somebody holds for another reason."""
    active = {build.key for build in world.builds() if not build.state.final}
    return {key for key in keys if key in active or held_elsewhere(world.store.lock_path(key))}


def _changed_at(path: Path) -> float:
    """When `path` itself was last changed or renamed, seconds since the epoch; 0 when it is gone."""
    try:
        status = path.lstat()
    except OSError:
        return 0.0
    return max(status.st_mtime, status.st_ctime)


def _bytes(path: Path) -> int:
    """Bytes that deleting `path` frees; 0 when it cannot be measured, such as when it is being deleted."""
    try:
        return freed_by_deleting(path)
    except OSError:
        return 0


# Execution


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
        for key in _idle_locks(world, locks, now):
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
        return _changed("it is gone already")
    shutil.rmtree(doomed, ignore_errors=True)
    return verdict


def _judge_again(world: World, item: ReapItem, used_by: Callable[[], UsedBy], grace: float) -> ReapVerdict:
    """The verdict now. The locks of the key are held, so the environment is as it is found until they are let go."""
    if not _is_inside(world, item.path):
        return _changed("the way to it leads out of the data directory")
    key_dir = item.path if item.kind is ReapKind.ENVIRONMENT else item.path.parent
    with world.lock:
        environment = world.store.read(key_dir)
    building = any(build.key == item.key and not build.state.final for build in world.builds())
    processes = users_of([item.path]).by_path[item.path]
    now = time.time()
    if item.kind is ReapKind.ATTEMPT:
        if environment is not None and environment.attempt in ("", item.path.name):
            return _changed("it was published meanwhile" if environment.attempt else "the record was damaged meanwhile")
        return judge_attempt(
            in_use_by=tuple(map(str, processes)),
            superseded_at=environment.built_at if environment else _changed_at(item.path),
            now=now,
            grace=grace,
            building=building,
        )
    if _is_foreign(key_dir):
        return ReapVerdict((_FOREIGN,))
    if environment is None:
        return _changed("it is gone already")
    if item.environment is None or environment.attempt != item.environment.attempt:
        return _changed("it was rebuilt meanwhile")
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
        return _changed("the way to it leads out of the data directory")
    if not os.path.lexists(item.path):
        return _changed("it is gone already")
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
        done = reclaim(store, list(found), _needed(world, now), now, grace)
    except StorageError as error:
        failed = tuple((item, error.problem) for item in items)
        for item, problem in failed:
            world.record(reap_event(item).ended(AuditResult.FAILED, problem))
        return replace(result, failed=(*result.failed, *failed))
    removed = tuple(found[each] for each in done.removed)
    verdict = _changed("it is gone already, or something has come to need it")
    refused = tuple(replace(item, verdict=verdict) for item in items if item not in removed)
    for item in removed:
        world.record(reap_event(item))
    for item in refused:
        world.record(
            reap_event(item).ended(AuditResult.REFUSED, Problem(verdict.reasons[0].code, verdict.reasons[0].message))
        )
    return replace(result, removed=(*result.removed, *removed), refused=(*result.refused, *refused))


def _is_inside(world: World, path: Path) -> bool:
    """Whether `path` is what it says: below the data directory, with no symbolic link on the way or at its end."""
    data_dir = world.store.data_dir
    # Another data directory may have been configured since the plan was made.
    return path.is_relative_to(data_dir) and path.resolve() == data_dir.resolve() / path.relative_to(data_dir)


def _changed(message: str) -> ReapVerdict:
    return ReapVerdict((KeepReason(KeepCode.CHANGED, message),))

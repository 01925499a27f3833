"""The look at what could be deleted from a data directory, with the verdict on each thing. Deletes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from engine.builds.model import Build
from engine.environments.attempts import attempts_in, is_foreign, superseded
from engine.environments.locks import held_elsewhere
from engine.environments.model import Environment
from engine.environments.store import EnvironmentStore, freed_by_deleting
from engine.environments.trash import discarded_in, trash_of
from engine.environments.usage import ProcessUse, in_use, users_of
from engine.reaping.model import ReapItem, ReapKind, UsedBy
from engine.reaping.rules import FOREIGN, ReapVerdict, judge_attempt, judge_reap
from engine.wheels.reclaiming import needed, unused
from engine.wheels.store import WheelStore

__all__ = ["Survey", "changed_at"]

_TRASH_AGE = 3600.0
"""Seconds after which what lies in the trash was left there by a crash, and is not just being deleted."""


class Survey(Struct, frozen=True):
    """A look at one data directory, at one time."""

    store: EnvironmentStore
    builds: Callable[[], Iterable[Build]]
    """What is being built, asked anew for each part of the survey."""
    grace: float
    """Seconds that what nobody uses is kept."""
    now: float
    """Seconds since the epoch."""

    def environments(self, environments: Iterable[Environment], used_by: UsedBy) -> tuple[tuple[ReapItem, ...], int]:
        """An item per environment and per superseded attempt of those that stay, and how many processes are unreadable.

        An environment goes with all attempts of its key, so its item stands for them too.
        """
        environments = tuple(environments)
        old = {e.key_dir: superseded(e) for e in environments}
        users = users_of([*old, *(attempt for attempts in old.values() for attempt in attempts)])
        building = self._building(e.key for e in environments)
        items = []
        for environment in environments:
            key, key_dir = environment.key, environment.key_dir
            item = self._environment(environment, users.by_path[key_dir], used_by, building=key in building)
            sizes = {attempt: _bytes(attempt) for attempt in old[key_dir]}
            if item.verdict.reapable:
                items.append(replace(item, bytes=item.bytes + sum(sizes.values())))
                continue
            items.append(item)
            for attempt, size in sizes.items():
                processes = users.by_path[attempt]
                items.append(self._attempt(attempt, size, processes, environment, building=key in building))
        return tuple(items), users.unreadable

    def orphans(self) -> tuple[ReapItem, ...]:
        """An item per attempt of a key that has no published environment: what a build left that nobody remembers."""
        return self.attempts(
            [
                attempt
                for key_dir in self.store.key_dirs()
                if not (key_dir / "current.json").exists() and not is_foreign(key_dir)
                for attempt in attempts_in(key_dir)
            ]
        )

    def attempts(self, attempts: Sequence[Path]) -> tuple[ReapItem, ...]:
        """An item for each of `attempts`, which no record names; they count as superseded since they last changed."""
        users = users_of(attempts)
        building = self._building(attempt.parent.name for attempt in attempts)
        return tuple(
            self._attempt(
                attempt, _bytes(attempt), users.by_path[attempt], None, building=attempt.parent.name in building
            )
            for attempt in attempts
        )

    def trash(self, places: Iterable[Path] = ()) -> tuple[ReapItem, ...]:
        """What lies in the trash, or set aside in `places`, for so long that nobody is deleting it any more."""
        trash = (path for place in (trash_of(self.store.data_dir), *places) for path in discarded_in(place))
        old = [path for path in trash if changed_at(path) + _TRASH_AGE <= self.now]
        return tuple(ReapItem(ReapKind.TRASH, "", path, _bytes(path), ReapVerdict()) for path in old)

    def wheels(self, environments: Iterable[Environment]) -> tuple[ReapItem, ...]:
        """An item per package in the wheel store that none of `environments`, which are all, and no lock needs."""
        store = WheelStore(self.store.data_dir)
        found = unused(store, (), self.now, self.grace)
        # Not asked for unless it matters: there may be a lock for every environment that ever was.
        named = needed(store, {environment.key for environment in environments}, self.now) if found else frozenset()
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
            if each.sha256 not in named
        )

    def _environment(
        self, environment: Environment, processes: tuple[ProcessUse, ...], used_by: UsedBy, *, building: bool
    ) -> ReapItem:
        contents = used_by.get(environment.key, ())
        verdict = judge_reap(
            environment,
            used_by=contents,
            in_use_by=self._names(environment.key, processes),
            pinned=environment.pinned,
            now=self.now,
            grace=self.grace,
            building=building,
        )
        if is_foreign(environment.key_dir):
            verdict = ReapVerdict((*verdict.reasons, FOREIGN))
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

    def _attempt(
        self,
        attempt: Path,
        size: int,
        processes: tuple[ProcessUse, ...],
        environment: Environment | None,
        *,
        building: bool,
    ) -> ReapItem:
        key = attempt.parent.name
        verdict = judge_attempt(
            in_use_by=self._names(key, processes),
            superseded_at=environment.built_at if environment else changed_at(attempt),
            now=self.now,
            grace=self.grace,
            building=building,
        )
        return ReapItem(ReapKind.ATTEMPT, key, attempt, size, verdict, environment, in_use_by=processes)

    def _names(self, key: str, processes: Iterable[ProcessUse]) -> tuple[str, ...]:
        """Who uses an environment of `key`, in words: processes of this machine, and whoever holds its use lock."""
        names = tuple(str(process) for process in processes)
        path = self.store.use_lock_path(key)
        return (*names, f"running content, which holds {path.name}") if in_use(path) else names

    def _building(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are being built, or whose lock somebody holds for another reason."""
        active = {build.key for build in self.builds() if not build.state.final}
        return {key for key in keys if key in active or held_elsewhere(self.store.lock_path(key))}


def changed_at(path: Path) -> float:
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

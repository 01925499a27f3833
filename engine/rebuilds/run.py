"""One run over a list of environments to rebuild: so many builds at a time, every change on disk at once."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.builds.model import Build
from engine.errors import EnvdeckError, Problem, Refused
from engine.rebuilds.lists import RebuildLists
from engine.rebuilds.model import ItemState, RebuildItem, RebuildList, Runner, RunProgress, progress, settle, summary

__all__ = ["BulkResult", "run"]

_SOONEST, _LATEST = 0.01, 0.2
"""Seconds between two looks at the builds under way: often just after one began, since one that is replayed takes half
a second, and ever more seldom while nothing changes."""


class BulkResult(Struct, frozen=True):
    """What a run came to."""

    items: tuple[RebuildItem, ...]
    """The items it worked on."""
    progress: RunProgress
    seconds: float

    @property
    def ok(self) -> bool:
        return self.progress.success == self.progress.total

    def __str__(self) -> str:
        return summary(self.progress, self.seconds)


def run(
    lists: RebuildLists,
    name: str,
    choose: Callable[[RebuildList], tuple[RebuildList, Sequence[str]]],
    *,
    start: Callable[[str], Build],
    look: Callable[[str], Build | None],
    by: str,
    parallelism: int,
    force: bool = False,
    on_progress: Callable[[RunProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> BulkResult:
    """Work the list `name` off and return what it came to.

    `choose` is given the list with the lock held, and returns it as it is to be and the keys to work on. `start` begins
    the build of a key (an `EnvdeckError` is that item's error), `look` says how a build stands. Items that are running
    already are waited for. When `stop` says so, or an exception such as `KeyboardInterrupt` goes through, what was
    running becomes aborted and its builds go on; a run that is killed leaves them as running, for the next to settle.

    Raises `Refused` (`rebuild-running`; `rebuild-taken-over` when another run took the list over with `force`),
    `InputError`, `StorageError`.
    """
    began = time.monotonic()
    runner = Runner(os.urandom(8).hex(), by, socket.gethostname(), os.getpid(), time.time())
    with lists.hold(name, runner if force else None):
        now, keys = choose(lists.read(name))
        work = _Work(lists, now, frozenset(keys), runner, on_progress)
        try:
            while work.unfinished and not stop():
                work.check()
                for item in work.of(ItemState.RUNNING):
                    settled = settle(item, look(item.build_id))
                    if settled != item:
                        work.change(settled)
                for item in work.of(ItemState.NEEDS_BUILD)[: max(0, parallelism - len(work.of(ItemState.RUNNING)))]:
                    work.change(_started(item, start))
                if work.of(ItemState.RUNNING):
                    time.sleep(min(max(_SOONEST, work.quiet / 10), _LATEST))
        finally:
            work.end()
    return BulkResult(work.items, progress(work.items), time.monotonic() - began)


def _started(item: RebuildItem, start: Callable[[str], Build]) -> RebuildItem:
    try:
        build = start(item.key)
    except EnvdeckError as error:
        return replace(item, state=ItemState.ERROR, changed_at=time.time(), message=error.problem.message)
    return replace(item, state=ItemState.RUNNING, build_id=build.id, changed_at=time.time(), message="")


class _Work:
    """The list while this run has it; what is on disk is never behind."""

    def __init__(
        self,
        lists: RebuildLists,
        rebuilds: RebuildList,
        keys: frozenset[str],
        runner: Runner,
        on_progress: Callable[[RunProgress], None],
    ) -> None:
        self._lists = lists
        self._list = replace(rebuilds, runner=runner)
        self._runner = runner
        self._keys = keys
        self._on_progress = on_progress
        self._ours = True
        self._changed = time.monotonic()
        lists.write(self._list)
        on_progress(progress(self.items))

    @property
    def items(self) -> tuple[RebuildItem, ...]:
        return tuple(item for item in self._list.items if item.key in self._keys)

    @property
    def unfinished(self) -> bool:
        return bool(self.of(ItemState.RUNNING) or self.of(ItemState.NEEDS_BUILD))

    @property
    def quiet(self) -> float:
        """Seconds since an item changed."""
        return time.monotonic() - self._changed

    def of(self, state: ItemState) -> list[RebuildItem]:
        return [item for item in self.items if item.state is state]

    def check(self) -> None:
        """Raises `Refused` (`rebuild-taken-over`) when another run has claimed the list."""
        there = self._lists.runner(self._list.name)
        if there is None or there.token == self._runner.token:
            return
        self._ours = False
        raise Refused(
            Problem(
                "rebuild-taken-over",
                f"another run has taken the list {self._list.name} over",
                found=f"process {there.pid} of {there.by} on {there.host}",
                hint="The builds that were started go on, and that run waits for them",
            )
        )

    def change(self, item: RebuildItem) -> None:
        """Note the new state of an item."""
        self._write(self._list.with_item(item))
        self._changed = time.monotonic()
        self._on_progress(progress(self.items, item))

    def end(self) -> None:
        """Leave the list to others; what this run would still have waited for is aborted."""
        if not self._ours:
            return
        rebuilds = replace(self._list, runner=None)
        for item in self.of(ItemState.RUNNING):
            message = "the run ended before its build did"
            rebuilds = rebuilds.with_item(
                replace(item, state=ItemState.ABORTED, changed_at=time.time(), message=message)
            )
        self._write(rebuilds)

    def _write(self, rebuilds: RebuildList) -> None:
        # In this order: what is interrupted between the two is written by `end`.
        self._list = rebuilds
        self._lists.write(rebuilds)

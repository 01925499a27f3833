"""A list of environments to rebuild, and which of them a run takes. Pure.

The states, what a run picks and what it reports are those of ``rsconnect content build`` (connect.md §6.8), which
admins know from rebuilding content after an upgrade of Python (python-posit.txt, "Upgrading Python").
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from engine.builds.model import Build, BuildState

__all__ = ["ItemState", "RebuildItem", "RebuildList", "RunProgress", "Runner", "pick", "progress", "settle", "summary"]


class ItemState(StrEnum):
    """Where one item of a list stands."""

    NEEDS_BUILD = "NEEDS_BUILD"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    """The run ended before its build did. The build itself may have gone on."""


class RebuildItem(Struct, frozen=True):
    """One environment of a list."""

    key: str
    state: ItemState = ItemState.NEEDS_BUILD
    build_id: str = ""
    """Its latest build; empty while there was none."""
    changed_at: float = 0.0
    """When its state last changed, seconds since the epoch."""
    message: str = ""
    """What became of it, in one line."""


class Runner(Struct, frozen=True):
    """Who is working a list off."""

    token: str
    """Tells one run from another."""
    by: str
    host: str
    pid: int
    started_at: float


class RebuildList(Struct, frozen=True):
    """A named list and its run."""

    name: str
    items: tuple[RebuildItem, ...] = ()
    runner: Runner | None = None
    """The run the file speaks of; it may have been killed."""
    alive: bool = False
    """Whether that run still holds the list's lock."""

    def with_item(self, item: RebuildItem) -> RebuildList:
        """The list with `item` in the place of the one of its key, or at the end."""
        return replace(self, items=tuple((self._by_key() | {item.key: item}).values()))

    def with_keys(self, keys: Iterable[str]) -> RebuildList:
        """The list with `keys` to be built: new ones at the end, those on it already where they are."""
        items = self._by_key()
        for key in keys:
            if key not in items or items[key].state is not ItemState.RUNNING:
                items[key] = RebuildItem(key)
        return replace(self, items=tuple(items.values()))

    def _by_key(self) -> dict[str, RebuildItem]:
        return {item.key: item for item in self.items}


class RunProgress(Struct, frozen=True):
    """How far a run is, counting the items it took."""

    running: int
    pending: int
    success: int
    error: int
    aborted: int = 0
    item: RebuildItem | None = None
    """The item whose state has just changed; None at the beginning."""

    @property
    def total(self) -> int:
        return self.running + self.pending + self.success + self.error + self.aborted

    def __str__(self) -> str:
        return f"Running = {self.running}, Pending = {self.pending}, Success = {self.success}, Error = {self.error}"


def settle(item: RebuildItem, build: Build | None) -> RebuildItem:
    """`item` of a run that is over, by what became of its build: the run may have been killed before it saw that.

    It stays running when the build is; `build` is None when there is no trace of it.
    """
    if item.state is not ItemState.RUNNING:
        return item
    if build is None:
        return replace(item, state=ItemState.ABORTED, message="its build left no trace")
    if not build.state.final:
        return item
    at = build.finished_at or item.changed_at
    if build.state is BuildState.DONE:
        return replace(item, state=ItemState.COMPLETE, changed_at=at, message=build.message)
    if build.state is BuildState.LOST:
        return replace(item, state=ItemState.ABORTED, changed_at=at, message=build.message)
    return replace(item, state=ItemState.ERROR, changed_at=at, message=str(build.fault or build.message))


def pick(items: Iterable[RebuildItem], *, retry: bool = False, everything: bool = False) -> tuple[str, ...]:
    """The keys that a run works on, in the order of the list. `items` are settled.

    What needs a build and what is still being built; with `retry` also what failed or was aborted; or `everything`.
    """
    states = {ItemState.NEEDS_BUILD, ItemState.RUNNING}
    if retry:
        states |= {ItemState.ERROR, ItemState.ABORTED}
    return tuple(item.key for item in items if everything or item.state in states)


def progress(items: Iterable[RebuildItem], changed: RebuildItem | None = None) -> RunProgress:
    """How far a run is that works on `items`."""
    count = dict.fromkeys(ItemState, 0)
    for item in items:
        count[item.state] += 1
    return RunProgress(
        running=count[ItemState.RUNNING],
        pending=count[ItemState.NEEDS_BUILD],
        success=count[ItemState.COMPLETE],
        error=count[ItemState.ERROR],
        aborted=count[ItemState.ABORTED],
        item=changed,
    )


def summary(reached: RunProgress, seconds: float) -> str:
    """The last line of a run: how many of its builds succeeded, and how long it took as ``H:MM:SS``."""
    minutes, rest = divmod(int(seconds), 60)
    duration = f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
    return f"{reached.success}/{reached.total} environment builds completed in {duration}"

"""Lists of environments to rebuild, on disk: one file per list, so that a run that was killed can be taken up again.

rebuilds/<name>.json    the items and who is working them off; replaced as a whole at every change
locks/rebuilds.<name>   held for the length of a run: how others see that it is alive
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import asdict, replace

from engine.environments.locks import acquire, held_elsewhere
from engine.errors import InputError, Problem, Refused, Where
from engine.files import StorageError, read_json, write_atomic
from engine.rebuilds.model import ItemState, RebuildItem, RebuildList, Runner
from engine.text import one_line

__all__ = ["RebuildLists"]

_LOOKED_AT = 0.5
"""Seconds to wait for the lock, which others take for an instant just to see whether it is held."""
_MAKE_WAY = 5.0
"""Seconds that a run gets to see that another one has claimed its list."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class RebuildLists:
    """The lists below one data directory. Reading needs no lock and creates nothing."""

    def __init__(self, data_dir: Path) -> None:
        self.directory = data_dir / "rebuilds"
        self._locks = data_dir / "locks"

    def all(self) -> tuple[RebuildList, ...]:
        """Every list that can be read, by name."""
        try:
            names = sorted(path.stem for path in self.directory.glob("*.json") if _NAME.fullmatch(path.stem))
        except OSError:
            return ()
        return tuple(self.read(name) for name in names if read_json(self._path(name)) is not None)

    def read(self, name: str) -> RebuildList:
        """The list of that name, empty when there is none.

        Raises `InputError` (`rebuild-list-name`, `rebuild-list-damaged`).
        """
        return _parse(name, self._record(name), alive=held_elsewhere(self.lock_path(name)))

    def runner(self, name: str) -> Runner | None:
        """The run that the list of that name speaks of. Raises as `read` does."""
        return _runner(self._record(name).get("runner"))

    def _record(self, name: str) -> dict[str, object]:
        path = self._path(name)
        # Asked before it is read: a list that is written for the first time meanwhile is no damaged one.
        there = path.exists()
        record = read_json(path)
        if record is None and there:
            raise InputError(
                Problem(
                    "rebuild-list-damaged",
                    f"the list {name} cannot be read or does not parse",
                    where=Where(str(path)),
                    hint="Delete the file to begin a new list",
                )
            )
        return record or {}

    def write(self, rebuilds: RebuildList) -> None:
        """Replace the list on disk. Raises `StorageError`."""
        path = self._path(rebuilds.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                Problem("storage-write", f"cannot make {path.parent.name}: {error.strerror}", where=Where(str(path)))
            ) from error
        record = {
            "items": [asdict(item) for item in rebuilds.items],
            "runner": asdict(rebuilds.runner) if rebuilds.runner else None,
        }
        # In one line: to indent hundreds of items at every change takes longer than to write them.
        write_atomic(path, json.dumps(record).encode())

    @contextmanager
    def hold(self, name: str, claim: Runner | None = None) -> Iterator[None]:
        """Hold the list for a run, or for a change of what is on it.

        Raises `Refused` (`rebuild-running`) when a run that is alive holds it. With `claim` that run is told to make
        way for another one, by the name of that in the file; one that does not react, such as a frozen one, is passed.
        """
        there = self.read(name)
        if claim and there.alive:
            self.write(replace(there, runner=claim))
        self._locks.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + (_MAKE_WAY if claim else _LOOKED_AT)
        with acquire(self.lock_path(name), lambda: time.monotonic() > deadline, 0.02) as held:
            if not held and not claim:
                raise Refused(running_problem(self.read(name)))
            yield

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(
                Problem(
                    "rebuild-list-name",
                    "that cannot be the name of a list",
                    expected="up to 64 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
                    found=name,
                )
            )
        return self.directory / f"{name}.json"

    def lock_path(self, name: str) -> Path:
        """The lock that a run of the list, or a change of it, holds."""
        return self._locks / f"rebuilds.{name}"


def running_problem(rebuilds: RebuildList) -> Problem:
    """`rebuild-running`: somebody is working this list off."""
    runner = rebuilds.runner
    return Problem(
        "rebuild-running",
        f"the list {rebuilds.name} is being worked off already",
        found=f"process {runner.pid} of {runner.by} on {runner.host}" if runner else "",
        hint="Wait for it, end it, or take the list over with --force; the builds it has started go on",
    )


def _parse(name: str, record: dict[str, object], *, alive: bool) -> RebuildList:
    items = record.get("items")
    parsed = [_item(value) for value in items] if isinstance(items, list) else []
    return RebuildList(name, tuple(item for item in parsed if item), _runner(record.get("runner")), alive)


def _item(value: object) -> RebuildItem | None:
    if not isinstance(value, dict) or not isinstance(value.get("key"), str):
        return None
    state = next((s for s in ItemState if s.value == value.get("state")), ItemState.NEEDS_BUILD)
    return RebuildItem(
        one_line(value["key"]),
        state,
        one_line(str(value.get("build_id", ""))),
        _number(value.get("changed_at")),
        one_line(str(value.get("message", "")), 500),
    )


def _runner(value: object) -> Runner | None:
    if not isinstance(value, dict):
        return None
    return Runner(
        str(value.get("token", "")),
        one_line(str(value.get("by", ""))),
        one_line(str(value.get("host", ""))),
        int(_number(value.get("pid"))),
        _number(value.get("started_at")),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

"""Reaping takes packages out of the wheel store that nothing needs, and says so before and after like for all else."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import wheel_maker as wheels

from engine import Engine, ReapKind
from engine.wheels.filling import fill
from engine.wheels.linking import link
from engine.wheels.locks import Lock, LockRecords
from engine.wheels.model import StoredWheel
from engine.wheels.store import WheelStore

KEY = "kkkkkkkkkkkkkkkkkkkkkk"
DAY = 86400.0


class Shelf:
    """A server whose store has two packages that nothing needs: both were put there long ago."""

    def __init__(self, server: SimpleNamespace, template: Path, packages: tuple[Path, ...]) -> None:
        self.data_dir: Path = server.data_dir
        shutil.copytree(template, self.data_dir / "wheels")
        server.configure("[Envdeck]", "ReapGracePeriod = 1h")
        self.engine: Engine = server.engine()
        self.store = WheelStore(self.data_dir)
        self.wanted = [wheels.wanted(path) for path in packages]
        for sha256, tag in self.store.stored():
            os.utime(self.store.path(sha256, tag), (0, time.time() - 2 * DAY))

    @property
    def stored(self) -> list[StoredWheel]:
        return [wheel for each in self.wanted if (wheel := self.store.find(each.sha256, wheels.TAG))]

    def names(self) -> list[str]:
        return sorted(wheel.pin.name for wheel in self.stored)

    def planned(self) -> list[str]:
        return sorted(item.name for item in self.engine.plan_reap().reapable if item.kind is ReapKind.WHEEL)

    def lock(self, *numbers: int, used: float = 0.0) -> None:
        """A lock that names some of the packages and was used `used` seconds ago."""
        named = tuple(self.wanted[number] for number in numbers)
        locks = LockRecords(self.data_dir)
        locks.write(Lock(KEY, "20260101-000000-abcdef", time.time(), "0" * 32, wheels.TAG, named))
        os.utime(self.data_dir / "wheels" / "locks" / f"{KEY}.json", (0, time.time() - used))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("template")
    packages = tuple(wheels.make(root / "packages", name) for name in ("alpha", "beta"))
    store = WheelStore(root / "data")
    assert fill(store, wheels.source(root / "packages"), [wheels.wanted(path) for path in packages]).added == 2
    return SimpleNamespace(wheels=store.root, packages=packages)


@pytest.fixture
def shelf(server: SimpleNamespace, template: SimpleNamespace) -> Shelf:
    return Shelf(server, template.wheels, template.packages)


def test_what_nothing_needs_is_planned_removed_and_recorded(shelf: Shelf) -> None:
    plan = shelf.engine.plan_reap()
    assert shelf.planned() == ["alpha 1.0", "beta 1.0"]
    assert plan.bytes == sum(wheel.size for wheel in shelf.stored)
    result = shelf.engine.execute(plan)
    assert sorted(item.name for item in result.removed) == ["alpha 1.0", "beta 1.0"]
    assert shelf.names() == []
    said = [json.loads(line) for line in (shelf.data_dir / "audit.jsonl").read_text().splitlines()]
    assert sorted(line["what"]["wheel"] for line in said if line["action"] == "reap") == ["alpha 1.0", "beta 1.0"]


def test_what_an_environment_shares_files_with_stays(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    link(shelf.store, shelf.stored[:1], tmp_path / "env", pip_version="26.0")
    assert shelf.planned() == ["beta 1.0"]


def test_what_a_lock_names_stays_until_the_lock_is_idle(shelf: Shelf) -> None:
    shelf.lock(0, 1, used=10 * DAY)
    assert shelf.planned() == []
    shelf.lock(0, 1, used=100 * DAY)
    assert shelf.planned() == ["alpha 1.0", "beta 1.0"]
    shelf.engine.execute(shelf.engine.plan_reap())
    assert LockRecords(shelf.data_dir).read(KEY) is None
    assert shelf.names() == []


def test_what_has_just_come_in_stays(shelf: Shelf) -> None:
    os.utime(shelf.stored[0].path)
    assert shelf.planned() == ["beta 1.0"]


def test_what_came_to_be_needed_since_the_plan_is_refused_and_the_rest_goes(shelf: Shelf) -> None:
    plan = shelf.engine.plan_reap()
    shelf.lock(0)
    result = shelf.engine.execute(plan)
    assert [item.name for item in result.removed] == ["beta 1.0"]
    assert [item.name for item in result.refused] == ["alpha 1.0"]
    assert "need it" in result.refused[0].verdict.reasons[0].message
    assert shelf.names() == ["alpha"]


def test_reaping_by_key_leaves_the_store_alone(shelf: Shelf, server: SimpleNamespace) -> None:
    plan = shelf.engine.plan_reap([])
    assert plan.items == ()
    shelf.engine.execute(plan)
    assert shelf.names() == ["alpha", "beta"]

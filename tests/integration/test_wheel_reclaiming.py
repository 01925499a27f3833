"""Taking out of the wheel store what no environment and no lock needs, while others use it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

from wheel_room import Room

from engine.wheels.filling import fill
from engine.wheels.reclaiming import reclaim, unused

DAY = 86400.0


def test_what_an_environment_links_or_a_lock_names_stays(room: Room, tmp_path: Path) -> None:
    late = time.time() + 10 * DAY
    alpha, beta = room.find()
    room.link(tmp_path / "env", "alpha")
    assert [each.name for each in unused(room.store, (), late, DAY)] == ["beta"]
    assert unused(room.store, {beta.sha256}, late, DAY) == ()
    assert unused(room.store, (), time.time(), DAY) == (), "a lock may yet be written that names it"
    doomed = unused(room.store, (), late, DAY)
    assert reclaim(room.store, doomed, {beta.sha256}, late, DAY).kept == doomed
    room.link(tmp_path / "other", "beta")
    assert reclaim(room.store, doomed, (), late, DAY).kept == doomed
    shutil.rmtree(tmp_path / "other")
    assert reclaim(room.store, doomed, (), late, DAY).removed == doomed
    assert [key for key, _ in room.store.stored()] == [alpha.sha256]
    assert not (room.store.root / beta.sha256).exists()
    assert fill(room.store, room.source, room.wanted).added == 1


def test_nothing_is_taken_out_while_somebody_links(room: Room, tmp_path: Path) -> None:
    late = time.time() + 10 * DAY
    doomed = unused(room.store, (), late, DAY)
    assert len(doomed) == 2
    done = threading.Event()

    def work() -> None:
        reclaim(room.store, doomed, (), late, DAY)
        done.set()

    with room.store.in_use():
        thread = threading.Thread(target=work)
        thread.start()
        assert not done.wait(0.5)
        assert len(list(room.store.stored())) == 2
    assert done.wait(120)
    thread.join()
    assert list(room.store.stored()) == []


def test_an_entry_that_cannot_be_read_is_no_use_and_is_taken_out_or_made_anew(room: Room) -> None:
    alpha, beta = room.find()
    for wheel in (alpha, beta):
        (wheel.path / "entry.json").chmod(0o644)
        (wheel.path / "entry.json").write_text(json.dumps({"format": 99}))
    assert room.find() == []
    assert fill(room.store, room.source, room.wanted[:1]).added == 1
    late = time.time() + 10 * DAY
    assert {each.sha256 for each in unused(room.store, {alpha.sha256}, late, DAY)} == {beta.sha256}

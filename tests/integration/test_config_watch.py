"""The watcher on real files: everything that editors and tools do to a configuration file."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config.watch import ConfigWatcher

PATIENCE = 60.0
"""Seconds for what takes less than one where the machine has nothing else to do."""
SILENCE = 1.0
"""Seconds in which a save would have been seen."""


class Recorder:
    """A watcher's callback that reads the file, as the engine does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: list[str | None] = []
        self.arrived = threading.Condition()

    def __call__(self) -> None:
        content = self.path.read_text() if self.path.is_file() else None
        with self.arrived:
            self.contents.append(content)
            self.arrived.notify_all()

    def wait_for(self, content: str | None, within: float = PATIENCE) -> None:
        with self.arrived:
            seen = self.arrived.wait_for(lambda: bool(self.contents) and self.contents[-1] == content, within)
        assert seen, f"waited {within} s for {content!r}, saw {self.contents!r}"

    def stays_silent(self, seconds: float = SILENCE) -> bool:
        with self.arrived:
            count = len(self.contents)
            return not self.arrived.wait_for(lambda: len(self.contents) > count, seconds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "envdeck.gcfg"
    path.write_text("first")
    return path


@pytest.fixture
def recorder(path: Path) -> Recorder:
    return Recorder(path)


@pytest.fixture
def watcher(path: Path, recorder: Recorder) -> Iterator[ConfigWatcher]:
    watcher = ConfigWatcher([path.with_name("other.gcfg"), path], recorder)
    watcher.start()
    yield watcher
    watcher.stop()


@pytest.mark.usefixtures("watcher")
class TestAChangeIsSeen:
    def test_written_in_place(self, path: Path, recorder: Recorder) -> None:
        path.write_text("second")
        recorder.wait_for("second")

    def test_written_in_place_with_the_same_length_and_times(self, path: Path, recorder: Recorder) -> None:
        status = path.stat()
        path.write_text("tsrif")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        recorder.wait_for("tsrif")

    def test_appended(self, path: Path, recorder: Recorder) -> None:
        with path.open("a") as file:
            file.write(" and more")
        recorder.wait_for("first and more")

    def test_replaced_by_rename(self, path: Path, recorder: Recorder) -> None:
        new = path.with_suffix(".new")
        new.write_text("second")
        new.replace(path)
        recorder.wait_for("second")

    def test_saved_by_vim(self, path: Path, recorder: Recorder) -> None:
        backup = path.with_name(path.name + "~")
        path.rename(backup)
        path.write_text("second")
        backup.unlink()
        recorder.wait_for("second")

    def test_replaced_over_and_over(self, path: Path, recorder: Recorder) -> None:
        for content in ("second", "third", "fourth"):
            new = path.with_suffix(".new")
            new.write_text(content)
            new.replace(path)
            recorder.wait_for(content)

    def test_removed_and_back(self, path: Path, recorder: Recorder) -> None:
        path.unlink()
        recorder.wait_for(None)
        path.write_text("first")
        recorder.wait_for("first")

    def test_directory_removed_and_back(self, path: Path, recorder: Recorder) -> None:
        shutil.rmtree(path.parent)
        recorder.wait_for(None)
        path.parent.mkdir()
        path.write_text("second")
        recorder.wait_for("second")

    def test_replaced_by_a_pipe(self, path: Path, recorder: Recorder) -> None:
        path.unlink()
        os.mkfifo(path)
        recorder.wait_for(None)

    def test_target_of_a_link_switched(self, path: Path, recorder: Recorder) -> None:
        targets = [path.with_name("a"), path.with_name("b")]
        for target in targets:
            target.write_text(target.name)
            new = path.with_suffix(".new")
            new.symlink_to(target)
            new.replace(path)
            recorder.wait_for(target.name)


def test_a_file_and_directory_that_did_not_exist_are_seen_to_appear(tmp_path: Path) -> None:
    path = tmp_path / "not" / "yet" / "envdeck.gcfg"
    recorder = Recorder(path)
    watcher = ConfigWatcher([path], recorder)
    watcher.start()
    try:
        path.parent.mkdir(parents=True)
        path.write_text("here")
        recorder.wait_for("here")
    finally:
        watcher.stop()


def test_a_change_between_construction_and_start_is_seen(path: Path, recorder: Recorder) -> None:
    watcher = ConfigWatcher([path], recorder)
    path.write_text("second")
    watcher.start()
    try:
        recorder.wait_for("second")
    finally:
        watcher.stop()


@pytest.mark.usefixtures("watcher")
def test_what_does_not_change_the_content_is_no_change(path: Path, recorder: Recorder) -> None:
    path.touch()
    new = path.with_suffix(".new")
    new.write_text("first")
    new.replace(path)
    path.with_name("unrelated.gcfg").write_text("x")
    path.read_text()
    assert recorder.stays_silent()


@pytest.mark.usefixtures("watcher")
def test_a_burst_of_writes_is_one_change(path: Path, recorder: Recorder) -> None:
    started = time.monotonic()
    for number in range(200):
        path.write_text(f"write {number}")
    lasted = time.monotonic() - started
    recorder.wait_for("write 199")
    assert recorder.stays_silent(0.5)
    # One for the burst, and one more for each time that no write came for a while, where the machine is busy.
    assert len(recorder.contents) <= 2 + lasted / 0.15


@pytest.mark.usefixtures("watcher")
def test_endless_writing_cannot_hide_a_change(path: Path, recorder: Recorder) -> None:
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.wait(0.02):
            number += 1
            new = path.with_suffix(".new")
            new.write_text(f"write {number}")
            new.replace(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with recorder.arrived:
            assert recorder.arrived.wait_for(lambda: len(recorder.contents) >= 2, PATIENCE)
    finally:
        ended.set()
        writer.join()
    recorder.wait_for(path.read_text())


def test_stopping_is_final(path: Path, recorder: Recorder) -> None:
    before = set(threading.enumerate())
    watcher = ConfigWatcher([path], recorder)
    watcher.start()
    watcher.stop()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "config-watcher"]
    path.write_text("second")
    assert recorder.stays_silent(0.5)
    watcher.stop()


def test_a_watcher_that_was_never_started_can_be_stopped(path: Path, recorder: Recorder) -> None:
    ConfigWatcher([path], recorder).stop()


def test_the_callback_may_stop_the_watcher(path: Path) -> None:
    called = threading.Event()
    watchers: list[ConfigWatcher] = []

    def stop() -> None:
        watchers[0].stop()
        called.set()

    watchers.append(ConfigWatcher([path], stop))
    watchers[0].start()
    path.write_text("second")
    assert called.wait(PATIENCE)

"""Serving without a front: on schedule, alone, and ended at once by a signal."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine import Problem, Refused, StorageError
from engine.service import Housekeeping, serve, work
from engine.world import World

Wait = Callable[..., None]
ROOT = Path(__file__).parents[2]


@dataclass
class Fake:
    """Something served that only says what was asked of it."""

    data_dir: Path
    reaps: Iterator[object] = field(default_factory=lambda: iter(()))
    rebuilds: Iterator[object] = field(default_factory=lambda: iter(()))
    configurations: Iterator[str] = field(default_factory=lambda: iter(()))
    beginnings: int = 0

    def began(self) -> None:
        self.beginnings += 1

    def configuration(self) -> str:
        return next(self.configurations, "in force")

    def reap_if_due(self, stop: Callable[[], bool]) -> Iterable[str]:
        return self._next(self.reaps)

    def rebuild_missing(self) -> Iterable[str]:
        return self._next(self.rebuilds)

    @staticmethod
    def _next(actions: Iterator[object]) -> Iterable[str]:
        action = next(actions, ())
        if isinstance(action, Exception):
            raise action
        assert isinstance(action, tuple)
        return action


def rounds(number: int) -> Callable[[float], bool]:
    """A wait that takes no time and says it is over after `number` rounds."""
    left = iter(range(number - 1))
    return lambda seconds: seconds > 0 and next(left, None) is None


def test_each_round_does_both_and_logs_a_line_per_action(tmp_path: Path) -> None:
    served = Fake(tmp_path, iter([("reaped a",), (), ("reaped b", "reaped c")]), iter([(), ("rebuilt x",)]))
    lines: list[str] = []
    work(served, rounds(3), lines.append, 5.0)
    assert lines == [f"serve: pid {os.getpid()} serves {tmp_path}", "reaped a", "rebuilt x", "reaped b", "reaped c"]
    assert served.beginnings == 1


def test_a_problem_is_logged_when_it_begins_and_when_it_is_over_and_ends_nothing(tmp_path: Path) -> None:
    full = StorageError(Problem("storage-write", "the disk is full"))
    gone = OSError(2, "No such file or directory")
    served = Fake(tmp_path, iter([full, full, gone, (), full]), iter([(), (), (), ("rebuilt x",)]))
    lines: list[str] = []
    work(served, rounds(6), lines.append, 5.0)
    assert lines[1:] == [
        "reap: the disk is full",
        "reap: [Errno 2] No such file or directory",
        "reap: that is over",
        "rebuilt x",
        "reap: the disk is full",
        "reap: that is over",
    ]


def test_what_becomes_of_a_saved_configuration_is_logged_once(tmp_path: Path) -> None:
    told = ["in force", "in force", "not taken over: x.gcfg:3:1: no", "not taken over: x.gcfg:3:1: no", "in force"]
    lines: list[str] = []
    work(Fake(tmp_path, configurations=iter(told)), rounds(4), lines.append, 5.0)
    assert lines[1:] == ["config: not taken over: x.gcfg:3:1: no", "config: in force"]


def test_a_configuration_with_errors_is_told_with_its_place(server) -> None:
    world = World([server.config], server.environ, read_only=False)
    housekeeping = Housekeeping(world, dict, lambda: ())
    server.configure("VersionMatching = exact")
    world.reload()
    assert housekeeping.configuration() == "in force: Python.VersionMatching: major-minor -> exact"
    server.configure("VersionMatching = newest")
    world.reload()
    assert housekeeping.configuration().startswith(f"not taken over: {server.config}:")


def test_only_one_serves_a_data_directory(tmp_path: Path) -> None:
    refused: list[Refused] = []

    def wait(_seconds: float) -> bool:
        with pytest.raises(Refused) as caught:
            work(Fake(tmp_path), rounds(1), lambda _line: None, 5.0)
        refused.append(caught.value)
        return True

    work(Fake(tmp_path), wait, lambda _line: None, 5.0)
    assert refused[0].problem.code == "already-serving"
    assert refused[0].problem.found.startswith(f"pid {os.getpid()} on ")
    work(Fake(tmp_path), rounds(1), lambda _line: None, 5.0)


def test_another_data_directory_is_served_as_soon_as_it_is_configured(tmp_path: Path) -> None:
    served = Fake(tmp_path / "one", rebuilds=iter([("first",), ("second",)]))
    waits = rounds(2)

    def wait(seconds: float) -> bool:
        served.data_dir = tmp_path / "two"
        return waits(seconds)

    lines: list[str] = []
    work(served, wait, lines.append, 5.0)
    assert [line.rpartition("/")[2] for line in lines] == ["one", "first", "two", "second"]


def test_a_data_directory_that_is_deleted_is_served_again_when_it_is_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    served = Fake(data, rebuilds=iter([("first",), ("again",)]))
    lines: list[str] = []
    events: Iterator[Callable[[], object]] = iter(
        [lambda: shutil.rmtree(data), lambda: None, lambda: None, data.mkdir, lambda: None]
    )

    def wait(seconds: float) -> bool:
        event = next(events, None) if seconds else lambda: None
        if event:
            event()
        return event is None

    work(served, wait, lines.append, 5.0)
    serves = f"serve: pid {os.getpid()} serves {data}"
    gone = f"serve: {data} was deleted, emptied or replaced: nothing is done until it is there again"
    assert lines == [serves, "first", gone, serves, "again"]
    assert served.beginnings == 2


def test_a_data_directory_that_was_replaced_is_locked_anew(tmp_path: Path) -> None:
    data, lines = tmp_path / "data", list[str]()

    def replaced() -> None:
        data.rename(tmp_path / "old")
        data.mkdir()

    events: Iterator[Callable[[], object]] = iter([replaced])

    def wait(seconds: float) -> bool:
        if seconds:
            next(events, lambda: None)()
        if len(lines) < 3:
            return False
        with pytest.raises(Refused, match="another process"):
            work(Fake(data), rounds(1), lambda _line: None, 5.0)
        return True

    work(Fake(data), wait, lines.append, 5.0)
    assert [line.split()[1] for line in lines] == ["pid", str(data), "pid"]


def test_a_data_directory_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("in the way")
    with pytest.raises(StorageError, match="cannot use the lock"):
        work(Fake(tmp_path), rounds(1), lambda _line: None, 5.0)


def test_what_goes_wrong_in_the_work_ends_serving_and_gives_the_signals_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError):
        serve(Fake(tmp_path, iter([ZeroDivisionError()])), output=io.StringIO())
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_ends_it_at_once_and_cleanly(tmp_path: Path) -> None:
    arrived = threading.Event()
    served = Fake(tmp_path)

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            arrived.set()
            return super().write(text)

    def kill() -> None:
        assert arrived.wait(60)
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=kill)
    output = Output()
    killer.start()
    started = time.monotonic()
    assert serve(served, interval=3600.0, output=output) == 0
    assert time.monotonic() - started < 600, "it waited for its next round"
    killer.join()
    lines = output.getvalue().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z serve: ", line) for line in lines)
    assert lines[-1].endswith("serve: ended by SIGTERM")


# With a world


def publish(world: World, letter: str) -> Path:
    key_dir = world.store.key_dir("pip", "3.11.7", "Local", letter * 22)
    path = key_dir / "20260101-000000-abcdef"
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").touch()
    record: dict[str, object] = {"attempt": path.name, "ingredients": {}, "size": 1000, "built_at": 1.0}
    world.store.publish(key_dir, record)
    return path


def test_the_settings_in_force_decide_whether_and_when_it_reaps(server) -> None:
    world = World([server.config], server.environ, read_only=False)
    paths = [publish(world, letter) for letter in "AB"]
    now = [time.time()]
    housekeeping = Housekeeping(world, lambda: {"B" * 22: ("sales",)}, lambda: (), clock=lambda: now[0])

    def lines() -> list[str]:
        return list(housekeeping.reap_if_due(lambda: False))

    assert lines() == [], "reaping is off unless it is configured"
    server.configure("[Applications]", "PythonEnvironmentReaping = true", "PythonEnvironmentReapFrequency = 1h")
    world.reload()
    assert [line for line in lines() if "cannot be seen into" not in line] == [
        f"reap: removed environment {'A' * 22}, 1000 bytes",
        "reap: 1 removed, 1000 bytes, 1 kept, 0 failed",
    ]
    assert [path.exists() for path in paths] == [False, True]
    publish(world, "C")
    assert lines() == []
    now[0] = time.time() + 3601
    assert any("removed environment CCC" in line for line in lines())


def test_a_read_only_world_is_not_changed(server) -> None:
    server.configure("[Applications]", "PythonEnvironmentReaping = true")
    path = publish(World([server.config], server.environ, read_only=False), "A")
    world = World([server.config], server.environ, read_only=True)
    housekeeping = Housekeeping(world, dict, lambda: pytest.fail("nothing may be rebuilt"))
    with pytest.raises(Refused, match="--read-only"):
        list(housekeeping.reap_if_due(lambda: False))
    with pytest.raises(Refused, match="--read-only"):
        housekeeping.rebuild_missing()
    assert path.exists()


SERVE = """
import sys
from pathlib import Path
from engine import Refused
from engine.service import Housekeeping, serve
from engine.world import World
world = World([Path(sys.argv[1])], {"HOME": "/nonexistent"}, read_only=False)
try:
    sys.exit(serve(Housekeeping(world, dict, lambda: ()), interval=0.05))
except Refused as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_serves_reaps_by_itself_and_ends_with_zero(server, number: signal.Signals) -> None:
    server.configure("[Applications]", "PythonEnvironmentReaping = true")
    path = publish(World([server.config], server.environ, read_only=False), "A")
    argv = [sys.executable, "-c", SERVE, server.config]
    process = subprocess.Popen(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        lines = iter(process.stderr)
        assert any("reap: 1 removed" in line for line in lines)
        assert not path.exists()
        second = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert second.returncode == 1
        assert f"another process serves this data directory (found pid {process.pid} on " in second.stderr
        process.send_signal(number)
        assert list(lines)[-1].endswith(f"serve: ended by {number.name}\n")
        assert process.wait(timeout=300) == 0
    finally:
        process.kill()
        process.communicate()

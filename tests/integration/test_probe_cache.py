"""The inventory over programs that count how often they are run, and over the real interpreters of this machine."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

from engine.config.model import Executable
from engine.installations import inventory, probe
from engine.installations.discovery import discover
from engine.installations.inventory import probe_all
from engine.installations.model import Installation, InterpreterFacts, ProbeFailure, Usability

BASE = Path(sys.executable).resolve()


@dataclass(frozen=True)
class Counted:
    """An interpreter made of a program that gives a ready answer and notes each run."""

    root: Path

    @property
    def executable(self) -> Path:
        return self.root / "bin/python3"

    @property
    def runs(self) -> int:
        return len((self.root / "runs").read_text()) if (self.root / "runs").exists() else 0

    @property
    def purelib(self) -> Path:
        return self.root / "lib/site-packages"

    @property
    def stdlib(self) -> Path:
        return self.root / "lib/library"

    def write(self, **changes: object) -> None:
        report = {
            "version": "3.11.7",
            "implementation": "CPython",
            "executable": str(self.executable),
            "real_executable": str(self.executable),
            "prefix": str(self.root),
            "base_prefix": str(self.root),
            "soabi": "cpython-311",
            "platform": "linux-x86_64",
            "machine": "x86_64",
            "pointer_bits": 64,
            "libc": "glibc 2.36",
            "pip": "23.2.1",
            "purelib": str(self.purelib),
            "sys_path": [str(self.root / "lib/python311.zip"), str(self.stdlib), str(self.purelib)],
            "missing": {},
            "externally_managed": False,
            "debug": False,
            "free_threaded": False,
            "virtualenv": None,
            **changes,
        }
        self.executable.write_text(
            f"#!{sys.executable}\nimport sys\nopen({str(self.root / 'runs')!r}, 'a').write('.')\n"
            f"start, end = sys.argv[-2:]\nprint(start[::-1] + {json.dumps(report)!r} + end[::-1])\n"
        )
        self.executable.chmod(0o755)


def counted(root: Path) -> Counted:
    interpreter = Counted(root.resolve())
    for directory in (interpreter.executable.parent, interpreter.purelib, interpreter.stdlib):
        directory.mkdir(parents=True)
    interpreter.write()
    return interpreter


@pytest.fixture
def interpreter(tmp_path: Path) -> Counted:
    return counted(tmp_path / "python")


@pytest.fixture
def cache_path(tmp_path: Path) -> Path:
    return tmp_path / "probes.json"


def inventory_of(*paths: Path | str, cache_path: Path | None = None, force: bool = False) -> tuple[Installation, ...]:
    entries = [Executable(str(path), f"test.gcfg:{n}") for n, path in enumerate(paths, 1)]
    return probe_all(entries, minimum_version=Version("3.8"), timeout=30, cache_path=cache_path, force=force)


def test_an_unchanged_interpreter_is_recalled_without_running_it(interpreter: Counted, cache_path: Path) -> None:
    (first,) = inventory_of(interpreter.root, cache_path=cache_path)
    (second,) = inventory_of(interpreter.root, cache_path=cache_path)
    assert interpreter.runs == 1
    assert first.seconds > 0
    assert second.seconds == 0
    assert second.facts == first.facts
    assert second.checks == first.checks


def test_without_a_cache_every_look_is_a_run(interpreter: Counted) -> None:
    inventory_of(interpreter.root)
    inventory_of(interpreter.root)
    assert interpreter.runs == 2


def test_force_runs_it_again_and_keeps_the_new_answer(interpreter: Counted, cache_path: Path) -> None:
    inventory_of(interpreter.root, cache_path=cache_path)
    inventory_of(interpreter.root, cache_path=cache_path, force=True)
    inventory_of(interpreter.root, cache_path=cache_path)
    assert interpreter.runs == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda interpreter: interpreter.write(version="3.11.8"),
        lambda interpreter: interpreter.executable.chmod(0o700),
        lambda interpreter: (interpreter.purelib / "pip-23.2.1.dist-info").mkdir(),
        lambda interpreter: (interpreter.stdlib / "ensurepip").mkdir(),
        lambda interpreter: (interpreter.root / "lib/python311.zip").touch(),
        lambda interpreter: interpreter.stdlib.rmdir(),
    ],
    ids=["rewritten", "mode", "site-packages", "library", "appeared", "vanished"],
)
def test_a_change_of_what_the_answer_depends_on_is_seen(
    change: Callable[[Counted], object], interpreter: Counted, cache_path: Path
) -> None:
    inventory_of(interpreter.root, cache_path=cache_path)
    # Times on disk are coarse: a change in the same tick would not show.
    for path in (interpreter.purelib, interpreter.stdlib):
        os.utime(path, ns=(1, 1))
    inventory_of(interpreter.root, cache_path=cache_path)
    assert interpreter.runs == 2
    change(interpreter)
    inventory_of(interpreter.root, cache_path=cache_path)
    assert interpreter.runs == 3


def test_a_link_that_leads_elsewhere_now_is_seen(tmp_path: Path, cache_path: Path) -> None:
    old, new = counted(tmp_path / "old"), counted(tmp_path / "new")
    new.write(version="3.12.1")
    link = tmp_path / "python"
    link.symlink_to(old.root)
    inventory_of(link, cache_path=cache_path)
    link.unlink()
    link.symlink_to(new.root)
    (installation,) = inventory_of(link, cache_path=cache_path)
    assert str(installation.version) == "3.12.1"


def test_a_failure_is_never_recalled(interpreter: Counted, cache_path: Path) -> None:
    interpreter.write(pointer_bits="many")
    for _ in range(2):
        (installation,) = inventory_of(interpreter.root, cache_path=cache_path)
        assert installation.decisive
        assert installation.decisive.code == "garbage"
    assert interpreter.runs == 2
    assert not cache_path.exists()


def test_a_program_that_starts_another_interpreter_is_never_recalled(interpreter: Counted, cache_path: Path) -> None:
    interpreter.write(real_executable="/elsewhere/bin/python3.11")
    for _ in range(2):
        (installation,) = inventory_of(interpreter.root, cache_path=cache_path)
        assert installation.decisive
        assert installation.decisive.code == "shim"
    assert interpreter.runs == 2


def damaged_record(field: str, value: object) -> Callable[[str], str]:
    def damage(text: str) -> str:
        content = json.loads(text)
        for record in content["probes"].values():
            record[field] = value
        return json.dumps(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\0" * len(text),
        lambda text: "[]",
        lambda text: "[" * 100_000,
        lambda text: '{"probes": 3}',
        lambda text: json.dumps({**json.loads(text), "probes": []}),
        lambda text: json.dumps({**json.loads(text), "probes": dict.fromkeys(json.loads(text)["probes"], 1)}),
        lambda text: json.dumps({**json.loads(text), "made_by": {"script": "another"}}),
        damaged_record("facts", {}),
        damaged_record("facts", None),
        damaged_record("file", None),
        damaged_record("directories", [1]),
    ],
)
def test_a_damaged_or_outdated_cache_is_an_empty_one_and_replaced(
    damage: Callable[[str], str], interpreter: Counted, cache_path: Path
) -> None:
    inventory_of(interpreter.root, cache_path=cache_path)
    good = cache_path.read_text()
    cache_path.write_text(damage(good))
    (installation,) = inventory_of(interpreter.root, cache_path=cache_path)
    assert installation.usability is Usability.USABLE
    assert interpreter.runs == 2
    assert cache_path.read_text() == good


def test_entries_that_are_not_asked_for_any_more_leave_the_cache(tmp_path: Path, cache_path: Path) -> None:
    a, b = counted(tmp_path / "a"), counted(tmp_path / "b")
    inventory_of(a.root, b.root, cache_path=cache_path)
    inventory_of(b.root, cache_path=cache_path)
    assert str(a.root) not in cache_path.read_text()
    inventory_of(a.root, b.root, cache_path=cache_path)
    assert (a.runs, b.runs) == (2, 1)


def test_a_cache_with_nothing_new_is_not_written_again(interpreter: Counted, cache_path: Path) -> None:
    inventory_of(interpreter.root, cache_path=cache_path)
    before = cache_path.stat().st_ino
    cache_path.parent.joinpath("keep").hardlink_to(cache_path)  # so that the number cannot be given again
    inventory_of(interpreter.root, cache_path=cache_path)
    assert cache_path.stat().st_ino == before


def test_a_cache_that_cannot_be_written_does_not_hide_what_was_found(interpreter: Counted, tmp_path: Path) -> None:
    (installation,) = inventory_of(interpreter.root, cache_path=tmp_path / "absent/probes.json")
    assert installation.usability is Usability.USABLE


def test_entries_keep_their_order_and_repeated_ones_are_marked(tmp_path: Path, cache_path: Path) -> None:
    a, b = counted(tmp_path / "a"), counted(tmp_path / "b")
    link = tmp_path / "link"
    link.symlink_to(a.root)
    paths = [b.root, tmp_path / "absent", link, a.executable, b.root]
    for _ in range(2):
        found = inventory_of(*paths, cache_path=cache_path)
        assert [i.declared for i in found] == [str(path) for path in paths]
        assert [i.origin for i in found] == [f"test.gcfg:{n}" for n in range(1, 6)]
        assert [i.decisive.code if i.decisive else "" for i in found] == ["", "missing", "", "duplicate", "duplicate"]
        assert found[2].executable == str(link / "bin/python3")
    assert (a.runs, b.runs) == (2, 2), "once for each path, at the same time"


def test_no_entries_are_no_installations(cache_path: Path) -> None:
    assert inventory_of(cache_path=cache_path) == ()


def test_entries_are_probed_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    everyone_is_here = threading.Barrier(8, timeout=120)

    def meets_the_others(executable: Path, timeout: float) -> ProbeFailure:
        everyone_is_here.wait()
        return ProbeFailure("missing")

    monkeypatch.setattr(probe, "run_probe", meets_the_others)
    assert len(inventory_of(*(f"/absent/{n}" for n in range(8)))) == 8


def test_a_file_system_that_does_not_answer_holds_up_neither_the_others_nor_the_end(
    interpreter: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands in for a dead network file system, where a look at a file does not return.
    released = threading.Event()
    really = probe.run_probe

    def hangs_on_dead(executable: Path, timeout: float) -> InterpreterFacts | ProbeFailure:
        if "dead" in str(executable):
            released.wait()
        return really(executable, timeout)

    monkeypatch.setattr(probe, "run_probe", hangs_on_dead)
    # Once the other one has answered, all the time has passed that it may take.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 1000 * bool(interpreter.runs))
    monkeypatch.setattr(inventory, "time", clock)
    try:
        alive, dead = inventory_of(interpreter.root, "/dead/python")
        assert dead.decisive
        assert dead.decisive.code == "timeout"
        assert "file system" in dead.decisive.finding
        assert alive.usability is Usability.USABLE
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "probe")
    finally:
        released.set()
        for thread in threading.enumerate():
            if thread.name == "probe":
                thread.join(20)


def test_a_fault_of_our_own_is_not_taken_for_one_of_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(executable: Path, timeout: float) -> ProbeFailure:
        raise ZeroDivisionError

    monkeypatch.setattr(probe, "run_probe", breaks)
    with pytest.raises(ZeroDivisionError):
        inventory_of("/absent")


@pytest.mark.interpreters
def test_the_real_interpreters_of_this_machine_are_recalled_as_they_were_found(cache_path: Path) -> None:
    paths = discover(os.environ)
    if not paths:
        pytest.skip("no interpreter here but the one that runs the tests")
    first = inventory_of(*paths, cache_path=cache_path)
    second = inventory_of(*paths, cache_path=cache_path)
    assert [i.facts for i in second] == [i.facts for i in first]
    assert [i.checks for i in second] == [i.checks for i in first]
    assert {i.seconds for i in second if i.facts} == {0.0}


def test_the_interpreter_behind_this_environment_is_recalled_too(cache_path: Path) -> None:
    inventory_of(BASE, cache_path=cache_path)
    (installation,) = inventory_of(BASE, cache_path=cache_path)
    assert installation.facts
    assert installation.seconds == 0

"""Filling the wheel store from an index by real pip: only what the index serves comes in, and whole."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import stat
import sys
import threading
from pathlib import Path

import pytest
import wheel_maker as wheels
from wheel_room import INDEX, Room, snapshot

from engine.environments.locks import acquire
from engine.environments.tree import digest
from engine.wheels.entries import read_digests
from engine.wheels.fetching import Source, pip_environment
from engine.wheels.filling import fill
from engine.wheels.model import Pin, Wanted
from engine.wheels.store import FILLING, WheelStore


def test_what_the_index_serves_comes_in_and_is_known_by_pin_and_digest(filled: Room) -> None:
    for wanted in filled.wanted:
        stored = filled.store.find(wanted.sha256, wheels.TAG)
        assert stored is not None
        assert stored.pin == wanted.pin
        assert filled.store.known(INDEX, wanted.pin) == (wanted.sha256,)
        assert filled.store.known("2" * 32, wanted.pin) == ()
        assert filled.store.find(wanted.sha256, "cpython-399-x86_64-linux-gnu") is None
    assert sorted(filled.store.stored()) == sorted((each.sha256, wheels.TAG) for each in filled.wanted)
    assert filled.store.find("../../etc", wheels.TAG) is None


def test_nothing_in_the_store_can_be_written_and_nothing_else_is_left(filled: Room) -> None:
    for path in filled.store.root.rglob("*"):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            assert not mode & 0o022, path
        elif wheels.TAG in path.parts:
            assert not mode & 0o222, path
    assert not list(filled.store.root.glob(".*"))


def test_every_file_is_what_the_records_of_the_store_say(filled: Room) -> None:
    for wheel in filled.find():
        rows = list(read_digests(wheel.path, wheel.entry))
        assert len(rows) == wheel.files
        assert sum(size for *_, size in rows) == wheel.size
        for directory, name, found, size in rows:
            path = wheel.path / directory.source / name
            assert digest(path) == {"sha256": f"sha256={found}"}
            assert path.stat().st_size == size


def test_what_is_stored_already_is_not_fetched_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.wheels.filling.fetch", lambda *_: pytest.fail("it was fetched"))
    result = fill(room.store, room.source, room.wanted)
    assert (len(result.stored), result.added, result.refused) == (2, 0, {})


def test_another_index_has_to_serve_it_too(room: Room, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    other = wheels.source(tmp_path / "empty", "2" * 32)
    result = fill(room.store, other, room.wanted[:1])
    assert list(result.refused) == room.wanted[:1]
    assert room.store.known("2" * 32, room.wanted[0].pin) == ()


def test_only_what_the_index_serves_under_that_name_version_and_digest_comes_in(room: Room) -> None:
    """What a build reports is no more than a wish: it may have been written by a build script."""
    gamma, delta = (wheels.make(room.packages, name) for name in ("gamma", "delta"))
    right = wheels.wanted(gamma)
    false = [
        Wanted(Pin.of("gamma", "1.0"), wheels.wanted(delta).sha256),
        Wanted(Pin.of("gamma", "9.9"), right.sha256),
        Wanted(Pin.of("absent", "1.0"), "e" * 64),
    ]
    before = snapshot(room.store)
    result = fill(room.store, room.source, [*false, right])
    assert set(result.refused) == set(false)
    assert all(result.refused.values())
    assert [wheel.sha256 for wheel in result.stored] == [right.sha256]
    assert {path.partition("/")[0] for path in snapshot(room.store).keys() - before.keys()} == {right.sha256, "pins"}
    assert room.store.known(INDEX, Pin.of("gamma", "1.0")) == (right.sha256,)


@pytest.mark.parametrize(
    ("name", "version", "sha256"),
    [
        ("x\n--index-url=https://evil.example/simple\nalpha", "1.0", "0" * 64),
        ("evil @ file:///tmp/evil #", "1.0", "0" * 64),
        ("-e /tmp/evil #", "1.0", "0" * 64),
        ("--find-links=/tmp/evil", "1.0", "0" * 64),
        ("../../../alpha", "1.0", "0" * 64),
        ("alpha", "1.0 @ file:///tmp/evil", "0" * 64),
        ("alpha", "1.0\n-e /tmp/evil", "0" * 64),
        ("alpha", "1.0;python_version>'3'", "0" * 64),
        ("alpha", "1.0,!=2", "0" * 64),
        ("alpha", "1.*", "0" * 64),
        ("alpha", "1.0", "0" * 64 + "\n-e /tmp/evil"),
        ("alpha", "1.0", "${HOME}"),
        ("", "", ""),
    ],
)
def test_a_wish_that_pip_could_read_something_else_into_never_reaches_it(
    room: Room, monkeypatch: pytest.MonkeyPatch, name: str, version: str, sha256: str
) -> None:
    monkeypatch.setattr("engine.wheels.filling.fetch", lambda *_: pytest.fail("pip was asked"))
    wish = Wanted(Pin.of(name, version), sha256)
    result = fill(room.store, room.source, [wish])
    assert list(result.refused) == [wish]


def test_a_wheel_that_is_not_what_it_says_is_refused_once_and_remembered(room: Room) -> None:
    good = wheels.make(room.packages, "gamma")
    bad = wheels.make(room.packages, "delta", record="delta.py,sha256=AAAA,1\n")
    wish = wheels.wanted(bad)
    result = fill(room.store, room.source, [wish, wheels.wanted(good)])
    assert [wheel.pin.name for wheel in result.stored] == ["gamma"]
    assert list(result.refused) == [wish]
    bad.unlink()  # were it fetched again, pip would say that there is none
    assert fill(room.store, room.source, [wish]).refused == result.refused
    assert room.store.known(INDEX, wish.pin) == ()


def test_source_distributions_never_come_in_and_nothing_of_them_runs(room: Room, make_source, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    path = make_source(room.packages, "sourced", f"open({str(proof)!r}, 'w').close()")
    wanted = Wanted(Pin.of("sourced", "1.0"), hashlib.sha256(path.read_bytes()).hexdigest())
    assert list(fill(room.store, room.source, [wanted]).refused) == [wanted]
    assert not proof.exists()


def test_two_who_fill_at_once_take_turns(room: Room) -> None:
    more = [wheels.wanted(wheels.make(room.packages, f"more{n}")) for n in range(3)]
    results = []
    threads = [threading.Thread(target=lambda: results.append(fill(room.store, room.source, more))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(result.added for result in results) == [0, 3]
    assert all(len(result.stored) == 3 for result in results)


def test_who_does_not_want_to_wait_gives_up(room: Room) -> None:
    with acquire(room.store.fill_lock, lambda: True) as held:
        assert held
        result = fill(room.store, room.source, room.wanted, give_up=lambda: True)
    assert set(result.refused) == set(room.wanted)


def test_a_compiler_that_cannot_be_run_keeps_a_wheel_out_for_now_only(room: Room, tmp_path: Path) -> None:
    wheel = wheels.make(room.packages, "gamma")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncase "$*" in *compile_script*) exit 139;; esac\nexec {wheels.PYTHON} "$@"\n')
    python.chmod(0o755)
    broken = Source(python, wheels.TAG, wheels.pip_version(), INDEX, room.source.options)
    assert list(fill(room.store, broken, [wheels.wanted(wheel)]).refused) == [wheels.wanted(wheel)]
    assert fill(room.store, room.source, [wheels.wanted(wheel)]).added == 1


def test_pip_gets_indexes_and_no_other_configuration(tmp_path: Path) -> None:
    options = {"index-url": "https://a:b@pypi.example/simple", "extra-index-url": "https://one\nhttps://two"}
    forbidden = {"target": "/", "python": "/evil", "constraint": "c.txt", "no-binary": ":all:", "cache-dir": "/x"}
    env = {"https_proxy": "http://proxy", "PIP_TARGET": "/", "PYTHONPATH": "/evil"}
    source = Source(wheels.PYTHON, wheels.TAG, "26.0", INDEX, options | forbidden, env)
    assert "a:b" not in repr(source)
    found = pip_environment(source, tmp_path)
    assert found == {
        "https_proxy": "http://proxy",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_KEYRING_PROVIDER": "disabled",
        "PIP_INDEX_URL": "https://a:b@pypi.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://one https://two",
    }


# Killed


def fill_until(at: int, store: WheelStore, source: Source, wanted: list[Wanted]) -> None:
    """Fill, and be killed at step number `at`."""
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in ("open", "os.mkdir", "os.rename", "os.chmod", "subprocess.Popen", "os.listdir", "os.scandir"):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    fill(store, source, wanted)
    (store.data_dir / "steps").write_text(str(seen))


def test_a_fill_that_is_killed_at_any_step_leaves_whole_wheels_or_none(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = dict(zip(filled.wanted, (filled.alpha, filled.beta), strict=True))
    # Without pip, which is killed as anything is and whose time would be most of the test's.
    monkeypatch.setattr("engine.wheels.filling.fetch", lambda *_: (files, {}))
    monkeypatch.setattr("engine.wheels.filling.learn", lambda *_: None)

    def run(data: Path, at: int) -> int | None:
        arguments = (at, WheelStore(data), filled.source, filled.wanted)
        process = multiprocessing.get_context("fork").Process(target=fill_until, args=arguments)
        process.start()
        process.join(120)
        return process.exitcode

    assert run(tmp_path / "whole", 0) == 0
    steps = int((tmp_path / "whole" / "steps").read_text())
    assert steps > 50
    for at in sorted({steps * n // 6 for n in range(1, 6)} | {steps - 1, steps - 5, steps - 9}):
        store = WheelStore(tmp_path / f"at{at}")
        assert run(store.data_dir, at) == -signal.SIGKILL
        for sha256, tag in store.stored():
            wheel = store.find(sha256, tag)
            assert wheel is not None, f"half a wheel is visible after {at} steps"
            for directory, name, found, _ in read_digests(wheel.path, wheel.entry):
                assert digest(wheel.path / directory.source / name)["sha256"] == f"sha256={found}"
        assert len(fill(store, filled.source, filled.wanted).stored) == 2
        assert all(store.known(INDEX, wanted.pin) for wanted in filled.wanted)
        assert not list(store.root.glob(f"{FILLING}*")), "what the killed one left is still there"

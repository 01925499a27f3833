"""The wheel store: filled from an index by real pip, linked into environments, equal to what stock pip makes."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import wheel_maker as wheels
from environment_tree import contents

from engine.environments import records
from engine.environments.locks import acquire
from engine.environments.seal import SEAL, Vouched, write_seal
from engine.environments.tree import EntryKind, digest, walk
from engine.executors.accounts import Account
from engine.files import StorageError
from engine.wheels import linking
from engine.wheels.agreement import agreeing
from engine.wheels.entries import read_digests
from engine.wheels.fetching import Source, pip_environment
from engine.wheels.filling import fill
from engine.wheels.linking import link
from engine.wheels.model import Pin, StoredWheel, Wanted
from engine.wheels.reclaiming import reclaim, unused
from engine.wheels.store import FILLING, WheelStore
from engine.wheels.vouching import vouched

INDEX = "1" * 32


class Room:
    """A store with what was wanted of an index in it."""

    def __init__(self, root: Path) -> None:
        self.packages = root / "packages"
        self.alpha = wheels.make(self.packages, "alpha", "1.0", wheels.ALPHA, modes=wheels.EXECUTABLES)
        self.beta = wheels.make(self.packages, "beta", "2.0", wheels.BETA, "alpha>=1")
        self.store = WheelStore(root / "data")
        self.source = wheels.source(self.packages, INDEX)
        self.wanted = [wheels.wanted(self.alpha), wheels.wanted(self.beta)]

    def find(self, *names: str) -> list[StoredWheel]:
        found = [
            self.store.find(each.sha256, wheels.TAG) for each in self.wanted if each.pin.name in names or not names
        ]
        return [wheel for wheel in found if wheel is not None]

    def link(
        self, env: Path, *names: str, requested: Sequence[str] = (), owner: Account | None = None
    ) -> linking.Linked:
        env.mkdir(parents=True, exist_ok=True)
        found = self.find(*names)
        pins = [wheel.pin.name for wheel in found if wheel.pin.name in requested]
        return link(self.store, found, env, pip_version=wheels.pip_version(), requested=pins, owner=owner)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Room:
    """A store for tests that only read it."""
    room = Room(tmp_path_factory.mktemp("store"))
    result = fill(room.store, room.source, room.wanted)
    assert (result.added, result.refused) == (2, {})
    return room


@pytest.fixture
def room(filled: Room, tmp_path: Path) -> Room:
    """A store for tests that change it."""
    room = Room(tmp_path / "room")
    shutil.copytree(filled.store.data_dir, room.store.data_dir)
    room.wanted = filled.wanted
    shutil.rmtree(room.packages)
    shutil.copytree(filled.packages, room.packages)
    return room


def site(env: Path) -> Path:
    return env / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"


def pip(env: Path, *arguments: str) -> str:
    argv = [wheels.PYTHON, "-I", "-m", "pip", "--python", env / "bin" / "python", "--disable-pip-version-check"]
    variables = {"PIP_CONFIG_FILE": os.devnull, "HOME": str(env)}
    return subprocess.run([*argv, *arguments], capture_output=True, text=True, check=True, env=variables).stdout


def venv(env: Path) -> None:
    subprocess.run([wheels.PYTHON, "-I", "-m", "venv", "--without-pip", env], check=True)


def snapshot(store: WheelStore) -> dict[str, object]:
    """All that is in the store, without the times when files were linked."""
    return {
        str(path.relative_to(store.root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode), path.stat().st_uid)
        for path in store.root.rglob("*")
        if path.is_file()
    }


# Filling


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


# Linking


def test_an_environment_of_linked_wheels_is_that_of_stock_pip_file_by_file(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    venv(env)
    pip(env, "install", "--no-index", "--find-links", str(filled.packages), "beta", "alpha")
    stock = contents(env, wheels.PYTHON)
    env.rename(tmp_path / "stock")
    # Linked first and the venv made around it, as a build does.
    filled.link(env, requested=("alpha", "beta"))
    venv(env)
    linked = contents(env, wheels.PYTHON)
    assert linked.keys() == stock.keys()
    assert {path: linked[path] for path in linked} == stock
    ran = subprocess.run([env / "bin" / "alpha-run.py"], capture_output=True, text=True, check=True)
    assert ran.stdout == "[0, 1, 2]\n"


def test_pip_finds_what_is_linked_satisfied_and_can_take_it_out(room: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    venv(env)
    bare = contents(env, wheels.PYTHON)
    room.link(env)
    before = snapshot(room.store)
    said = pip(env, "install", "--no-index", "--find-links", str(room.packages), "beta==2.0")
    assert "Would" not in said
    assert "Installing" not in said
    assert said.count("Requirement already satisfied") == 2
    assert pip(env, "freeze").split() == ["alpha==1.0", "beta==2.0"]
    pip(env, "uninstall", "--yes", "beta", "alpha")
    assert contents(env, wheels.PYTHON) == bare
    assert snapshot(room.store) == before


@pytest.mark.slow
def test_pip_replaces_linked_files_and_does_not_write_through_them(room: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    venv(env)
    room.link(env)
    before = snapshot(room.store)
    wheels.make(
        room.packages,
        "alpha",
        "2.0",
        {path.replace("1.0", "2.0"): "new = 1\n" for path in wheels.ALPHA if "dist-info" not in path},
    )
    pip(env, "install", "--no-index", "--find-links", str(room.packages), "--upgrade", "alpha")
    pip(env, "install", "--no-index", "--find-links", str(room.packages), "--force-reinstall", "--no-deps", "beta")
    assert snapshot(room.store) == before


def test_files_are_shared_and_what_differs_is_not(filled: Room, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    result = filled.link(one)
    filled.link(other, requested=("alpha",))
    shared = site(one) / "alpha" / "part.py"
    assert shared.stat().st_ino == (site(other) / "alpha" / "part.py").stat().st_ino
    info = "alpha-1.0.dist-info"
    assert not (site(one) / info / "REQUESTED").exists()
    assert (site(other) / info / "REQUESTED").exists()
    for name in (f"{info}/RECORD", f"{info}/INSTALLER"):
        assert (site(one) / name).stat().st_nlink == 1
    assert str(other) in (other / "bin" / "alpha-cmd").read_text()
    files = [path for path in one.rglob("*") if path.is_file()]
    assert result.files == len(files), "a file that both wheels have was counted twice"
    assert result.own == sum(path.stat().st_size for path in files if path.stat().st_nlink == 1)
    assert result.shared == sum(path.stat().st_size for path in files if path.stat().st_nlink > 1)
    assert result.copied == 0


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_no_links_are_possible_files_are_copied(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    filled.link(tmp_path / "linked")
    env = tmp_path / "linked"
    linked = contents(env, wheels.PYTHON)
    env.rename(tmp_path / "aside")
    tries = []

    def refuse(*_: object, **__: object) -> None:
        tries.append(1)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    result = filled.link(env)
    assert contents(env, wheels.PYTHON) == linked
    assert result.copied == sum(wheel.files for wheel in filled.find()) - 2
    assert result.shared == 0
    assert (len(tries) == 1) == (code != errno.EMLINK), "only for one that has too many links the next is worth a try"
    assert all(path.stat().st_nlink == 1 for path in env.rglob("*") if path.is_file())


def test_an_environment_on_another_file_system_gets_copies(filled: Room) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == filled.store.root.stat().st_dev:
        pytest.skip("this machine has no second file system that can be written")
    env = Path(tempfile.mkdtemp(prefix="envdeck-wheels-", dir=other))
    try:
        result = filled.link(env)
        assert result.copied
        assert vouched(result, env) == Vouched()
        venv(env)
        ran = subprocess.run(
            [env / "bin" / "python", "-v", "-c", "import beta"], capture_output=True, text=True, check=True
        )
        assert "matches" in ran.stderr, "bytecode was made again: the time of its source is not what it was"
        assert not [line for line in ran.stderr.splitlines() if "wrote" in line and "site-packages" in line]
    finally:
        shutil.rmtree(env)


def test_linking_never_replaces_a_file_that_was_there(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    for name in ("lib/python3.11/site-packages/beta.py", "bin/alpha-cmd"):
        path = env / name.replace("3.11", f"3.{sys.version_info.minor}")
        path.parent.mkdir(parents=True)
        path.write_text("mine")
        with pytest.raises(StorageError, match=path.name):
            filled.link(env)
        assert path.read_text() == "mine"
        shutil.rmtree(env)


@pytest.mark.parametrize("place", ["share", "bin", "lib/python/site-packages", "lib"])
def test_linking_does_not_follow_links_out_of_an_environment(filled: Room, tmp_path: Path, place: str) -> None:
    env, elsewhere = tmp_path / "env", tmp_path / "elsewhere"
    elsewhere.mkdir()
    link_at = site(env) if place.endswith("site-packages") else env / place
    link_at.parent.mkdir(parents=True)
    link_at.symlink_to(elsewhere)
    with pytest.raises(StorageError):
        filled.link(env)
    assert not list(elsewhere.iterdir())


def test_a_wheel_that_goes_away_meanwhile_fails_the_linking_in_words(room: Room, tmp_path: Path) -> None:
    found = room.find()
    shutil.rmtree(found[1].path)
    (tmp_path / "env").mkdir()
    with pytest.raises(StorageError):
        link(room.store, found, tmp_path / "env", pip_version="26.0")


def test_a_pip_of_which_nothing_was_learned_gets_commands_that_work(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env with a space"
    venv(env)
    link(filled.store, filled.find(), env, pip_version="99.9/../x")
    ran = subprocess.run([env / "bin" / "alpha-cmd"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "[0, 1, 2]\n")


# In several threads


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "_FILES_PER_WORKER", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def linking_as(monkeypatch: pytest.MonkeyPatch, room: Room, act: Callable[[str, str, str], None]) -> None:
    """Have `act` called before each link with the package, the directory in its entry, and the name; it may raise."""
    real, names = os.link, {str(wheel.path): wheel.pin.name for wheel in room.find()}

    def linked(name: str, target: str, **places: int) -> None:
        source = str(Path(f"/proc/self/fd/{places['src_dir_fd']}").readlink())
        path = next(path for path in names if source.startswith(path))
        act(names[path], source[len(path) + 1 :], name)
        real(name, target, **places)

    monkeypatch.setattr(os, "link", linked)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("first", ["alpha", "beta"])
def test_two_threads_link_what_one_does_whichever_is_the_first(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    env = tmp_path / "env"
    with monkeypatch.context() as alone:
        alone.setattr(linking, "_FILES_PER_WORKER", 10_000)
        by_one = filled.link(env)
    expected = contents(env, wheels.PYTHON)
    env.rename(tmp_path / "by-one")
    both, begun, done = threading.Barrier(2), set(), threading.Event()

    def act(package: str, directory: str, name: str) -> None:
        if package not in begun:
            begun.add(package)
            both.wait(120)  # for ever, if one thread linked both
        if directory.endswith("/shared") and name == "__init__.py":
            # The file that both have, and when the other has gone on to its next one, this one is there.
            assert package == first or done.wait(120)
        elif package == first and (site(env) / "shared" / "__init__.py").exists():
            done.set()

    linking_as(monkeypatch, filled, act)
    result = filled.link(env)
    assert contents(env, wheels.PYTHON) == expected
    assert (result.files, result.shared, result.own) == (by_one.files, by_one.shared, by_one.own)
    shared = site(env) / "shared" / "__init__.py"
    (wheel,) = filled.find(first)
    assert shared.samefile(wheel.path / "site" / "shared" / "__init__.py")
    known = vouched(result, env)
    tree = walk(env, known.files)
    assert all(tree[path].digest for path in known.files), "a file of the store is not known again"


@pytest.mark.usefixtures("two_threads")
def test_what_one_thread_cannot_link_it_copies_and_the_other_links_on(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(package: str, _directory: str, _name: str) -> None:
        if package == "beta":
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))

    linking_as(monkeypatch, filled, act)
    env = tmp_path / "env"
    result = filled.link(env)
    assert (site(env) / "beta.py").stat().st_nlink == 1
    assert (site(env) / "alpha" / "part.py").stat().st_nlink > 1
    files = [path for path in env.rglob("*") if path.is_file()]
    assert result.files == len(files)
    assert result.own == sum(path.stat().st_size for path in files if path.stat().st_nlink == 1)
    assert result.shared == sum(path.stat().st_size for path in files if path.stat().st_nlink > 1)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("package", ["alpha", "beta"])
def test_what_fails_in_one_thread_fails_the_linking_in_words(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    def act(of: str, _directory: str, _name: str) -> None:
        if of == package:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    linking_as(monkeypatch, filled, act)
    with pytest.raises(StorageError, match="No space left") as caught:
        filled.link(tmp_path / "env")
    assert "df -h" in caught.value.problem.hint


@pytest.mark.usefixtures("two_threads")
def test_with_two_threads_too_nothing_is_replaced_that_was_there(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    mine = site(env) / "shared" / "__init__.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(StorageError, match=mine.name):
        filled.link(env)
    assert mine.read_text() == "mine"


# Which go together


def test_wheels_with_different_files_at_one_path_are_both_left_to_pip(tmp_path: Path, filled: Room) -> None:
    room = Room(tmp_path)
    files = {
        "one": {"meet.py": "1\n"},
        "two": {"meet.py": "2\n"},
        "three": {"solid": "a file"},
        "four": {"solid/inside.py": ""},
        "five": {"five-1.0.dist-info/entry_points.txt": "[console_scripts]\ncmd = a:b\n"},
        "six": {"six-1.0.dist-info/entry_points.txt": "[console_scripts]\ncmd = a:c\n"},
        "seven": {"seven-1.0.dist-info/entry_points.txt": "[console_scripts]\nsame = a:b\n"},
        "eight": {"eight-1.0.dist-info/entry_points.txt": "[console_scripts]\nsame = a:b\n"},
        "nine": {"nine-1.0.data/scripts/cmd": "#!/bin/sh\n"},
    }
    room.wanted += [wheels.wanted(wheels.make(room.packages, name, files=found)) for name, found in files.items()]
    assert not fill(room.store, room.source, room.wanted).refused
    together, left = agreeing(room.find())
    assert {wheel.pin.name for wheel in together} == {"alpha", "beta", "seven", "eight"}
    assert left.keys() == {"one", "two", "three", "four", "five", "six", "nine"}
    assert left["two"].endswith("meet.py is also one's")
    env = tmp_path / "env"
    env.mkdir()
    link(room.store, together, env, pip_version=wheels.pip_version())


# Knowing them again


def test_only_the_stores_own_files_at_their_own_place_are_vouched_for(filled: Room, tmp_path: Path) -> None:
    env = tmp_path / "env"
    known = vouched(filled.link(env), env).files
    place = site(env)
    assert {path for path, entry in walk(env, known).items() if entry.digest} == known.keys()
    replaced, moved, other = place / "beta.py", place / "alpha/part.py", place / "alpha/__init__.py"
    text = replaced.read_bytes()
    replaced.unlink()
    replaced.write_bytes(text)
    moved.rename(tmp_path / "kept")
    other.rename(moved)
    (tmp_path / "kept").rename(other)
    (place / "shared").rename(tmp_path / "shared")
    (place / "shared").symlink_to(tmp_path / "shared")
    tree = walk(env, known)
    for path in (replaced, moved, other):
        assert not tree[str(path.relative_to(env))].digest
    assert tree[str((place / "shared").relative_to(env))].kind is EntryKind.LINK
    rest = {path for path, entry in tree.items() if entry.digest}
    gone = {path for path in known if "/shared/" in path}
    assert rest == known.keys() - gone - {str(path.relative_to(env)) for path in (replaced, moved, other)}
    for path in rest:
        assert digest(env / path) == {"sha256": known[path].digest}


def write_anew(path: Path, data: bytes) -> None:
    """Another file of that name, as pip puts it there."""
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "nothing": lambda _env, _info: None,
    "module-changed": lambda env, _: write_anew(site(env) / "beta.py", b"evil\n"),
    "module-written-again": lambda env, _: write_anew(site(env) / "beta.py", (site(env) / "beta.py").read_bytes()),
    "module-gone": lambda env, _: (site(env) / "alpha" / "part.py").unlink(),
    "module-is-a-link": lambda env, _: (site(env) / "beta.py").unlink() or (site(env) / "beta.py").symlink_to("x"),
    "shared-file-changed": lambda env, _: write_anew(site(env) / "shared" / "__init__.py", b"# other\n"),
    "shared-file-gone": lambda env, _: (site(env) / "shared" / "__init__.py").unlink(),
    "bytecode-changed": lambda env, _: write_anew(next(site(env).rglob("part.*.pyc")), b"evil"),
    "bytecode-gone": lambda env, _: next(site(env).rglob("part.*.pyc")).unlink(),
    "command-changed": lambda env, _: (env / "bin" / "alpha-cmd").write_text("#!/bin/sh\n"),
    "command-gone": lambda env, _: (env / "bin" / "alpha-cmd").unlink(),
    "data-changed": lambda env, _: write_anew(env / "share" / "alpha" / "notes.txt", b"other"),
    "file-added": lambda env, _: (site(env) / "alpha" / "more.py").write_text("x"),
    "record-gone": lambda _, info: (info / "RECORD").unlink(),
    "record-damaged": lambda _, info: (info / "RECORD").write_text('"'),
    "record-shorter": lambda _, info: (info / "RECORD").write_text("alpha/part.py,,\n"),
    "record-longer": lambda _, info: write_anew(
        info / "RECORD", (info / "RECORD").read_bytes() + b"alpha/none.py,sha256=abc,3\n../../../../x,,\n"
    ),
    "record-is-a-link": lambda _, info: (info / "RECORD").unlink() or (info / "RECORD").symlink_to("METADATA"),
    "metadata-changed": lambda _, info: write_anew(info / "METADATA", b"Name: gamma\nVersion: 7\n"),
    "metadata-gone": lambda _, info: (info / "METADATA").unlink(),
    "installer-changed": lambda _, info: (info / "INSTALLER").write_text("me"),
    "module-swapped": lambda env, _: swap(site(env) / "alpha" / "part.py", site(env) / "alpha" / "__init__.py"),
    "directories-swapped": lambda env, _: swap(site(env) / "alpha", site(env) / "shared"),
    "directory-added": lambda env, _: write_anew(site(env) / "alpha" / "new" / "more.py", b"x"),
    "directory-gone": lambda env, _: shutil.rmtree(site(env) / "shared"),
    "directory-is-a-link": lambda env, _: (
        (site(env) / "alpha").rename(site(env) / "other") and (site(env) / "alpha").symlink_to("other")
    ),
    "package-gone": lambda env, info: shutil.rmtree(info) or shutil.rmtree(site(env) / "alpha"),
    "package-upgraded": lambda env, info: (
        shutil.rmtree(info)
        or write_anew(site(env) / "alpha-3.0.dist-info" / "METADATA", b"Name: alpha\nVersion: 3.0\n")
        or write_anew(site(env) / "alpha-3.0.dist-info" / "RECORD", b"alpha/part.py,sha256=abc,3\n")
    ),
}


@pytest.fixture
def next_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linking ends in another tick of the file system's clock than the last directory was filled in."""
    real = linking._time_at

    def time_at(directory: str) -> int:
        before = real(directory)
        while (now := real(directory)) == before:
            pass
        return now

    monkeypatch.setattr(linking, "_time_at", time_at)


@pytest.mark.usefixtures("next_tick")
@pytest.mark.parametrize("change", CHANGES)
def test_a_seal_says_the_same_whether_or_not_files_are_vouched_for(filled: Room, tmp_path: Path, change: str) -> None:
    env = tmp_path / "env"
    linked = filled.link(env, requested=("alpha",))
    known = vouched(linked, env)
    CHANGES[change](env, site(env) / "alpha-1.0.dist-info")
    one = write_seal(env, wheels.PYTHON, known)
    seal = (env / SEAL).read_bytes()
    other = write_seal(env, wheels.PYTHON)
    assert seal == (env / SEAL).read_bytes()
    assert one == dataclasses.replace(other, shared=one.shared)
    assert one.shared


@pytest.mark.usefixtures("next_tick")
def test_what_is_as_it_was_linked_is_neither_read_nor_parsed(
    filled: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "env"
    linked = filled.link(env)
    known = vouched(linked, env)
    monkeypatch.setattr(records, "parse_record", lambda *_: pytest.fail("a RECORD was parsed"))
    opened, real = set(), os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.add(str(path)) or real(path, *rest, **more))
    sealed = write_seal(env, None, known)
    assert {(d.name, d.version) for d in sealed.distributions} == {("alpha", "1.0"), ("beta", "2.0")}
    assert sealed.shared == linked.shared
    own = {"RECORD", "INSTALLER"}
    assert {Path(path).name for path in opened if str(site(env)) in path and Path(path).is_file()} == own
    # Nor listed, but for those that were filled only by making directories in them.
    assert {path for path in opened if Path(path).is_dir() and path.startswith(f"{site(env)}/")} == set()


def test_what_is_put_there_right_after_the_linking_is_seen(filled: Room, tmp_path: Path) -> None:
    """The clock of the file system may still be in the tick in which the last directory was filled."""
    for number in range(20):
        env = tmp_path / str(number)
        linked = filled.link(env)
        added = site(env) / "alpha" / "more.py"
        added.write_text("x")
        known = vouched(linked, env)
        assert str(added.relative_to(env)) in walk(env, known.files, known.listings)


# Accounts


@pytest.fixture
def open_room(filled: Room) -> Iterator[Path]:
    """A place that every account can enter, with a copy of the store in it."""
    if os.geteuid() != 0:
        pytest.skip("only root has other accounts' rights")
    root = Path(tempfile.mkdtemp(prefix="envdeck-wheels-"))
    root.chmod(0o755)
    shutil.copytree(filled.store.data_dir, root / "data")
    yield root
    shutil.rmtree(root)


def test_an_account_can_remove_what_was_linked_for_it_and_change_nothing(filled: Room, open_room: Path) -> None:
    store = WheelStore(open_room / "data")
    found = [wheel for each in filled.wanted if (wheel := store.find(each.sha256, wheels.TAG))]
    env = open_room / "env"
    env.mkdir()
    nobody = Account("nobody", 65534, 65534, (65534,), Path("/"))
    link(store, found, env, pip_version="26.0", owner=nobody)
    os.chown(env, 65534, 65534)
    before = snapshot(store)
    for path in env.rglob("*"):
        assert path.stat().st_uid == (65534 if path.is_dir() else 0), path
    tries = """
        import os, sys
        from pathlib import Path
        store, env = Path(sys.argv[1]), Path(sys.argv[2])
        def allowed(act):
            try:
                act()
            except OSError:
                return False
            return True
        done = []
        for path in [*store.rglob("*"), *(p for p in env.rglob("*") if p.is_file())]:
            acts = [lambda: path.chmod(0o777), lambda: os.utime(path, (0, 0)), lambda: os.chown(path, 65534, 65534)]
            if path.is_file():
                acts += [lambda: path.open("ab"), lambda: os.truncate(path, 0)]
            if path.is_relative_to(store):
                acts += [lambda: path.rename(path.with_name("x")), lambda: os.link(path, env / "mine")]
                acts += [lambda: (path / "new").mkdir()] if path.is_dir() else [path.unlink]
            done += [(n, str(path)) for n, act in enumerate(acts) if allowed(act)]
        print(done)
        import shutil
        shutil.rmtree(env / "lib")
        shutil.rmtree(env / "bin")
    """
    ran = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-c", textwrap.dedent(tries), str(store.root), str(env)],
        user=65534,
        group=65534,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode == 127:
        pytest.skip("no python3 that every account can run")
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
    assert snapshot(store) == before


# Taking out

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

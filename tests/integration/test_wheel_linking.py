"""Linking stored wheels into environments: equal to what stock pip makes, and the store stays as it is."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wheel_maker as wheels
from environment_tree import contents
from wheel_room import Room, pip, site, snapshot, venv

from engine.environments.seal import Vouched
from engine.environments.tree import walk
from engine.executors.accounts import Account
from engine.files import StorageError
from engine.wheels import linking
from engine.wheels.agreement import agreeing
from engine.wheels.filling import fill
from engine.wheels.linking import link
from engine.wheels.store import WheelStore
from engine.wheels.vouching import vouched


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

"""Reaping for real: environments on disk, processes that use them, races and crashes."""

from __future__ import annotations

import base64
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import EnvironmentState, InputError, Refused
from engine.actions.pin import plan_pin, plan_unpin, read_pin, set_pin
from engine.actions.reap import (
    plan_reap,
    reap,
    reap_is_due,
)
from engine.environments.locks import acquire
from engine.environments.store import EnvironmentStore
from engine.environments.usage import in_use, users_of
from engine.reaping.model import ReapItem, ReapKind, ReapPlan, ReapResult, UsedBy
from engine.reaping.rules import KeepCode, ReapVerdict
from engine.world import World
from tests.records import replace

Wait = Callable[..., None]
HOUR, DAY = 3600.0, 86400.0
ROOT = Path(__file__).parents[2]


def key(letter: str) -> str:
    return letter * 22


def attempt(number: int = 0) -> str:
    return f"20260101-00000{number}-abcdef"


def publish(world: World, letter: str = "A", number: int = 0, age: float = 2 * DAY) -> Path:
    """An environment as a build leaves it, as far as reaping looks; returns its path."""
    key_dir = world.store.key_dir("pip", "3.11.7", "Local", key(letter))
    path = key_dir / attempt(number)
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (path / "bin").mkdir()
    (path / "bin" / "python").touch()
    (path / "data").write_bytes(b"x" * 1000)
    record = {
        "attempt": path.name,
        "python_version": "3.11.7",
        "python_path": "/opt/python/bin/python3",
        "ingredients": {},
        "size": 1000,
        "built_at": time.time() - age,
        "seconds": 3.0,
    }
    world.store.publish(key_dir, record)
    return path


@pytest.fixture
def world(server) -> World:
    return World([server.config], server.environ, read_only=False)


def plan(world: World, *keys: str, used_by: UsedBy | None = None, **options: float) -> ReapPlan:
    return plan_reap(world, keys or None, used_by=used_by or {}, **options)


def execute(world: World, planned: ReapPlan, used_by: UsedBy | None = None) -> ReapResult:
    return reap(world, planned, used_by=lambda: used_by or {})


def codes(item: ReapItem) -> list[KeepCode]:
    return [reason.code for reason in item.verdict.reasons]


def refusals(result: ReapResult) -> list[list[KeepCode]]:
    assert result.removed == ()
    assert result.failed == ()
    return [codes(item) for item in result.refused]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program that prints a line once it is set up, then stays until it is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str | Path, **options: object) -> subprocess.Popen[str]:
        settings: dict[str, object] = {"cwd": "/", "env": {"PATH": os.defpath}} | options
        process = subprocess.Popen(
            [str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **settings
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


STAY = "print('ready', flush=True); import sys; sys.stdin.read()"


# Real environments


def build(server, *requirements: str) -> str:
    """Build for real; returns the key."""
    engine = server.engines[0] if server.engines else server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle(*requirements)))))
    return engine.wait(outcome.build.id, 300).key


def test_an_environment_goes_once_nothing_runs_in_it_and_can_be_built_again(server, make_wheel, run) -> None:
    make_wheel(server.packages, "alpha")
    built = build(server, "alpha")
    world = World([server.config], server.environ, read_only=False)
    world.probe()
    (environment,) = world.environments()
    assert environment.state is EnvironmentState.READY
    process = run(environment.path / "bin" / "python", "-c", "import alpha; " + STAY)
    planned = plan(world, grace=0.0)
    (item,) = planned.items
    assert codes(item) == [KeepCode.IN_USE]
    assert [use.pid for use in item.in_use_by] == [process.pid]
    assert "command line" in item.in_use_by[0].how
    assert planned.bytes == 0
    assert execute(world, planned).removed == ()
    end(process)
    planned = plan(world, grace=0.0)
    assert planned.bytes == environment.size > 0
    result = execute(world, planned)
    assert [i.key for i in result.removed] == [built]
    assert result.bytes == environment.size
    assert not environment.key_dir.exists()
    assert list((server.data_dir / "trash").iterdir()) == []
    assert build(server, "alpha") == built
    assert [e.key for e in world.environments()] == [built]


def test_a_rebuild_leaves_the_old_attempt_until_nobody_runs_in_it(server, make_wheel, run) -> None:
    make_wheel(server.packages, "alpha")
    build(server, "alpha")
    world = World([server.config], server.environ, read_only=False)
    (first,) = world.environments()
    process = run(first.path / "bin" / "python", "-c", STAY)
    # The rebuild: the record is out of sight for the planning, and back before the new attempt is published.
    (first.key_dir / "current.json").rename(first.key_dir / "old.json")
    build(server, "alpha")
    (second,) = world.environments()
    assert (second.key, second.attempt == first.attempt) == (first.key, False)
    by_kind = {item.kind: item for item in plan(world, used_by={first.key: ("app",)}, grace=0.0).items}
    assert codes(by_kind[ReapKind.ENVIRONMENT]) == [KeepCode.USED_BY_CONTENT, KeepCode.IN_USE]
    assert codes(by_kind[ReapKind.ATTEMPT]) == [KeepCode.IN_USE]
    end(process)
    planned = plan(world, used_by={first.key: ("app",)}, grace=0.0)
    assert [item.path for item in planned.reapable] == [first.path]
    execute(world, planned, {first.key: ("app",)})
    assert not first.path.exists()
    assert subprocess.run([second.path / "bin" / "python", "-c", "import alpha"], check=False).returncode == 0


# Who uses it


OPEN = "import base64; f = open(base64.b64decode('{data64}'), 'rb'); "
"""The path is not on the command line as such, which would give it away too."""
MAP = OPEN + "import mmap; m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ); f.close(); "


@pytest.mark.parametrize(
    ("how", "argv", "options"),
    [
        ("command line", ["{exe}", "-c", STAY, "--root={env}/data"], {}),
        ("command line", ["./bin/python", "-c", STAY], {"executable": sys.executable, "cwd": "{env}"}),
        ("working directory", ["{exe}", "-c", STAY], {"cwd": "{env}"}),
        ("variables", ["{exe}", "-c", STAY], {"env": {"VIRTUAL_ENV": "{env}"}}),
        ("variables", ["{exe}", "-c", STAY], {"env": {"PATH": "/usr/bin:{env}/bin:/bin"}}),
        ("open file", ["{exe}", "-c", OPEN + STAY], {}),
        ("mapped file", ["{exe}", "-c", MAP + STAY], {}),
    ],
    ids=["argument", "relative", "cwd", "VIRTUAL_ENV", "PATH", "open", "mapped"],
)
def test_a_process_that_uses_an_environment_in_any_way_is_seen(
    world: World, run, how: str, argv: list[str], options: dict[str, object]
) -> None:
    used, other = publish(world, "A"), publish(world, "B")
    data64 = base64.b64encode(str(used / "data").encode()).decode()

    def fill(value: object) -> object:
        if isinstance(value, dict):
            return {name: fill(text) for name, text in value.items()}
        return str(value).replace("{env}", str(used)).replace("{exe}", sys.executable).replace("{data64}", data64)

    process = run(*map(fill, argv), **{name: fill(value) for name, value in options.items()})
    users = users_of([used, other]).by_path
    assert [(use.pid, how in use.how) for use in users[used]] == [(process.pid, True)]
    assert users[other] == ()


def test_a_path_is_found_whole_and_behind_links(world: World, tmp_path: Path, run) -> None:
    path = publish(world)
    longer = path.with_name(path.name + "2")
    link = tmp_path / "link"
    link.symlink_to(path)
    process = run(sys.executable, "-c", STAY, f"/elsewhere{path}", longer, cwd=path.parent.parent)
    assert users_of([path]).by_path == {path: ()}
    inside = run(sys.executable, "-c", STAY, cwd=link)
    assert [use.pid for use in users_of([path]).by_path[path]] == [inside.pid]
    assert [use.pid for use in users_of([link]).by_path[link]] == [inside.pid]
    assert {use.pid for use in users_of([world.store.root]).by_path[world.store.root]} == {process.pid, inside.pid}


def test_what_a_process_says_of_itself_is_shown_safely(world: World, run) -> None:
    path = publish(world)
    run(sys.executable, "-c", STAY, path, "https://bob:s3cret@host/x", "\x1b]52;c;x\x07")
    (use,) = users_of([path]).by_path[path]
    text = str(use)
    assert "s3cret" not in text
    assert "\x1b" not in text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_processes_that_may_not_be_looked_into_are_counted(world: World, run) -> None:
    path = publish(world)
    run(sys.executable, "-c", STAY, cwd=path)
    code = (
        "import os, psutil, sys; from pathlib import Path; from engine.environments.usage import users_of; "
        "os.setuid(65534); users = users_of([Path(sys.argv[1].replace('+', '/'))]);"
        "print(users.unreadable, len(users.by_path))"
    )
    argv = [sys.executable, "-c", code, str(path).replace("/", "+")]
    output = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    unreadable, paths = map(int, output.split())
    assert unreadable >= 1
    assert paths == 1


def test_the_lock_of_running_content_keeps_every_attempt_of_its_key(world: World) -> None:
    path = publish(world)
    lock = world.store.use_lock_path(key("A"))
    assert not in_use(lock)
    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert in_use(lock)
        (item,) = plan(world).items
        assert codes(item) == [KeepCode.IN_USE]
        assert "running content" in item.verdict.reasons[0].names[0]
    assert not in_use(lock)
    assert [i.path for i in plan(world).reapable] == [path.parent]


# Plans


def test_who_only_looks_who_uses_something_is_not_taken_for_a_user(world: World, tmp_path: Path) -> None:
    path = world.content_store.use_path("guid")
    path.parent.mkdir(parents=True)
    path.touch()
    over = threading.Event()

    def look_on() -> int:
        seen = 0
        while not over.is_set():
            seen += in_use(path)
        return seen

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(look_on)
        try:
            # Not never: the other may be stopped by the system just when it has the lock.
            assert sum(in_use(path) for _ in range(2000)) < 20
            for _ in range(200):
                with world.content_store.idle("guid") as idle:
                    assert idle
        finally:
            over.set()
    other.result()


def test_without_keys_everything_is_planned_and_with_keys_only_these(world: World) -> None:
    for letter in "ABC":
        publish(world, letter)
    everything = plan(world, used_by={key("B"): ("sales",)})
    assert {i.key: i.verdict.reapable for i in everything.items} == {key("A"): True, key("B"): False, key("C"): True}
    assert (everything.complete, everything.bytes) == (True, 2000)
    some = plan(world, "A", key("A"))
    assert [i.key for i in some.items] == [key("A")]
    assert not some.complete
    with pytest.raises(InputError, match="there is no environment zzz"):
        plan(world, "zzz")
    publish(world, "Ab")
    with pytest.raises(InputError, match="2 environments have a key that begins with A"):
        plan(world, "A")


def test_the_grace_period_is_the_configured_one(server, world: World) -> None:
    publish(world, age=HOUR)
    assert [codes(i) for i in plan(world).items] == [[KeepCode.GRACE]]
    assert plan(world, grace=60.0).reapable
    server.configure("[Envdeck]", "ReapGracePeriod = 30m")
    world.reload()
    assert plan(world).reapable


def test_the_grace_period_begins_when_a_use_ends(world: World) -> None:
    path = publish(world, age=9 * DAY)
    used: UsedBy = {key("A"): ("sales",)}
    execute(world, plan(world, used_by=used), used)
    (environment,) = world.environments()
    assert environment.last_used_at == pytest.approx(time.time(), abs=60)
    assert [codes(i) for i in plan(world).items] == [[KeepCode.GRACE]]
    assert [i.path for i in plan(world, now=time.time() + DAY).reapable] == [path.parent]


def test_a_damaged_or_stale_environment_goes_like_any_other(world: World) -> None:
    path = publish(world, "A")
    (path.parent / "current.json").write_text("{ not json")
    publish(world, "B")
    world.probe()
    states = {e.key: e.state for e in world.environments()}
    assert states == {key("A"): EnvironmentState.DAMAGED, key("B"): EnvironmentState.STALE}
    result = execute(world, plan(world))
    assert {i.key for i in result.removed} == {key("A"), key("B")}
    assert world.environments() == ()


def test_attempts_that_were_never_published_go_after_the_grace_period(world: World) -> None:
    orphan = world.store.key_dir("pip", "3.11.7", "Local", key("A")) / attempt()
    orphan.mkdir(parents=True)
    other = orphan.parent / "notes"
    other.mkdir()
    assert [codes(i) for i in plan(world).items] == [[KeepCode.GRACE]]
    result = execute(world, plan(world, grace=0.0, now=time.time() + 1))
    assert [(i.kind, i.path) for i in result.removed] == [(ReapKind.ATTEMPT, orphan)]
    assert not orphan.exists()
    assert other.exists()


# Pins


def test_a_pin_keeps_an_environment_until_it_is_taken_off(world: World) -> None:
    publish(world)
    environment = set_pin(world, plan_pin(world, "A", note="the auditors\nwant it"))
    pin = read_pin(environment)
    assert pin is not None
    assert (pin.by, pin.note, environment.pinned) == (world.user, "the auditors want it", True)
    assert [codes(i) for i in plan(world).items] == [[KeepCode.PINNED]]
    assert plan_pin(world, "A").before == pin
    assert not set_pin(world, plan_unpin(world, "A")).pinned
    assert plan(world).reapable
    again = plan_unpin(world, "A")
    assert again.problem is not None
    with pytest.raises(Refused, match="is not pinned"):
        set_pin(world, again)


def test_a_pin_that_does_not_parse_pins_all_the_same(world: World) -> None:
    (publish(world).parent / "pinned.json").write_text("{")
    (environment,) = world.environments()
    assert read_pin(environment) is not None
    assert not plan(world).reapable


def test_what_is_gone_cannot_be_pinned(world: World) -> None:
    publish(world)
    pinning = plan_pin(world, "A")
    execute(world, plan(world))
    with pytest.raises(Refused, match="deleted meanwhile"):
        set_pin(world, pinning)
    assert not pinning.environment.key_dir.exists()


def test_what_content_may_use_stays_while_the_content_cannot_be_listed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = publish(world)
    content = world.content_store.root
    (content / "guid").mkdir(parents=True)
    (content / "guid" / "content.json").write_text("{}")
    planned = plan(world)
    scandir = os.scandir

    def fail(place: object) -> object:
        if place == str(content):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", fail)
    assert codes(plan(world, used_by=world.used_by()).items[0]) == [KeepCode.USED_BY_CONTENT]
    assert refusals(reap(world, planned, used_by=world.used_by)) == [[KeepCode.USED_BY_CONTENT]]
    assert path.exists()


# What changes between the plan and its execution


def test_what_content_came_to_use_meanwhile_is_refused(world: World) -> None:
    path = publish(world)
    result = execute(world, plan(world), {key("A"): ("sales",)})
    assert refusals(result) == [[KeepCode.USED_BY_CONTENT]]
    assert path.exists()


def test_what_a_process_came_to_use_meanwhile_is_refused(world: World, run) -> None:
    path = publish(world)
    planned = plan(world)
    run(sys.executable, "-c", STAY, cwd=path)
    assert refusals(execute(world, planned)) == [[KeepCode.IN_USE]]


def test_what_content_began_to_run_in_meanwhile_is_refused(world: World) -> None:
    publish(world)
    planned = plan(world)
    lock = world.store.use_lock_path(key("A"))
    lock.parent.mkdir()
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert refusals(execute(world, planned)) == [[KeepCode.IN_USE]]


def test_what_was_pinned_meanwhile_is_refused(world: World) -> None:
    publish(world)
    planned = plan(world)
    set_pin(world, plan_pin(world, "A"))
    assert refusals(execute(world, planned)) == [[KeepCode.PINNED]]


def test_what_is_being_built_meanwhile_is_refused(world: World) -> None:
    publish(world)
    planned = plan(world)
    lock = world.store.lock_path(key("A"))
    lock.parent.mkdir()
    with acquire(lock, lambda: True) as held:
        assert held
        assert refusals(execute(world, planned)) == [[KeepCode.BUILDING]]
        assert [codes(i) for i in plan(world).items] == [[KeepCode.BUILDING]]


def test_what_was_rebuilt_meanwhile_is_refused(world: World) -> None:
    path = publish(world)
    planned = plan(world)
    (path.parent / "current.json").unlink()
    publish(world, number=1)
    assert refusals(execute(world, planned)) == [[KeepCode.CHANGED]]
    assert path.exists()


def test_an_old_attempt_that_was_published_meanwhile_is_refused(world: World) -> None:
    path = publish(world)
    record = (path.parent / "current.json").read_text()
    publish(world, number=1)
    planned = plan(world, used_by={key("A"): ("sales",)})
    assert [i.path for i in planned.reapable] == [path]
    (path.parent / "current.json").write_text(record)
    assert refusals(execute(world, planned, {key("A"): ("sales",)})) == [[KeepCode.CHANGED]]


def test_an_old_attempt_is_refused_when_the_record_does_not_tell_any_more_which_one_counts(world: World) -> None:
    path = publish(world)
    publish(world, number=1)
    planned = plan(world, used_by={key("A"): ("sales",)})
    assert [i.path for i in planned.reapable] == [path]
    (path.parent / "current.json").write_text(json.dumps({"attempt": path.name, "ingredients": "lost"}))
    result = execute(world, planned, {key("A"): ("sales",)})
    assert refusals(result) == [[KeepCode.CHANGED]]
    assert path.exists()
    assert all(item.kind is not ReapKind.ATTEMPT for item in plan(world, used_by={key("A"): ("sales",)}).items)


def test_what_is_gone_already_is_said_to_be(world: World) -> None:
    publish(world)
    planned = plan(world)
    execute(world, planned)
    assert refusals(execute(world, planned)) == [[KeepCode.CHANGED]]


def test_two_reapers_at_once_delete_everything_once(server, world: World) -> None:
    letters = "ABCDEFGH"
    for letter in letters:
        publish(world, letter)
    worlds = [World([server.config], server.environ, read_only=False) for _ in range(2)]
    plans = [plan(w) for w in worlds]
    assert [len(p.reapable) for p in plans] == [8, 8]
    together = threading.Barrier(2)

    def go(index: int) -> ReapResult:
        together.wait()
        return execute(worlds[index], plans[index])

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(go, range(2)))
    removed = [item.key for result in results for item in result.removed]
    assert sorted(removed) == [key(letter) for letter in letters]
    assert [result.failed for result in results] == [(), ()]
    assert {c for result in results for i in result.refused for c in codes(i)} <= {KeepCode.CHANGED, KeepCode.BUILDING}
    assert list((server.data_dir / "trash").iterdir()) == []


def test_content_that_starts_while_its_environment_is_deleted_waits_and_then_misses_it(world: World) -> None:
    path = publish(world)
    planned = plan(world)
    lock = world.store.use_lock_path(key("A"))
    seen: list[bool] = []

    def start_content() -> None:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            seen.append(path.exists())

    starter = threading.Thread(target=start_content)

    def used_by() -> UsedBy:
        # Asked in the middle of the deletion, under its locks.
        assert in_use(lock)
        starter.start()
        return {}

    assert len(reap(world, planned, used_by=used_by).removed) == 1
    starter.join(timeout=60)
    assert seen == [False]


# Trash


def crash_while_deleting(path: Path, data_dir: Path) -> None:
    code = (
        "import os, shutil, sys; from pathlib import Path; from engine.environments.store import EnvironmentStore;"
        "shutil.rmtree = lambda *a, **k: os._exit(9); EnvironmentStore(Path(sys.argv[2])).discard(Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code, path, data_dir], cwd=ROOT, check=False).returncode == 9


def test_a_crash_leaves_only_trash_which_a_later_reap_sweeps(server, world: World) -> None:
    path = publish(world)
    crash_while_deleting(path.parent, server.data_dir)
    assert world.environments() == ()
    (left,) = (server.data_dir / "trash").iterdir()
    assert plan(world).items == ()
    planned = plan(world, now=time.time() + HOUR + 1)
    assert [(i.kind, i.path) for i in planned.items] == [(ReapKind.TRASH, left)]
    assert planned.bytes > 1000
    assert [i.path for i in execute(world, planned).removed] == [left]
    assert not left.exists()


def test_what_others_put_into_the_trash_stays(server, world: World) -> None:
    trash = server.data_dir / "trash"
    for name in ("notes", "backup.tar", "x.12345678.keep"):
        (trash / name).mkdir(parents=True)
    assert plan(world, now=time.time() + DAY).items == ()


# Symbolic links


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "precious").write_text("keep me")
    return directory


def test_links_in_an_environment_go_and_what_they_lead_to_stays(world: World, outside: Path) -> None:
    path = publish(world)
    (path / "directory").symlink_to(outside)
    (path / "file").symlink_to(outside / "precious")
    (path.parent / attempt(7)).symlink_to(outside)
    assert len(execute(world, plan(world)).removed) == 1
    assert not path.parent.exists()
    assert (outside / "precious").read_text() == "keep me"


@pytest.mark.parametrize("depth", [0, 1, 2, 3], ids=["key", "version", "installer", "root"])
def test_a_directory_that_became_a_link_is_not_followed(world: World, outside: Path, depth: int) -> None:
    path = publish(world)
    planned = plan(world)
    moved = path.parents[depth]
    moved.rename(outside / "moved")
    moved.symlink_to(outside / "moved")
    assert refusals(execute(world, planned)) == [[KeepCode.CHANGED]]
    assert list((outside / "moved").rglob("pyvenv.cfg"))


def test_links_in_the_trash_are_not_followed(server, world: World, outside: Path) -> None:
    trash = server.data_dir / "trash"
    trash.mkdir(parents=True)
    (trash / "link.0123abcd").symlink_to(outside)
    planned = plan(world, now=time.time() + DAY)
    assert len(execute(world, planned).removed) == 1
    assert list(trash.iterdir()) == []
    (outside / "other.0123abcd").mkdir()
    trash.rmdir()
    trash.symlink_to(outside)
    planned = plan(world, now=time.time() + DAY)
    assert refusals(execute(world, planned)) == [[KeepCode.CHANGED]]
    assert sorted(p.name for p in outside.iterdir()) == ["other.0123abcd", "precious"]


def test_an_environment_of_the_server_is_never_deleted_even_with_a_record_of_ours_in_it(world: World) -> None:
    path = publish(world)
    (path.parent / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (item,) = plan(world).items
    assert codes(item) == [KeepCode.FOREIGN]
    forced = ReapPlan((replace(item, verdict=ReapVerdict()),), False, 0.0, 0, 0.0)
    assert refusals(execute(world, forced)) == [[KeepCode.FOREIGN]]


# On schedule


def test_reaping_is_due_once_per_period_and_only_a_complete_run_counts(server, world: World) -> None:
    server.configure("[Applications]", "PythonEnvironmentReapFrequency = 2h")
    world.reload()
    publish(world)
    now = time.time()
    assert reap_is_due(world, now)
    execute(world, plan(world, "A"))
    assert reap_is_due(world, now)
    execute(world, plan(world))
    record = json.loads((server.data_dir / "reap.json").read_text())
    assert (record["by"], record["removed"]) == (world.user, 0)
    ran_at = record["ran_at"]
    assert [reap_is_due(world, ran_at + after) for after in (0, 2 * HOUR - 1, 2 * HOUR)] == [False, False, True]
    assert reap_is_due(world, ran_at - DAY), "the clock was set back"
    (server.data_dir / "reap.json").write_text("[]")
    assert reap_is_due(world, now)


def test_before_the_first_build_there_is_nothing_to_reap_and_nothing_to_record(server) -> None:
    world = World([server.config], server.environ, read_only=False)
    assert execute(world, plan(world)).removed == ()
    assert not server.data_dir.exists()


def test_a_run_that_was_stopped_does_not_count(world: World) -> None:
    publish(world)
    result = reap(world, plan(world), used_by=dict, stop=lambda: True)
    assert result.removed == ()
    assert reap_is_due(world, time.time())
    assert len(EnvironmentStore(world.store.data_dir).environments()) == 1

"""The doctor: what is wrong is found, what is left over goes, and nothing else does."""

from __future__ import annotations

import errno
import json
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import Health, Refused, RepairKind, RepairPlan
from engine.builds.vitals import this_machine
from engine.doctor import place, trials
from engine.doctor.examination import examine, plan_repairs
from engine.doctor.layout import BROKEN_RECORDS, strangers
from engine.doctor.leftovers import find_leftovers
from engine.doctor.records import broken_records, repairs_of
from engine.doctor.repair import repair
from engine.environments.locks import acquire
from engine.executors.accounts import Account
from engine.world import World
from tests.records import replace

HOUR, DAY = 3600.0, 86400.0
ATTEMPT = "20260101-000000-abcdef"
GUID = "017c0fec-c139-4891-9820-b267cbda9146"
OVERLAY = "0" * 32


def key(letter: str) -> str:
    return letter * 22


@pytest.fixture
def world(server) -> World:
    server.data_dir.mkdir()
    return World([server.config], server.environ, read_only=False)


def publish(world: World, letter: str = "A", attempt: str = ATTEMPT, **changes: object) -> Path:
    key_dir = world.store.key_dir("pip", "3.11.7", "Local", key(letter))
    (key_dir / attempt / "bin").mkdir(parents=True)
    (key_dir / attempt / "bin" / "python").touch()
    (key_dir / attempt / "pyvenv.cfg").write_text("version = 3.11.7\n")
    record = {"attempt": attempt, "python_version": "3.11.7", "ingredients": {}, "built_at": time.time()}
    world.store.publish(key_dir, record | changes)
    return key_dir


def job(world: World, attempt: str, letter: str = "A", result: str | None = "done", **changes: object) -> Path:
    directory = world.store.data_dir / "jobs" / attempt
    directory.mkdir(parents=True)
    (directory / "alive").touch()
    spec = {"key": key(letter), "bundle": "app", "submitted_at": time.time() - DAY} | changes
    (directory / "spec.json").write_text(json.dumps(spec))
    if result:
        (directory / "result.json").write_text(json.dumps({"state": result, "finished_at": time.time() - DAY}))
    return directory


def later(world: World, seconds: float = 2 * DAY) -> RepairPlan:
    """What could be repaired if all that is there now had been lying there for that long."""
    now = time.time() + seconds
    return RepairPlan((*repairs_of(tuple(broken_records(world, now))), *find_leftovers(world, now)))


def planned(plan: RepairPlan) -> list[tuple[RepairKind, str]]:
    return [(step.kind, step.path.name) for step in plan.feasible]


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the time go on, also for the execution of repairs."""

    def age(seconds: float = 2 * DAY) -> None:
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return age


# A sound directory


def test_a_data_directory_that_is_in_order_has_nothing_to_repair(server, make_wheel) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("alpha")))))
    assert engine.wait(outcome.build.id, 300).state == "done"
    diagnosis = engine.diagnose()
    bad = [(c.code, c.finding, c.details) for c in diagnosis.checks if c.health in (Health.FAILED, Health.WARNING)]
    # Where the tests have their files may well be kept in memory.
    assert [found for found in bad if found[0] != "mount"] == []
    assert diagnosis.repairs.steps == ()
    assert {"locks", "names", "clock", "replacing", "links", "running", "case", "trash"} <= {
        check.code for check in diagnosis.checks if check.health is Health.OK
    }
    assert next(c for c in diagnosis.checks if c.code == "strangers").health is Health.OK
    left = sorted(path.name for path in server.data_dir.iterdir())
    assert not [name for name in left if name.startswith(".doctor")]


def test_a_data_directory_that_is_not_there_yet_is_not_made(server) -> None:
    diagnosis = server.engine().diagnose()
    assert diagnosis.ok
    assert "the first build makes it" in diagnosis.checks[0].finding
    assert not server.data_dir.exists()


def test_read_only_tries_nothing_out_and_says_so(server, world) -> None:
    engine = server.engine(read_only=True)
    diagnosis = engine.diagnose()
    assert list(server.data_dir.iterdir()) == []
    assert next(c for c in diagnosis.checks if c.code == "trials").health is Health.NOTE
    with pytest.raises(Refused):
        engine.execute(diagnosis.repairs)


def test_of_a_directory_that_is_not_there_yet_the_room_for_the_first_build_counts(server) -> None:
    server.configure("[Envdeck]", "SpaceReserve = 1000T")
    world = World([server.config], server.environ, read_only=False)
    health = {check.code: check.health for check in examine(world).checks}
    assert (health["directory"], health["space"]) == (Health.NOTE, Health.FAILED)
    assert not server.data_dir.exists()


# Where it is


def test_a_directory_that_others_may_write_is_told_of(world) -> None:
    world.store.data_dir.chmod(0o777)
    check = place.examine_directory(world.store.data_dir, None)
    assert (check.health, "drwxrwxrwx" in check.finding) == (Health.WARNING, True)


def test_a_file_in_its_place_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert place.examine_directory(tmp_path / "data", None).health is Health.FAILED


def test_a_directory_of_the_account_that_builds_is_told_of(world) -> None:
    entry = pwd.getpwuid(os.geteuid())
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid, (), Path(entry.pw_dir))
    check = place.examine_directory(world.store.data_dir, account)
    assert check.health is Health.WARNING
    assert "build script" in check.why


def test_a_link_that_somebody_else_can_exchange_is_told_of(tmp_path: Path) -> None:
    open_place = tmp_path / "open"
    open_place.mkdir()
    (tmp_path / "real").mkdir()
    (open_place / "data").symlink_to(tmp_path / "real")
    assert place.examine_way(open_place / "data").health is Health.OK
    open_place.chmod(0o777)
    check = place.examine_way(open_place / "data")
    assert check.health is Health.WARNING
    assert check.details == (f"{open_place} is drwxrwxrwx of {pwd.getpwuid(os.geteuid()).pw_name}",)
    # With the sticky bit only the owner can take a name away.
    open_place.chmod(0o1777)
    assert place.examine_way(open_place / "data").health is Health.OK


def test_too_little_space_is_the_reason_for_which_no_build_would_start(world) -> None:
    assert place.examine_space(world.store.data_dir, 1).health is Health.OK
    check = place.examine_space(world.store.data_dir, 2**60)
    assert check.health is Health.FAILED
    assert check.why == "no build is started"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_account_that_cannot_enter_is_found_by_trying(world) -> None:
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid, (nobody.pw_gid,), Path("/"))
    world.store.data_dir.chmod(0o700)
    check = place.examine_account(world.store.data_dir, account)
    assert check is not None
    assert check.health is Health.FAILED
    assert "nobody" in check.finding
    reachable = place.examine_account(Path("/"), account)
    assert reachable is not None
    assert reachable.health is Health.OK


# What the file system does


def checks(world: World) -> dict[str, Health]:
    return {check.code: check.health for check in trials.try_out(world.store.data_dir)}


def test_locks_that_do_not_exclude_are_found(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials.fcntl, "flock", lambda *_: None)
    assert checks(world)["locks"] is Health.FAILED


def test_locks_that_are_refused_are_found(world, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(trials.fcntl, "flock", refuse)
    assert checks(world)["locks"] is Health.FAILED


def test_a_second_doctor_is_no_finding(world) -> None:
    (world.store.data_dir / "locks").mkdir()
    with acquire(world.store.data_dir / "locks" / trials.LOCK, lambda: True) as held:
        assert held
        assert checks(world)["locks"] is Health.NOTE


@pytest.mark.parametrize(("skew", "word"), [(120.0, "behind"), (-120.0, "ahead of")])
def test_a_clock_that_is_wrong_is_told_with_its_side(
    world, monkeypatch: pytest.MonkeyPatch, skew: float, word: str
) -> None:
    real = time.time
    monkeypatch.setattr(trials.time, "time", lambda: real() + skew)
    (check,) = (c for c in trials.try_out(world.store.data_dir) if c.code == "clock")
    assert check.health is Health.WARNING
    assert word in check.finding


def test_a_trash_on_another_device_is_a_note(world, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def refuse(source: object, target: object, **_: object) -> None:
        if "/trash/" in str(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(str(source), str(target))

    monkeypatch.setattr(os, "rename", refuse)
    assert checks(world)["trash"] is Health.NOTE


def test_without_hard_links_verdicts_cannot_be_written(world, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert checks(world)["links"] is Health.FAILED


@pytest.mark.slow
def test_a_mount_without_execution_is_found_both_ways(world) -> None:
    place_ = world.store.data_dir
    command = ["mount", "-t", "tmpfs", "-o", "noexec,size=10m", "none", str(place_)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount here")
    try:
        assert checks(world)["running"] is Health.FAILED
        assert "noexec" in " ".join(c.finding for c in place.examine_mount(place_))
        assert [c.health for c in place.examine_mount(place_)] == [Health.FAILED, Health.WARNING]
    finally:
        subprocess.run(["umount", str(place_)], check=True)


# Records


def broken(world: World) -> dict[str, tuple[str, bool]]:
    """Path below the data directory to what is wrong, and whether it can be moved away."""
    found = broken_records(world, time.time() + DAY)
    return {str(r.path.relative_to(world.store.data_dir)): (r.fault, bool(r.after and not r.obstacle)) for r in found}


def test_every_kind_of_record_that_does_not_parse_is_found(world) -> None:
    key_dir = publish(world)
    job_dir, other = job(world, "20260101-000000-000001"), job(world, "20260101-000000-000002")
    data_dir = world.store.data_dir
    (data_dir / "content" / GUID).mkdir(parents=True)
    (data_dir / "rebuilds").mkdir()
    assert broken(world).keys() == {f"content/{GUID}/content.json"}
    for path in (
        *(key_dir / name for name in ("current.json", "request.json", "pinned.json", "damaged.json")),
        data_dir / "content" / GUID / "content.json",
        job_dir / "spec.json",
        other / "result.json",
        data_dir / "rebuilds" / "up.json",
        data_dir / "reap.json",
    ):
        path.write_text("{")
    environment = key_dir.relative_to(data_dir)
    assert broken(world) == {
        f"{environment}/current.json": ("does not parse", True),
        f"{environment}/damaged.json": ("does not parse", True),
        f"{environment}/request.json": ("does not parse", False),
        f"{environment}/pinned.json": ("does not parse", False),
        f"content/{GUID}/content.json": ("does not parse", False),
        f"jobs/{job_dir.name}": ("has a spec.json that does not parse", True),
        f"jobs/{other.name}/result.json": ("does not parse", True),
        "rebuilds/up.json": ("does not parse", True),
        "reap.json": ("does not parse", True),
    }


def test_a_record_that_parses_and_says_nothing_is_broken_too(world) -> None:
    key_dir = publish(world)
    (key_dir / "current.json").write_text('{"attempt": "../../etc", "ingredients": {}}')
    assert [fault for fault, _ in broken(world).values()] == ["is not what envdeck writes"]


def test_where_nothing_may_be_changed_no_step_of_a_repair_is_called_feasible(server, world, aged) -> None:
    (publish(world) / "current.json").write_text("{ half")
    aged()
    assert plan_repairs(world).feasible
    server.configure("[Envdeck]", "ReadOnly = true")
    plan = plan_repairs(World([server.config], server.environ, read_only=False))
    assert (len(plan.steps), plan.feasible) == (1, ())
    assert "Envdeck.ReadOnly is on" in plan.steps[0].refusals[-1]


def test_a_broken_record_is_moved_away_and_kept(world) -> None:
    key_dir = publish(world)
    (key_dir / "current.json").write_text("{ half")
    result = repair(world, later(world))
    assert [step.path for step in result.done] == [key_dir / "current.json"]
    (kept,) = (world.store.data_dir / "trash" / BROKEN_RECORDS).iterdir()
    assert kept.read_text() == "{ half"
    assert key("A") in kept.name
    assert not (key_dir / "current.json").exists()
    assert (key_dir / ATTEMPT).is_dir()
    assert later(world, DAY * 2).feasible[0].kind is RepairKind.ATTEMPT
    assert list(strangers(world.store.data_dir)) == []


def test_a_record_that_was_put_right_meanwhile_stays(world) -> None:
    key_dir = publish(world)
    good = (key_dir / "current.json").read_text()
    (key_dir / "current.json").write_text("{")
    plan = later(world)
    (key_dir / "current.json").write_text(good)
    result = repair(world, plan)
    assert [step.refusals for step in result.refused] == [("it has changed since this was planned",)]
    assert (key_dir / "current.json").read_text() == good


def test_a_record_whose_key_is_being_built_stays(world) -> None:
    key_dir = publish(world)
    (key_dir / "current.json").write_text("{")
    plan = later(world)
    (world.store.data_dir / "locks").mkdir()
    with acquire(world.store.lock_path(key("A")), lambda: True):
        assert later(world).feasible == ()
        result = repair(world, plan)
    assert result.done == ()
    assert "holds its lock" in result.refused[0].refusals[0]
    assert (key_dir / "current.json").exists()


def test_a_job_without_a_spec_is_one_that_is_being_prepared_until_it_is_old(world) -> None:
    job_dir = job(world, ATTEMPT)
    (job_dir / "spec.json").unlink()
    assert planned(RepairPlan(repairs_of(tuple(broken_records(world, time.time()))))) == []
    assert planned(later(world)) == [(RepairKind.RECORD, ATTEMPT)]
    with acquire(job_dir / "alive", lambda: True):
        assert later(world).feasible == ()


# What crashes leave


def test_an_attempt_that_no_record_names_goes_when_it_is_old(world, aged) -> None:
    key_dir = publish(world)
    left = key_dir / "20260101-000000-000001"
    left.mkdir()
    (left / "file").write_bytes(b"x" * 1000)
    lonely = world.store.key_dir("pip", "3.11.7", "Local", key("B")) / "20260101-000000-000002"
    lonely.mkdir(parents=True)
    assert later(world, 0).feasible == ()
    assert "kept for another" in later(world, 0).refused[0].refusals[0]
    plan = later(world)
    assert planned(plan) == [(RepairKind.ATTEMPT, left.name), (RepairKind.ATTEMPT, lonely.name)]
    assert plan.bytes == 1000
    aged()
    result = repair(world, plan)
    assert len(result.done) == 2
    assert not left.exists()
    assert not lonely.parent.exists()
    assert (key_dir / ATTEMPT).is_dir()


def test_an_attempt_of_a_build_without_a_verdict_is_not_left_over(world) -> None:
    key_dir = publish(world)
    (key_dir / "20260101-000000-000001").mkdir()
    job_dir = job(world, "20260101-000000-000001", result=None)
    with acquire(job_dir / "alive", lambda: True):
        assert later(world).steps == ()
    # Lost: settling it discards its attempt.
    assert planned(later(world)) == [(RepairKind.SETTLE, "20260101-000000-000001")]


def test_an_attempt_that_once_counted_is_the_reapers(world) -> None:
    key_dir = publish(world, attempt="20260101-000000-000002")
    (key_dir / "20260101-000000-000001").mkdir()
    job(world, "20260101-000000-000001", result="done")
    assert later(world).steps == ()


def test_an_attempt_that_was_published_meanwhile_stays(world, aged) -> None:
    key_dir = publish(world)
    (key_dir / "20260101-000000-000001" / "bin").mkdir(parents=True)
    plan = later(world)
    record = json.loads((key_dir / "current.json").read_text())
    world.store.publish(key_dir, record | {"attempt": "20260101-000000-000001"})
    aged()
    result = repair(world, plan)
    assert result.done == ()
    assert result.refused[0].refusals == ("it was published meanwhile",)


def test_a_lost_build_is_settled(world) -> None:
    key_dir = publish(world)
    attempt = "20260101-000000-000001"
    (key_dir / attempt).mkdir()
    job_dir = job(world, attempt, result=None, attempt_dir=str(key_dir / attempt), data_dir=str(world.store.data_dir))
    result = repair(world, later(world, 0))
    assert [step.kind for step in result.done] == [RepairKind.SETTLE]
    assert json.loads((job_dir / "result.json").read_text())["state"] == "lost"


def test_what_a_deletion_left_goes_wherever_it_is(world, aged) -> None:
    key_dir = publish(world)
    data_dir = world.store.data_dir
    for path in (
        data_dir / "trash" / f"{key('B')}.12345678",
        key_dir.parent / f".{key('C')}.12345678",
        key_dir / f".{ATTEMPT}.12345678",
        data_dir / "content" / f".{GUID}.12345678",
        data_dir / "content" / GUID / "bundles" / ".3.12345678",
    ):
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"x")
    (data_dir / "trash" / "of-somebody").mkdir()
    assert later(world, 0).feasible == ()
    plan = later(world)
    trash = [step for step in plan.feasible if step.kind is RepairKind.TRASH]
    assert len(trash) == 5
    aged()
    assert len(repair(world, RepairPlan(tuple(trash))).done) == 5
    assert sorted(p.name for p in data_dir.rglob("*") if p.name.endswith("12345678")) == []
    assert (data_dir / "trash" / "of-somebody").is_dir()


def test_what_a_killed_write_left_goes_when_it_is_old(world, aged) -> None:
    key_dir, job_dir, data_dir = publish(world), job(world, ATTEMPT), world.store.data_dir
    (data_dir / "externals" / ".new-abcdefgh").mkdir(parents=True)
    (data_dir / "wheels" / ".filling-abcdefgh").mkdir(parents=True)
    (data_dir / ".doctor-12345678").mkdir()
    for path in (
        key_dir / ".current.json.a1b2c3d4",
        job_dir / ".result.json.a1b2c3d_",
        data_dir / ".reap.json.aaaaaaaa",
    ):
        path.touch()
    kept = (key_dir / ".hidden", data_dir / ".incoming.json", job_dir / "log.a1b2c3d4")
    for path in kept:
        path.touch()
    assert later(world, 0).feasible == ()
    plan = later(world)
    assert {kind for kind, _ in planned(plan)} == {RepairKind.TEMPORARY}
    assert len(plan.feasible) == 6
    aged()
    assert len(repair(world, plan).done) == 6
    assert all(path.exists() for path in kept)
    assert later(world).feasible == ()


def test_a_killed_writer_really_leaves_what_the_doctor_looks_for(world) -> None:
    code = (
        "import os, pathlib, sys; from engine import files; os.fsync = lambda _: os.kill(os.getpid(), 9); "
        "files.write_atomic(pathlib.Path(sys.argv[1]), b'x')"
    )
    target = world.store.data_dir / "reap.json"
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", code, str(target)], cwd=root, check=False)
    assert ended.returncode == -9
    assert [kind for kind, _ in planned(later(world))] == [RepairKind.TEMPORARY]


# Overlays


@pytest.fixture
def overlay(world) -> Path:
    path = world.store.data_dir / "externals" / OVERLAY
    path.mkdir(parents=True)
    (path / "envdeck-commands.json").write_text("[]")
    return path


def test_an_overlay_goes_only_when_nothing_names_it(world, overlay: Path, aged) -> None:
    key_dir = publish(world, overlay=str(overlay))
    assert later(world).steps == ()
    # An old attempt, in which content may still be running, sees it through its .pth file.
    site = key_dir / ATTEMPT / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (site / "zzz_externals.pth").write_text(f"import site; site.addsitedir('{overlay}')\n")
    world.store.publish(key_dir, json.loads((key_dir / "current.json").read_text()) | {"overlay": ""})
    assert later(world).steps == ()
    (site / "zzz_externals.pth").unlink()
    assert later(world, 0).steps == ()
    plan = later(world)
    assert planned(plan) == [(RepairKind.OVERLAY, OVERLAY)]
    aged()
    assert len(repair(world, plan).done) == 1
    assert not overlay.exists()


def test_an_overlay_stays_while_a_build_is_under_way(world, overlay: Path) -> None:
    plan = later(world)
    job_dir = job(world, ATTEMPT, result=None)
    with acquire(job_dir / "alive", lambda: True):
        assert later(world).feasible == ()
        result = repair(world, plan)
    assert result.refused[0].refusals == ("a build is under way",)
    assert overlay.is_dir()


def test_an_overlay_that_somebody_began_to_use_is_given_back(world, overlay: Path) -> None:
    """Named in the instant between the last look and the renaming, which the test makes long."""
    plan = later(world)
    set_aside = world.store.set_aside

    def slow(path: Path) -> Path | None:
        doomed = set_aside(path)
        publish(world, overlay=str(overlay))
        return doomed

    world.store.set_aside = slow
    result = repair(world, plan)
    assert result.refused[0].refusals == ("a build has begun to use it",)
    assert (overlay / "envdeck-commands.json").exists()


# Executors


def test_a_job_that_an_executor_keeps_for_an_ended_build_is_forgotten(world, aged) -> None:
    job_dir = job(world, ATTEMPT)
    notes = {"executor": "local", "submitted_at": 1.0, "timeout": 1.0, "start_timeout": 1.0, "grace": 1.0, "memory": 0}
    (job_dir / "executor.json").write_text(json.dumps(notes | {"ended": "cancelled"}))
    from engine.doctor.jobs import orphaned_jobs

    (step,), _ = orphaned_jobs(world, time.time() + DAY)
    # Nobody says on which machine it ran.
    assert step.refusals == ("it belongs to another machine",)
    result = repair(world, RepairPlan((replace(step, refusals=()),)))
    assert result.refused[0].refusals == ("it has changed since this was planned",)
    assert this_machine().host


# Strangers, damage


def test_what_envdeck_did_not_make_is_told_of_and_never_touched(world, aged) -> None:
    key_dir = publish(world)
    data_dir = world.store.data_dir
    foreign = key_dir.parent / "AbrY5VfQZ5r97HDk5puHtA"
    foreign.mkdir()
    (foreign / "pyvenv.cfg").touch()
    (data_dir / "apps").mkdir()
    odd = [
        data_dir / "python-environments" / "note",
        data_dir / "python-environments" / "pip" / "latest",
        key_dir.parent / "odd",
        key_dir / "odd",
        data_dir / "jobs" / "odd",
        data_dir / "content" / "odd",
        data_dir / "trash" / "odd",
        data_dir / "rebuilds" / "odd",
        data_dir / "externals" / "odd",
        data_dir / "wheels" / "odd",
    ]
    for path in odd:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert set(strangers(data_dir)) == set(odd)
    check = next(c for c in examine(world).checks if c.code == "strangers")
    assert (check.health, len(check.details)) == (Health.NOTE, 10)
    aged()
    assert repair(world, later(world)).failed == ()
    assert all(path.exists() for path in (*odd, foreign / "pyvenv.cfg", data_dir / "apps"))


def test_damaged_environments_and_content_without_one_are_told_of(world) -> None:
    key_dir = publish(world)
    world.store.mark_damaged(key_dir, ATTEMPT, "it is not what was built", {})
    found = {check.code: check for check in examine(world).checks}
    assert found["environments"].health is Health.WARNING
    assert found["environments"].details == (f"{key('A')}: it is not what was built",)


def test_a_link_in_the_way_is_not_followed(world, tmp_path: Path, aged) -> None:
    key_dir = publish(world)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".current.json.a1b2c3d4").touch()
    plan = later(world)
    (key_dir / ".current.json.a1b2c3d4").touch()
    plan = later(world)
    (step,) = plan.feasible
    key_dir.rename(tmp_path / "moved")
    key_dir.symlink_to(outside)
    aged()
    result = repair(world, plan)
    assert result.refused[0].refusals == ("the way to it leads out of the data directory",)
    assert (outside / ".current.json.a1b2c3d4").exists()
    assert step.path.exists()


def test_a_repair_that_the_disk_refuses_is_told_and_the_next_one_done(world, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.store.data_dir / "reap.json").write_text("{")
    (world.store.data_dir / "rebuilds").mkdir()
    (world.store.data_dir / "rebuilds" / "up.json").write_text("{")
    from engine.doctor import repair as module

    move = module.shutil.move

    def refuse(source: Path, target: Path) -> None:
        if source.name == "up.json":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        move(source, target)

    monkeypatch.setattr(module.shutil, "move", refuse)
    result = repair(world, later(world))
    assert [step.path.name for step in result.done] == ["reap.json"]
    ((step, problem),) = result.failed
    assert (step.path.name, problem.code) == ("up.json", "storage-write")
    actions = [json.loads(line) for line in (world.store.data_dir / "audit.jsonl").read_text().splitlines()]
    assert [(a["action"], a["result"]) for a in actions] == [("doctor.repair", "failed"), ("doctor.repair", "ok")]


def test_examinations_at_the_same_time_do_not_disturb_each_other(world) -> None:
    found: list[bool] = []

    def look() -> None:
        checks_ = trials.try_out(world.store.data_dir)
        found.append(all(check.health.fine for check in checks_))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4

"""A data directory without space, without inodes, read-only or closed: what is said, and what is damaged (nothing)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import Build, BuildState, Engine, EnvironmentState, Refused, StorageError
from engine.environments import space

Make = Callable[..., Path]
Wait = Callable[..., None]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
MIB = 1024**2


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount: {done.stderr.strip()}")


@pytest.fixture
def small_disk(server) -> Iterator[Callable[[str], None]]:
    """Put the data directory on a file system in memory, with these mount options."""
    mounted = False

    def prepare(options: str) -> None:
        nonlocal mounted
        if not mounted:
            server.data_dir.mkdir()
            mount("-t", "tmpfs", "-o", options, "tmpfs", server.data_dir)
            mounted = True
        else:
            mount("-o", f"remount,{options}", server.data_dir)

    yield prepare
    if mounted:
        subprocess.run(["umount", "--lazy", server.data_dir], check=True)


def start(engine: Engine, bundle: Path) -> Build:
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(bundle))))
    assert outcome.build is not None
    return outcome.build


def make_big(server, make_wheel: Make, size: int) -> None:
    """A package with a file of `size` bytes, most of which no compression makes smaller."""
    wheel = make_wheel(server.packages, "big")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("big.bin", os.urandom(size))


def take_all_bytes(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))


def take_all_names(directory: Path) -> None:
    for number in range(10_000):
        (directory / str(number)).touch()


def left_in(server) -> list[Path]:
    return [*(server.data_dir / "python-environments").glob("*/*/*"), *(server.data_dir / "trash").glob("*")]


@pytest.mark.slow
@as_root
def test_a_build_that_fills_the_disk_fails_clearly_and_the_next_one_succeeds(
    server, small_disk, make_wheel: Make
) -> None:
    small_disk("size=60m")
    server.configure("[Envdeck]", "SpaceReserve = 1M")
    make_big(server, make_wheel, 80 * MIB)
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    before = engine.wait(start(engine, server.bundle("alpha", name="before")).id, 300)
    assert before.state is BuildState.DONE
    failed = engine.wait(start(engine, server.bundle("big", name="big")).id, 300)
    assert failed.state is BuildState.FAILED
    assert failed.fault is not None
    assert "no space left" in str(failed.fault).lower()
    assert "space" in failed.fault.advice
    assert shutil.disk_usage(server.data_dir).free > 30 * MIB
    assert [e.state for e in engine.refresh().environments] == [EnvironmentState.READY]
    assert len(left_in(server)) == 1
    small_disk("size=400m")
    done = engine.wait(start(engine, server.bundle("big", name="big")).id, 300)
    assert done.state is BuildState.DONE


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_a_disk_that_others_fill_during_a_build_gives_a_verdict_once_it_can_be_written(
    server, small_disk, make_wheel: Make, make_source: Make, wait_until: Wait, what: str
) -> None:
    small_disk("size=60m,nr_inodes=4000")
    server.configure("[Envdeck]", "SpaceReserve = 0")
    reached, opened = server.root / "reached", server.root / "opened"
    script = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\n"
    script += f"while not pathlib.Path({str(opened)!r}).exists(): time.sleep(0.02)\n"
    make_source(server.packages, "slow", script)
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    build = start(engine, server.bundle("slow", name="slow"))
    wait_until(reached.exists, what="the build script")
    filler = server.data_dir / "filler"
    filler.mkdir()
    if what == "bytes":
        with pytest.raises(OSError, match="No space"):
            take_all_bytes(filler / "file")
    else:
        with pytest.raises(OSError, match="No space"):
            take_all_names(filler)
    opened.touch()
    ended = engine.wait(build.id, 300)
    assert ended.state in (BuildState.FAILED, BuildState.LOST)
    shutil.rmtree(filler)
    wait_until(lambda: engine.refresh().builds[0].finished_at, what="the verdict")
    assert left_in(server) == []
    done = engine.wait(start(engine, server.bundle("alpha", name="after")).id, 300)
    assert done.state is BuildState.DONE


@as_root
def test_of_a_disk_that_is_mounted_read_only_another_account_is_not_called_the_remedy(server) -> None:
    server.data_dir.mkdir()
    mount("-t", "tmpfs", "-o", "ro", "tmpfs", server.data_dir)
    try:
        engine = server.engine()
        with pytest.raises(Refused) as refused:
            start(engine, server.bundle("alpha"))
        (obstacle,) = [p for p in engine.refresh().obstacles if p.code == "data-dir-unwritable"]
        (finding,) = [check for check in engine.diagnose().checks if check.code == "directory"]
    finally:
        subprocess.run(["umount", server.data_dir], check=True)
    assert "mounted read-only" in refused.value.problem.message
    assert "mounted read-only" in obstacle.message
    assert "mounted read-only" in finding.finding
    assert {refused.value.problem.hint, obstacle.hint, finding.remedy} == {obstacle.hint}
    assert "rw" in obstacle.hint


@pytest.mark.slow
@as_root
def test_a_disk_that_turns_read_only_during_a_build_damages_nothing(
    server, make_wheel: Make, make_source: Make, wait_until: Wait
) -> None:
    """As ext4 does by itself when the disk fails (mount option errors=remount-ro)."""
    disk = server.root / "disk.img"
    with disk.open("wb") as file:
        file.truncate(200 * MIB)
    server.data_dir.mkdir()
    made = subprocess.run(["mkfs.ext4", "-q", disk], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"mkfs.ext4: {made.stderr.strip()}")
    mount("-o", "loop,errors=remount-ro", disk, server.data_dir)
    device = subprocess.run(
        ["findmnt", "-n", "-o", "SOURCE", server.data_dir], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        server.configure("[Envdeck]", "SpaceReserve = 0")
        reached, opened = server.root / "reached", server.root / "opened"
        script = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\n"
        script += f"while not pathlib.Path({str(opened)!r}).exists(): time.sleep(0.02)\n"
        make_source(server.packages, "slow", script)
        make_wheel(server.packages, "alpha")
        engine = server.engine()
        before = engine.wait(start(engine, server.bundle("alpha", name="before")).id, 300)
        build = start(engine, server.bundle("slow", name="slow"))
        wait_until(reached.exists, what="the build script")
        Path(f"/sys/fs/ext4/{Path(device).name}/trigger_fs_error").write_text("a test")
        opened.touch()
        lost = engine.wait(build.id, 300)
        assert lost.state is BuildState.LOST
        (seen, _) = engine.refresh().builds
        assert (seen.id, seen.state) == (build.id, BuildState.LOST)
        # Whether the mount says that it is read-only, or only each write fails, depends on the kernel.
        with pytest.raises((Refused, StorageError), match=r"mounted read-only|Read-only file system"):
            start(engine, server.bundle("alpha", "slow", name="more"))
        assert [e.attempt for e in engine.refresh().environments] == [before.id]
        # Not lazily: mounted again while something still has it open, it would be the failed one.
        unmount = ["umount", server.data_dir]
        wait_until(lambda: not subprocess.run(unmount, capture_output=True, check=False).returncode, what="the unmount")
        # A build of another test has a copy of all mounts for as long as it runs.
        loops = ["losetup", "--associated", disk]
        wait_until(lambda: not subprocess.run(loops, capture_output=True, check=True).stdout, 120, "the free device")
        subprocess.run(["fsck.ext4", "-p", disk], capture_output=True, check=False)
        mount("-o", "loop", disk, server.data_dir)
        wait_until(lambda: engine.refresh().builds[0].finished_at, what="the verdict")
        assert [e.state for e in engine.refresh().environments] == [EnvironmentState.READY]
        assert len(left_in(server)) == 1
    finally:
        subprocess.run(["umount", "--lazy", server.data_dir], check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory immutable")
def test_a_cache_that_may_not_be_written_gives_one_clear_fault(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    server.data_dir.mkdir()
    cache = server.data_dir / "python-environments"
    cache.mkdir()
    if subprocess.run(["chattr", "+i", cache], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable files")
    try:
        engine = server.engine()
        failed = engine.wait(start(engine, server.bundle("alpha")).id, 300)
    finally:
        subprocess.run(["chattr", "-i", cache], check=True)
    assert failed.state is BuildState.FAILED
    assert failed.fault is not None
    assert str(cache) in failed.fault.message
    assert "Operation not permitted" in failed.fault.message
    assert "Let this account write there" in failed.fault.advice
    assert engine.wait(start(engine, server.bundle("alpha")).id, 300).state is BuildState.DONE


def test_too_little_space_is_said_before_a_build_starts_and_keeps_it_from_starting(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    server.configure("[Envdeck]", "SpaceReserve = 1000T")
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    assert plan.problem is not None
    assert plan.problem.code == "space-reserve"
    assert plan.problem.expected == "1000 TiB (Envdeck.SpaceReserve)"
    assert plan.problem.hint
    with pytest.raises(Refused, match="too little free space"):
        engine.execute(plan)
    assert not server.data_dir.exists()


def test_a_hit_and_a_rebuild_of_what_is_there_ask_for_no_space_and_for_it(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    engine.wait(start(engine, server.bundle("alpha")).id, 300)
    server.configure("[Envdeck]", "SpaceReserve = 1000T")
    later = server.engine()
    plan = later.plan_build(later.open_bundle(str(server.bundle("alpha"))))
    assert plan.hit
    assert plan.problem is None
    rebuild = later.plan_rebuild([plan.key])
    assert rebuild.problem is not None
    assert rebuild.problem.code == "space-reserve"


def test_space_that_is_gone_when_it_is_a_builds_turn_is_said_then(
    server, make_wheel: Make, make_source: Make, wait_until: Wait
) -> None:
    make_wheel(server.packages, "alpha")
    reached, opened = server.root / "reached", server.root / "opened"
    script = f"import pathlib, time\npathlib.Path({str(reached)!r}).touch()\n"
    script += f"while not pathlib.Path({str(opened)!r}).exists(): time.sleep(0.02)\n"
    make_source(server.packages, "slow", script)
    server.configure("[Envdeck]", "BuildConcurrency = 1")
    engine = server.engine()
    start(engine, server.bundle("slow", name="slow"))
    wait_until(reached.exists, what="the first build")
    second = start(engine, server.bundle("alpha", name="second"))
    wait_until(lambda: "waits for a free slot" in engine.build(second.id).message, what="its waiting")
    # The reserve rather than the disk: what the supervisor was told is what it asks for.
    opened.touch()
    assert engine.wait(second.id, 300).state is BuildState.DONE


@pytest.mark.parametrize(
    ("free", "files", "found"),
    [(10 * MIB, 10**6, "10 MiB"), (500, 10**6, "500 bytes"), (10**12, 19_999, "19999"), (10**12, 0, None)],
)
def test_bytes_and_inodes_both_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, files: int, found: str | None
) -> None:
    told = os.statvfs(tmp_path)
    values = list(told)
    names = ["f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail"]
    for name, value in (("f_frsize", 1), ("f_bavail", free), ("f_files", files), ("f_favail", files)):
        values[names.index(name)] = value
    monkeypatch.setattr(space.os, "statvfs", lambda _: os.statvfs_result(values))
    problem = space.space_problem(tmp_path / "not" / "there" / "yet", 1024**3)
    assert (problem.found if problem else None) == found


def test_a_verdict_that_cannot_be_written_leaves_the_build_to_the_next_who_looks(tmp_path: Path) -> None:
    from engine.builds.job import write_result

    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "result.json").mkdir()  # nothing can be linked there
    assert not write_result(tmp_path / "job", BuildState.FAILED)
    with pytest.raises(StorageError, match=r"cannot write result\.json"):
        write_result(tmp_path / "gone", BuildState.FAILED)
    assert json.dumps([path.name for path in (tmp_path / "job").iterdir()]) == '["result.json"]'

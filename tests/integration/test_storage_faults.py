"""A disk that is full, read-only, forbidden or in pieces: an error with the place and what to do, and no damage."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import StorageError
from engine.actions.reap import plan_reap, reap
from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.content.store import ContentStore
from engine.environments.store import EnvironmentStore
from engine.environments.trash import delete_tree, discard, discarded_in, set_aside
from engine.files import is_temporary, write_atomic, write_json, write_json_once, write_new, write_problem
from engine.world import World
from tests.records import replace

KEY = "A" * 22
ATTEMPT = "20260101-000000-abcdef"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts something for the length of the test; skips it where that is not allowed."""
    mounted: list[Path] = []

    def run(place: Path, *words: str) -> Path:
        ended = subprocess.run(["mount", *words, str(place)], capture_output=True, text=True, check=False)
        if ended.returncode:
            pytest.skip(f"cannot mount here: {ended.stderr.strip()}")
        mounted.append(place)
        return place

    yield run
    for place in reversed(mounted):
        subprocess.run(["umount", str(place)], check=False)


def publish(data_dir: Path, **changes: object) -> tuple[EnvironmentStore, Path]:
    store = EnvironmentStore(data_dir)
    key_dir = store.key_dir("pip", "3.11.7", "Local", KEY)
    (key_dir / ATTEMPT / "bin").mkdir(parents=True)
    (key_dir / ATTEMPT / "bin" / "python").touch()
    (key_dir / ATTEMPT / "pyvenv.cfg").write_text("version = 3.11.7\n")
    store.publish(key_dir, {"attempt": ATTEMPT, "ingredients": {}, "built_at": 1.0} | changes)
    return store, key_dir


@pytest.mark.parametrize("text", ["", "{", '{"attempt": 1}'])
def test_an_attempt_that_may_be_the_one_that_counts_is_not_discarded(tmp_path: Path, text: str) -> None:
    """A disk that fails says anything, and what was published is not to be deleted for that."""
    store, key_dir = publish(tmp_path)
    store.discard_attempt(key_dir / ATTEMPT)
    assert store.find(key_dir) is not None
    (key_dir / "current.json").write_text(text)
    store.discard_attempt(key_dir / ATTEMPT)
    assert (key_dir / ATTEMPT / "pyvenv.cfg").exists()
    (key_dir / "current.json").unlink()
    store.discard_attempt(key_dir / ATTEMPT)
    assert not key_dir.exists()


# What is said


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "dmesg"),
        (errno.ESTALE, "mount it again"),
        (errno.EACCES, "Let this account write there"),
        (errno.EPERM, "Let this account write there"),
        (errno.ENOENT, "the caller's advice"),
    ],
)
def test_what_to_do_depends_on_what_the_system_says(tmp_path: Path, number: int, hint: str) -> None:
    problem = write_problem("write it", tmp_path / "file", OSError(number, os.strerror(number)), "the caller's advice")
    assert hint in problem.hint
    assert str(problem.where) == str(tmp_path / "file")
    assert os.strerror(number) in problem.message


def test_who_may_not_write_is_told_whose_directory_it_is(tmp_path: Path) -> None:
    problem = write_problem("write it", tmp_path / "gone" / "file", OSError(errno.EACCES, "no"))
    assert f"uid {os.geteuid()}" in problem.found
    assert f"{tmp_path} is d" in problem.found


def test_a_new_file_never_takes_the_place_of_another(tmp_path: Path) -> None:
    write_new(tmp_path / "env.json", b"{}", 0o600)
    assert (tmp_path / "env.json").stat().st_mode & 0o777 == 0o600
    for path in (tmp_path / "env.json", tmp_path / "none" / "env.json"):
        with pytest.raises(StorageError) as caught:
            write_new(path, b"other")
        assert str(path) in str(caught.value.problem.where)
    assert (tmp_path / "env.json").read_bytes() == b"{}"


def test_a_temporary_file_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(Path, "replace", lambda self, _: made.append(self.name))
    write_atomic(tmp_path / "current.json", b"{}")
    assert is_temporary(made[0])
    assert not any(map(is_temporary, ("current.json", ".incoming", ".gitignore", ".doctor-12345678", "x.12345678")))


@pytest.mark.parametrize(("fails", "there"), [("fsync_directory", [1, 2]), ("Path.replace", [1])])
def test_the_files_of_a_bundle_stay_exactly_if_the_record_names_them_however_the_disk_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, there: list[int]
) -> None:
    store = ContentStore(tmp_path)
    bundles = tuple(ContentBundle(number, 1.0, "me", "app", "", "3.11.7", 1) for number in (1, 2))
    installation = PickedInstallation("3.11.7", "/opt/python", "Local", {})
    before = Content("guid", "app", "python-api", 1.0, "me", bundles[:1], 1, installation, managed=False)
    store.bundle_dir("guid", 1).mkdir(parents=True)
    store.save(before)
    files = tmp_path / "files"
    files.mkdir()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(f"engine.files.{fails}", fail)
    with pytest.raises(StorageError):
        store.add(replace(before, bundles=bundles, active=2), files)
    now = store.read("guid")
    assert now is not None
    assert [b.number for b in now.bundles] == there
    assert sorted(int(path.name) for path in (store.root / "guid" / "bundles").iterdir()) == there


# The trash on another device


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory whose trash nothing can be renamed into."""
    trash, rename = tmp_path / "trash", os.rename

    def refuse(source: object, target: object, **options: object) -> None:
        if Path(str(target)).is_relative_to(trash):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(str(source), str(target))

    monkeypatch.setattr(os, "rename", refuse)
    return tmp_path


def test_without_a_way_into_the_trash_things_are_hidden_where_they_were(split: Path) -> None:
    store, key_dir = publish(split)
    doomed = store.set_aside(key_dir)
    assert doomed is not None
    assert doomed.parent == key_dir.parent
    assert store.environments() == ()
    assert list(store.key_dirs()) == []
    assert list(discarded_in(key_dir.parent)) == [doomed]
    assert (doomed / "current.json").exists()


def test_without_a_way_into_the_trash_deleting_still_leaves_nothing(split: Path) -> None:
    store, key_dir = publish(split)
    store.discard(key_dir / ATTEMPT)
    assert [p.name for p in key_dir.iterdir()] == ["current.json"]
    content = ContentStore(split)
    (content.bundle_dir("guid", 1)).mkdir(parents=True)
    content.discard(content.root / "guid")
    assert list(content.root.iterdir()) == []


@pytest.mark.slow
def test_a_trash_on_a_device_of_its_own_is_real(tmp_path: Path, mount: Callable[..., Path]) -> None:
    store, key_dir = publish(tmp_path)
    (tmp_path / "trash").mkdir()
    mount(tmp_path / "trash", "-t", "tmpfs", "none")
    store.discard(key_dir / ATTEMPT)
    assert not (key_dir / ATTEMPT).exists()
    assert [p.name for p in key_dir.iterdir()] == ["current.json"]


def test_what_is_gone_is_no_error_and_what_cannot_be_taken_away_is_one(tmp_path: Path) -> None:
    discard(tmp_path, tmp_path / "gone")
    assert set_aside(tmp_path, tmp_path / "gone") is None
    (tmp_path / "there").mkdir()
    (tmp_path / "trash").rmdir()
    (tmp_path / "trash").touch()
    with pytest.raises(StorageError) as raised:
        set_aside(tmp_path, tmp_path / "there")
    assert raised.value.problem.code == "storage-write"
    assert (tmp_path / "there").is_dir()


@pytest.mark.slow
def test_files_that_a_server_keeps_for_somebody_are_left_for_the_next_time(
    tmp_path: Path, mount: Callable[..., Path]
) -> None:
    """What is mounted on cannot be deleted, as little as what an NFS server keeps."""
    doomed = tmp_path / "doomed"
    (doomed / "sub").mkdir(parents=True)
    (tmp_path / "open").touch()
    for name in ("sub/.nfs0001", "sub/other"):
        (doomed / name).touch()
    mount(doomed / "sub/.nfs0001", "--bind", str(tmp_path / "open"))
    delete_tree(doomed)
    assert [p.name for p in doomed.rglob("*")] == ["sub", ".nfs0001"]
    (doomed / "busy").touch()
    mount(doomed / "busy", "--bind", str(tmp_path / "open"))
    with pytest.raises(OSError, match="busy"):
        delete_tree(doomed)


# Full


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["size=256k", "size=1m,nr_inodes=20"])
def test_a_full_disk_damages_nothing(tmp_path: Path, mount: Callable[..., Path], limit: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount(disk, "-t", "tmpfs", "-o", limit, "none")
    store, key_dir = publish(disk)
    before = (key_dir / "current.json").read_bytes()
    _fill(disk)
    writers: list[Callable[[], object]] = [
        lambda: store.publish(key_dir, {"attempt": "other", "padding": "x" * 100_000}),
        lambda: store.mark_damaged(key_dir, ATTEMPT, "x" * 100_000, {}),
        lambda: write_json_once(disk / "once.json", {"padding": "x" * 100_000}),
    ]
    for write in writers:
        with pytest.raises(StorageError) as raised:
            write()
        problem = raised.value.problem
        assert problem.code == "storage-write"
        assert "No space left" in problem.message
        assert str(disk) in str(problem.where)
        assert "df -i" in problem.hint
    assert (key_dir / "current.json").read_bytes() == before
    assert sorted(p.name for p in key_dir.iterdir()) == [ATTEMPT, "current.json"]
    assert not (disk / "once.json").exists()
    (environment,) = store.environments()
    assert environment.state == "ready"


def _fill(disk: Path) -> None:
    """Take what is left of the space and of the inodes."""
    try:
        with (disk / "filling").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
    except OSError:
        pass
    try:
        for number in range(100_000):
            (disk / f"inode{number}").touch()
            if number > 1000:
                break
    except OSError:
        pass


# Read-only, forbidden


@pytest.mark.slow
def test_a_disk_that_became_read_only_is_told_of_by_every_writer(server, mount: Callable[..., Path]) -> None:
    server.data_dir.mkdir()
    mount(server.data_dir, "-t", "tmpfs", "none")
    store, key_dir = publish(server.data_dir)
    store.mark_damaged(key_dir, ATTEMPT, "reason", {})
    world = World([server.config], server.environ, read_only=False)
    plan = plan_reap(world, None, used_by={}, grace=0.0)
    unpublished = key_dir / "20010101-000000-abcdef"
    unpublished.mkdir()
    assert len(plan.reapable) == 1
    (server.data_dir / "locks").mkdir()
    for name in (f"{KEY}.lock", f"{KEY}.use"):
        (server.data_dir / "locks" / name).touch()
    subprocess.run(["mount", "-o", "remount,ro", str(server.data_dir)], check=True)
    writers: list[Callable[[], object]] = [
        lambda: store.publish(key_dir, {}),
        lambda: store.mark_damaged(key_dir, ATTEMPT, "x", {}),
        lambda: store.clear_mark(key_dir),
        lambda: store.discard(key_dir),
        lambda: store.discard_attempt(unpublished),
        lambda: write_json(server.data_dir / "new.json", {}),
    ]
    for write in writers:
        with pytest.raises(StorageError) as raised:
            write()
        assert "Read-only" in raised.value.problem.message
        assert "dmesg" in raised.value.problem.hint
    result = reap(world, plan, used_by=dict, stop=iter([False, True, True]).__next__)
    assert [problem.code for _, problem in result.failed] == ["storage-write"]
    assert json.loads((key_dir / "current.json").read_text())["attempt"] == ATTEMPT


def test_a_directory_of_somebody_else_is_told_of_with_its_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else for a moment")
    os.chmod(tmp_path, 0o755)  # noqa: PTH101
    store, key_dir = publish(tmp_path)
    told = _as_nobody(lambda: store.publish(key_dir, {}))
    assert told["code"] == "storage-write"
    assert "Permission denied" in told["message"]
    # The nearest directory above that the account can still look at.
    assert re.fullmatch(r"uid 65534, where (/\S+) is d\S+ of uid 0", told["found"])
    assert json.loads((key_dir / "current.json").read_text())["attempt"] == ATTEMPT


def _as_nobody(act: Callable[[], object]) -> dict[str, str]:
    """The problem that `act` ends with in a process without rights."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setegid(65534)
            os.seteuid(65534)
            act()
        except StorageError as error:
            os.write(writing, json.dumps(error.problem.to_json()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return json.loads(told)

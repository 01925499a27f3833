"""Bundle directories that belong to somebody else, who changes them while envdeck, perhaps as root, reads them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import BuildState, Refused
from engine.actions import build
from engine.bundles import directory
from engine.bundles.reading import read_bundle
from engine.bundles.source import copy_source, source_digest
from engine.errors import InputError, Problem

REPOSITORY = Path(__file__).parents[2]
MANIFEST = {"version": 1, "python": {"version": "3.11.4", "package_manager": {"name": "pip"}}}
SECRET = "root:$6$secret"

Make = Callable[..., Path]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "app"
    (path / "sub").mkdir(parents=True)
    (path / "manifest.json").write_text(json.dumps(MANIFEST))
    (path / "requirements.txt").write_text("-r sub/more.txt\n")
    (path / "sub/more.txt").write_text("flask\n")
    (tmp_path / "shadow").write_text(SECRET)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/more.txt").write_text(SECRET)
    return path


def problem(path: Path) -> Problem:
    with pytest.raises(InputError) as caught:
        read_bundle(path)
    return caught.value.problem


def after_the_look(monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[], object]) -> None:
    """Make `change` when the way to the file `name` was found and nothing of it was opened yet."""
    look = os.path.realpath

    def look_then_change(path: str) -> str:
        found = look(path)
        if str(path).endswith(name):
            change()
        return found

    monkeypatch.setattr(directory.os.path, "realpath", look_then_change)


def replace_by_link(path: Path, target: Path) -> None:
    if path.is_dir():
        path.rename(path.with_name("away"))
    else:
        path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["manifest.json", "requirements.txt", "sub/more.txt"])
def test_a_file_that_becomes_a_link_after_it_was_looked_at_gives_nothing_away(
    bundle: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_look(monkeypatch, name, lambda: replace_by_link(bundle / name, tmp_path / "shadow"))
    found = problem(bundle)
    assert found.code == "bundle-unreadable"
    assert "secret" not in str(found)


def test_a_directory_that_becomes_a_link_after_it_was_looked_at_gives_nothing_away(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_the_look(monkeypatch, "more.txt", lambda: replace_by_link(bundle / "sub", tmp_path / "etc"))
    found = problem(bundle)
    assert found.code == "bundle-unreadable"
    assert "secret" not in str(found)


def test_a_file_that_becomes_a_pipe_after_it_was_looked_at_is_not_waited_for(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pipe() -> None:
        (bundle / "requirements.txt").unlink()
        os.mkfifo(bundle / "requirements.txt")

    looks = []
    is_file = Path.is_file

    def look_then_change(path: Path) -> bool:
        found = is_file(path)
        if path.name == "requirements.txt" and not looks:
            looks.append(path)
            pipe()
        return found

    monkeypatch.setattr(Path, "is_file", look_then_change)
    found = problem(bundle)
    assert found.code == "bundle-unreadable"
    assert "not a regular file" in found.message


def test_a_file_that_grows_is_read_up_to_the_limit(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after_the_look(monkeypatch, "more.txt", lambda: os.truncate(bundle / "sub/more.txt", 10**12))
    assert problem(bundle).code == "requirements-too-large"


def test_a_link_to_a_pipe_or_a_device_is_no_file(bundle: Path, tmp_path: Path) -> None:
    os.mkfifo(bundle / "pipe")
    for target in ("pipe", "/dev/zero", "/proc/self/mem"):
        replace_by_link(bundle / "requirements.txt", Path(target))
        assert problem(bundle).code in ("package-file-missing", "bundle-file-outside")


def test_an_archive_that_is_a_pipe_or_a_device_is_not_read(tmp_path: Path) -> None:
    for target in ("/dev/zero", "/dev/stdin"):
        (tmp_path / "app.tar.gz").unlink(missing_ok=True)
        (tmp_path / "app.tar.gz").symlink_to(target)
        assert problem(tmp_path / "app.tar.gz").code == "bundle-unreadable"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("name", ["manifest.json", "requirements.txt", "sub/more.txt", "sub", "."])
def test_what_this_user_may_not_read_is_unreadable_and_says_so(bundle: Path, name: str) -> None:
    (bundle / name).chmod(0)
    code = (
        "import os, sys; from pathlib import Path; from engine.bundles.reading import read_bundle\n"
        "from engine.errors import InputError\n"
        "read_bundle(Path('engine/samples/flask-api'))\n"  # loads all that the account cannot
        "os.setgroups([]); os.setuid(65534)\n"
        "try: read_bundle(Path(sys.argv[1]))\n"
        "except InputError as error: print(error.problem.code, error.problem.message)"
    )
    # Where every account can get, which pytest's own directories are not.
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        shutil.move(bundle, Path(open_to_all) / "app")
        run = subprocess.run(
            [sys.executable, "-c", code, Path(open_to_all) / "app"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
    assert run.stdout.strip() == "bundle-unreadable the bundle cannot be read: Permission denied"


def test_a_copy_holds_what_a_build_needs_and_nothing_that_could_harm(bundle: Path, tmp_path: Path) -> None:
    tool = bundle / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o6777)
    (bundle / "sub").chmod(0o1777)
    (bundle / "private").touch(mode=0o600)
    os.utime(tool, (0, 0))
    os.mkfifo(bundle / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(bundle / "socket"))
    (bundle / "out").symlink_to("/etc")
    (bundle / "loop").symlink_to("loop")
    for name in (".git", "__pycache__", "node_modules"):
        (bundle / name).mkdir()
    (bundle / "b\udcff\n").touch()
    copy_source(read_bundle(bundle), tmp_path / "copy")
    copied = {str(p.relative_to(tmp_path / "copy")): p.lstat() for p in (tmp_path / "copy").rglob("*")}
    assert {name: stat.filemode(status.st_mode) for name, status in copied.items()} == {
        "b\udcff\n": "-rw-r--r--",
        "loop": "lrwxrwxrwx",
        "manifest.json": "-rw-r--r--",
        "out": "lrwxrwxrwx",
        "private": "-rw-r--r--",
        "requirements.txt": "-rw-r--r--",
        "sub": "drwxr-xr-x",
        "sub/more.txt": "-rw-r--r--",
        "tool": "-rwxr-xr-x",
    }
    assert {status.st_uid for status in copied.values()} == {os.geteuid()}
    assert copied["tool"].st_mtime > 10**9


def test_the_digest_covers_names_contents_and_links(bundle: Path) -> None:
    read = read_bundle(bundle)
    seen = {source_digest(read)}

    def changed() -> bool:
        seen.add(digest := source_digest(read))
        return len(seen) == changed.calls and digest in seen  # type: ignore[attr-defined]

    for calls, change in enumerate(
        (
            lambda: (bundle / "sub/more.txt").write_text("dash\n"),
            lambda: (bundle / "sub/more.txt").rename(bundle / "sub/less.txt"),
            lambda: (bundle / "link").symlink_to("sub"),
            lambda: replace_by_link(bundle / "link", Path("other")),
            lambda: (bundle / "new").touch(),
        ),
        2,
    ):
        change()
        changed.calls = calls  # type: ignore[attr-defined]
        assert changed()


class TestTooLarge:
    def expect(self, bundle: Path, tmp_path: Path, expected: str) -> None:
        read = read_bundle(bundle)
        for attempt in (lambda: source_digest(read), lambda: copy_source(read, tmp_path / "copy")):
            with pytest.raises(InputError) as caught:
                attempt()
            assert caught.value.problem.code == "bundle-too-large"
            assert expected in caught.value.problem.expected

    def test_by_size(self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.bundles.source.SIZE_LIMIT", 10**6)
        for name in "abc":
            (bundle / name).touch()
            os.truncate(bundle / name, 4 * 10**5)
        self.expect(bundle, tmp_path, "1000000 bytes")

    def test_by_number(self, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.bundles.directory.ENTRY_LIMIT", 20)
        for number in range(20):
            (bundle / str(number)).mkdir()
        self.expect(bundle, tmp_path, "20 files")

    def test_by_depth(self, bundle: Path, tmp_path: Path) -> None:
        bundle.joinpath(*"d" * 101).mkdir(parents=True)
        self.expect(bundle, tmp_path, "100 directories")


def test_a_bundle_too_large_to_build_is_a_problem_of_its_plan(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.bundles.directory.ENTRY_LIMIT", 2)
    engine = server.engine()
    path = server.bundle("./local")
    (path / "local").mkdir()
    plan = engine.plan_build(engine.open_bundle(str(path)))
    assert plan.problem is not None
    assert plan.problem.code == "bundle-too-large"


LOCAL = {
    # A build backend inside the bundle: pip needs nothing from an index to run it.
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    "backend.py": """
import os, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = "local-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("local.py", open("local.py").read())
        info = "local-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: local\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
build_editable = build_wheel
""",
    "local.py": "VALUE = 1\n",
}


@pytest.fixture
def local(server) -> Path:
    """A bundle with a project of its own."""
    path = server.bundle("-e ./local")
    (path / "local").mkdir()
    for name, text in LOCAL.items():
        (path / "local" / name).write_text(text)
    return path


def test_an_editable_project_of_the_bundle_is_there_after_the_build(server, local: Path) -> None:
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(local))))
    assert engine.wait(outcome.build.id, 300).state is BuildState.DONE
    (environment,) = engine.refresh().environments
    code = "import local; print(local.VALUE, local.__file__)"
    run = subprocess.run([environment.path / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"1 {environment.path}/")


@pytest.mark.parametrize("shape", ["directory", "archive"])
def test_files_that_are_swapped_between_plan_and_copy_are_not_built(
    server, local: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = local
    if shape == "archive":
        path = local.with_name("app.tar.gz")
        with tarfile.open(path, "w:gz") as tar:
            tar.add(local, "app")
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(path)))
    assert plan.problem is None

    launch = build.launch

    def swap_and_launch(*arguments: object, **named: object) -> object:
        (local / "local/local.py").write_text("VALUE = 666\n")
        if shape == "archive":
            with tarfile.open(path, "w:gz") as tar:
                tar.add(local, "app")
        return launch(*arguments, **named)

    # The last moment: all has been checked again, and the copy is about to be made.
    monkeypatch.setattr(build, "launch", swap_and_launch)
    with pytest.raises(Refused) as caught:
        engine.execute(plan)
    assert caught.value.problem.code == "bundle-changed"
    assert list((server.data_dir / "jobs").iterdir()) == []


def test_a_data_directory_behind_a_link_works_like_any_other(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    real = server.root / "disk" / "data"
    real.mkdir(parents=True)
    server.data_dir.symlink_to(real)
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("alpha")))))
    assert engine.wait(outcome.build.id, 300).state is BuildState.DONE
    (environment,) = engine.refresh().environments
    run = subprocess.run([environment.path / "bin/python", "-c", "import alpha"], capture_output=True, check=False)
    assert run.returncode == 0
    assert server.engine().plan_build(engine.open_bundle(str(server.bundle("alpha")))).hit
    engine.execute(engine.plan_reap([environment.key], grace=0))
    assert not environment.path.exists()
    assert list(real.glob("python-environments/*/*/*/current.json")) == []


def test_whatever_lies_in_a_bundle_directory_is_listed_with_its_reason(server) -> None:
    shelf = server.root / "shelf"
    shelf.mkdir()
    outside = server.bundle("alpha", name="elsewhere")
    (shelf / "linked").symlink_to(outside)
    (shelf / "linked.tar.gz").symlink_to("/etc/passwd")
    (shelf / "gone.tar.gz").symlink_to("gone")
    (shelf / "loop.tar.gz").symlink_to("loop.tar.gz")
    (shelf / "zero.tar.gz").symlink_to("/dev/zero")
    os.mkfifo(shelf / "pipe.tar.gz")
    (shelf / "directory.tar.gz").mkdir()
    (shelf / "pipe").mkdir()
    os.mkfifo(shelf / "pipe/manifest.json")
    (shelf / "evil\x1b[31m.tar.gz").write_text("x")
    server.configure("[Envdeck]", f"BundleDir = {shelf}")
    listed = {item.path.name: item for item in server.engine().refresh().bundles}
    codes = {name: item.problem.code if item.problem else "" for name, item in listed.items()}
    assert codes == {
        "linked": "",
        "linked.tar.gz": "archive-unknown-format",
        "gone.tar.gz": "bundle-not-found",
        "loop.tar.gz": "bundle-unreadable",
        "zero.tar.gz": "bundle-unreadable",
        "pipe.tar.gz": "bundle-unreadable",
        "directory.tar.gz": "manifest-missing",
        "evil\x1b[31m.tar.gz": "archive-unknown-format",
    }
    assert "root:" not in str(listed["linked.tar.gz"].problem)

"""The data directory that is configured: what is in it is what is told, and only it is looked into."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import main
from engine import Refused
from engine.obstacles import Unwritable, unwritable
from engine.world import World


def publish(world: World, key: str) -> None:
    key_dir = world.store.key_dir("pip", "3.11.7", "Local", key)
    path = key_dir / "20260101-000000-abcdef"
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    record = {"attempt": path.name, "python_version": "3.11.7", "python_path": "/opt/python/bin/python3"}
    world.store.publish(key_dir, {**record, "ingredients": {}, "size": 1, "built_at": 1.0, "seconds": 1.0})


def write(config: Path, data_dir: Path) -> None:
    config.write_text(f"[Server]\nDataDir = {data_dir}\n")


def test_another_data_directory_is_looked_into_as_soon_as_it_is_configured(tmp_path: Path) -> None:
    config = tmp_path / "server.gcfg"
    environ = {"HOME": str(tmp_path / "home"), "PATH": ""}
    for letter in "ab":
        write(config, tmp_path / letter)
        publish(World([config], environ, read_only=False), letter * 22)
    write(config, tmp_path / "a")
    world = World([config], environ, read_only=False)
    assert [environment.key for environment in world.environments()] == ["a" * 22]
    write(config, tmp_path / "b")
    assert [environment.key for environment in world.environments()] == ["a" * 22]
    assert world.reload()
    assert [environment.key for environment in world.environments()] == ["b" * 22]
    assert world.jobs.jobs_dir == tmp_path / "b" / "jobs"
    assert world.content_store.root == tmp_path / "b" / "content"


@pytest.mark.parametrize("name", ["python-environments", "jobs", "content"])
def test_what_cannot_be_looked_into_is_an_obstacle_and_no_empty_list(tmp_path: Path, name: str) -> None:
    config = tmp_path / "server.gcfg"
    write(config, tmp_path / "data")
    (tmp_path / "data").mkdir()
    world = World([config], {"HOME": str(tmp_path), "PATH": ""}, read_only=False)
    assert world.data_dir_problem is None, "what is not there is made when it is needed"
    world.require_readable()
    (tmp_path / "data" / name).write_text("in the way")
    assert world.data_dir_problem is not None
    assert world.data_dir_problem.code == "data-dir-unreadable"
    with pytest.raises(Refused, match=f"{name} cannot be seen"):
        world.require_readable()


@pytest.mark.parametrize(
    "command",
    ["builds", "log last", "cancel last", "retry last", "content", "content show a", "run a -- true", "plan flask-api",
     "environments", "environments verify", "pin k", "reap", "caches", "rebuild k", "audit", "bundles", "serve"],
)  # fmt: skip
def test_a_command_that_cannot_see_what_there_is_does_not_call_it_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "server.gcfg"
    write(config, tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs").write_text("in the way")
    assert main(["--config", str(config), *command.split()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error[data-dir-unreadable]: what is in ")


def test_the_doctor_says_what_it_could_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / "server.gcfg"
    write(config, tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs").write_text("in the way")
    assert main(["--config", str(config), "--json", "doctor"]) == 1
    checks = {check["code"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "cannot be seen" in checks["inside"]["finding"]
    assert "records" not in checks


@pytest.mark.parametrize(
    ("why", "message", "remedy"),
    [
        (Unwritable("/d", "ann"), "/d is not writable for ann", "Start envdeck as the account that owns it"),
        (Unwritable("/d", "ann", "bob"), "/d is not writable for ann", "sudo -u bob envdeck"),
        (
            Unwritable("/srv/d", "ann", "root", above="/srv"),
            "/srv/d is not there, and ann cannot make it in /srv",
            "install -d -o ann /srv/d",
        ),
        (Unwritable("/d", "ann", "bob", True), "/d is on a file system that is mounted read-only", "Mount it with rw"),
    ],
)
def test_what_keeps_from_writing_is_told_with_its_own_remedy(why: Unwritable, message: str, remedy: str) -> None:
    problem = unwritable(why)
    assert problem.message.startswith(message)
    assert remedy in problem.hint

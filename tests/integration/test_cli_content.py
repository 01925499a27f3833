"""The command line on the real engine: content deployed, run, rebuilt, removed and reaped, with real environments."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.cli.parser import own_words
from engine.environments.store import EnvironmentStore
from tests.locks import holding

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
Make = Callable[..., Path]


class Cli:
    """Runs commands in this process, on the engine of a `server`."""

    def __init__(self, server, capfd: pytest.CaptureFixture[str]) -> None:
        self._server = server
        self._capfd = capfd
        self.out = ""
        self.err = ""

    def __call__(self, *argv: str) -> int:
        code = main(argv, lambda files, *, read_only: self._server.engine(read_only=read_only))
        self.out, self.err = self._capfd.readouterr()
        return code

    def json(self, *argv: str, code: int = 0) -> Any:
        assert self("--json", *argv) == code, self.err
        return json.loads(self.out)


@pytest.fixture
def cli(server, make_wheel: Make, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("alpha", "beta"):
        make_wheel(server.packages, name)
    return Cli(server, capfd)


def test_from_deploying_to_reaping(cli: Cli, server) -> None:
    bundle = str(server.bundle("alpha==1.0"))
    assert cli.json("deploy", bundle, "--dry-run")["content"] is None
    assert cli.json("content") == []

    assert cli("deploy", bundle) == 0, cli.err
    assert "Successfully installed alpha-1.0" in cli.out
    assert cli.out.splitlines()[-1].startswith("deployed  app  bundle 1  ")
    (content,) = cli.json("content")
    key = content["key"]

    # Run: the command's exit code and its output, nothing else on standard output.
    assert cli("run", "app", "--", "python", "-c", "import alpha; print(alpha.__version__); raise SystemExit(7)") == 7
    assert cli.out == "1.0\n"
    plan = cli.json("run", "app", "--dry-run", "--", "python", "-V")
    assert plan["python"].startswith(plan["environment"])

    shown = cli.json("environments", "show", key[:6])
    assert (shown["used_by"], shown["pinned"], shown["processes"]) == (["app"], None, [])
    assert [package["name"] for package in shown["packages"]] == ["alpha"]
    assert shown["last_used_at"] is not None
    assert cli.json("content", "show", "app")["resolution"]["key"] == key

    reap = cli.json("reap", "--dry-run", "--grace", "0")
    assert (reap["reapable"], reap["kept"]) == (0, 1)
    assert [r["code"] for r in reap["items"][0]["reasons"]] == ["used-by-content"]
    assert cli("reap", key[:6], "--grace", "0", "-y") == 1

    # Nobody can be asked here.
    assert cli("content", "remove", "app") == 1
    assert "error[confirmation-needed]" in cli.err
    assert cli("content", "remove", "app", "--yes") == 0
    assert cli("content", "show", "app") == 2
    assert cli("reap", "--grace", "0") == 1
    assert cli.json("reap", "--grace", "0", "-y")["result"]["removed"][0]["key"] == key
    assert cli.json("environments") == []
    assert cli("environments", "show", key) == 2
    assert cli.json("reap", "--if-due")["due"] is False


def test_settings_of_content_are_changed_and_count_at_the_next_deployment(cli: Cli, server) -> None:
    bundle = str(server.bundle("alpha"))
    assert cli("deploy", bundle, "--name", "board") == 0, cli.err
    assert cli.json("content", "set", "board", "--management", "off", "--dry-run")["done"] is False
    assert cli.json("content", "show", "board")["management"] is None
    decision = cli.json("content", "set", "board", "--management", "off", "--name", "plank")["decision"]
    assert (decision["managed"], decision["level"]) == (False, "content")
    assert cli("deploy", bundle, "--content", "plank") == 0, cli.err
    assert "without an environment" in cli.out
    (content,) = cli.json("content")
    assert (content["managed"], content["key"], content["active"]) == (False, None, 2)
    assert cli("run", "plank", "--", "python", "-c", "import alpha") == 1, "it runs on the installation itself"


def test_a_failed_build_leaves_the_content_as_it_was(cli: Cli, server) -> None:
    assert cli("deploy", str(server.bundle("nosuchpackage"))) == 1
    assert cli.err.startswith("error[build-failed]")
    assert cli.json("content") == []
    document = cli.json("deploy", str(server.bundle("nosuchpackage")), code=1)
    assert (document["build"]["state"], document["error"]["code"]) == ("failed", "build-failed")


def test_pins_rebuilds_and_caches(cli: Cli, server) -> None:
    for name in ("alpha", "beta"):
        assert cli("build", str(server.bundle(name, name=name))) == 0, cli.err
    keys = [environment["key"] for environment in cli.json("environments")]
    first = {e["key"]: e["attempt"] for e in cli.json("environments")}

    assert cli.json("pin", keys[0], "--note", "mine")["pinned"]["note"] == "mine"
    assert cli("unpin", keys[1]) == 1
    assert cli("reap", "--grace", "0", "--dry-run") == 0
    assert "it is pinned" in cli.out

    assert cli("rebuild", keys[0]) == 0, cli.err
    assert cli.out.splitlines()[-1] == f"rebuilt  {keys[0]}"
    assert cli("rebuild", "--list", "up", *keys, "--parallelism", "2") == 0, cli.err
    lines = cli.out.splitlines()
    assert lines[0] == "Running = 0, Pending = 2, Success = 0, Error = 0"
    assert lines[-1].startswith("2/2 environment builds completed in 0:0")
    assert {item["state"] for item in cli.json("rebuild", "--list", "up", "--show")["items"]} == {"COMPLETE"}
    assert cli.json("rebuild", "--list", "upp", "--retry", code=2)["error"]["code"] == "rebuild-list-unknown"
    again = {e["key"]: e["attempt"] for e in cli.json("environments")}
    assert not set(first.values()) & set(again.values())

    (cache,) = cli.json("caches")
    assert (cache["language"], cache["environments"]) == ("Python", 2)
    which = ["--language", "python", "--version", cache["version"]]
    assert cli("caches", "delete", *which) == 1
    assert cli("caches", "delete", *which, "-y") == 1, "the pinned one stays"
    assert [e["key"] for e in cli.json("environments")] == [keys[0]]
    assert cli("unpin", keys[0]) == 0
    assert cli("caches", "delete", *which, "-y") == 0, cli.err
    assert cli.json("environments") == []


def test_where_nothing_may_be_changed_a_dry_run_says_so_as_the_command_does(cli: Cli, server) -> None:
    bundle, other = str(server.bundle("alpha==1.0")), str(server.bundle("beta==1.0", name="other"))
    for _ in range(2):
        assert cli("deploy", bundle, "--name", "app") == 0, cli.err
    (environment,) = cli.json("environments")
    key, version = environment["key"], environment["python_version"]
    commands = [
        ["build", other],
        ["deploy", bundle, "--name", "app"],
        ["content", "activate", "app", "1"],
        ["content", "set", "app", "--management", "off"],
        ["content", "remove", "app", "--yes"],
        ["pin", key],
        ["rebuild", key],
        ["rebuild", "--list", "some", key],
        ["reap", "--yes"],
        ["caches", "delete", "--language", "Python", "--version", version, "--yes"],
        ["run", "app", "--", "true"],
    ]
    dry = [[*own_words(argv), "--dry-run", *argv[len(own_words(argv)) :]] for argv in commands]
    # The option is about one process, which asks what would happen without it.
    assert [cli("--read-only", *argv) for argv in dry] == [0] * len(dry)
    assert [cli("--read-only", *argv) for argv in commands] == [1] * len(commands)
    server.configure("[Envdeck]", "ReadOnly = true")
    for argv in dry:
        error = cli.json(*argv, code=1)["error"]
        assert (error["code"], "Envdeck.ReadOnly is on" in error["message"]) == ("read-only", True), argv
        assert cli(*argv) == 1
        assert "error[read-only]" in cli.err, argv
    for argv in commands:
        assert cli(*argv) == 1
        assert "error[read-only]" in cli.err, argv
    assert cli.json("plan", other)["error"] is None, "a look tells of the bundle, not of who looks"
    assert cli.json("build", bundle)["path"] == environment["path"], "what is there is for everybody"
    assert cli("build", bundle, "--dry-run") == 0


def test_a_project_becomes_a_bundle_that_can_be_planned(cli: Cli, server, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    (project / "requirements.txt").write_text("alpha==1.0\n")
    (project / ".python-version").write_text(".".join(map(str, sys.version_info[:2])))
    archive = tmp_path / "out.tar.gz"
    argv = ["bundle", "create", str(project), "-o", str(archive), "--python", sys.executable, "--no-management"]
    assert cli.json(*argv, "--dry-run")["app_mode"]["reason"] == "app.py imports flask"
    assert not archive.exists()
    assert cli("--read-only", *argv) == 1
    assert cli(*argv) == 0, cli.err
    assert cli.out.splitlines()[-1] == f"written  {archive}"
    plan = cli.json("plan", str(archive))
    assert plan["provenance"][0]["standing"] == "decides"
    assert (plan["management"]["managed"], plan["management"]["level"], plan["key"]) == (False, "bundle", "")
    assert cli("bundle", "create", str(project), "-o", str(project / "x.tar.gz"), "--python", sys.executable) == 1
    assert cli("bundle", "create", str(tmp_path / "none")) == 2


def test_targets_tell_what_is_wrong_with_the_file(cli: Cli, server, tmp_path: Path) -> None:
    file = tmp_path / "environments.yaml"
    server.configure("[ExecutionEnvironments]", f"ConfigFilePath = {file}")
    file.write_text("- name: registry/content:1\n  title: Base\n  matching: sometimes\n")
    document = cli.json("targets", code=1)
    assert document["off_host"] is True
    assert document["problems"][0]["where"].startswith(f"{file}:3:"), document


def environ(server) -> dict[str, str]:
    return {**server.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "dumb"}


def command(server, *argv: str) -> list[str]:
    return [sys.executable, "-m", "app", "--config", str(server.config), *argv]


@pytest.mark.parametrize(("answer", "code", "left"), [(b"yes\n", 0, 0), (b"\n", 1, 1)])
def test_the_question_on_a_terminal(cli: Cli, server, answer: bytes, code: int, left: int) -> None:
    assert cli("build", str(server.bundle("alpha"))) == 0, cli.err
    pid, terminal = pty.fork()
    if pid == 0:
        argv = command(server, "reap", "--grace", "0")
        os.execve(argv[0], argv, environ(server))
    output, answered, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not data:
            break
        output += data
        if b"Type yes to go on: " in output and not answered:
            answered = True
            os.write(terminal, answer)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code, output
    assert output.index(b"1 to reap") < output.index(b"Type yes"), "the plan comes before the question"
    assert len(cli.json("environments")) == left


def test_ctrl_c_ends_a_run_over_a_list_so_that_it_can_be_resumed(cli: Cli, server) -> None:
    assert cli("build", str(server.bundle("alpha"))) == 0, cli.err
    (key,) = (environment["key"] for environment in cli.json("environments"))
    assert cli("rebuild", "--list", "up", key, "--dry-run") == 0
    # Held, so that the rebuild has not ended before the signal comes.
    with holding(EnvironmentStore(server.data_dir).lock_path(key)):
        process = subprocess.Popen(
            command(server, "rebuild", "--list", "up", key),
            env=environ(server),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Running = 1"):
                process.send_signal(signal.SIGINT)
                break
        _, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Resume with `envdeck rebuild --list up --retry`" in error
    assert "Traceback" not in error
    assert cli.json("rebuild", "--list", "up", "--show")["items"][0]["state"] == "ABORTED"
    assert cli("rebuild", "--list", "up", "--retry") == 0, cli.err
    assert cli.out.splitlines()[-1].startswith("1/1 environment builds completed")


def test_serving_ends_with_a_signal(server) -> None:
    process = subprocess.Popen(
        command(server, "serve"), env=environ(server), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "serve: pid" in first
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert (process.returncode, "ended by SIGTERM" in error) == (0, True)

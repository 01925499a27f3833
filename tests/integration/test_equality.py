"""By whatever path an environment is made: it is that of stock venv and pip, file by file.

The sets are those of the benchmarks. All but the tiny one take a quarter of an hour: ``pytest -m large``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import environment_tree
import pytest

from engine import BuildState, Engine, Environment

Wait = Callable[..., None]

REQUIREMENTS = Path(__file__).parents[1] / "benchmarks" / "requirements"
PATIENCE = 1200.0
OF_STOCK_ALONE = re.compile(
    r"bin/pip[\d.]*|lib/python[\d.]+/site-packages/(pip|setuptools|pkg_resources|_distutils_hack|distutils-precedence).*"
)
OF_OURS_ALONE = ("envdeck-seal.json", "requirements.txt.lock")


def comparable(root: Path, python: Path) -> dict[str, object]:
    """What is in an environment, but for where it lies and what says who made it."""
    found: dict[str, object] = {}
    for path, content in environment_tree.contents(root, python).items():
        if OF_STOCK_ALONE.fullmatch(path) or path in OF_OURS_ALONE or path.startswith("bin/__pycache__"):
            continue
        if isinstance(content, tuple) and isinstance(content[0], bytes):
            data, executable = content
            if path.startswith("bin/") or path == "pyvenv.cfg":
                data = data.replace(os.fsencode(root), b"HERE").replace(os.fsencode(root.name), b"NAME")
                # The first line of a command names the interpreter as the pip was started that wrote it; a long one is
                # a line for the shell.
                data = re.sub(rb"HERE/bin/python[\d.]*", b"PYTHON", data.replace(b" --without-pip", b""))
                data = data.replace(b"#!/bin/sh\n'''exec' PYTHON \"$0\" \"$@\"\n' '''\n", b"#!PYTHON\n")
            elif path.endswith("/RECORD"):
                # The hashes of commands, whose first line says where they lie.
                data = b"".join(row for row in data.splitlines(keepends=True) if not row.startswith(b"../../../bin/"))
            content = data, executable
        found[path] = content
    return found


UV_WRITES_ITS_OWN = re.compile(
    r"bin/.*|pyvenv\.cfg|\.lock|.*/site-packages/_virtualenv\.\w+|.*\.dist-info/(INSTALLER|RECORD|REQUESTED|uv_\w+\.json)"
)


class Builds:
    """Builds of one requirement set after the other on one server, which keeps what it learns in between."""

    def __init__(self, server: SimpleNamespace, wait_until: Wait) -> None:
        self.server = server
        self.wait_until = wait_until

    def build(self, requirements: Path, *settings: str) -> tuple[Environment, str]:
        """Make the environment under `settings`, with no environment there before; also returns the log."""
        shutil.rmtree(self.server.data_dir / "python-environments", ignore_errors=True)
        self.server.configure("[Envdeck]", "SupportPackage = python-api: !fastapi", *settings)
        bundle = self.server.bundle(name="app")
        shutil.copy(requirements, bundle / "requirements.txt")
        engine: Engine = self.server.engine()
        build = engine.wait(engine.execute(engine.plan_build(engine.open_bundle(str(bundle)))).build.id, PATIENCE)
        log: str = build.log.read_text()
        assert build.state is BuildState.DONE, log
        # The wheels are kept after the verdict.
        self.wait_until(lambda: not busy(build.directory), PATIENCE, "the end of the supervisor")
        (environment,) = engine.refresh().environments
        return environment, log


def busy(job: Path) -> bool:
    """Whether the supervisor of a job still runs: it has the lock on that file."""
    return subprocess.run(["flock", "--nonblock", job / "alive", "true"], check=False).returncode != 0


def stock_environment(python: Path, requirements: Path, place: Path, home: str) -> Path:
    subprocess.run([python, "-I", "-m", "venv", place], check=True)
    argv = [place / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", requirements]
    subprocess.run(argv, check=True, env={"HOME": home, "PATH": os.environ["PATH"]})
    return place


@pytest.mark.network
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("tiny", marks=pytest.mark.slow),
        pytest.param("medium", marks=pytest.mark.large),
        pytest.param("large", marks=pytest.mark.large),
    ],
)
def test_every_path_ends_in_the_environment_of_venv_and_pip(
    server: SimpleNamespace, wait_until: Wait, tmp_path: Path, name: str
) -> None:
    requirements = REQUIREMENTS / f"{name}.txt"
    python = Path(sys.base_prefix) / "bin" / Path(sys.executable).name
    stock = stock_environment(python, requirements, tmp_path / "stock", server.environ["HOME"])
    expected = comparable(stock, python)

    def pip(place: Path, *command: str) -> list[str]:
        run = [python, "-I", "-m", "pip", "--python", place / "bin" / "python", *command]
        return subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()

    freeze = pip(stock, "freeze")
    builds = Builds(server, wait_until)

    def compare(log_has: str, *settings: str, but: re.Pattern[str] | None = None) -> None:
        environment, log = builds.build(requirements, *settings)
        assert log_has in log
        found = comparable(environment.path, python)
        left = {path for path in expected.keys() | found.keys() if not (but and but.fullmatch(path))}
        assert sorted(path for path in left if (path in expected) != (path in found)) == []
        assert sorted(path for path in left if expected[path] != found[path]) == []
        assert pip(environment.path, "freeze") == freeze
        assert pip(environment.path, "check") == ["No broken requirements found."]

    compare("Successfully installed", "Replay = off")
    builds.build(REQUIREMENTS / f"{name}-changed.txt")
    compare("come from the wheel store", "Replay = verify")
    compare("packages come from the wheel store", "Replay = verify")
    compare("is replayed: all ")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "uv is among the tools for the tests"
    compare(
        "Packages are installed by uv", f"Uv = {uv}", "[Python]", "DefaultPackageManager = uv", but=UV_WRITES_ITS_OWN
    )

"""Whatever interpreter and packages: an environment of linked wheels is that of stock pip, file by file."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import wheel_maker as wheels
from environment_tree import contents

from engine.installations.discovery import discover
from engine.wheels.agreement import agreeing
from engine.wheels.filling import Source, fill
from engine.wheels.linking import link
from engine.wheels.model import Pin, Wanted, bytecode_tag
from engine.wheels.store import WheelStore

pytestmark = pytest.mark.slow

_PROBE = """
import json, pip, platform, sysconfig
print(json.dumps({"soabi": sysconfig.get_config_var("SOABI"), "version": platform.python_version(),
                  "implementation": platform.python_implementation(), "pip": pip.__version__}))
"""
_OLDEST_PIP = (22, 3)


@dataclass(frozen=True, slots=True)
class Interpreter:
    path: Path
    version: str
    pip: str
    tag: str

    def run_pip(self, *arguments: str | Path, env: dict[str, str]) -> str:
        argv = [self.path, "-I", "-m", "pip", *arguments]
        said = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
        assert said.returncode == 0, said.stderr
        return said.stdout

    def venv(self, env: Path) -> None:
        subprocess.run([self.path, "-I", "-m", "venv", "--without-pip", env], check=True)


def interpreter(path: Path) -> Interpreter | None:
    """What the interpreter at `path` is; None for one that the store serves not."""
    said = subprocess.run([path, "-I", "-c", _PROBE], capture_output=True, text=True, check=False)
    if said.returncode:
        return None
    facts = json.loads(said.stdout)
    tag = bytecode_tag(facts)
    if tag is None or tuple(map(int, facts["pip"].split(".")[:2])) < _OLDEST_PIP:
        return None
    return Interpreter(path, facts["version"], facts["pip"], tag)


def compare(
    python: Interpreter,
    source: Source,
    wanted: list[Wanted],
    asked: list[str],
    root: Path,
    *options: str | Path,
    env: dict[str, str],
) -> None:
    """Make the same environment at the same place both ways, and compare."""
    store = WheelStore(root / "data")
    result = fill(store, source, wanted)
    assert result.refused == {}
    place = root / "env"
    python.venv(place)
    pins = [f"{each.pin.name}=={each.pin.version}" for each in wanted]
    (root / "constraints.txt").write_text("\n".join(pins))
    arguments = ["--disable-pip-version-check", "-q", "-c", root / "constraints.txt", *options, *asked]
    python.run_pip("--python", place / "bin" / "python", "install", *arguments, env=env)
    stock = contents(place, python.path)
    place.rename(root / "stock")
    place.mkdir()
    names = [Pin.of(name, "1").name for name in asked]
    agreed, left = agreeing(result.stored)
    assert left == {}
    link(store, agreed, place, pip_version=python.pip, requested=names)
    python.venv(place)
    linked = contents(place, python.path)
    assert sorted(linked.keys() ^ stock.keys()) == []
    assert [path for path in stock if stock[path] != linked[path]] == []


@pytest.mark.interpreters
def test_every_interpreter_of_this_machine_gets_what_its_own_pip_would_install(tmp_path: Path) -> None:
    pythons = [found for path in discover(os.environ) if (found := interpreter(Path(path)))]
    if not pythons:
        pytest.skip("no interpreter here but the one that runs the tests")
    packages = tmp_path / "packages"
    alpha = wheels.make(packages, "alpha", "1.0", wheels.ALPHA, modes=wheels.EXECUTABLES)
    beta = wheels.make(packages, "beta", "2.0", wheels.BETA, "alpha>=1")
    env = {"PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
    for number, python in enumerate(pythons):
        root = tmp_path / str(number)
        root.mkdir()
        options = {"no-index": "true", "find-links": str(packages)}
        source = Source(python.path, python.tag, python.pip, "0" * 32, options)
        wanted = [wheels.wanted(alpha), wheels.wanted(beta)]
        compare(python, source, wanted, ["beta"], root, "--no-index", "--find-links", packages, env=env)


@pytest.mark.network
@pytest.mark.parametrize("asked", [["flask"], ["numpy", "requests", "pygments"]], ids=["pure", "compiled"])
def test_packages_of_the_index_come_out_as_stock_pip_installs_them(tmp_path: Path, asked: list[str]) -> None:
    python = interpreter(wheels.PYTHON)
    assert python is not None
    env = dict(os.environ)
    report = tmp_path / "report.json"
    python.run_pip(
        "install",
        "-q",
        "--dry-run",
        "--ignore-installed",
        "--only-binary",
        ":all:",
        "--report",
        report,
        *asked,
        env=env,
    )
    wanted = []
    for row in json.loads(report.read_text())["install"]:
        pin = Pin.of(row["metadata"]["name"], row["metadata"]["version"])
        wanted.append(Wanted(pin, row["download_info"]["archive_info"]["hashes"]["sha256"]))
    lines = (line.partition("=") for line in python.run_pip("config", "list", env=env).splitlines())
    options = {name.rpartition(".")[2]: str(ast.literal_eval(value)) for name, _, value in lines}
    source = Source(python.path, python.tag, python.pip, "0" * 32, options, env)
    compare(python, source, wanted, asked, tmp_path, "--only-binary", ":all:", env=env)
    env_python = tmp_path / "env" / "bin" / "python"
    assert "No broken requirements" in python.run_pip("--python", env_python, "check", env=env)

"""Modules that are compiled beside pip: the environment is that of a pip that compiles itself, file by file."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import wheel_maker as wheels
from environment_tree import contents

from engine.builds import bytecode
from engine.installations.discovery import discover

PROGRAM = Path(bytecode.__file__)
GAMMA = {
    "gamma.py": "g = 1\n",
    "gamma-1.0.data/scripts/gamma-plain.py": "#!python\nprint(1)\n",
    "gamma-1.0.dist-info/entry_points.txt": "[console_scripts]\ngamma-made.py = gamma:main\n",
    "broken.py": "def (\n",
    "null.py": "x = '\0'\n",
    "empty.py": "",
    "shared/__init__.py": "# not the same as in alpha and beta\n",
}
_OLDEST_PIP = (23, 1)


def pip_of(python: Path) -> tuple[int, ...]:
    """The version of an interpreter's pip; nothing when it has none."""
    argv = [python, "-I", "-c", "import pip; print(pip.__version__)"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    return tuple(map(int, said.stdout.split(".")[:2])) if said.returncode == 0 else ()


def install(python: Path, env: Path, packages: Path, *options: str) -> None:
    argv = [python, "-I", "-m", "pip", "--python", env / "bin" / "python", "install", "-q", "--no-index"]
    argv += ["--disable-pip-version-check", "--find-links", packages, *options, "beta", "gamma"]
    subprocess.run(argv, check=True, env={"PIP_CONFIG_FILE": os.devnull, "HOME": str(packages), "PATH": os.defpath})


def compare(python: Path, packages: Path, place: Path) -> None:
    """Make the same environment at the same place both ways, and compare."""
    venv = [python, "-I", "-m", "venv", "--without-pip", place]
    subprocess.run(venv, check=True)
    install(python, place, packages)
    stock = contents(place, python)
    place.rename(place.with_name("stock"))
    subprocess.run(venv, check=True)
    argv = [python, "-I", "-S", "-B", PROGRAM, place]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as beside:
        install(python, place, packages, "--no-compile")
        said, _ = beside.communicate(timeout=120)
    assert beside.returncode == 0
    assert said == b"Compiled 15 modules\n"
    compiled = contents(place, python)
    assert sorted(compiled.keys() ^ stock.keys()) == []
    assert [path for path in stock if stock[path] != compiled[path]] == []


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    directory = tmp_path / "packages"
    wheels.make(directory, "alpha", "1.0", wheels.ALPHA, modes=wheels.EXECUTABLES)
    wheels.make(directory, "beta", "2.0", wheels.BETA, "alpha>=1")
    files = {path: data for path, data in GAMMA.items() if path != "null.py" or sys.version_info >= (3, 12)}
    wheels.make(directory, "gamma", "1.0", files)
    return directory


def test_the_result_is_that_of_a_pip_that_compiles(packages: Path, tmp_path: Path) -> None:
    compare(wheels.PYTHON, packages, tmp_path / "env")


@pytest.mark.slow
@pytest.mark.interpreters
def test_the_result_is_the_same_with_every_interpreter_of_this_machine(packages: Path, tmp_path: Path) -> None:
    compared = 0
    for number, python in enumerate(Path(path) for path in discover(os.environ)):
        if pip_of(python) >= _OLDEST_PIP:
            (tmp_path / str(number)).mkdir()
            compare(python, packages, tmp_path / str(number) / "env")
            compared += 1
    assert compared


Site = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Makes the site-packages of an environment, with files in it and a package that claims some of them."""

    def make(files: dict[str, str], record: Sequence[str] = (), entry_points: str = "") -> Path:
        directory = tmp_path / "env" / "lib" / "python3" / "site-packages"
        info = directory / "demo-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
        (info / "entry_points.txt").write_text(entry_points)
        with (info / "RECORD").open("w", newline="") as file:
            csv.writer(file).writerows([path, "", ""] for path in record)
        return directory

    return make


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (["b.py", "a.py", "a.py"], ["a.py", "b.py"]),
        (["a.txt", "a.pyc", "demo-1.0.dist-info/METADATA"], []),
        (["gone.py"], []),
        (["../../../bin/tool.py"], ["../../../bin/tool.py"]),
        (["../../../bin/made.py"], []),
        (["../../../../outside.py"], []),
        (["/etc/passwd.py", "{outside}"], []),
    ],
    ids=["modules", "other files", "missing", "a script", "a command that pip made", "climbing out", "absolute"],
)
def test_what_is_compiled_is_what_pip_would_compile(
    site: Site, tmp_path: Path, record: list[str], found: list[str]
) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("")
    record = [path.format(outside=outside) for path in record]
    files = {"a.py": "", "b.py": "", "../../../bin/tool.py": "", "../../../bin/made.py": ""}
    directory = site(files, record, "[console_scripts]\nmade.py = a:b\n")
    modules = bytecode.modules_of(str(directory / "demo-1.0.dist-info" / "RECORD"), str(tmp_path / "env"))
    assert modules == [f"{directory}/{path}" for path in found]


def test_modules_are_seen_as_they_arrive_and_only_once(site: Site) -> None:
    directory = site({"a.py": "", "pack/__init__.py": "", "pack/deep/b.py": "", "pack/__pycache__/c.py": ""})
    arrivals = bytecode.Arrivals([str(directory)])
    assert sorted(arrivals.look()) == [f"{directory}/{p}" for p in ("a.py", "pack/__init__.py", "pack/deep/b.py")]
    assert arrivals.look() == []
    site({"pack/deep/more/d.py": "", "e.py": ""})
    assert sorted(arrivals.look()) == [f"{directory}/{path}" for path in ("e.py", "pack/deep/more/d.py")]


def test_what_pip_moves_aside_is_no_package(site: Site, tmp_path: Path) -> None:
    info = site({"a.py": ""}, ["a.py"]) / "demo-1.0.dist-info"
    # So that it can put it back, should what it installs instead not go in.
    info.rename(info.with_name("~emo-1.0.dist-info"))
    assert bytecode.records_in(str(tmp_path / "env")) == {}


def test_a_directory_that_goes_away_is_no_obstacle(site: Site) -> None:
    directory = site({"pack/a.py": ""})
    arrivals = bytecode.Arrivals([str(directory)])
    assert arrivals.look() == [f"{directory}/pack/a.py"]
    shutil.rmtree(directory / "pack")
    site({"b.py": ""})
    assert arrivals.look() == [f"{directory}/b.py"]


def drain(compiler: bytecode.Compiler) -> None:
    while compiler.pending or compiler.running:
        compiler.start(2)
        compiler.collect(next(iter(compiler.running)))


def test_a_module_that_was_seen_half_written_is_compiled_again(site: Site) -> None:
    module = site({"a.py": "x = ["}) / "a.py"
    compiler = bytecode.Compiler()
    compiler.add([str(module)])
    drain(compiler)
    assert not Path(bytecode.cache_from_source(str(module))).exists()
    module.write_text("x = [1]\n")
    compiler.add([str(module)])
    drain(compiler)
    assert Path(bytecode.cache_from_source(str(module))).exists()
    compiler.add([str(module)])
    assert not compiler.pending, "nothing has changed since"


def test_a_compiler_that_is_killed_fails_the_build(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As pip, which compiles in its own process, would have ended with it."""
    module = site({"a.py": ""}) / "a.py"
    monkeypatch.setattr(bytecode, "compile_modules", lambda _: os.kill(os.getpid(), 9))
    compiler = bytecode.Compiler()
    compiler.add([str(module)])
    with pytest.raises(SystemExit, match="status 9"):
        drain(compiler)

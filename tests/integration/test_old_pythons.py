"""The Pythons of older servers: python-rstudio.txt, 15.2 (2.7.9 and 3.4.0 at the least, virtualenv for venv)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version

from engine import BuildState, CheckStatus, EnvironmentState, Installation, InterpreterFacts, Usability
from engine.installations.discovery import discover
from engine.installations.judge import judge
from engine.installations.programs import PROBE_SCRIPT
from tests.records import replace

pytestmark = pytest.mark.slow

Make = Callable[..., Path]

NO_VENV = {"venv": "ImportError: No module named venv"}
FACTS = InterpreterFacts(
    version=Version("3.6.15"),
    implementation="CPython",
    executable="/opt/python/bin/python",
    prefix="/opt/python",
    base_prefix="/opt/python",
    soabi="",
    platform="linux-x86_64",
    machine="x86_64",
    pointer_bits=64,
    libc="",
    pip="19.2.3",
    purelib="/opt/python/lib/site-packages",
)


def judged(facts: InterpreterFacts, minimum: str = "2.7.9") -> Installation:
    return judge(
        "/opt/python", "x", facts.executable, facts, real_path="", minimum_version=Version(minimum), seconds=0.1
    )


@pytest.mark.parametrize(
    ("version", "minimum", "usable"),
    [
        ("2.7.8", "2.7", False),
        ("2.7.9", "2.7", True),
        ("2.7.9", "2.7.10", False),
        ("2.7.18", "2.7.9", True),
        ("2.7.18", "3.8", False),
        ("3.0.1", "2.7", False),
        ("3.3.7", "3.0", False),
        ("3.4.0rc1", "3.0", False),
        ("3.4.0", "3.0", True),
        ("3.6.15", "3.6", True),
        ("2.6.9", "2.0", False),
    ],
)
def test_no_setting_admits_what_no_server_ever_supported(version: str, minimum: str, usable: bool) -> None:
    """python-rstudio.txt, 15.2; python-posit.txt, "Installing Python" for the minimum that applies by default."""
    installation = judged(replace(FACTS, version=Version(version)), minimum)
    assert (installation.usability is Usability.USABLE) is usable
    if not usable:
        assert installation.decisive is not None
        assert installation.decisive.code == "too-old"


@pytest.mark.parametrize(
    ("changes", "code", "status"),
    [
        ({}, "venv", CheckStatus.OK),
        ({"virtualenv": "16.7.12"}, "venv", CheckStatus.OK),
        ({"missing": NO_VENV, "virtualenv": "16.7.12"}, "virtualenv", CheckStatus.OK),
        ({"missing": NO_VENV}, "no-venv", CheckStatus.FAILED),
        # virtualenv brings a pip of its own into the environment.
        ({"missing": NO_VENV | {"ensurepip": "gone"}, "virtualenv": "16.7.12"}, "virtualenv", CheckStatus.OK),
    ],
)
def test_virtualenv_does_in_the_place_of_venv(changes, code: str, status: CheckStatus) -> None:
    """python-rstudio.txt, 15.2: pip and virtualenv are what an installation must have."""
    installation = judged(replace(FACTS, **changes))
    assert (code, status) in [(check.code, check.status) for check in installation.checks]
    assert (installation.usability is Usability.USABLE) is (status is CheckStatus.OK)


def test_a_python_2_without_it_is_told_which_virtualenv_still_serves_it() -> None:
    decisive = judged(replace(FACTS, version=Version("2.7.18"), missing=NO_VENV)).decisive
    assert decisive is not None
    assert decisive.remedy == "/opt/python/bin/python -m pip install 'virtualenv<20.22'"


def find(minor: str) -> Path:
    """An interpreter of that minor version on this machine; skips the test when there is none."""
    for path in discover(os.environ):
        # Python 2 prints it to standard error.
        said = subprocess.run([path, "-E", "-V"], capture_output=True, text=True, check=False)
        if f"Python {minor}." in said.stdout + said.stderr:
            return Path(path)
    return pytest.skip(f"no Python {minor} on this machine")


def make_old_wheel(directory: Path, make_wheel: Make) -> Path:
    """A wheel of ``alpha`` for any Python."""
    return make_wheel(directory, "alpha").rename(directory / "alpha-1.0-py2.py3-none-any.whl")


def build_with(server, python: Path, requirement: str) -> Path:
    """An environment with ``alpha`` in it, built with `python`; returns its directory."""
    server.configure("[Envdeck]", "MinimumVersion = 2.7.9", executables=(str(python),))
    engine = server.engine()
    (installation,) = engine.installations()
    assert installation.usability is Usability.USABLE, installation.reason
    plan = engine.plan_build(engine.open_bundle(str(server.bundle(requirement, python=str(installation.version)))))
    build = engine.wait(engine.execute(plan).build.id, 180)
    assert build.state is BuildState.DONE, build.log.read_text()
    (environment,) = engine.refresh().environments
    assert (environment.state, environment.reason) == (EnvironmentState.READY, "")
    assert ("alpha", "1.0") in [(p.name, p.version) for p in environment.packages]
    assert not {p.name.lower() for p in environment.packages} & {"python", "wsgiref"}
    code = "import alpha, sys; print(alpha.__version__ + ' ' + sys.prefix + ' %d.%d' % sys.version_info[:2])"
    ran = subprocess.run([environment.path / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split()[:2] == ["1.0", str(environment.path)]
    return environment.path


@pytest.mark.interpreters
@pytest.mark.parametrize("minor", ["3.4", "3.5", "3.6", "3.7"])
def test_an_old_python_3_builds_with_a_pip_inside(server, make_wheel: Make, minor: str) -> None:
    make_old_wheel(server.packages, make_wheel)
    environment = build_with(server, find(minor), "alpha")
    assert (environment / "bin" / "pip").exists()


@pytest.fixture
def python_2(tmp_path: Path) -> Path:
    """A private copy of this machine's Python 2.7, since a test may not install anything into the original."""
    original = find("2.7").resolve()
    home = tmp_path / "python2.7"
    shutil.copytree(original.parents[1], home, symlinks=True)
    return home / "bin" / original.name


@pytest.mark.network
@pytest.mark.interpreters
@pytest.mark.parametrize("virtualenv", ["virtualenv<20", "virtualenv<20.22"])
def test_python_2_builds_with_virtualenv(server, make_wheel: Make, python_2: Path, virtualenv: str) -> None:
    """Before 20 virtualenv was another program, which made environments without a pyvenv.cfg."""
    said = subprocess.run([python_2, "-m", "pip", "install", virtualenv], capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip(f"the package index does not give {virtualenv}: {said.stderr.strip().splitlines()[-1:]}")
    # The build runs among the bundle's files, and must not take its modules for the library's, pip's or virtualenv's.
    bundle = server.bundle()
    for name in ("json", "pip", "virtualenv"):
        (bundle / f"{name}.py").write_text("raise SystemExit('the bundle was imported')\n")
    wheel = make_old_wheel(bundle, make_wheel)
    environment = build_with(server, python_2, f"./{wheel.name}")
    assert (environment / "pyvenv.cfg").is_file()


@pytest.mark.interpreters
def test_what_python_2_runs_parses_there() -> None:
    python = find("2.7")
    builder = Path(__file__).parents[2] / "engine" / "builds" / "builder.py"
    for program in (builder, PROBE_SCRIPT):
        code = f"compile(open({str(program)!r}).read(), {program.name!r}, 'exec')"
        subprocess.run([python, "-E", "-s", "-B", "-c", code], check=True)

"""External packages for real: a private installation, overlays, and what pip makes of them.

package-management-posit.txt, "External package installation" and "External Package Version Matching". The numbers T1 to
T13 are those of builds.md, section C.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from engine.builds.job import JobReader, new_attempt_id
from engine.builds.launch import build_environment, launch
from engine.builds.model import BuildState
from engine.builds.overlay import make_overlay
from engine.builds.spec import Job
from engine.bundles.requirements import parse_requirements
from engine.errors import Where
from engine.files import StorageError, read_json
from engine.installations.discovery import discover
from engine.installations.externals import ExternalPackage, externals_identity, probe_externals
from engine.installations.model import InterpreterFacts, ProbeFailure, Usability
from engine.installations.probe import run_probe
from engine.packages.key import key_lines
from engine.packages.plan import PackagePlan, PackageRules, external_names, plan_packages

pytestmark = pytest.mark.slow

BASE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
HELLO = "import sys\ndef main():\n    print('hello from', sys.prefix)\n"


def install(
    site: Path,
    name: str,
    version: str = "1.0",
    files: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    commands: str = "",
) -> None:
    """Put a package into `site` as pip would: its files, metadata and the list of files."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    content = dict(files if files is not None else {f"{name}.py": f"__version__ = {version!r}\n"})
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {requirement}\n" for requirement in requires
    )
    content[f"{info}/INSTALLER"] = "pip\n"
    if commands:
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{commands}\n[other]\nx = y:z\n"
    for path, text in content.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    listed = [*content, f"{info}/RECORD", f"../../../bin/{name}", f"{name}.gone"]
    (site / info / "RECORD").write_text("".join(f'"{path}",,\n' for path in listed))


@dataclass
class Base:
    """A private installation: its own interpreter and site-packages, the rest of the library shared by links."""

    root: Path
    python: Path = field(init=False)
    site: Path = field(init=False)

    def __post_init__(self) -> None:
        library = Path(sysconfig.get_path("stdlib"))
        mine = self.root / library.relative_to(sys.base_prefix)
        self.python = self.root / "bin" / BASE.name
        self.site = mine / "site-packages"
        self.python.parent.mkdir(parents=True)
        self.site.mkdir(parents=True)
        shutil.copy2(BASE.resolve(), self.python)
        for entry in library.iterdir():
            if entry.name != "site-packages":
                (mine / entry.name).symlink_to(entry)
        where = "import os, pip; print(os.path.dirname(os.path.dirname(pip.__file__)))"
        home = Path(
            subprocess.run([BASE, "-I", "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        )
        for entry in (home / "pip", *home.glob("pip-*.dist-info")):
            (self.site / entry.name).symlink_to(entry)

    def probe(self, *names: str) -> Mapping[str, ExternalPackage]:
        found = probe_externals(self.python, names, 30)
        assert not isinstance(found, ProbeFailure), found
        return found

    def state(self) -> dict[str, tuple[int, str]]:
        """Every file of its site-packages with time of change and content; bytecode apart, which Python writes."""
        return {
            str(path): (path.lstat().st_mtime_ns, path.read_bytes().hex() if path.stat().st_size < 9999 else "")
            for path in self.site.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return Base(tmp_path / "py")


@dataclass(frozen=True)
class Built:
    """A build that has ended: the plan, the environment, and everything the log says."""

    state: BuildState
    plan: PackagePlan
    path: Path
    log: str
    record: Mapping[str, object]

    def run(self, code: str) -> str:
        done = subprocess.run([self.path / "bin" / "python", "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    @property
    def packages(self) -> dict[str, str]:
        packages = self.record["packages"]
        assert isinstance(packages, list)
        return {p["name"]: p["version"] for p in packages}


Build = Callable[..., Built]


@pytest.fixture
def build(tmp_path: Path, base: Base) -> Build:
    """Build requirement lines on `base` with some of its packages external, all the way: probe, plan, overlay, pip."""
    data_dir = tmp_path / "data dir"
    index = ("--no-index", f"--find-links {tmp_path / 'index'}")
    (tmp_path / "index").mkdir()
    facts = run_probe(base.python, 30)
    assert isinstance(facts, InterpreterFacts)

    def build(
        *lines: str,
        externals: Iterable[str],
        strict: bool = False,
        options: Sequence[str] = index,
        environ: Mapping[str, str] | None = None,
    ) -> Built:
        def no_include(path: str, where: Where) -> bytes:
            raise AssertionError(path)

        seen = base.probe(*externals)
        rules = PackageRules(
            external=external_names((name, "server.gcfg:1") for name in externals),
            visible={p.name: p.version for p in seen.values()},
            external_version_matching=strict,
        )
        text = "\n".join([*options, *lines]).encode()
        plan = plan_packages(parse_requirements(text, "requirements.txt", no_include), rules)
        job = Job(
            attempt=new_attempt_id(),
            key="k" * 22,
            installer="pip",
            target="Local",
            python_version=str(facts.version),
            python_path=str(base.python),
            pip_version=Version(facts.pip or "0").release,
            data_dir=data_dir,
            key_dir=data_dir / "python-environments" / "pip" / str(facts.version) / new_attempt_id(),
            requirements=plan.requirements_text,
            constraints=plan.constraints_text,
            lines=key_lines(plan),
            ingredients={},
            bundle="app",
            by="tests",
            submitted_at=time.time(),
            timeout=300,
            env=build_environment(environ or {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}),
            overlay=str(make_overlay(data_dir / "externals", seen.values())),
        )
        launch(job)
        reader = JobReader(data_dir / "jobs")
        end = time.monotonic() + 300
        while (done := reader.read(job.attempt)) is None or not done.state.final:
            assert time.monotonic() < end, "the build does not end"
            time.sleep(0.05)
        record = read_json(job.key_dir / "current.json") or {}
        return Built(done.state, plan, job.key_dir / job.attempt, done.log.read_text(), record)

    return build


def hidden(module: str) -> str:
    return f"ModuleNotFoundError: No module named {module!r}"


# What is found


def test_named_packages_are_found_with_all_they_depend_on_here(base: Base) -> None:
    install(
        base.site,
        "Pandy",
        "2.0",
        requires=["numpy_like>=1", "Six[fast] ; python_version >= '3'", "winthing ; sys_platform == 'win32'"],
    )
    install(base.site, "numpy-like", "1.26.4", files={"numpy_like/__init__.py": ""})
    install(base.site, "six", requires=["quick ; extra == 'fast'", "slow ; extra == 'other'", "!nonsense!"])
    for name in ("quick", "slow", "winthing", "flasky"):
        install(base.site, name)
    found = base.probe("PANDY", "absent")
    assert list(found) == ["numpy-like", "pandy", "quick", "six"]
    assert found["pandy"].version == Version("2.0")
    assert found["pandy"].requires == ("numpy-like", "six")
    assert found["pandy"].location == str(base.site)
    assert found["numpy-like"].entries == ("numpy_like", "numpy_like-1.26.4.dist-info")


def test_without_names_no_interpreter_is_run(tmp_path: Path) -> None:
    assert probe_externals(tmp_path / "nothing", ["", " "], 1) == {}


def test_only_what_one_package_owns_is_linked_as_a_whole(base: Base) -> None:
    """Also the bytecode of single modules, which would be compiled at every start otherwise."""
    install(base.site, "goo-auth", files={"goo/auth/__init__.py": "", "goo/auth/deep/x.py": "", "goo/one.py": ""})
    install(base.site, "goo-cloud", files={"goo/cloud/__init__.py": ""})
    cached = f"__pycache__/single.{sys.implementation.cache_tag}.pyc"
    install(base.site, "single", files={"single.py": "", cached: "", "single.libs/libx.so": "", 'a"b,c.txt': ""})
    found = base.probe("goo-auth", "single")
    assert found["goo-auth"].entries == ("goo/auth", "goo/one.py", "goo_auth-1.0.dist-info")
    assert found["single"].entries == (cached, "single-1.0.dist-info", "single.libs", "single.py")


def test_a_package_without_a_list_of_its_files_is_told_by_its_modules(base: Base) -> None:
    """Debian's .egg-info directories, and the .egg-info files of distutils."""
    (base.site / "old").mkdir()
    for file in ("old/__init__.py", "oldmod.py", "oldmod.cpython-311.so", "older.py", "lone.py"):
        (base.site / file).write_text("")
    info = base.site / "old-1.2.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.1\nName: old\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("old\noldmod\n")
    (info / "requires.txt").write_text("lone\n\n[more]\nolder\n\n[:sys_platform == 'win32']\nwinthing\n")
    (base.site / "lone-3.egg-info").write_text("Metadata-Version: 1.0\nName: lone\nVersion: 3\n")
    install(base.site, "older", files={"older.py": ""})
    found = base.probe("old")
    assert {name: str(p.version) for name, p in found.items()} == {"lone": "3", "old": "1.2"}
    assert found["old"].entries == ("old", "old-1.2.egg-info", "oldmod.cpython-311.so", "oldmod.py")
    assert found["lone"].entries == ("lone-3.egg-info", "lone.py")


def test_commands_that_cannot_be_written_as_files_are_left_out(base: Base) -> None:
    install(
        base.site, "tool", commands="tool = tool:main\n../evil = tool:main\nbad = tool:main()\nno = tool\nx=a.b:c.d [e]"
    )
    commands = base.probe("tool")["tool"].commands
    assert [(c.name, c.module, c.function) for c in commands] == [("tool", "tool", "main"), ("x", "a.b", "c.d")]


def test_a_version_that_no_requirement_can_name_counts_as_not_installed(base: Base) -> None:
    install(base.site, "weird", "2004d-final")
    assert base.probe("weird") == {}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("sleep 60", "timeout"),
        ("echo nothing of interest", "no-report"),
        ("exit 3", "exit"),
        (
            'for last; do :; done; eval "end=\\${$(($#-1))} start=\\${$(($#-2))}"; '
            'printf "%s[1, 2]%s" "$(echo $start | rev)" "$(echo $end | rev)"',
            "garbage",
        ),
    ],
)
def test_an_interpreter_that_does_not_answer_is_a_failure(tmp_path: Path, body: str, code: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    failure = probe_externals(program, ["numpy"], 1 if code == "timeout" else 60)
    assert isinstance(failure, ProbeFailure)
    assert failure.code == code


@pytest.mark.interpreters
@pytest.mark.parametrize("python", discover(os.environ))
def test_every_interpreter_that_can_be_served_can_be_asked(python: str) -> None:
    facts = run_probe(Path(python), 30)
    if not isinstance(facts, InterpreterFacts) or facts.pip is None:
        pytest.skip("it has no pip to be found")
    found = probe_externals(Path(python), ["pip"], 30)
    assert not isinstance(found, ProbeFailure), found
    pip = found[canonicalize_name("pip")]
    assert str(pip.version) == facts.pip
    assert {"pip"} < set(pip.entries)


def test_the_identity_changes_with_what_is_installed(base: Base) -> None:
    facts = run_probe(base.python, 30)
    assert isinstance(facts, InterpreterFacts)
    before = externals_identity(facts, ["numpy"])
    assert externals_identity(facts, ["NumPy"]) == before
    assert externals_identity(facts, ["six"]) != before
    install(base.site, "numpy")
    assert externals_identity(facts, ["numpy"]) != before


# Overlays


def test_an_overlay_is_made_once_and_can_be_read_by_every_account(base: Base, tmp_path: Path) -> None:
    install(base.site, "goo-auth", files={"goo/auth.py": ""})
    install(base.site, "goo-cloud", files={"goo/cloud.py": ""})
    packages = tuple(base.probe("goo-auth").values())
    before = os.umask(0o077)
    try:
        overlay = make_overlay(tmp_path / "externals", packages)
    finally:
        os.umask(before)
    assert make_overlay(tmp_path / "externals", reversed(packages)) == overlay
    assert [path.name for path in overlay.parent.iterdir()] == [overlay.name]
    assert (overlay / "goo" / "auth.py").readlink() == base.site / "goo" / "auth.py"
    assert not (overlay / "goo" / "cloud.py").exists()
    for path in (overlay.parent, overlay, overlay / "goo", overlay / "envdeck-commands.json"):
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_processes_that_make_an_overlay_at_once_get_the_same_one(base: Base, tmp_path: Path) -> None:
    install(base.site, "alpha")
    packages = tuple(base.probe("alpha").values())
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: make_overlay(tmp_path / "externals", packages), range(40)))
    (overlay,) = made
    assert [path.name for path in overlay.parent.iterdir()] == [overlay.name]


def test_a_directory_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "externals").write_text("in the way")
    with pytest.raises(StorageError, match="cannot make the overlay"):
        make_overlay(tmp_path / "externals", [])


# Environments


def test_by_name_the_installations_copy_serves_whatever_version_is_asked_for(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T1: the external is used, packages on top of it are installed, the rest of the installation stays hidden."""
    install(base.site, "alpha", "1.18.1", requires=["dep"])
    install(base.site, "dep")
    install(base.site, "flasky")
    install(base.site, "goo-auth", files={"goo/auth.py": "", "goo_auth_top.py": ""}, requires=["alpha"])
    install(base.site, "goo-cloud", files={"goo/cloud.py": ""})
    make_wheel(tmp_path / "index", "pandy", "2.0", requires=("alpha>=1.16", "dep"))
    before = base.state()
    built = build("alpha==1.15", "pandy==2.0", "goo-auth", externals=["alpha", "goo-auth"])
    assert built.state is BuildState.DONE, built.log
    assert built.run("import alpha; print(alpha.__version__)") == "1.18.1"
    assert built.run("import pandy, dep, goo.auth; print('fine')") == "fine"
    assert built.run("import flasky") == hidden("flasky")
    assert built.run("import goo.cloud") == hidden("goo.cloud")
    assert built.packages == {"alpha": "1.18.1", "dep": "1.0", "goo-auth": "1.0", "pandy": "2.0"}
    assert built.record["conflicts"] == []
    assert "Requirement already satisfied: alpha==1.18.1" in built.log
    assert base.state() == before


def test_what_an_external_needs_and_the_installation_lacks_is_installed(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T2b: a line that was dropped would lose this."""
    install(base.site, "alpha", requires=["beta"])
    make_wheel(tmp_path / "index", "beta", "3.0")
    built = build("alpha==0.1", externals=["alpha"])
    assert built.run("import alpha, beta; print(beta.__version__)") == "3.0"


def test_by_name_a_dependency_that_needs_another_version_is_a_conflict(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T3 and T3c: without a constraint pip would install another copy and say nothing."""
    install(base.site, "alpha", "1.18.1")
    make_wheel(tmp_path / "index", "alpha", "2.0")
    make_wheel(tmp_path / "index", "modern", "1.0", requires=("alpha>=2",))
    built = build("modern", externals=["alpha"])
    assert built.state is BuildState.FAILED
    assert "The user requested (constraint) alpha==1.18.1" in built.log
    assert "ResolutionImpossible" in built.log


def test_by_name_pip_looks_for_an_older_dependent_first(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T3b."""
    install(base.site, "alpha", "1.18.1")
    make_wheel(tmp_path / "index", "alpha", "2.0")
    make_wheel(tmp_path / "index", "modern", "1.0", requires=("alpha<2",))
    make_wheel(tmp_path / "index", "modern", "2.0", requires=("alpha>=2",))
    built = build("modern", externals=["alpha"])
    assert built.packages == {"alpha": "1.18.1", "modern": "1.0"}


def test_by_version_another_version_is_installed_beside_and_the_installation_stays_as_it_is(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T4, T5."""
    install(base.site, "alpha", "1.18.1", commands="alpha = alpha:main")
    make_wheel(tmp_path / "index", "alpha", "2.0")
    before = base.state()
    built = build("alpha==2.0", externals=["alpha"], strict=True)
    assert built.run("import alpha; print(alpha.__version__)") == "2.0"
    assert built.packages == {"alpha": "2.0"}
    assert (built.path / "requirements.txt.lock").read_text().split() == ["alpha==2.0"]
    assert "outside environment" in built.log
    assert base.state() == before


def test_by_version_what_is_satisfied_comes_from_the_installation(base: Base, build: Build) -> None:
    """T4, T4c: with nothing in the index."""
    install(base.site, "alpha", "1.18.1")
    built = build("alpha>=1.15", externals=["alpha"], strict=True)
    assert (
        built.run("import alpha; print(alpha.__file__.split('/')[-2])")
        == next((built.path.parents[4] / "externals").iterdir()).name
    )


def test_next_to_hashes_an_external_needs_none(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """T7."""
    import hashlib

    install(base.site, "alpha", "1.18.1")
    wheel = make_wheel(tmp_path / "index", "beta", "1.0")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    wrong = "0" * 64
    built = build(f"beta==1.0 --hash=sha256:{digest}", f"alpha==1.15 --hash=sha256:{wrong}", externals=["alpha"])
    assert built.packages == {"alpha": "1.18.1", "beta": "1.0"}, built.log


def test_commands_of_externals_run_in_the_environment(base: Base, build: Build) -> None:
    install(base.site, "tool", files={"tool.py": HELLO}, commands="hello = tool:main\npython = tool:main")
    built = build("tool", externals=["tool"])
    done = subprocess.run([built.path / "bin" / "hello"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"hello from {built.path}"
    assert built.run("print('still python')") == "still python"


def test_path_files_of_externals_are_read(base: Base, build: Build, tmp_path: Path) -> None:
    """T13: the form of editable installations."""
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "mine.py").write_text("where = 'checkout'\n")
    install(base.site, "mine", files={"__editable__.mine.pth": f"{tmp_path / 'checkout'}\n"})
    built = build("mine", externals=["mine"])
    assert built.run("import mine; print(mine.where)") == "checkout"


def test_a_package_without_a_list_of_its_files_serves_too(base: Base, build: Build) -> None:
    (base.site / "old.py").write_text("answer = 42\n")
    info = base.site / "old-1.2.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.1\nName: old\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("old\n")
    built = build("old==1.1", externals=["old"])
    assert built.run("import old; print(old.answer)") == "42"
    assert built.packages == {"old": "1.2"}


@pytest.mark.network
def test_numpy_and_what_is_built_on_it(
    base: Base, build: Build, tmp_path: Path, make_wheel: Callable[..., Path]
) -> None:
    """The example of the document, with packages of today: numpy==1.15 is asked for, the installation has another."""
    online = dict(os.environ)
    command = [base.python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, "numpy<2", "flask"], env=online, check=True)
    before = base.state()
    numpy = str(base.probe("numpy")["numpy"].version)

    built = build("numpy==1.15", "pandas<3", externals=["numpy"], options=(), environ=online)
    assert built.state is BuildState.DONE, built.log
    code = "import numpy, pandas; print(numpy.__version__, pandas.DataFrame({'a': [1, 2]}).a.sum())"
    assert built.run(code) == f"{numpy} 3"
    assert built.run("import flask") == hidden("flask")
    assert built.record["conflicts"] == []
    assert (built.path / "bin" / "f2py").exists()

    make_wheel(tmp_path / "index", "modern", "1.0", requires=("numpy>=2",))
    local = (f"--find-links {tmp_path / 'index'}",)
    failed = build("modern", externals=["numpy"], options=local, environ=online)
    assert failed.state is BuildState.FAILED
    assert f"The user requested (constraint) numpy=={numpy}" in failed.log

    own = build("numpy>=2", externals=["numpy"], strict=True, options=(), environ=online)
    assert own.run("import numpy; print(numpy.__version__ >= '2')") == "True"
    assert "outside environment" in own.log
    assert base.state() == before


# The whole way, from the configuration


@pytest.mark.parametrize(("fatal", "usability"), [("true", Usability.UNUSABLE), ("false", Usability.USABLE)])
def test_an_installation_that_lacks_an_external_is_an_error_unless_that_is_switched_off(
    server, base: Base, fatal: str, usability: Usability
) -> None:
    server.configure("External = numpy", f"ExternalsCheckIsFatal = {fatal}", executables=(str(base.python),))
    (installation,) = server.engine().refresh().installations
    assert installation.usability is usability
    assert installation.reason == "the external package numpy is not installed"


def test_an_external_of_the_configuration_serves_content(server, base: Base) -> None:
    install(base.site, "alpha", "1.18.1")
    server.configure("External = Alpha", executables=(str(base.python),))
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha==1.15"))))
    outcome = engine.execute(plan)
    assert outcome.build is not None
    assert engine.wait(outcome.build.id, 300).state is BuildState.DONE
    (environment,) = engine.refresh().environments
    assert [(p.name, p.version) for p in environment.packages] == [("alpha", "1.18.1")]
    assert engine.plan_build(engine.open_bundle(str(server.bundle("alpha==1.14", name="other")))).hit

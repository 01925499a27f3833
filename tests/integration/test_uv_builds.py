"""Builds with uv: the same plan, events, log and verification as with pip, and pip where uv cannot do it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import Build, BuildPlan, BuildState, Environment, Phase, Refused

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def uv() -> Path:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        pytest.skip("there is no uv on this machine")
    return Path(found)


@pytest.fixture
def uv_server(server, uv: Path):
    server.configure("DefaultPackageManager = uv", "[Envdeck]", f"Uv = {uv}")
    return server


def plan_of(server, bundle: Path) -> BuildPlan:
    engine = server.engines[0] if server.engines else server.engine()
    return engine.plan_build(engine.open_bundle(str(bundle)))


def build(server, bundle: Path) -> tuple[BuildPlan, Build, str]:
    plan = plan_of(server, bundle)
    assert plan.problem is None
    outcome = server.engines[0].execute(plan)
    assert outcome.build is not None
    done = server.engines[0].wait(outcome.build.id, 300)
    return plan, done, done.log.read_text()


def only_environment(server) -> Environment:
    (environment,) = server.engines[0].refresh().environments
    return environment


def allow(bundle: Path, value: bool | None) -> Path:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["python"]["package_manager"]["allow_uv"] = value
    path.write_text(json.dumps(manifest))
    return bundle


def test_a_bundle_becomes_the_same_environment_as_with_pip(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha", "1.0")
    make_wheel(uv_server.packages, "beta", "2.0", requires=("alpha",))
    plan, done, log = build(uv_server, uv_server.bundle("beta==2.0"))
    assert (done.state, done.phase, done.fault) == (BuildState.DONE, Phase.PUBLISH, None), log
    assert (plan.installer.name, done.installer) == ("uv", "uv")
    assert (done.packages_done, done.packages_total) == (2, 2)
    assert list(done.phases) == [Phase.VENV, Phase.RESOLVE, Phase.INSTALL, Phase.VERIFY, Phase.PUBLISH]
    assert "Packages are installed by uv: DefaultPackageManager is uv" in log
    assert "Installed 2 packages" in log
    environment = only_environment(uv_server)
    assert environment.path.parents[2].name == environment.installer == "uv"
    assert [(p.name, p.version) for p in environment.packages] == [("alpha", "1.0"), ("beta", "2.0")]
    site = next(environment.path.glob("lib/python*/site-packages"))
    assert (site / "alpha-1.0.dist-info" / "INSTALLER").read_text().strip() == "uv"
    # With bytecode of its own. Modules are linked from uv's cache, and deleting the environment does not free those.
    bytecode = list((site / "__pycache__").glob("*.pyc"))
    assert {path.stat().st_nlink for path in bytecode} == {1}
    modules = [site / "alpha.py", site / "beta.py"]
    assert {path.stat().st_nlink for path in modules} == {2}
    assert sum(path.stat().st_size for path in modules) <= environment.shared < environment.size
    verified = uv_server.engines[0].plan_verify([environment.key])
    assert [v.ok for v in verified.verifications] == [True]
    code = "import alpha, beta; print(alpha.__version__, beta.__version__)"
    ran = subprocess.run([environment.path / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1.0", "2.0"]


def test_the_key_is_another_one_than_with_pip_and_each_is_a_hit_of_its_own(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha")
    bundle = uv_server.bundle("alpha")
    with_uv = build(uv_server, bundle)[0]
    with_pip = plan_of(uv_server, allow(bundle, False))
    assert (with_pip.installer.name, with_pip.hit) == ("pip", False)
    assert with_pip.key != with_uv.key
    assert plan_of(uv_server, allow(bundle, None)).hit


def test_pips_configuration_is_handed_over(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha", "1.0")
    make_wheel(uv_server.packages, "alpha", "2.0")
    limits = uv_server.root / "limits.txt"
    limits.write_text("alpha<2\n")
    pip_conf = uv_server.root / "home/.config/pip/pip.conf"
    pip_conf.parent.mkdir(parents=True)
    pip_conf.write_text(
        f"[global]\nno-index = true\nfind-links = {uv_server.packages} /nowhere\n"
        f"constraint = {limits}\nno-cache-dir = 1\n"
    )
    bundle = uv_server.bundle("alpha")
    (bundle / "requirements.txt").write_text("alpha\n")
    _, done, log = build(uv_server, bundle)
    assert done.state is BuildState.DONE, log
    assert [(p.name, p.version) for p in only_environment(uv_server).packages] == [("alpha", "1.0")]
    assert not (uv_server.root / "home/.cache/uv").exists()


def test_what_uv_was_handed_is_for_the_build_alone(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha")
    bundle = uv_server.bundle("alpha")
    lines = f"--find-links {uv_server.packages}\n--extra-index-url https://me:s3cret@127.0.0.1:9/simple\n--no-index\n"
    (bundle / "requirements.txt").write_text(lines + "alpha\n")
    _, done, log = build(uv_server, bundle)
    assert done.state is BuildState.DONE, log
    assert "s3cret" not in log + (done.directory / "spec.json").read_text()
    for name in ("uv.toml", "requirements.txt", "request.json"):
        assert (done.directory / name).stat().st_mode & 0o077 == 0


def test_conflicts_are_told_as_pip_check_tells_them(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha", "1.0", requires=("gamma>=2",))
    pip_conf = uv_server.root / "home/.config/pip/pip.conf"
    pip_conf.parent.mkdir(parents=True)
    pip_conf.write_text("[global]\nno-deps = true\n")
    _, done, log = build(uv_server, uv_server.bundle("alpha"))
    assert done.state is BuildState.DONE, log
    record = json.loads((only_environment(uv_server).path.parent / "current.json").read_text())
    assert record["conflicts"] == ["The package `alpha` requires `gamma>=2`, but it's not installed"]


@pytest.mark.parametrize(
    ("requirements", "fault"),
    [
        (["nosuchthing==1.0"], "nosuchthing: the index has nothing of that name"),
        (["alpha==9"], "alpha: no version ==9 for this Python"),
        (["alpha", "beta==2.0", "alpha<1"], "beta: it needs alpha>=1, which contradicts other requirements"),
    ],
)
def test_a_failed_build_names_the_fault(uv_server, make_wheel: Make, requirements: list[str], fault: str) -> None:
    make_wheel(uv_server.packages, "alpha", "1.0")
    make_wheel(uv_server.packages, "alpha", "0.5")
    make_wheel(uv_server.packages, "beta", "2.0", requires=("alpha>=1",))
    _, failed, log = build(uv_server, uv_server.bundle(*requirements))
    assert failed.state is BuildState.FAILED
    assert fault in str(failed.fault), log
    assert not list((uv_server.data_dir / "python-environments").glob("*/*/*"))


def test_a_bundle_that_uv_cannot_install_is_installed_by_pip_and_its_log_says_why(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha")
    bundle = uv_server.bundle("--prefer-binary", "alpha")
    plan, done, log = build(uv_server, bundle)
    assert (plan.installer.name, done.installer, done.state) == ("pip", "pip", BuildState.DONE)
    assert plan.installer.wanted
    assert "Packages are installed by pip: DefaultPackageManager is uv, and the manifest says nothing, but " in log
    assert "--prefer-binary" in log


def test_a_local_project_is_built_where_the_bundles_files_are(uv_server) -> None:
    bundle = uv_server.bundle("./local", name="with-project")
    project = bundle / "local"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        "[build-system]\nrequires=[]\nbuild-backend='b'\nbackend-path=['.']\n[project]\nname='local'\nversion='1'\n"
    )
    (project / "b.py").write_text(
        "import zipfile\n"
        "def build_wheel(d, config_settings=None, metadata_directory=None):\n"
        "    with zipfile.ZipFile(d + '/local-1-py3-none-any.whl', 'w') as z:\n"
        "        z.writestr('local.py', 'x = 1')\n"
        "        z.writestr('local-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: local\\nVersion: 1\\n')\n"
        "        z.writestr('local-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
        "Tag: py3-none-any\\n')\n"
        "        z.writestr('local-1.dist-info/RECORD', 'local.py,,\\nlocal-1.dist-info/METADATA,,\\n"
        "local-1.dist-info/WHEEL,,\\nlocal-1.dist-info/RECORD,,\\n')\n"
        "    return 'local-1-py3-none-any.whl'\n"
    )
    # What uv would heed of a bundle's own files is not heeded: pip knows nothing of it.
    (bundle / "pyproject.toml").write_text('[tool.uv]\noverride-dependencies = ["local==7"]\noffline = true\n')
    _, done, log = build(uv_server, bundle)
    assert done.state is BuildState.DONE, log
    assert [p.name for p in only_environment(uv_server).packages] == ["local"]


def test_uv_rebuilds_what_it_has_built_and_when_it_is_gone_the_plan_says_so(uv_server, make_wheel: Make) -> None:
    make_wheel(uv_server.packages, "alpha")
    bundle = uv_server.bundle("alpha")
    first = build(uv_server, bundle)[1]
    engine = uv_server.engines[0]
    (started,) = engine.execute(engine.plan_rebuild(first.key))
    again = engine.wait(started.id, 300)
    assert again.state is BuildState.DONE
    assert again.expected is not None
    assert again.expected.basis == "the last build of this environment"
    assert only_environment(uv_server).attempt == started.id
    uv_server.configure("DefaultPackageManager = uv", "[Envdeck]", f"Uv = {uv_server.root}/gone")
    later = uv_server.engine()
    plan = later.plan_rebuild(first.key)
    assert plan.problem is not None
    assert plan.problem.code == "rebuild-no-uv"
    with pytest.raises(Refused):
        later.execute(plan)
    fallen_back = later.plan_build(later.open_bundle(str(bundle)))
    assert fallen_back.installer.name == "pip"
    assert "uv cannot be used" in fallen_back.installer.reason


def test_without_a_home_it_works_without_a_cache(uv_server, make_wheel: Make) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can write anywhere")
    make_wheel(uv_server.packages, "alpha")
    home = uv_server.root / "home"
    home.chmod(0o500)
    try:
        _, done, log = build(uv_server, uv_server.bundle("alpha"))
    finally:
        home.chmod(0o700)
    assert done.state is BuildState.DONE, log


def is_current(bytecode: Path) -> bool:
    """Whether the interpreter would take this rather than compile the source again."""
    source = bytecode.parents[1] / (bytecode.name.partition(".")[0] + ".py")
    flags, modified, size = (int.from_bytes(bytecode.read_bytes()[at : at + 4], "little") for at in (4, 8, 12))
    return (flags, modified, size) == (0, int(source.stat().st_mtime), source.stat().st_size)


@pytest.mark.slow
@pytest.mark.network
def test_the_files_are_those_that_pip_installs(uv_server) -> None:
    """The tiny set from the index; what may differ names the installer, or is made of it."""
    requirements = Path(__file__).parents[1] / "benchmarks" / "requirements" / "tiny.txt"
    bundle = uv_server.bundle()
    (bundle / "requirements.txt").write_text(requirements.read_text())
    trees, freezes = [], []
    for allowed in (True, False):
        plan, done, log = build(uv_server, allow(bundle, allowed))
        assert done.state is BuildState.DONE, log
        assert done.installer == ("uv" if allowed else "pip")
        environment = next(e for e in uv_server.engines[0].refresh().environments if e.key == plan.key)
        freezes.append((environment.path / "requirements.txt.lock").read_text())
        site = next(environment.path.glob("lib/python*/site-packages"))
        trees.append(
            {
                # Bytecode has the time of its source and its path in it: another, but it must be of use.
                str(path.relative_to(site)): is_current(path) if path.suffix == ".pyc" else path.read_bytes()
                for path in site.rglob("*")
                if path.is_file() and path.name not in ("INSTALLER", "RECORD", "REQUESTED", "uv_cache.json")
            }
        )
        assert (environment.path / "bin" / "flask").stat().st_mode & 0o111 == 0o111
    assert freezes[0] == freezes[1]
    with_uv, with_pip = trees
    assert sorted(with_uv) == sorted(with_pip)
    assert [name for name in with_uv if with_uv[name] != with_pip[name]] == []
    assert all(value is True for name, value in with_uv.items() if name.endswith(".pyc"))

"""Builds as ``Applications.RunAs``: package-management-posit.txt, "Configuring pip"; builds.md, section G."""

from __future__ import annotations

import io
import json
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine import BuildState, Refused
from engine.actions.rebuild import plan_rebuild, rebuild
from engine.builds.launch import account_for
from engine.executors.accounts import Account, build_account, cannot_build_as
from engine.world import World
from tests.integration.conftest import wait_until

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Wait = Callable[..., None]

NOBODY = "nobody"


def entry_of_nobody() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        pytest.skip("only root can change to another account")
    try:
        return pwd.getpwnam(NOBODY)
    except KeyError:
        return pytest.skip(f"this machine has no account {NOBODY}")


@pytest.fixture(scope="module")
def open_root() -> Iterator[Path]:
    """A directory that every account can enter, which pytest's own are not."""
    entry_of_nobody()
    root = Path(tempfile.mkdtemp(prefix="envdeck-run-as-"))
    root.chmod(0o755)
    yield root
    # What supervisors do after their verdict.
    wait_until(lambda: not processes_of(str(root)), what="the end of the last supervisor")
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def python(open_root: Path) -> str:
    """An interpreter that nobody can run, with what an environment needs."""
    account = account_of_nobody()
    proof = "import sys, venv, pip; assert sys.version_info >= (3, 8); assert float(pip.__version__[:4]) >= 22.3"
    for path in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if not Path(path).exists() or cannot_build_as(account, path, open_root):
            continue
        if subprocess.run([path, "-I", "-c", proof], capture_output=True, check=False).returncode == 0:
            return str(Path(path).resolve())
    return pytest.skip("no interpreter on this machine that every account can run has venv and pip")


def account_of_nobody() -> Account:
    entry = entry_of_nobody()
    who = build_account(NOBODY, {}, 0)
    assert who.account is not None
    assert (who.account.uid, who.account.gid) == (entry.pw_uid, entry.pw_gid)
    return who.account


@pytest.fixture
def shared(server, open_root: Path, python: str) -> Iterator[type]:
    """The server of the other tests, where nobody can reach it, building as nobody."""
    root = Path(tempfile.mkdtemp(dir=open_root))
    root.chmod(0o755)
    (root / "home").mkdir()
    (root / "home").chmod(0o700)
    server = type(server)(root, server.environ | {"HOME": str(root / "home")})
    server.packages.chmod(0o755)
    configure(server, python)
    yield server
    for engine in server.engines:
        engine.close()


def configure(server, python: str, run_as: str = NOBODY) -> None:
    server.configure("[Applications]", f"RunAs = {run_as}", executables=(python,))


def bundle_for(server, python: str, *requirements: str) -> Path:
    said = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
    return server.bundle(*requirements, python=said.split()[1])


def build(server, python: str, *requirements: str):
    engine = server.engine()
    bundle = engine.open_bundle(str(bundle_for(server, python, *requirements)))
    outcome = engine.execute(engine.plan_build(bundle))
    return engine.wait(outcome.build.id, 300)


def processes_of(tag: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if tag in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


NOSY = """
import json, os, resource, tempfile
def can(path, mode):
    try:
        open(path, mode).close()
    except OSError as error:
        return error.strerror
    return "done"
job = os.path.dirname(os.path.dirname(tempfile.gettempdir()))
umask = os.umask(0); os.umask(umask)
print("NOSY " + json.dumps({
    "uid": [os.getuid(), os.geteuid()], "gid": [os.getgid(), os.getegid()], "groups": os.getgroups(),
    "umask": umask, "home": os.environ["HOME"], "names": sorted(os.environ),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "files": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    "processes": resource.getrlimit(resource.RLIMIT_NPROC)[1],
    "shadow": can("/etc/shadow", "r"), "request": can(job + "/request.json", "r"),
    "result": can(job + "/result.json", "a"), "log": can(job + "/log", "a"), "spec": can(job + "/spec.json", "a"),
    "requirements": can(job + "/requirements.txt", "r"), "temporary": can(tempfile.gettempdir() + "/x", "w"),
    "private": oct(os.stat(os.path.dirname(tempfile.gettempdir())).st_mode & 0o777),
}), flush=True)
"""


def test_a_build_script_has_the_rights_of_the_account_and_none_of_the_service(
    shared, python: str, make_source: Make
) -> None:
    nobody = account_of_nobody()
    shared.environ["SECRET_TOKEN"] = "s3cret"
    make_source(shared.packages, "nosy", NOSY)
    failed = build(shared, python, "nosy")
    assert failed.state is BuildState.FAILED
    log = failed.log.read_text()
    assert f"Running as user: uid={nobody.uid}({NOBODY}) gid={nobody.gid}" in log
    said = json.loads(next(line for line in log.splitlines() if "NOSY " in line).split("NOSY ", 1)[1])
    assert said["uid"] == [nobody.uid] * 2
    assert said["gid"] == [nobody.gid] * 2
    assert sorted(said["groups"]) == list(nobody.groups)
    assert said["umask"] == 0o022
    assert said["home"] == str(nobody.home)
    assert "SECRET_TOKEN" not in said["names"]
    assert said["core"] == [0, 0]
    assert 0 < said["files"] <= 16_384
    assert 0 < said["processes"] <= 4_096
    for name in ("shadow", "request", "result", "log", "spec"):
        assert said[name] == "Permission denied", name
    assert said["requirements"] == "done"
    assert said["temporary"] == "done"
    assert said["private"] == "0o700"


def test_the_environment_belongs_to_the_service_and_the_account_can_only_use_it(
    shared, python: str, make_wheel: Make
) -> None:
    make_wheel(shared.packages, "alpha")
    done = build(shared, python, "alpha")
    assert done.state is BuildState.DONE, done.log.read_text()
    (environment,) = shared.engines[0].refresh().environments
    for path in (environment.path, *environment.path.rglob("*")):
        status = path.lstat()
        assert status.st_uid == os.geteuid(), path
        assert path.is_symlink() or not status.st_mode & 0o6022, path
    nobody = account_of_nobody()
    as_nobody = {"user": nobody.uid, "group": nobody.gid, "extra_groups": nobody.groups, "cwd": "/", "env": {}}
    command = [environment.path / "bin" / "python", "-c", "import alpha; print(alpha.__version__)"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, **as_nobody).stdout
    assert output == "1.0\n"
    touched = subprocess.run(["touch", environment.path / "x"], capture_output=True, check=False, **as_nobody)
    assert touched.returncode != 0
    record = json.loads((environment.path.parent / "current.json").read_text())
    assert record["built_as"] == NOBODY
    request = environment.path.parent / "request.json"
    assert (request.stat().st_uid, stat.S_IMODE(request.stat().st_mode)) == (os.geteuid(), 0o600)
    requirements = done.directory / "requirements.txt"
    assert (requirements.stat().st_uid, stat.S_IMODE(requirements.stat().st_mode)) == (nobody.uid, 0o600)


def test_a_rebuild_and_a_bundle_with_files_of_its_own_run_as_the_account_too(
    shared, python: str, make_wheel: Make, wait_until: Wait
) -> None:
    bundle = bundle_for(shared, python)
    wheel = make_wheel(bundle, "alpha")
    wheel.chmod(0o600)
    done = build(shared, python, f"./{wheel.name}")
    assert done.state is BuildState.DONE, done.log.read_text()
    world = World([shared.config], shared.environ, read_only=False)
    world.probe()
    (started,) = rebuild(world, plan_rebuild(world, done.key))
    wait_until(lambda: world.jobs.read(started.id).state.final, timeout=300)
    assert world.jobs.read(started.id).state is BuildState.DONE, started.log.read_text()
    assert f"({NOBODY})" in started.log.read_text()


SLEEPER = (
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{tag}'], start_new_session=True)\n"
    "time.sleep(600)\n"
)


def test_cancel_ends_every_process_of_the_account(shared, python: str, make_source: Make, wait_until: Wait) -> None:
    tag = f"sleeper-{os.getpid()}-{time.monotonic_ns()}"
    make_source(shared.packages, "sleepy", SLEEPER.format(tag=tag))
    engine = shared.engine()
    bundle = engine.open_bundle(str(bundle_for(shared, python, "sleepy")))
    outcome = engine.execute(engine.plan_build(bundle))
    wait_until(lambda: processes_of(tag), what="the build script's own process")
    assert {process.uids().real for process in processes_of(tag)} == {account_of_nobody().uid}
    engine.execute(engine.plan_cancel(outcome.build.id))
    assert engine.wait(outcome.build.id, timeout=300).state is BuildState.CANCELLED
    assert processes_of(tag) == []
    assert list(shared.data_dir.glob("python-environments/*/*/*")) == []
    assert list((shared.data_dir / "trash").iterdir()) == []


# What a build script leaves behind to hold the service up when it looks at the outcome as root.
TRAP = """
import os, signal, tempfile
os.mkfifo(os.path.dirname(tempfile.gettempdir()) + "/outcome.json")
os.kill(os.getsid(0), signal.SIGKILL)
"""


def test_a_trap_in_the_place_of_the_outcome_does_not_hold_the_service_up(
    shared, python: str, make_source: Make
) -> None:
    make_source(shared.packages, "trap", TRAP)
    failed = build(shared, python, "trap")
    assert failed.state is BuildState.FAILED
    assert (failed.directory / "work" / "outcome.json").is_fifo()


def test_taking_an_environment_over_follows_no_link_out_of_it(open_root: Path) -> None:
    from engine.builds.publishing import _take_over

    nobody = account_of_nobody()
    outside = open_root / "outside"
    outside.write_text("ours")
    outside.chmod(0o600)
    attempt = Path(tempfile.mkdtemp(dir=open_root))
    (attempt / "lib").mkdir()
    (attempt / "link").symlink_to(outside)
    (attempt / "lib" / "to-dir").symlink_to(open_root)
    (attempt / "tool").write_text("")
    (attempt / "tool").chmod(0o6777)
    (attempt / "secret").write_text("")
    (attempt / "secret").chmod(0o600)
    for path in (*attempt.rglob("*"), attempt):
        os.chown(path, nobody.uid, nobody.gid, follow_symlinks=False)
    (attempt / "tool").chmod(0o6777)
    _take_over(attempt, nobody, {})
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in (attempt, *attempt.iterdir())}
    assert modes == {attempt.name: 0o755, "lib": 0o755, "link": 0o777, "tool": 0o755, "secret": 0o644}
    assert {path.lstat().st_uid for path in (attempt, *attempt.rglob("*"))} == {os.geteuid()}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_what_the_account_cannot_run_or_reach_is_said_before_anything_starts(
    shared, python: str, open_root: Path
) -> None:
    nobody = account_of_nobody()
    assert cannot_build_as(nobody, python, shared.data_dir) is None
    closed = Path(tempfile.mkdtemp(dir=open_root))
    (closed / "python").symlink_to(python)
    problem = cannot_build_as(nobody, str(closed / "python"), shared.data_dir)
    assert problem is not None
    assert problem.code == "run-as-cannot-execute"
    assert f"chmod o+x {closed}" in problem.hint
    assert f"{closed} is drwx------" in problem.found
    problem = cannot_build_as(nobody, python, closed / "data" / "new")
    assert problem is not None
    assert problem.code == "run-as-cannot-reach"
    assert f"chmod o+x {closed}" in problem.hint
    problem = cannot_build_as(nobody, "/bin/false", shared.data_dir)
    assert problem is not None
    assert (problem.code, problem.found) == ("run-as-cannot-execute", "exit code 1")


@pytest.mark.parametrize(("run_as", "code"), [("no-such-account", "run-as-unknown"), (NOBODY, "run-as-cannot-execute")])
def test_a_build_that_cannot_run_as_the_account_is_refused_and_leaves_no_part_of_it(
    shared, python: str, run_as: str, code: str
) -> None:
    closed = Path(tempfile.mkdtemp(dir=shared.root))
    (closed / "python").symlink_to(python)
    with pytest.raises(Refused) as refused:
        account_for(run_as, shared.environ, str(closed / "python"), shared.data_dir)
    assert refused.value.problem.code == code
    configure(shared, str(closed / "python"), run_as)
    engine = shared.engine()
    plan = engine.plan_build(engine.open_bundle(str(bundle_for(shared, python))))
    with pytest.raises(Refused) as refused:
        engine.execute(plan)
    assert refused.value.problem.code == code
    assert not any((shared.data_dir / name).exists() for name in ("jobs", "python-environments"))


def test_pip_reads_the_files_of_the_account(shared, python: str, make_wheel: Make) -> None:
    """connect.md §9: the pip.conf of the RunAs account applies, the admin's own does not."""
    make_wheel(shared.packages, "alpha")
    (shared.root / "home" / ".pip").mkdir()
    (shared.root / "home" / ".pip" / "pip.conf").write_text("[install]\nfind-links = /nowhere/of/the/admins\n")
    engine = shared.engine()
    plan = engine.plan_build(engine.open_bundle(str(bundle_for(shared, python, "alpha"))))
    assert "admins" not in json.dumps(plan.ingredients)
    done = engine.wait(engine.execute(plan).build.id, 300)
    assert done.state is BuildState.DONE
    assert "admins" not in done.log.read_text()


def test_uv_runs_as_that_account_with_its_cache_or_none(shared, python: str, open_root: Path, make_wheel: Make) -> None:
    beside = Path(sys.executable).with_name("uv")
    found = beside if beside.exists() else Path(shutil.which("uv") or "/nowhere")
    if not found.exists():
        pytest.skip("there is no uv on this machine")
    if tuple(map(int, python_version(python).split(".")[:2])) < (3, 8):
        pytest.skip("uv supports Python 3.8 and newer")
    uv = Path(shutil.copy(found, open_root / "uv"))
    uv.chmod(0o755)
    make_wheel(shared.packages, "alpha")
    shared.configure(
        "DefaultPackageManager = uv",
        "[Envdeck]",
        f"Uv = {uv}",
        "[Applications]",
        f"RunAs = {NOBODY}",
        executables=(python,),
    )
    done = build(shared, python, "alpha")
    assert done.state is BuildState.DONE, done.log.read_text()
    assert done.installer == "uv"
    assert f"({NOBODY})" in done.log.read_text()
    assert (done.directory / "uv.toml").stat().st_uid == account_of_nobody().uid
    (environment,) = shared.engines[0].refresh().environments
    files = [path.lstat() for path in environment.path.rglob("*")]
    # Nobody's account can change none of it, by this name or by another in uv's cache.
    assert {status.st_uid for status in files} == {0}
    assert {status.st_nlink for status in files if stat.S_ISREG(status.st_mode)} == {1}
    uv.chmod(0o700)
    plan = shared.engine().plan_build(shared.engines[0].open_bundle(str(bundle_for(shared, python, "alpha"))))
    assert plan.installer.name == "pip"
    assert f"{NOBODY}, the account of Applications.RunAs, cannot run {uv}" in plan.installer.reason


def python_version(python: str) -> str:
    return subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]


VANDAL = """
import glob, json, os, shutil, tempfile, zipfile

def attempt():
    job = os.path.dirname(os.path.dirname(tempfile.gettempdir()))
    with open(os.path.join(job, "spec.json")) as file:
        return json.load(file)["attempt_dir"], job

def tried(do):
    try:
        do()
    except OSError as error:
        return error.strerror
    return "done"

def write(path, flags=os.O_WRONLY):
    os.close(os.open(path, flags))

def build_wheel(directory, config_settings=None, metadata_directory=None):
    env, job = attempt()
    linked = glob.glob(env + "/lib/python3*/site-packages/alpha.py")[0]
    (entry,) = {os.path.dirname(os.path.dirname(p)) for p in glob.glob(STORE + "/*/*/site/alpha.py")}
    stored = entry + "/site/alpha.py"
    report = json.dumps({
        "same": os.stat(linked).st_ino == os.stat(stored).st_ino,
        "linked": tried(lambda: write(linked)),
        "mode": tried(lambda: os.chmod(linked, 0o666)),
        "stored": tried(lambda: write(stored)),
        "unlink": tried(lambda: os.unlink(stored)),
        "entry": tried(lambda: write(entry + "/entry.json")),
        "new": tried(lambda: write(entry + "/site/new.py", os.O_WRONLY | os.O_CREAT)),
        "store": tried(lambda: os.mkdir(STORE + "/" + "0" * 64)),
        "lock": tried(lambda: write(STORE + "/locks/x.json", os.O_WRONLY | os.O_CREAT)),
        "supplied": tried(lambda: write(job + "/supplied.json")),
        "link": tried(lambda: os.link(stored, os.path.dirname(linked) + "/mine.py")),
    })
    # What it may do: change what is in its own environment, which then is not the store's any more.
    os.unlink(linked)
    with open(linked, "w") as file:
        file.write("print('vandalised')")
    name = "vandal-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        info = "vandal-1.0.dist-info"
        wheel.writestr("vandal.py", report)
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: vandal\\nVersion: 1.0\\n")
        about = "Wheel-Version: 1.0", "Generator: tests", "Root-Is-Purelib: true", "Tag: py3-none-any"
        wheel.writestr(info + "/WHEEL", "\\n".join(about) + "\\n")
        wheel.writestr(info + "/RECORD", "")
    return name
"""


@pytest.fixture
def configured(shared, open_root: Path, monkeypatch: pytest.MonkeyPatch) -> type:
    """`shared`, where the account has a home directory with a configuration of pip, as on a server."""
    home = shared.root / "home-of-nobody"
    config = home / ".config" / "pip"
    config.mkdir(parents=True)
    (config / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {shared.packages}\n")
    entry = entry_of_nobody()
    there = pwd.struct_passwd((*entry[:5], str(home), entry[6]))
    monkeypatch.setattr("engine.executors.accounts.pwd.getpwnam", lambda name: there)
    return shared


def build_from_index(server, python: str, *requirements: str):
    engine = server.engine()
    directory = bundle_for(server, python)
    (directory / "requirements.txt").write_text("\n".join(requirements) + "\n")
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(directory))))
    return engine.wait(outcome.build.id, 300)


def test_a_build_script_changes_nothing_in_the_wheel_store_and_nothing_that_others_share(
    configured, python: str, make_wheel: Make, wait_until: Wait
) -> None:
    """Issue of shared inodes, builds.md, section F: what one build does must never show in another environment."""
    server = configured
    make_wheel(server.packages, "alpha", "1.0")
    first = build_from_index(server, python, "alpha==1.0")
    assert first.state is BuildState.DONE, first.log.read_text()
    wheels = server.data_dir / "wheels"
    lock = wheels / "locks" / f"{first.key}.json"
    wait_until(lock.exists, timeout=120)
    assert json.loads(lock.read_text())["reason"] == ""
    before = {path: path.read_bytes() for path in wheels.rglob("*") if path.is_file()}
    for path in before:
        assert (path.stat().st_uid, path.stat().st_mode & 0o022) == (os.geteuid(), 0), path

    write_source(server.packages / "vandal-1.0.tar.gz", f"STORE = {str(wheels)!r}\n" + VANDAL)
    vandalised = build_from_index(server, python, "alpha==1.0", "vandal==1.0")
    log = vandalised.log.read_text()
    assert vandalised.state is BuildState.DONE, log
    assert "1 of 2 packages come from the wheel store" in log
    # pip shows what a build script prints only when it fails; what it found is in its package.
    (report,) = (server.data_dir / "python-environments").rglob("vandal.py")
    found = json.loads(report.read_text())
    assert found.pop("same") is True
    assert set(found.values()) <= {"Permission denied", "Operation not permitted"}, found

    after = {path: path.read_bytes() for path in before}
    assert after == before
    engine = server.engine()
    environments = {e.attempt: e for e in engine.refresh().environments}
    spoiled = environments[vandalised.id]
    (own,) = spoiled.path.glob("lib/python3*/site-packages/alpha.py")
    assert own.read_text() == "print('vandalised')"
    # Sealed as it was found, so that nobody takes it for what the store holds.
    (verification,) = engine.plan_verify([spoiled.key]).verifications
    assert verification.ok
    clean = environments[first.id]
    (untouched,) = clean.path.glob("lib/python3*/site-packages/alpha.py")
    assert untouched.read_text() == "__version__ = '1.0'\n"
    wait_until((wheels / "locks" / f"{vandalised.key}.json").exists, timeout=120)
    assert json.loads((wheels / "locks" / f"{vandalised.key}.json").read_text())["packages"] == []

    # And the next one gets what the index serves, by replay.
    shutil.rmtree(server.data_dir / "python-environments")
    again = build_from_index(server, python, "alpha==1.0")
    assert "is replayed: all 1 packages" in again.log.read_text()
    (environment,) = engine.refresh().environments
    nobody = account_of_nobody()
    as_nobody = {"user": nobody.uid, "group": nobody.gid, "extra_groups": nobody.groups, "cwd": "/", "env": {}}
    (shared_file,) = environment.path.glob("lib/python3*/site-packages/alpha.py")
    assert shared_file.read_text() == "__version__ = '1.0'\n"
    assert shared_file.stat().st_nlink > 1
    for argv in (["sh", "-c", f"echo x >> {shared_file}"], ["rm", "-f", shared_file], ["chmod", "666", shared_file]):
        assert subprocess.run(argv, capture_output=True, check=False, **as_nobody).returncode != 0, argv


def write_source(path: Path, backend: str) -> None:
    """A source distribution that is built by `backend`, the text of a module."""
    files = {
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": backend,
        "PKG-INFO": "Metadata-Version: 2.1\nName: vandal\nVersion: 1.0\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            member = tarfile.TarInfo(f"vandal-1.0/{file}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))

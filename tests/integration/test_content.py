"""Content for real: bundles deployed, kept, run, rebuilt and removed, with environments that pip builds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from engine import Build, BuildState, EnvdeckError, InputError, Problem, Refused, StorageError
from engine.actions.content import apply_set, plan_remove, plan_set, remove
from engine.actions.deploy import DeployPlan, deploy, plan_deploy
from engine.actions.resolve import rebuild, resolve
from engine.actions.run import prepare_run, run
from engine.bundles.reading import read_bundle
from engine.content.model import Content
from engine.content.store import ContentStore, hold_shared
from engine.environments.usage import in_use
from engine.installations.discovery import discover
from engine.world import World

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Wait = Callable[..., None]

ROOT = Path(__file__).parents[2]
SHOW = "import alpha, os, sys; print(alpha.__version__, os.getcwd(), sys.prefix, os.environ.get('VIRTUAL_ENV'))"


def open_world(server) -> World:
    return World([server.config], server.environ, read_only=False)


def put(world: World, bundle: Path, **to: str) -> tuple[DeployPlan, Content]:
    plan = plan_deploy(world, read_bundle(bundle), **to)
    assert plan.problem is None, plan.problem
    return plan, deploy(world, plan)


def run_in(world: World, content: Content, *argv: str) -> int:
    result = run(world, prepare_run(world, content), argv)
    assert result.problem is None, result.problem
    return result.exit_code


@contextmanager
def refused(code: str, kind: type[EnvdeckError] = Refused) -> Iterator[list[Problem]]:
    problems: list[Problem] = []
    with pytest.raises(kind) as caught:
        yield problems
    assert caught.value.problem.code == code
    problems.append(caught.value.problem)


def codes(world: World, content: Content) -> list[str]:
    return [reason.code for reason in resolve(world, content).reasons]


def bundle_dirs(server, content: Content) -> list[str]:
    return sorted(p.name for p in (server.data_dir / "content" / content.guid / "bundles").iterdir())


def nothing_half_stored(server) -> bool:
    content = server.data_dir / "content"
    return not list((content / ".incoming").iterdir()) and not list((server.data_dir / "trash").glob("*"))


@pytest.fixture
def alpha(server, make_wheel: Make) -> Path:
    """A bundle that needs one package."""
    make_wheel(server.packages, "alpha", "1.0")
    make_wheel(server.packages, "alpha", "2.0")
    return server.bundle("alpha==1.0")


def test_a_deployed_bundle_runs_in_its_directory_and_environment(server, alpha: Path, capfd) -> None:
    world = open_world(server)
    (alpha / "data.txt").write_text("here")
    plan, content = put(world, alpha)
    assert (plan.content, plan.number, plan.builds) == (None, 1, True)
    assert (content.name, content.app_mode, content.active, content.managed) == ("app", "python-api", 1, True)
    assert content.installation is not None
    assert content.installation.version == ".".join(map(str, sys.version_info[:3]))
    assert content.key == plan.build.key
    assert content.last_used_at is None
    assert codes(world, content) == ["installation-kept", "environment-there"]
    shutil.rmtree(alpha)  # what was deployed does not need the bundle any more
    assert run_in(world, content, "python", "-c", SHOW) == 0
    (environment,) = world.environments()
    directory = server.data_dir / "content" / content.guid / "bundles" / "1"
    assert capfd.readouterr().out.split() == ["1.0", str(directory), str(environment.path), str(environment.path)]
    assert (directory / "data.txt").read_text() == "here"
    after = ContentStore(server.data_dir).find("app")
    assert after.last_used_at is not None
    assert environment.last_used_at > 0
    assert nothing_half_stored(server)


def test_the_same_list_reuses_the_environment_and_another_one_does_not(server, alpha: Path) -> None:
    world = open_world(server)
    started: list[Build] = []
    _, first = put(world, alpha)
    plan = plan_deploy(world, read_bundle(alpha))
    assert (plan.builds, plan.number) == (False, 2)
    second = deploy(world, plan, started.append)
    assert started == []
    assert (second.guid, second.active, second.key) == (first.guid, 2, first.key)
    plan = plan_deploy(world, read_bundle(server.bundle("alpha==2.0")))
    third = deploy(world, plan, started.append)
    assert len(started) == 1
    assert third.key == plan.build.key != first.key
    assert [(b.number, b.key) for b in third.bundles] == [(1, first.key), (2, first.key), (3, third.key)]
    assert bundle_dirs(server, third) == ["1", "2", "3"]


def test_a_failed_build_leaves_the_previous_bundle_active_and_nothing_half_stored(server, alpha: Path) -> None:
    world = open_world(server)
    _, before = put(world, alpha)
    plan = plan_deploy(world, read_bundle(server.bundle("nosuchthing==1.0")))
    with refused("build-failed") as problems:
        deploy(world, plan)
    assert "nosuchthing" in problems[0].found
    assert ContentStore(server.data_dir).contents() == (before,)
    assert bundle_dirs(server, before) == ["1"]
    new = plan_deploy(world, plan.bundle, name="never")
    with refused("build-failed"):
        deploy(world, new)
    assert ContentStore(server.data_dir).contents() == (before,)
    assert nothing_half_stored(server)


def test_a_bundle_that_changes_after_it_was_planned_is_refused(server, alpha: Path) -> None:
    world = open_world(server)
    plan = plan_deploy(world, read_bundle(alpha))
    server.bundle("alpha==2.0")
    with refused("plan-changed"):
        deploy(world, plan)
    assert ContentStore(server.data_dir).contents() == ()
    assert world.builds() == ()


def test_an_archive_is_stored_unpacked_and_un_nested(server, alpha: Path, capfd) -> None:
    (alpha / "app.py").write_text("print('from the app')\n")
    archive = server.root / "packed.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(alpha, "nested/deeper")
    world = open_world(server)
    _, content = put(world, archive)
    assert content.name == "packed"
    assert run_in(world, content, "python3", "app.py") == 0
    assert capfd.readouterr().out == "from the app\n"


def test_a_deleted_environment_is_rebuilt_before_the_content_runs(server, alpha: Path, capfd) -> None:
    world = open_world(server)
    _, content = put(world, alpha)
    (environment,) = world.environments()
    for gone, code in ((environment.path, "environment-damaged"), (environment.key_dir, "environment-missing")):
        shutil.rmtree(gone)
        plan = prepare_run(world, content)
        assert [r.code for r in plan.resolution.reasons] == ["installation-kept", code, "rebuild"]
        assert (plan.python, plan.environment, plan.variables) == ("", None, None)
        started: list[Build] = []
        result = run(world, plan, ["python", "-c", SHOW], started.append)
        assert (result.exit_code, len(started)) == (0, 1)
        assert capfd.readouterr().out.startswith("1.0 ")
    assert ContentStore(server.data_dir).find("app").key == content.key
    assert codes(world, content) == ["installation-kept", "environment-there"]


def test_a_rebuild_that_fails_keeps_the_content_as_it_was(server, alpha: Path) -> None:
    world = open_world(server)
    _, content = put(world, alpha)
    shutil.rmtree(world.environments()[0].key_dir)
    shutil.rmtree(server.packages)
    with refused("build-failed"):
        run(world, prepare_run(world, content), ["python", "-V"])
    assert ContentStore(server.data_dir).contents() == (content,)


def another_python(server) -> str:
    """An interpreter of this machine, of another version, that environments can be made with."""
    base = Path(sys.base_prefix).resolve()
    for path in reversed(discover(os.environ)):
        code = "import sys, venv, pip; print('%d.%d' % sys.version_info[:2])"
        found = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        version = tuple(map(int, found.stdout.split("."))) if found.returncode == 0 else (0, 0)
        if version >= (3, 8) and version != sys.version_info[:2] and not Path(path).is_relative_to(base):
            return path
    pytest.skip("this machine has one usable Python only")


@pytest.mark.interpreters
def test_the_picked_installation_stays_until_it_vanishes_and_is_matched_again_then(server, alpha: Path, capfd) -> None:
    other = another_python(server)
    manifest = json.loads((alpha / "manifest.json").read_text())
    manifest["environment"] = {"python": {"requires": ">=3.8"}}
    (alpha / "manifest.json").write_text(json.dumps(manifest))
    server.configure(executables=(other,))
    _, content = put(open_world(server), alpha)
    assert content.installation is not None
    assert content.installation.path == other

    server.configure(executables=(sys.executable, other))
    world = open_world(server)
    assert codes(world, content) == ["installation-kept", "environment-there"]
    # Also when it has to be built again: a match today might choose the newer of the two.
    (environment,) = world.environments()
    shutil.rmtree(environment.key_dir)
    assert codes(world, content) == ["installation-kept", "environment-missing", "rebuild"]
    assert rebuild(world, resolve(world, content)) == content

    server.configure()
    world = open_world(server)
    resolution = resolve(world, content)
    assert [r.code for r in resolution.reasons] == [
        "installation-gone",
        "matched-again",
        "environment-stale",
        "rebuild",
    ]
    assert resolution.match is not None
    assert resolution.changes
    assert run_in(world, content, "python", "-c", SHOW) == 0
    assert capfd.readouterr().out.startswith("1.0 ")
    after = ContentStore(server.data_dir).find("app")
    assert after.installation is not None
    assert after.installation.path != other
    assert after.active_bundle is not None
    assert after.active_bundle.python_version == ".".join(map(str, sys.version_info[:3]))
    assert codes(world, after) == ["installation-kept", "environment-there"]


def test_an_installation_that_vanishes_without_another_that_fits_is_a_problem_with_its_reasons(
    server, alpha: Path
) -> None:
    _, content = put(open_world(server), alpha)
    server.configure(executables=("/nowhere/python3",))
    world = open_world(server)
    plan = prepare_run(world, content)
    assert plan.problem is not None
    assert plan.problem.code == "no-matching-installation"
    assert [r.code for r in plan.resolution.reasons] == ["installation-gone"]
    with refused("no-matching-installation"):
        run(world, plan, ["python", "-V"])


def test_python_that_was_disabled_runs_nothing(server, alpha: Path) -> None:
    _, content = put(open_world(server), alpha)
    server.config.write_text(server.config.read_text().replace("Enabled = true", "Enabled = false"))
    plan = prepare_run(open_world(server), content)
    assert plan.problem is not None
    assert plan.problem.code == "python-disabled"


def test_retention_counts_the_active_bundle_and_waits_while_the_content_runs(server, alpha: Path) -> None:
    server.configure("[Applications]", "BundleRetentionLimit = 2")
    world = open_world(server)
    for _ in range(2):
        _, content = put(world, alpha)
    assert [b.number for b in content.bundles] == [1, 2]
    store = ContentStore(server.data_dir)
    with hold_shared(store.use_path(content.guid)):
        plan, content = put(world, alpha)
    assert ([b.number for b in plan.drops], plan.drops_wait) == ([1], True)
    assert bundle_dirs(server, content) == ["1", "2", "3"]
    plan, content = put(world, alpha)
    assert ([b.number for b in plan.drops], plan.drops_wait) == ([1, 2], False)
    assert [b.number for b in content.bundles] == [3, 4]
    assert bundle_dirs(server, content) == ["3", "4"]
    assert nothing_half_stored(server)


def test_no_two_pieces_of_content_get_one_name(server, alpha: Path) -> None:
    world = open_world(server)
    _, sales = put(world, alpha, name="sales")
    _, churn = put(world, alpha, name="churn")
    taken = plan_deploy(world, read_bundle(alpha), guid=churn.guid, name="sales")
    assert taken.problem is not None
    assert taken.problem.code == "content-name-taken"
    with refused("content-name-taken"):
        deploy(world, taken)
    with refused("content-name-taken"):
        apply_set(world, plan_set(world, "churn", name="sales"))
    plan, renamed = put(world, alpha, guid=churn.guid, name="retention")
    assert plan.renames
    assert (renamed.guid, renamed.name, renamed.active) == (churn.guid, "retention", 2)
    assert {c.name for c in ContentStore(server.data_dir).contents()} == {"sales", "retention"}
    assert sales.guid != churn.guid
    with refused("content-unknown", InputError):
        plan_deploy(world, read_bundle(alpha), guid="churn")


def test_the_app_mode_of_content_cannot_change(server, alpha: Path) -> None:
    world = open_world(server)
    put(world, alpha)
    path = alpha / "manifest.json"
    path.write_text(path.read_text().replace("python-api", "python-dash"))
    plan = plan_deploy(world, read_bundle(alpha))
    with refused("app-mode-changed"):
        deploy(world, plan)


def test_without_management_nothing_is_built_and_the_installation_itself_runs(server, alpha: Path, capfd) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    server.bundle("nosuchthing==1.0")
    plan, content = put(world, alpha)
    assert (plan.build.management.managed, plan.builds, content.managed, content.key) == (False, False, False, "")
    world.environ |= {"VIRTUAL_ENV": "/of/the/admin", "PYTHONHOME": "/of/the/admin"}
    code = "import os, sys; print(sys.prefix == sys.base_prefix, sys.executable, os.environ.get('VIRTUAL_ENV'))"
    assert run_in(world, content, "python", "-c", code) == 0
    assert content.installation is not None
    assert capfd.readouterr().out.split() == ["True", content.installation.path, "None"]
    assert codes(world, content) == ["installation-kept", "not-managed"]
    assert not (server.data_dir / "python-environments").exists()
    assert world.builds() == ()


def test_the_level_of_the_content_counts_from_its_next_deployment_on(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    _, content = put(world, alpha)
    plan = plan_set(world, "app", management=True, default_image="some/image:1")
    assert plan.decision is not None
    assert plan.decision.managed
    after = apply_set(world, plan)
    assert (after.management, after.default_image, after.managed) == (True, "some/image:1", False)
    with refused("plan-changed"):
        apply_set(world, plan)
    assert apply_set(world, plan_set(world, content.guid, default_image="")).management is True
    plan_again, content = put(world, alpha)
    assert plan_again.build.management.managed
    assert (content.managed, content.management, content.key != "") == (True, True, True)
    assert apply_set(world, plan_set(world, "app", management=None)).management is None


RECORD_DAMAGE = {
    "not json": "{ nope",
    "not an object": "[]",
    "of other content": lambda record: record | {"guid": "other"},
    "without bundles": lambda record: record | {"bundles": []},
    "active bundle unknown": lambda record: record | {"active": 9},
    "active bundle of no type": lambda record: record | {"active": "1"},
    "bundle of no type": lambda record: record | {"bundles": ["x"]},
    "bundle number negative": lambda record: record | {"bundles": [record["bundles"][0] | {"number": -1}]},
    "installation of no type": lambda record: record | {"installation": None},
    "name of no type": lambda record: record | {"name": 7},
}


def test_a_broken_record_is_a_problem_to_see_and_to_remove_never_a_crash(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    _, content = put(world, alpha)
    _, sound = put(world, alpha, name="sound")
    store = ContentStore(server.data_dir)
    path = server.data_dir / "content" / content.guid / "content.json"
    record = json.loads(path.read_text())
    for what, damage in RECORD_DAMAGE.items():
        path.write_text(damage if isinstance(damage, str) else json.dumps(damage(dict(record))))
        broken = store.find(content.guid)
        assert broken.problem is not None, what
        assert broken.problem.code == "content-record-broken"
        assert str(broken.problem.where) == str(path)
    assert sound in store.contents()
    assert prepare_run(world, broken).problem is broken.problem
    with refused("content-record-broken"):
        deploy(world, plan_deploy(world, read_bundle(alpha), guid=content.guid))
    with refused("content-record-broken"):
        apply_set(world, plan_set(world, content.guid, management=True))
    path.unlink()
    assert store.find(content.guid).problem is not None
    remove(world, plan_remove(world, content.guid))
    assert store.contents() == (sound,)


def test_a_name_in_a_record_cannot_reach_the_terminal(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    _, content = put(open_world(server), alpha)
    path = server.data_dir / "content" / content.guid / "content.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"name": "a\x1b[2Jb"}))
    (read,) = ContentStore(server.data_dir).contents()
    assert read.name == "a\\x1b[2Jb"


def test_records_are_read_again_only_when_they_changed(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    put(world, alpha)
    store = ContentStore(server.data_dir)
    (first,) = store.contents()
    assert store.contents()[0] is first
    apply_set(world, plan_set(world, "app", default_image="x"))
    assert store.contents()[0].default_image == "x"
    assert run_in(world, first, "true") == 0
    assert store.contents()[0].last_used_at is not None


def test_two_deployments_at_once_give_two_bundles_of_one_content(server, alpha: Path) -> None:
    put(open_world(server), alpha)
    paths = [server.bundle(f"alpha=={version}", name=f"app{version}") for version in ("1.0", "2.0")]
    worlds = [open_world(server) for _ in paths]
    plans = [plan_deploy(w, read_bundle(p), name="app") for w, p in zip(worlds, paths, strict=True)]
    assert [plan.number for plan in plans] == [2, 2]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(deploy, worlds, plans))
    assert {content.active for content in done} == {2, 3}
    (content,) = ContentStore(server.data_dir).contents()
    assert ([b.number for b in content.bundles], content.active) == ([1, 2, 3], 3)
    assert bundle_dirs(server, content) == ["1", "2", "3"]
    by_key = {plan.build.key: plan.bundle.name for plan in plans}
    assert all(by_key[b.key] == b.name for b in content.bundles[1:])


def test_two_deployments_of_one_new_name_at_once_make_one_content(server, alpha: Path) -> None:
    worlds = [open_world(server) for _ in range(4)]
    plans = [plan_deploy(world, read_bundle(alpha), name="new") for world in worlds]

    def attempt(pair: tuple[World, DeployPlan]) -> str:
        try:
            return deploy(*pair).guid
        except Refused as error:
            return error.problem.code

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(attempt, zip(worlds, plans, strict=True)))
    (content,) = ContentStore(server.data_dir).contents()
    assert outcomes.count(content.guid) == 1
    assert set(outcomes) <= {content.guid, "content-name-taken", "plan-changed"}
    assert content.active == 1
    assert nothing_half_stored(server)


def test_a_disk_that_fails_while_the_record_is_written_leaves_the_content_as_it_was(
    server, alpha: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    _, before = put(world, alpha)
    plan = plan_deploy(world, read_bundle(alpha))

    def fail(self: ContentStore, content: Content) -> None:
        raise StorageError(Problem("storage-write", "cannot write content.json: No space left on device"))

    monkeypatch.setattr(ContentStore, "save", fail)
    with refused("storage-write", StorageError):
        deploy(world, plan)
    assert ContentStore(server.data_dir).contents() == (before,)
    assert bundle_dirs(server, before) == ["1"]
    assert nothing_half_stored(server)


def test_what_a_crash_left_where_the_next_bundle_goes_is_replaced(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    _, content = put(world, alpha)
    orphan = server.data_dir / "content" / content.guid / "bundles" / "2"
    orphan.mkdir()
    (orphan / "half").write_text("x")
    abandoned = server.data_dir / "content" / ".incoming" / "abandoned"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    _, content = put(world, alpha)
    assert content.active == 2
    assert nothing_half_stored(server)
    assert sorted(p.name for p in orphan.iterdir()) == ["manifest.json", "requirements.txt"]


def test_content_that_runs_is_not_removed(server, alpha: Path) -> None:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    _, content = put(world, alpha)
    store = ContentStore(server.data_dir)
    plan = plan_remove(world, "app")
    assert (plan.problem, plan.size) == (None, content.bundles[0].size)
    with hold_shared(store.use_path(content.guid)):
        running = plan_remove(world, "app")
        assert running.problem is not None
        with refused("content-running"):
            remove(world, plan)
    put(world, alpha)
    with refused("plan-changed"):
        remove(world, plan)
    remove(world, plan_remove(world, "app"))
    assert store.contents() == ()
    with refused("content-gone"):
        remove(world, plan)
    gone = prepare_run(world, content)
    assert gone.problem is not None
    assert gone.problem.code == "bundle-missing"
    with refused("content-gone"):
        run(world, gone, ["true"])
    assert list((server.data_dir / "trash").iterdir()) == []


@pytest.fixture
def unmanaged(server, alpha: Path) -> tuple[World, Content]:
    server.configure("EnvironmentManagement = false")
    world = open_world(server)
    return world, put(world, alpha)[1]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("python", "-c", "raise SystemExit(7)"), 7),
        (("sh", "-c", "kill -9 $$"), 137),
        (("sh", "-c", "exit 0"), 0),
    ],
)
def test_the_exit_code_of_the_command_is_passed_on(unmanaged, command: tuple[str, ...], code: int) -> None:
    assert run_in(*unmanaged, *command) == code


def test_a_command_that_cannot_be_started_says_why_with_the_code_of_a_shell(server, unmanaged) -> None:
    world, content = unmanaged
    plan = prepare_run(world, content)
    (plan.cwd / "notes").write_text("not a program")
    for argv, code, problem in (
        (["no-such-command"], 127, "command-not-found"),
        (["./notes"], 126, "command-not-executable"),
        (["sh", "a\0b"], 126, "command-not-executable"),
    ):
        result = run(world, plan, argv)
        assert result.exit_code == code
        assert result.problem is not None
        assert result.problem.code == problem
    with refused("command-missing", InputError):
        run(world, plan, [])


RUNNER = """
import sys
from pathlib import Path
from engine.actions.run import prepare_run, run
from engine.content.store import ContentStore
from engine.world import World
import os
world = World([Path(sys.argv[1])], os.environ, read_only=False)
content = ContentStore(world.config.settings.data_dir).find("app")
sys.exit(run(world, prepare_run(world, content), sys.argv[2:]).exit_code)
"""

TRAPPED = "trap 'echo caught; exit 9' TERM INT; echo ready; while :; do sleep 0.05; done"


@pytest.fixture
def runner(server, alpha: Path):
    """Runs a command in deployed content from a process of its own."""
    world = open_world(server)
    _, content = put(world, alpha)
    started: list[subprocess.Popen[str]] = []

    def start(*argv: str) -> tuple[subprocess.Popen[str], Content]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, server.config, *argv],
            env=server.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process, content

    yield start
    for process in started:
        # The command may outlive its starter, and then holds the pipe.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on_to_the_command(runner, number: int) -> None:
    process, _ = runner("sh", "-c", TRAPPED)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.communicate(timeout=300)[0] == "caught\n"
    assert process.returncode == 9


def test_running_content_keeps_what_it_uses_also_when_its_starter_was_killed(server, runner, wait_until: Wait) -> None:
    process, content = runner("sh", "-c", "echo $$; exec sleep 600")
    child = psutil.Process(int(process.stdout.readline()))
    locks = [server.data_dir / "locks" / f"{content.key}.use", ContentStore(server.data_dir).use_path(content.guid)]
    assert all(in_use(path) for path in locks)
    process.kill()
    process.wait()
    assert child.is_running()
    assert all(in_use(path) for path in locks)
    child.kill()
    wait_until(lambda: not any(in_use(path) for path in locks), what="the end of the use")


def test_the_build_is_told_of_and_can_be_waited_for_by_others(server, alpha: Path) -> None:
    world = open_world(server)
    seen: list[Build] = []
    deploy(world, plan_deploy(world, read_bundle(alpha)), seen.append)
    (build,) = seen
    assert build.state in (BuildState.QUEUED, BuildState.RUNNING)
    assert [b.state for b in world.builds()] == [BuildState.DONE]

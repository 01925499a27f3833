"""Rebuilding for real: python-posit.txt, "Upgrading Python"; connect.md §6.8; DESIGN.md §5."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import BuildState, EnvironmentState, Refused
from engine.actions.rebuild import (
    add_to_list,
    plan_bulk,
    plan_rebuild,
    rebuild,
    rebuild_lists,
    remove_from_list,
    run_bulk,
)
from engine.rebuilds.lists import RebuildLists
from engine.rebuilds.model import ItemState
from engine.world import World
from tests.locks import holding

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Wait = Callable[..., None]


def world_of(server) -> World:
    world = World([server.config], server.environ, read_only=False)
    world.probe()
    return world


def built(server, *requirements: str, name: str = "app") -> str:
    """The key of a new environment for these requirements."""
    engine = server.engines[0] if server.engines else server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle(*requirements, name=name))))
    outcome = engine.execute(plan)
    assert engine.wait(outcome.build.id, 300).state is BuildState.DONE
    return plan.key


def wait_for(world: World, build_id: str, wait_until: Wait):
    wait_until(lambda: world.jobs.read(build_id).state.final, timeout=300, what="the end of the build")
    return world.jobs.read(build_id)


def version_in(environment) -> str:
    code = "import alpha; print(alpha.__version__)"
    python = environment.path / "bin" / "python"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_rebuild_resolves_anew_while_what_runs_keeps_the_old_attempt(server, make_wheel, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha", "1.0")
    key = built(server, "alpha")
    world = world_of(server)
    (before,) = world.environments()
    make_wheel(server.packages, "alpha", "2.0")
    plan = plan_rebuild(world, key[:8])
    assert (plan.problem, plan.items[0].environment.key, plan.items[0].running) == (None, key, None)
    assert plan.seconds > 0
    (started,) = rebuild(world, plan)
    done = wait_for(world, started.id, wait_until)
    assert (done.state, done.reused, done.bundle) == (BuildState.DONE, False, "app")
    (after,) = world.environments()
    assert (after.key, after.attempt, after.lines) == (key, started.id, before.lines)
    assert after.ingredients == before.ingredients
    assert version_in(after) == "2.0"
    assert version_in(before) == "1.0", "content that runs keeps what it was started with"


def test_a_rebuild_asks_for_exactly_the_same_and_nobody_else_can_read_it(server, make_wheel, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha", "1.0")
    make_wheel(server.packages, "alpha", "2.0")
    # Spelled as no normalised line is, and with a limit in a file of its own.
    bundle = server.bundle("Alpha >=1.0 , != 3 ; python_version >= '3'", "-c limits.txt")
    (bundle / "limits.txt").write_text("alpha<2\n")
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(bundle)))
    first = engine.wait(engine.execute(plan).build.id, 300)
    assert first.state is BuildState.DONE
    request = server.data_dir.joinpath("python-environments").glob("*/*/*/request.json")
    assert [stat.S_IMODE(path.stat().st_mode) for path in request] == [0o600]
    world = world_of(server)
    (started,) = rebuild(world, plan_rebuild(world, plan.key))
    assert wait_for(world, started.id, wait_until).state is BuildState.DONE
    for name in ("requirements.txt", "constraints.txt"):
        assert (started.directory / name).read_text() == (first.directory / name).read_text()
        assert stat.S_IMODE((started.directory / name).stat().st_mode) == 0o600
    assert version_in(world.environments()[0]) == "1.0"


def test_an_environment_whose_directory_is_gone_is_mended_by_a_rebuild(server, make_wheel, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    key = built(server, "alpha")
    world = world_of(server)
    shutil.rmtree(world.environments()[0].path)
    assert world.environments()[0].state is EnvironmentState.DAMAGED
    (started,) = rebuild(world, plan_rebuild(world, key))
    assert wait_for(world, started.id, wait_until).state is BuildState.DONE
    assert world.environments()[0].state is EnvironmentState.READY


def test_a_failed_rebuild_leaves_the_old_attempt_in_force(server, make_wheel, wait_until: Wait) -> None:
    wheel = make_wheel(server.packages, "alpha")
    key = built(server, "alpha")
    world = world_of(server)
    (before,) = world.environments()
    wheel.unlink()
    (started,) = rebuild(world, plan_rebuild(world, key))
    assert wait_for(world, started.id, wait_until).state is BuildState.FAILED
    assert world.environments() == (before,)
    assert sorted(p.name for p in before.path.parent.iterdir() if p.is_dir()) == [before.attempt]


def test_a_rebuild_has_the_files_of_the_bundle_as_they_were(server, wait_until: Wait) -> None:
    bundle = server.bundle("./local", name="with-project")
    project = bundle / "local"
    project.mkdir()
    (project / "b.py").write_text(
        "import os, zipfile\n"
        "def build_wheel(d, config_settings=None, metadata_directory=None):\n"
        "    assert not os.path.exists('left'), 'another build was here'\n"
        "    open('left', 'w').close()\n"
        "    with zipfile.ZipFile(d + '/local-1-py3-none-any.whl', 'w') as z:\n"
        "        z.writestr('local-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: local\\nVersion: 1\\n')\n"
        "        z.writestr('local-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
        "Tag: py3-none-any\\n')\n"
        "        z.writestr('local-1.dist-info/RECORD', 'local-1.dist-info/METADATA,,\\n"
        "local-1.dist-info/WHEEL,,\\nlocal-1.dist-info/RECORD,,\\n')\n"
        "    return 'local-1-py3-none-any.whl'\n"
    )
    (project / "pyproject.toml").write_text(
        "[build-system]\nrequires=[]\nbuild-backend='b'\nbackend-path=['.']\n[project]\nname='local'\nversion='1'\n"
    )
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(bundle)))
    first = engine.wait(engine.execute(plan).build.id, 300)
    assert first.state is BuildState.DONE, first.log.read_text()
    assert not (first.directory / "source" / "local" / "left").exists(), "what a build writes is in its own copy"
    world = world_of(server)
    (bundle / "local" / "b.py").unlink()
    (started,) = rebuild(world, plan_rebuild(world, plan.key))
    assert wait_for(world, started.id, wait_until).state is BuildState.DONE, started.log.read_text()
    shutil.rmtree(started.directory / "source")
    problem = plan_rebuild(world, plan.key).problem
    assert problem is not None
    assert problem.code == "rebuild-no-source"


def test_two_rebuilds_of_one_plan_make_one_attempt(server, make_wheel, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    key = built(server, "alpha")
    world, other = world_of(server), world_of(server)
    plan = plan_rebuild(world, key)
    (one,), (two,) = rebuild(world, plan), rebuild(other, plan)
    assert one.id == two.id, "the second joins the first"
    wait_for(world, one.id, wait_until)
    with pytest.raises(Refused, match="was rebuilt since this was planned"):
        rebuild(world, plan)


def test_a_rebuild_that_waited_for_another_one_reuses_it(server, make_wheel, wait_until: Wait) -> None:
    """Re-validated under the key's lock: the attempt it was to take the place of is not the one that counts."""
    make_wheel(server.packages, "alpha")
    key = built(server, "alpha")
    world = world_of(server)
    (before,) = world.environments()
    with holding(world.store.lock_path(key)):
        (started,) = rebuild(world, plan_rebuild(world, key))
        # Somebody else publishes a new attempt while this one waits.
        other = before.path.with_name("20991231-000000-abcdef")
        before.path.rename(other)
        record = json.loads((before.path.parent / "current.json").read_text())
        (before.path.parent / "current.json").write_text(json.dumps(record | {"attempt": other.name}))
    done = wait_for(world, started.id, wait_until)
    assert (done.state, done.reused) == (BuildState.DONE, True)
    assert other.name in done.message


def test_without_its_interpreter_or_its_index_nothing_can_be_rebuilt(server, make_wheel) -> None:
    make_wheel(server.packages, "alpha")
    key = built(server, "alpha")
    server.configure(executables=())
    (server.root / "home" / ".pip").mkdir()
    (server.root / "home" / ".pip" / "pip.conf").write_text("[global]\nno-binary = :all:\n")
    world = world_of(server)
    plan = plan_rebuild(world, key)
    assert [p.code for p in plan.items[0].problems] == ["rebuild-interpreter-gone", "rebuild-index-changed"]
    with pytest.raises(Refused, match="is not there as it was"):
        rebuild(world, plan)


# Lists


@pytest.fixture
def three(server, make_wheel: Make) -> tuple[World, list[str]]:
    engine, plans = server.engine(), []
    for name in ("alpha", "beta", "gamma"):
        make_wheel(server.packages, name)
        plans.append(engine.plan_build(engine.open_bundle(str(server.bundle(name, name=name)))))
    for outcome in [engine.execute(plan) for plan in plans]:
        assert engine.wait(outcome.build.id, 300).state is BuildState.DONE
    return world_of(server), [plan.key for plan in plans]


def states(world: World, name: str) -> list[str]:
    return [item.state.value for item in RebuildLists(world.config.settings.data_dir).read(name).items]


def test_a_list_is_worked_off_two_at_a_time_and_one_error_stops_nothing(server, three, make_wheel: Make) -> None:
    world, keys = three
    (server.packages / "beta-1.0-py3-none-any.whl").unlink()
    attempts = {e.key: e.attempt for e in world.environments()}
    plan = plan_bulk(world, "all", keys)
    assert (plan.keys, plan.gone, plan.problem) == (tuple(keys), (), None)
    seen = []
    result = run_bulk(world, plan, parallelism=2, on_progress=seen.append)
    assert str(seen[0]) == "Running = 0, Pending = 3, Success = 0, Error = 0"
    assert str(seen[-1]) == "Running = 0, Pending = 0, Success = 2, Error = 1"
    assert max(p.running for p in seen) == 2
    assert all(p.total == 3 for p in seen)
    assert str(result).startswith("2/3 environment builds completed in 0:00:")
    assert not result.ok
    assert [i.state for i in result.items] == [ItemState.COMPLETE, ItemState.ERROR, ItemState.COMPLETE]
    assert "beta" in result.items[1].message
    now = {e.key: e.attempt for e in world.environments()}
    assert [now[key] != attempts[key] for key in keys] == [True, False, True]
    (there,) = rebuild_lists(world)
    assert (there.items, there.runner, there.alive) == (result.items, None, False)
    assert plan_bulk(world, "all").keys == ()
    make_wheel(server.packages, "beta")
    again = run_bulk(world, plan_bulk(world, "all", retry=True))
    assert [item.key for item in again.items] == [keys[1]]
    assert again.ok
    assert plan_bulk(world, "all", everything=True).keys == tuple(keys)


def test_what_cannot_be_rebuilt_is_an_error_of_its_item(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    keys = [built(server, *requirements) for requirements in (("alpha",), ("alpha", "alpha>=1"))]
    world = world_of(server)
    add_to_list(world, "all", keys)
    shutil.rmtree(next(e for e in world.environments() if e.key == keys[0]).path.parent)
    plan = plan_bulk(world, "all")
    assert plan.gone == (keys[0],)
    result = run_bulk(world, plan)
    assert [i.state for i in result.items] == [ItemState.ERROR, ItemState.COMPLETE]
    assert "there is no environment" in result.items[0].message
    assert [i.key for i in remove_from_list(world, "all", [keys[0]]).items] == [keys[1]]
    assert remove_from_list(world, "all").items == ()


RUNNER = (
    "import sys; from pathlib import Path; from engine.world import World\n"
    "from engine.actions.rebuild import plan_bulk, run_bulk\n"
    "w = World([Path(sys.argv[1])], {'HOME': sys.argv[2], 'PATH': '/usr/bin:/bin'}, read_only=False)\n"
    "run_bulk(w, plan_bulk(w, 'all', sys.argv[3:]))\n"
)


@pytest.fixture
def runner(server) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a run over a list in a process of its own."""
    processes = []

    def start(keys: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, server.config, server.root / "home", *keys],
            env=server.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def hanging(server, three, make_source: Make, wait_until: Wait) -> Iterator[tuple[World, list[str], Path]]:
    """The three, of which a rebuild of the second waits until the yielded file appears."""
    world, keys = three
    (server.packages / "beta-1.0-py3-none-any.whl").unlink()
    gate = server.root / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)\n"
    make_source(server.packages, "beta", wait)
    yield world, keys, gate
    gate.touch()
    wait_until(lambda: all(build.state.final for build in world.builds()), what="the end of every build")


def test_a_killed_run_is_noticed_and_taken_up_where_it_was(hanging, runner, wait_until: Wait) -> None:
    world, keys, gate = hanging
    process = runner(keys)
    wait_until(lambda: len(states(world, "all")) == 3 and states(world, "all")[1] == "RUNNING", what="the second")
    (there,) = rebuild_lists(world)
    assert there.alive
    assert there.runner is not None
    assert there.runner.pid == process.pid
    refused = plan_bulk(world, "all")
    assert refused.problem is not None
    assert refused.problem.code == "rebuild-running"
    assert f"process {process.pid}" in refused.problem.found
    with pytest.raises(Refused, match="being worked off already"):
        run_bulk(world, refused)
    with pytest.raises(Refused, match="being worked off already"):
        add_to_list(world, "all", keys)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (there,) = rebuild_lists(world)
    assert not there.alive
    assert there.runner is not None, "the file still says so, but nobody holds the list"
    assert states(world, "all") == ["COMPLETE", "RUNNING", "NEEDS_BUILD"]
    builds_before = len(world.builds())
    gate.touch()
    result = run_bulk(world, plan_bulk(world, "all"))
    assert [(i.key, i.state.value) for i in result.items][-1] == (keys[2], "COMPLETE")
    assert states(world, "all") == ["COMPLETE", "ERROR", "COMPLETE"]
    assert len(world.builds()) == builds_before + 1, "the build that was under way was waited for, not started again"

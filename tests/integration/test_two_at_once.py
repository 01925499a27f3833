"""Several builds at once: of one key and of different ones, by several admins, on one machine and on several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine import Build, BuildState, Engine
from engine.environments.locks import acquire
from engine.environments.store import EnvironmentStore
from tests.locks import holding

Make = Callable[..., Path]
Wait = Callable[..., None]

ROOT = Path(__file__).parents[2]


class Gate:
    """A package whose build script waits at a gate, so that its build runs as long as a test wants."""

    def __init__(self, server, make_source: Make, name: str) -> None:
        self.name = name
        self._here = server.root / f"{name}.here"
        self._open = server.root / f"{name}.open"
        make_source(
            server.packages,
            name,
            "import pathlib, time\n"
            f"pathlib.Path({str(self._here)!r}).touch()\n"
            f"while not pathlib.Path({str(self._open)!r}).exists(): time.sleep(0.02)\n",
        )

    @property
    def reached(self) -> bool:
        return self._here.exists()

    def open(self) -> None:
        self._open.touch()


@pytest.fixture
def gate(server, make_source: Make) -> Iterator[Callable[[str], Gate]]:
    gates: list[Gate] = []

    def make(name: str) -> Gate:
        gates.append(Gate(server, make_source, name))
        return gates[-1]

    yield make
    for each in gates:
        each.open()
    for engine in server.engines[:1]:
        for build in engine.refresh().builds:
            engine.wait(build.id, 300)


def start(engine: Engine, bundle: Path) -> Build:
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(bundle))))
    assert outcome.build is not None
    return outcome.build


def published(server) -> list[Path]:
    return list((server.data_dir / "python-environments").glob("*/*/*/current.json"))


def test_of_two_who_ask_for_the_same_at_the_same_instant_one_builds_and_the_other_joins(
    server, make_wheel: Make
) -> None:
    make_wheel(server.packages, "alpha")
    bundle = server.bundle("alpha")
    engines = [server.engine() for _ in range(4)]
    plans = [engine.plan_build(engine.open_bundle(str(bundle))) for engine in engines]
    assert not any(plan.running for plan in plans)
    everyone = threading.Barrier(len(engines))

    def execute(number: int) -> str:
        everyone.wait()
        outcome = engines[number].execute(plans[number])
        return outcome.build.id if outcome.build else "hit"

    with ThreadPoolExecutor() as pool:
        joined = set(pool.map(execute, range(len(engines))))
    (one,) = joined - {"hit"}
    assert engines[0].wait(one, 300).state is BuildState.DONE
    assert len(engines[0].refresh().builds) == 1
    assert len(published(server)) == 1


MACHINE = """
import sys, threading
from pathlib import Path
from engine import Engine
engine = Engine([Path(sys.argv[1])])
plan = engine.plan_build(engine.open_bundle(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
outcome = engine.execute(plan)
print(outcome.build.id, flush=True)
build = engine.wait(outcome.build.id, 300)
print(build.state.value, build.host, flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another host name")
def test_of_two_hosts_on_one_data_directory_one_builds_and_the_other_joins(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    bundle = server.bundle("alpha")

    def machine(host: str) -> subprocess.Popen[str]:
        command = f'hostname {host} && exec "$0" -c "$1" "$2" "$3"'
        return subprocess.Popen(
            ["unshare", "--uts", "sh", "-c", command, sys.executable, MACHINE, server.config, bundle],
            env=server.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    machines = [machine("left"), machine("right")]
    for each in machines:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    engine = server.engine()
    key = engine.plan_build(engine.open_bundle(str(bundle))).key
    (server.data_dir / "locks").mkdir(parents=True, exist_ok=True)
    # Held, so that the build of the one has not ended before the other asks.
    with acquire(EnvironmentStore(server.data_dir).lock_path(key), lambda: True) as held:
        assert held
        for each in machines:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        ids = {each.stdout.readline() for each in machines}
    assert len(ids) == 1
    ends = [each.communicate(timeout=120)[0].split() for each in machines]
    assert ends[0] == ends[1]
    assert ends[0][0] == "done"
    assert ends[0][1] in ("left", "right")
    assert len(published(server)) == 1


def test_a_build_that_was_started_anyway_waits_for_the_other_and_reuses_what_it_publishes(
    server, make_wheel: Make, wait_until: Wait
) -> None:
    """As when the lock of the start is not seen, on another host: the lock of the key, and the record, still are."""
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    first = engine.wait(start(engine, server.bundle("alpha")).id, 300)
    (environment,) = engine.refresh().environments
    job = server.data_dir / "jobs" / "20990101-000000-ffffff"
    job.mkdir()
    for path in first.directory.iterdir():
        if path.name in ("spec.json", "requirements.txt", "request.json", "env.json", "builder.py", "bytecode.py"):
            (job / path.name).write_bytes(path.read_bytes())
    spec = json.loads((job / "spec.json").read_text())
    spec["attempt_dir"] = str(Path(spec["attempt_dir"]).with_name(job.name))
    spec["work_dir"] = str(job / "work")
    (job / "spec.json").write_text(json.dumps(spec))
    record = environment.key_dir / "current.json"
    withheld = record.read_bytes()
    record.unlink()
    store = EnvironmentStore(server.data_dir)
    with holding(store.lock_path(first.key)):
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "engine.builds.supervisor", job],
            env=server.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        events = job / "events.jsonl"
        wait_until(lambda: events.exists() and "waits for another process" in events.read_text(), what="its waiting")
        record.write_bytes(withheld)
    assert supervisor.wait(300) == 0
    result = json.loads((job / "result.json").read_text())
    assert (result["state"], result["reused"]) == ("done", True)
    assert [e.attempt for e in engine.refresh().environments] == [first.id]


@contextmanager
def as_if_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start builds without a look at those that are under way, as from a host that sees them late."""
    with monkeypatch.context() as patch:
        patch.setattr("engine.world.World.unfinished", lambda _: ())
        yield


def test_builds_of_one_key_run_one_after_the_other_and_say_for_which_they_wait(
    server, gate, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = gate("slow")
    engine = server.engine()
    first = start(engine, server.bundle("slow"))
    wait_until(lambda: slow.reached, what="the first build")
    with as_if_alone(monkeypatch):
        second = start(engine, server.bundle("slow"))
    told = f"waits for build {first.id} of the same environment"
    wait_until(lambda: engine.build(second.id).message == told, what="what it waits for")
    assert engine.build(second.id).state is BuildState.QUEUED
    engine.execute(engine.plan_cancel(second.id))
    assert engine.wait(second.id, 300).state is BuildState.CANCELLED
    assert engine.build(first.id).state is BuildState.RUNNING


def test_who_is_cancelled_while_it_waits_takes_nothing_of_the_one_that_builds(
    server, make_wheel: Make, wait_until: Wait
) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    bundle = server.bundle("alpha")
    plan = engine.plan_build(engine.open_bundle(str(bundle)))
    store = EnvironmentStore(server.data_dir)
    (server.data_dir / "locks").mkdir(parents=True)
    with acquire(store.lock_path(plan.key), lambda: True) as held:
        assert held
        waiting = start(engine, bundle)
        wait_until(lambda: engine.build(waiting.id).message, what="its waiting")
        # As a build does that has got the lock, and is about to make its attempt in there.
        there = store.key_dir("pip", str(plan.installation.facts.version), "Local", plan.key)
        there.mkdir(parents=True)
        engine.execute(engine.plan_cancel(waiting.id))
        assert engine.wait(waiting.id, 300).state is BuildState.CANCELLED
        assert there.is_dir()


def test_no_more_builds_run_at_once_than_configured_in_the_order_in_which_they_were_started(
    server, gate, wait_until: Wait
) -> None:
    server.configure("[Envdeck]", "BuildConcurrency = 2")
    gates = [gate(f"slow{number}") for number in range(5)]
    engine = server.engine()
    builds = []
    for each in gates:
        builds.append(start(engine, server.bundle(each.name, name=each.name)))
        number = len(builds)
        if number <= 2:
            wait_until(lambda each=each: each.reached, what=f"build {number}")
        else:
            wait_until(lambda: engine.build(builds[-1].id).message, what=f"the place of build {number}")
    assert [each.reached for each in gates] == [True, True, False, False, False]
    assert [engine.build(b.id).state.value for b in builds] == ["running"] * 2 + ["queued"] * 3
    waiting = "waits for a free slot: 2 of 2 builds run on this machine"
    assert [engine.build(b.id).message for b in builds[2:]] == [
        waiting,
        f"{waiting}, 1 is before it",
        f"{waiting}, 2 are before it",
    ]
    assert [engine.build(b.id).place for b in builds] == [0, 0, 1, 2, 3]
    # Everyone on the machine sees it.
    assert [b.message for b in server.engine().refresh().builds][:3] == [
        engine.build(b.id).message for b in reversed(builds[2:])
    ]
    engine.execute(engine.plan_cancel(builds[3].id))
    assert engine.wait(builds[3].id, 300).state is BuildState.CANCELLED
    gates[1].open()
    wait_until(lambda: gates[2].reached, what="the third build")
    assert engine.build(builds[4].id).state is BuildState.QUEUED
    wait_until(lambda: engine.build(builds[4].id).message == waiting, what="moving up")
    assert not gates[3].reached
    gates[0].open()
    wait_until(lambda: gates[4].reached, what="the fifth build")
    assert engine.build(builds[4].id).place == 0


def busy_server(server, gate, wait_until: Wait):
    """An engine with a build under way, and the gate at which that one waits."""
    slow = gate("slow")
    engine = server.engine()
    start(engine, server.bundle("slow", name="slow"))
    wait_until(lambda: slow.reached, what="the first build")
    return engine, slow


def test_who_waits_for_a_build_of_its_own_key_keeps_nobody_else_from_running(
    server, gate, make_wheel: Make, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(server.packages, "alpha")
    server.configure("[Envdeck]", "BuildConcurrency = 2")
    engine, _ = busy_server(server, gate, wait_until)
    with as_if_alone(monkeypatch):
        waiting = [start(engine, server.bundle("slow", name="slow")) for _ in range(2)]
    wait_until(lambda: all(engine.build(b.id).message for b in waiting), what="their waiting")
    other = start(engine, server.bundle("alpha", name="other"))
    assert engine.wait(other.id, 300).state is BuildState.DONE
    assert {engine.build(b.id).state for b in waiting} == {BuildState.QUEUED}


def test_hosts_do_not_wait_for_each_other(server, gate, make_wheel: Make, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    server.configure("[Envdeck]", "BuildConcurrency = 1")
    engine, _ = busy_server(server, gate, wait_until)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.builds.vitals.platform.node", lambda: "elsewhere")
        other = start(engine, server.bundle("alpha", name="other"))
    assert engine.wait(other.id, 300).state is BuildState.DONE


def test_what_pip_would_take_from_elsewhere_by_its_turn_is_not_built(
    server, gate, make_wheel: Make, wait_until: Wait
) -> None:
    """Its key stands for the index that was configured when it was planned."""
    make_wheel(server.packages, "alpha")
    server.configure("[Envdeck]", "BuildConcurrency = 1")
    engine, slow = busy_server(server, gate, wait_until)
    waiting = start(engine, server.bundle("alpha", name="other"))
    wait_until(lambda: engine.build(waiting.id).message, what="its waiting")
    config = server.root / "home" / ".pip" / "pip.conf"
    config.parent.mkdir()
    config.write_text("[global]\nextra-index-url = https://me:secret@elsewhere.invalid/simple\n")
    slow.open()
    ended = engine.wait(waiting.id, 300)
    assert (ended.state, published(server)) == (BuildState.FAILED, [])
    assert ended.fault is not None
    assert "take packages from elsewhere since this build was planned" in ended.fault.message
    assert "extra-index-url = https://****@elsewhere.invalid/simple" in ended.fault.message
    assert ended.fault.advice == "Build it again: it gets an environment of its own"
    again = engine.wait(start(engine, server.bundle("alpha", name="other")).id, 300)
    assert (again.state, again.key == ended.key) == (BuildState.DONE, False)

"""Builds whose supervisor dies, is stopped or is cut off at any step: what everyone sees then, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine import Build, BuildState, Engine, EnvironmentState
from engine.builds import job as jobs
from engine.builds import settling, starting, vitals
from engine.builds.job import write_result
from engine.environments.store import EnvironmentStore
from engine.executors.local import LocalExecutor
from engine.files import write_json
from tests.integration.stepped_supervisor import STEPS

Make = Callable[..., Path]
Wait = Callable[..., None]

ROOT = Path(__file__).parents[2]
SUPERVISORS = {"engine.builds.supervisor", "tests.integration.stepped_supervisor"}
MOMENTS = [f"{when}-{step}" for step in STEPS for when in ("before", "after")]


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Have the builds that are started from now on send themselves a signal at a step."""

    def choose(step: str, number: str) -> None:
        start = subprocess.Popen

        def popen(argv: list[str], **options: object) -> subprocess.Popen[bytes]:
            if "engine.builds.supervisor" in argv:
                at = argv.index("engine.builds.supervisor")
                argv = [*argv[:at], "tests.integration.stepped_supervisor", step, number, *argv[at + 1 :]]
            return start(argv, **options)  # type: ignore[call-overload,no-any-return]

        monkeypatch.setattr(starting.subprocess, "Popen", popen)

    return choose


@pytest.fixture
def other_machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[Build], None]:
    """Show a build to this process as to a machine that neither sees its locks nor hears of its supervisor."""

    def cut_off(build: Build) -> None:
        spec_path = build.directory / "spec.json"
        spec = json.loads(spec_path.read_text())
        spec |= {"host": "elsewhere", "machine": "0" * 16}
        # At once: its builder may be just about to read it.
        write_json(spec_path, spec)
        # The locks of the supervisor stay on the files that it has open.
        for path in (build.directory / "alive", EnvironmentStore(Path(spec["data_dir"])).lock_path(build.key)):
            path.unlink(missing_ok=True)
            path.touch()
        monkeypatch.setattr(vitals, "SILENCE", 0.0)

    return cut_off


def started(server, *requirements: str, name: str = "app") -> tuple[Engine, Build]:
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle(*requirements, name=name)))))
    assert outcome.build is not None
    return engine, outcome.build


def processes_of(build: Build) -> list[psutil.Process]:
    """The living processes of the build: its supervisor, and whatever has its directories on the command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if build.id in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def supervisor_of(build: Build) -> psutil.Process:
    (found,) = [p for p in processes_of(build) if SUPERVISORS & set(p.info["cmdline"])]
    return found


def stopped_supervisor(build: Build, wait_until: Wait) -> psutil.Process:
    def stopped() -> bool:
        return any(
            p.info["status"] == psutil.STATUS_STOPPED and SUPERVISORS & set(p.info["cmdline"])
            for p in processes_of(build)
        )

    wait_until(stopped, what="the supervisor stopping itself")
    return supervisor_of(build)


def left_in(server) -> list[str]:
    """What is in the cache and the trash, records and directories of keys included."""
    found = [*(server.data_dir / "python-environments").glob("*/*/*"), *(server.data_dir / "trash").glob("*")]
    return [str(path.relative_to(server.data_dir)) for path in found]


def verdict(build: Build) -> dict[str, object]:
    record = json.loads((build.directory / "result.json").read_text())
    assert isinstance(record, dict)
    return record


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_supervisor_killed_at_any_step_leaves_nothing_and_its_build_is_settled_once(
    server, make_wheel: Make, stepped, wait_until: Wait, moment: str
) -> None:
    make_wheel(server.packages, "alpha")
    stepped(moment, "SIGKILL")
    engine, build = started(server, "alpha")
    wait_until(lambda: not processes_of(build), what="the end of every process of the build")
    # A lock of a process that was just killed may be free an instant later than another one.
    wait_until(lambda: engine.refresh().builds[0].finished_at, what="the verdict")
    ended = engine.build(build.id)
    published = moment in ("after-publish", "before-verdict", "after-verdict", "before-fill", "after-fill")
    assert ended.state is (BuildState.DONE if published else BuildState.LOST)
    assert [e.state for e in engine.refresh().environments] == [EnvironmentState.READY] * published
    assert verdict(build)["state"] == ended.state.value
    assert LocalExecutor(server.data_dir / "jobs").jobs() == ()
    assert not (build.directory / "output").exists()
    if not published:
        assert left_in(server) == []
        assert ended.fault is not None
        assert "went away without a verdict" in ended.fault.message
    # Whoever looks next changes nothing, and the same can be built.
    stamp = (build.directory / "result.json").stat()
    assert server.engine().refresh().builds == engine.refresh().builds
    assert (build.directory / "result.json").stat() == stamp
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    assert plan.hit is published
    assert plan.running is None


@pytest.mark.parametrize("moment", ["before-publish", "after-publish"])
def test_what_a_killed_supervisor_was_just_writing_goes_with_it(
    server, make_wheel: Make, stepped, wait_until: Wait, moment: str
) -> None:
    make_wheel(server.packages, "alpha")
    stepped(moment, "SIGKILL")
    engine, build = started(server, "alpha")
    wait_until(lambda: not processes_of(build), what="the end of every process of the build")
    (key_dir,) = (server.data_dir / "python-environments").glob("*/*/*")
    unfinished = [key_dir / ".current.json.abcdefgh", key_dir / ".request.json.abcdefgh", build.directory / ".x.json.a"]
    for path in unfinished:
        path.touch()
    wait_until(lambda: engine.refresh().builds[0].finished_at, what="the verdict")
    assert verdict(build)["state"] == ("done" if moment == "after-publish" else "lost")
    assert not [path for path in (*unfinished, build.directory / "work" / "tmp") if path.exists()]
    if moment == "before-publish":
        assert left_in(server) == []


def test_a_supervisor_that_only_stands_still_is_not_lost(server, make_wheel: Make, stepped, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-attend", "SIGSTOP")
    engine, build = started(server, "alpha")
    supervisor = stopped_supervisor(build, wait_until)
    assert engine.refresh().builds[0].state is BuildState.RUNNING
    supervisor.send_signal(signal.SIGCONT)
    assert engine.wait(build.id, 300).state is BuildState.DONE


def test_nobody_joins_a_build_whose_end_was_asked_for(server, make_wheel: Make, stepped, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-attend", "SIGSTOP")
    engine, first = started(server, "alpha")
    supervisor = stopped_supervisor(first, wait_until)
    stepped("before-attend", "SIGCONT")  # which does nothing to who runs
    engine.execute(engine.plan_cancel(first.id))
    assert engine.plan_build(engine.open_bundle(str(server.bundle("alpha")))).running is None
    _, second = started(server, "alpha")
    assert second.id != first.id
    supervisor.send_signal(signal.SIGCONT)
    assert engine.wait(first.id, 300).state is BuildState.CANCELLED
    assert engine.wait(second.id, 300).state is BuildState.DONE


def test_a_builder_that_is_there_before_its_packages_waits_for_them(
    server, make_wheel: Make, stepped, wait_until: Wait
) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-supply", "SIGSTOP")
    engine, build = started(server, "alpha")
    supervisor = stopped_supervisor(build, wait_until)
    builder = f"{build.directory}/builder.py"
    wait_until(lambda: any(builder in p.info["cmdline"] for p in processes_of(build)), what="the builder")
    supervisor.send_signal(signal.SIGCONT)
    assert engine.wait(build.id, 300).state is BuildState.DONE
    log = (build.directory / "log").read_text()
    assert log.index("wheel store") < log.index("Building environment")


@pytest.mark.parametrize("moment", ["before-turn", "before-attend", "before-seal", "before-check"])
def test_a_supervisor_that_was_given_up_and_wakes_again_publishes_nothing_and_keeps_the_verdict(
    server, make_wheel: Make, stepped, other_machine, wait_until: Wait, moment: str
) -> None:
    make_wheel(server.packages, "alpha")
    stepped(moment, "SIGSTOP")
    _, build = started(server, "alpha")
    supervisor = stopped_supervisor(build, wait_until)
    other_machine(build)
    watcher = server.engine()
    wait_until(lambda: watcher.refresh().builds[0].finished_at, what="the verdict of the other machine")
    assert verdict(build)["state"] == "lost"
    given = (build.directory / "result.json").read_bytes()
    if moment != "before-attend":  # its builder does not stand still, and may make its attempt anew until it is ended
        assert left_in(server) == []
    supervisor.send_signal(signal.SIGCONT)
    wait_until(lambda: not processes_of(build), what="the end of the supervisor")
    assert (build.directory / "result.json").read_bytes() == given
    assert left_in(server) == []
    assert watcher.refresh().environments == ()


def test_a_build_of_another_machine_whose_lock_cannot_be_seen_lives_as_long_as_it_gives_signs_of_life(
    server, make_wheel: Make, stepped, other_machine, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-attend", "SIGSTOP")
    _, build = started(server, "alpha")
    supervisor = stopped_supervisor(build, wait_until)
    other_machine(build)
    monkeypatch.setattr(vitals, "SILENCE", 3600.0)
    monkeypatch.setattr(jobs, "SILENCE", 3600.0)
    watcher = server.engine()
    assert watcher.refresh().builds[0].state is BuildState.RUNNING
    # A clock that jumps by a day makes it no older.
    os.utime(build.directory / "alive", (time.time() - 86400, time.time() - 86400))
    told = watcher.refresh().builds[0]
    assert told.state is BuildState.RUNNING
    assert told.message.startswith("no sign of life from elsewhere since ")
    supervisor.send_signal(signal.SIGCONT)
    done = watcher.wait(build.id, 300)
    assert done.state is BuildState.DONE, done.fault


def test_who_waits_for_a_build_that_was_lost_after_it_was_published_is_told_that_it_is_done(
    server, make_wheel: Make, stepped
) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-verdict", "SIGKILL")
    engine, build = started(server, "alpha")
    assert engine.wait(build.id, 300).state is BuildState.DONE


def test_of_many_who_see_a_lost_build_at_once_one_settles_it(
    server, make_wheel: Make, stepped, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(server.packages, "alpha")
    stepped("before-check", "SIGKILL")
    _, build = started(server, "alpha")
    wait_until(lambda: not processes_of(build), what="the end of every process of the build")
    given: list[bool] = []
    everyone = threading.Barrier(4)

    def counted(*arguments: object, **options: object) -> bool:
        first = write_result(*arguments, **options)  # type: ignore[arg-type]
        given.append(first)
        return first

    monkeypatch.setattr(settling, "write_result", counted)
    engines = [server.engine() for _ in range(4)]

    def look(engine: Engine) -> None:
        everyone.wait()
        engine.refresh()

    threads = [threading.Thread(target=look, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given.count(True) == 1
    assert {engine.refresh().builds[0].state for engine in engines} == {BuildState.LOST}


def test_the_first_verdict_stays(server, make_wheel: Make, tmp_path: Path) -> None:
    assert write_result(tmp_path, BuildState.LOST, message="first")
    assert not write_result(tmp_path, BuildState.DONE, message="second")
    assert json.loads((tmp_path / "result.json").read_text())["message"] == "first"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_supervisor_that_cannot_start_says_why(server, make_wheel: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(server.packages, "alpha")
    monkeypatch.setattr(starting.sys, "executable", "/bin/false")
    engine, build = started(server, "alpha")
    monkeypatch.undo()
    (build.directory / "supervisor.err").write_text("Traceback …\nImportError: no module named engine\n")
    lost = engine.wait(build.id, 300)
    engine.refresh()
    assert engine.build(build.id).state is lost.state is BuildState.LOST
    assert engine.build(build.id).message.endswith("ImportError: no module named engine")


def test_a_lost_build_is_settled_once_its_executor_answers_again(
    server, make_wheel: Make, stepped, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.errors import Problem
    from engine.executors.base import ExecutorError

    make_wheel(server.packages, "alpha")
    stepped("before-check", "SIGKILL")
    engine, build = started(server, "alpha")
    wait_until(lambda: not processes_of(build), what="the end of every process of the build")

    def silent(*_: object) -> None:
        raise ExecutorError(Problem("executor-failed", "no answer"))

    with monkeypatch.context() as patch:
        patch.setattr(LocalExecutor, "forget", silent)
        (seen,) = engine.refresh().builds
        assert (seen.state, seen.finished_at) == (BuildState.LOST, None)
        assert (build.directory / "result.json").exists() is False
    engine.refresh()
    assert verdict(build)["state"] == "lost"
    assert left_in(server) == []


def test_a_killed_supervisor_ends_pip_and_compilers_in_sessions_of_their_own(
    server, make_source: Make, wait_until: Wait
) -> None:
    tag = f"compiler-{time.monotonic_ns()}"
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {tag!r}], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    make_source(server.packages, "hangs", script)
    engine, build = started(server, "hangs")

    def compilers() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if tag in (p.info["cmdline"] or ())]

    wait_until(compilers, what="the compiler")
    supervisor_of(build).send_signal(signal.SIGKILL)
    wait_until(lambda: not compilers() and not processes_of(build), what="the end of all of it")
    engine.refresh()
    assert left_in(server) == []

"""Builds for real: the supervisor, the builder, pip and the cache on disk."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from engine import AuditQuery, Build, BuildPlan, BuildState, EnvironmentState, Outcome, Phase, Refused
from engine.builds.job import JobReader

Make = Callable[..., Path]
Wait = Callable[..., None]


def start(server, bundle: Path) -> tuple[BuildPlan, Outcome]:
    engine = server.engines[0] if server.engines else server.engine()
    plan = engine.plan_build(engine.open_bundle(str(bundle)))
    assert plan.problem is None
    return plan, engine.execute(plan)


def build(server, bundle: Path, timeout: float = 60) -> tuple[BuildPlan, Build]:
    plan, outcome = start(server, bundle)
    assert outcome.build is not None
    return plan, server.engines[0].wait(outcome.build.id, timeout)


def leftovers(server) -> list[str]:
    """Whatever is in the cache or the trash."""
    return [str(p) for d in ("python-environments", "trash") for p in (server.data_dir / d).glob("*/*/*")] + [
        str(p) for p in (server.data_dir / "trash").glob("*")
    ]


def processes_with(text: str) -> list[psutil.Process]:
    """Living processes that have `text` on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or ())
        if text in command and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(process)
    return found


def test_a_bundle_becomes_an_environment_that_runs_what_it_asked_for(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha", "1.0")
    make_wheel(server.packages, "beta", "2.0", requires=("alpha",))
    plan, done = build(server, server.bundle("beta==2.0"))
    assert (done.state, done.phase, done.fault) == (BuildState.DONE, Phase.PUBLISH, None)
    assert (done.packages_done, done.packages_total) == (2, 2)
    (environment,) = server.engines[0].refresh().environments
    assert environment.key == plan.key
    assert environment.state is EnvironmentState.READY
    assert {(p.name, p.version) for p in environment.packages} >= {("alpha", "1.0"), ("beta", "2.0")}
    assert (environment.path / "requirements.txt.lock").read_text() == "alpha==1.0\nbeta==2.0\n"
    python = environment.path / "bin" / "python"
    code = "import alpha, beta, sys; print(alpha.__version__, beta.__version__, sys.prefix)"
    output = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["1.0", "2.0", str(environment.path)]
    assert environment.size > 0
    assert environment.files > 0


@pytest.mark.parametrize(("setting", "compiled"), [("", True), ("[install]\nno-compile = no\n", False)])
def test_modules_are_compiled_unless_pip_is_set_not_to(server, make_wheel: Make, setting: str, compiled: bool) -> None:
    make_wheel(server.packages, "alpha", "1.0")
    config = server.root / "home" / ".pip" / "pip.conf"
    config.parent.mkdir()
    config.write_text(setting)
    _, done = build(server, server.bundle("alpha"))
    (environment,) = server.engines[0].refresh().environments
    assert (Phase.COMPILE in done.phases) is compiled
    (record,) = environment.path.glob("lib/python*/site-packages/alpha-1.0.dist-info/RECORD")
    bytecode = importlib.util.cache_from_source("alpha.py")
    assert (record.parents[1] / bytecode).exists() is compiled
    assert (f"{bytecode},," in record.read_text()) is compiled


def test_the_second_build_of_the_same_plan_is_a_hit_and_starts_nothing(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    _, first = build(server, server.bundle("alpha"))
    plan, outcome = start(server, server.bundle("alpha", name="other-app-same-list"))
    assert plan.hit
    assert outcome.build is None
    assert outcome.environment is not None
    assert outcome.environment.attempt == first.id
    assert len(JobReader(server.data_dir / "jobs").builds()) == 1


def test_the_log_can_be_followed_while_it_grows_and_is_kept(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    _, outcome = start(server, server.bundle("alpha"))
    assert outcome.build is not None
    ring, seen, lines = server.engines[0].follow(outcome.build.id), 0, []
    while not ring.finished:
        ring.wait(seen, timeout=300)
        new, seen = ring.since(seen)
        lines += new
    texts = [line.text for line in lines]
    assert any(text.startswith("Successfully installed alpha") for text in texts)
    assert texts[-1].startswith("done: published")
    assert all(line.at > 0 for line in lines)
    again = server.engine().follow(outcome.build.id)
    again.wait(10**9, timeout=300)
    assert [line.text for line in again.since(0)[0]] == texts


def test_a_failed_build_leaves_no_environment_keeps_its_log_and_names_the_fault(server) -> None:
    _, failed = build(server, server.bundle("nosuchthing==1.0"))
    assert failed.state is BuildState.FAILED
    assert str(failed.fault) == "resolve: nosuchthing: the index has nothing of that name for this Python"
    assert "No matching distribution found for nosuchthing==1.0" in failed.log.read_text()
    assert leftovers(server) == []


def test_an_empty_plan_gives_a_bare_environment(server) -> None:
    bundle = server.bundle()
    (bundle / "requirements.txt").write_text("# nothing\n")
    _, done = build(server, bundle)
    assert done.state is BuildState.DONE


def test_a_local_project_of_the_bundle_is_installed_and_its_content_decides_the_key(server) -> None:
    bundle = server.bundle("./local", name="with-project")
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
    plan, done = build(server, bundle)
    assert done.state is BuildState.DONE, done.log.read_text()
    (project / "extra.py").write_text("y = 2\n")
    changed = server.engines[0].plan_build(server.engines[0].open_bundle(str(bundle)))
    assert changed.key != plan.key


SLEEPER = (
    "import subprocess, sys, time\n"
    "print('sleeping {tag}', flush=True)\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{tag}'], start_new_session=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture
def sleeping(server, make_source: Make, wait_until: Wait):
    """A build that hangs in a package's build script, which has also started a process in a session of its own."""
    tag = f"sleeper-{os.getpid()}-{time.monotonic_ns()}"
    make_source(server.packages, "sleepy", SLEEPER.format(tag=tag))
    plan, outcome = start(server, server.bundle("sleepy", name="sleepy-app"))
    assert outcome.build is not None
    wait_until(lambda: processes_with(tag), what="the build script's own process")
    yield plan, outcome.build, tag
    for process in (*processes_with(tag), *processes_with(str(server.data_dir))):
        process.kill()


def test_cancel_ends_every_process_of_the_build_and_leaves_nothing(server, sleeping, wait_until: Wait) -> None:
    _, running, tag = sleeping
    engine = server.engines[0]
    engine.execute(engine.plan_cancel(running.id))
    cancelled = engine.wait(running.id, timeout=300)
    assert cancelled.state is BuildState.CANCELLED
    assert cancelled.message.startswith("cancelled by ")
    assert processes_with(tag) == []
    wait_until(lambda: not processes_with(running.id), what="the end of the supervisor")
    assert leftovers(server) == []
    with pytest.raises(Refused, match="ended already"):
        engine.execute(engine.plan_cancel(running.id))


@pytest.mark.slow
@pytest.mark.parametrize("phase", [Phase.VENV, Phase.RESOLVE, Phase.INSTALL, Phase.COMPILE, Phase.VERIFY])
def test_a_cancel_in_any_phase_leaves_nothing_and_the_audit_says_so(
    server, make_wheel: Make, wait_until: Wait, phase: Phase
) -> None:
    make_wheel(server.packages, "alpha")
    plan, outcome = start(server, server.bundle("alpha"))
    engine, order = server.engines[0], list(Phase)
    assert outcome.build is not None
    running = outcome.build
    wait_until(lambda: order.index(engine.build(running.id).phase) >= order.index(phase), what=phase.value)
    cancelling = engine.plan_cancel(running.id)
    if cancelling.problem is None:
        engine.execute(cancelling)
    ended = engine.wait(running.id, timeout=300)
    wait_until(lambda: not processes_with(running.id), what="the end of the supervisor")
    (told,) = engine.audit(AuditQuery(action="build.end")).tail(9).records
    assert told.event.what["state"] == ended.state.value
    if ended.state is BuildState.DONE:  # it was published before anybody could say no
        assert engine.environment_of(ended) is not None
        return
    assert ended.state is BuildState.CANCELLED
    assert told.event.why.startswith("cancelled by ")
    assert leftovers(server) == []
    assert engine.plan_build(plan.bundle).environment is None


def test_a_build_that_takes_too_long_is_stopped_and_says_so(server, make_source: Make) -> None:
    server.configure("[Envdeck]", "BuildTimeout = 2s")
    make_source(server.packages, "slow", SLEEPER.format(tag="slow-" + str(time.monotonic_ns())))
    _, failed = build(server, server.bundle("slow"))
    assert failed.state is BuildState.FAILED
    assert "it took longer than 2 seconds" in str(failed.fault)
    assert leftovers(server) == []


def test_a_killed_supervisor_is_noticed_and_its_attempt_cleaned(server, sleeping, wait_until: Wait) -> None:
    _, running, _ = sleeping
    supervisors = [p for p in processes_with(running.id) if "engine.builds.supervisor" in " ".join(p.info["cmdline"])]
    assert len(supervisors) == 1
    supervisors[0].send_signal(signal.SIGKILL)
    engine = server.engines[0]
    # Of its locks, that of the key may be free an instant later than the one that tells of its end.
    wait_until(lambda: engine.refresh().builds[0].finished_at, what="the verdict")
    assert engine.build(running.id).state is BuildState.LOST
    assert leftovers(server) == []
    plan = engine.plan_build(engine.open_bundle(str(server.root / "bundles" / "sleepy-app")))
    assert plan.running is None


def test_two_at_once_build_one_environment(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    bundle = server.bundle("alpha")
    engines = [server.engine() for _ in range(2)]
    plans = [engine.plan_build(engine.open_bundle(str(bundle))) for engine in engines]
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda pair: pair[0].execute(pair[1]), zip(engines, plans, strict=True)))
    builds = [engines[0].wait(outcome.build.id, 300) for outcome in outcomes if outcome.build]
    assert {b.state for b in builds} == {BuildState.DONE}
    assert sum(not b.reused for b in {b.id: b for b in builds}.values()) == 1
    assert len(list((server.data_dir / "python-environments").glob("*/*/*/current.json"))) == 1


def test_a_build_survives_the_process_that_started_it(server, make_wheel: Make, wait_until: Wait) -> None:
    make_wheel(server.packages, "alpha")
    bundle = server.bundle("alpha")
    code = (
        "import sys; from pathlib import Path; from engine import Engine\n"
        "e = Engine([Path(sys.argv[1])]); p = e.plan_build(e.open_bundle(sys.argv[2])); e.execute(p)\n"
    )
    import sys

    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", code, server.config, bundle],
        env=server.environ | {"PYTHONPATH": str(root)},
        start_new_session=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0
    engine = server.engine()
    wait_until(lambda: engine.refresh().builds[0].state is BuildState.DONE, what="the adopted build")
    assert len(engine.snapshot().environments) == 1


def test_a_stolen_current_json_makes_a_damaged_environment_not_a_crash(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    build(server, server.bundle("alpha"))
    engine = server.engines[0]
    (environment,) = engine.refresh().environments
    (environment.path.parent / "current.json").write_text("{ not json")
    (damaged,) = engine.refresh().environments
    assert damaged.state is EnvironmentState.DAMAGED
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    assert not plan.hit


def test_read_only_refuses_to_build(server) -> None:
    engine = server.engine(read_only=True)
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    with pytest.raises(Refused, match="read-only"):
        engine.execute(plan)
    assert not server.data_dir.exists()


def test_a_plan_that_no_longer_holds_is_refused(server) -> None:
    engine = server.engine()
    bundle = engine.open_bundle(str(server.bundle("alpha")))
    plan = engine.plan_build(bundle)
    (server.root / "home" / ".config" / "pip").mkdir(parents=True)
    (server.root / "home" / ".config" / "pip" / "pip.conf").write_text("[global]\nindex-url = https://mirror/simple\n")
    with pytest.raises(Refused, match="changed since this was planned"):
        engine.execute(plan)


def test_nothing_of_the_admins_environment_reaches_a_build(server, make_source: Make) -> None:
    server.environ |= {"SECRET_TOKEN": "s3cret", "PIP_INDEX_URL": "https://x", "PYTHONPATH": "/nowhere"}
    make_source(server.packages, "nosy", "import os\nprint('ENV', sorted(os.environ), flush=True)\n")
    _, failed = build(server, server.bundle("nosy"))
    (line,) = {text.split("ENV ", 1)[1] for text in failed.log.read_text().splitlines() if "ENV [" in text}
    assert "SECRET_TOKEN" not in line
    assert "PIP_INDEX_URL" not in line
    assert "'HOME'" in line

"""What goes wrong around a build at the worst moment, and what must be true afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engine import BuildState, EnvironmentState, StorageError
from engine.environments.locks import held_elsewhere

Make = Callable[..., Path]
Wait = Callable[..., None]


def built(server, bundle: Path):
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(bundle))))
    return engine, engine.wait(outcome.build.id, 300)


def test_an_environment_whose_verdict_was_lost_after_publication_stays(
    server, make_wheel: Make, wait_until: Wait
) -> None:
    make_wheel(server.packages, "alpha")
    _, build = built(server, server.bundle("alpha"))
    (build.directory / "result.json").unlink()
    fresh = server.engine()
    # Until the supervisor, which wrote the verdict as its last deed, is gone, the build is still its own.
    wait_until(lambda: fresh.refresh().builds[0].state.final, what="the verdict")
    snapshot = fresh.refresh()
    assert [e.state for e in snapshot.environments] == [EnvironmentState.READY]
    assert [b.state for b in snapshot.builds] == [BuildState.DONE]


def test_a_killed_supervisor_takes_its_build_with_it(server, make_source: Make, wait_until: Wait) -> None:
    tag = f"hanging-{time.monotonic_ns()}"
    script = (
        f"import subprocess, sys\nsubprocess.call([sys.executable, '-c', 'import time; time.sleep(600)', {tag!r}])\n"
    )
    make_source(server.packages, "hangs", script)
    engine = server.engine()
    engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("hangs")))))

    def alive() -> list[tuple[psutil.Process, str]]:
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            command = " ".join(process.info["cmdline"] or ())
            if (tag in command or str(server.data_dir) in command) and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append((process, command))
        return found

    wait_until(lambda: any(tag in command for _, command in alive()), what="the build script's process")
    (supervisor,) = [process for process, command in alive() if "engine.builds.supervisor" in command]
    assert len(alive()) > 3
    supervisor.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(), what="the end of the builder, pip and the build script")


def test_a_password_in_a_proxy_address_is_readable_for_its_owner_alone(
    server, make_wheel: Make, wait_until: Wait
) -> None:
    make_wheel(server.packages, "alpha")
    server.environ["https_proxy"] = "http://me:s3cret@proxy:3128"
    _, build = built(server, server.bundle("alpha"))
    wait_until(lambda: not held_elsewhere(build.directory / "alive"), what="the end of the supervisor")
    holding = [p for p in server.data_dir.rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]
    assert [p.name for p in holding] == ["env.json"]
    assert holding[0].stat().st_mode & 0o077 == 0
    assert build.state is BuildState.DONE


def test_a_full_disk_gives_a_verdict(server, make_wheel: Make) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    first = engine.wait(engine.execute(plan).build.id, 300)
    # The same job again, with a log that cannot be written.
    job = server.data_dir / "jobs" / "20990101-000000-ffffff"
    job.mkdir()
    for name in ("spec.json", "requirements.txt", "request.json", "env.json", "builder.py", "bytecode.py"):
        (job / name).write_bytes((first.directory / name).read_bytes())
    spec = json.loads((job / "spec.json").read_text())
    spec |= {"attempt_dir": str(Path(spec["attempt_dir"]).with_name(job.name)), "replaces": first.id}
    spec["work_dir"] = str(job / "work")
    (job / "spec.json").write_text(json.dumps(spec))
    (job / "log").symlink_to("/dev/full")
    subprocess.run(
        [sys.executable, "-m", "engine.builds.supervisor", job],
        env=server.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=300,
        check=False,
    )
    result = json.loads((job / "result.json").read_text())
    assert result["state"] == "failed"
    assert "No space left" in result["fault"]["message"]
    assert "Free space" in result["fault"]["advice"]
    assert [e.attempt for e in server.engine().refresh().environments] == [first.id]


def test_an_interpreter_that_was_replaced_since_it_was_planned_is_not_built_under_the_old_key(
    server, make_wheel: Make
) -> None:
    make_wheel(server.packages, "alpha")
    engine, build = built(server, server.bundle("alpha"))
    spec = json.loads((build.directory / "spec.json").read_text())
    assert spec["python_version"] == ".".join(map(str, sys.version_info[:3]))
    spec["python_version"] = "3.0.1"
    (build.directory / "spec.json").write_text(json.dumps(spec))
    environment = engine.refresh().environments[0]
    scratch = server.root / "scratch"
    (scratch / "tmp").mkdir(parents=True)
    spec |= {"attempt_dir": str(scratch / "env"), "work_dir": str(scratch)}
    (build.directory / "spec.json").write_text(json.dumps(spec))
    subprocess.run(
        [environment.python_path, "-I", "-B", build.directory / "builder.py", build.directory / "spec.json"],
        cwd=scratch / "tmp",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    outcome = json.loads((scratch / "outcome.json").read_text())
    assert outcome["ok"] is False
    assert "not 3.0.1 as planned" in outcome["message"]


def test_a_directory_that_may_not_be_looked_at_does_not_end_the_live_picture(server, wait_until: Wait) -> None:
    bundles = server.root / "bundles"
    (bundles / "loop").parent.mkdir(exist_ok=True)
    (bundles / "loop").symlink_to("loop")
    server.configure("[Envdeck]", f"BundleDir = {bundles}")
    engine = server.engine()
    engine.start()
    wait_until(lambda: not engine.snapshot().probing)
    server.bundle("alpha", name="later")
    wait_until(lambda: [b.name for b in engine.snapshot().bundles] == ["later"], what="the later bundle")


def test_a_record_with_an_endless_number_is_no_reason_to_stop(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    engine, _ = built(server, server.bundle("alpha"))
    (environment,) = engine.refresh().environments
    record = environment.path.parent / "current.json"
    record.write_text(record.read_text().replace(f'"size": {environment.size}', '"size": 1e999'))
    assert engine.refresh().environments[0].size == 0


def test_an_environment_without_its_interpreter_is_no_hit(server, make_wheel: Make) -> None:
    make_wheel(server.packages, "alpha")
    engine, _ = built(server, server.bundle("alpha"))
    (environment,) = engine.refresh().environments
    python = environment.path / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    (damaged,) = engine.refresh().environments
    assert (damaged.state, damaged.reason) == (EnvironmentState.DAMAGED, "its interpreter is not there any more")
    assert not engine.plan_build(engine.open_bundle(str(server.bundle("alpha")))).hit


def test_a_pipe_in_a_bundle_neither_hangs_nor_breaks_a_build(server) -> None:
    bundle = server.bundle("./local", name="with-pipe")
    (bundle / "local").mkdir()
    (bundle / "local" / "pyproject.toml").write_text("[build-system]\nrequires = []\nbuild-backend = 'none'\n")
    os.mkfifo(bundle / "pipe")
    _, build = built(server, bundle)
    assert build.state is BuildState.FAILED


def test_a_change_of_pip_conf_changes_the_plan_that_is_shown(server) -> None:
    engine = server.engine()
    path = server.bundle("alpha")
    engine.open_bundle(str(path))

    def shown() -> str:
        return next(b.plan.key for b in engine.refresh().bundles if b.path == path)

    before = shown()
    config = Path(server.environ["HOME"]) / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text("[global]\nindex-url = https://mirror/simple\n")
    assert shown() != before


def test_a_data_directory_out_of_space_is_an_error_not_a_traceback(server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.builds.launch.start_supervisor", full)
    with pytest.raises(StorageError, match="No space left"):
        engine.execute(plan)
    assert list((server.data_dir / "jobs").iterdir()) == []

"""What real actions leave in the audit, by whichever process did them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import AuditRecord, AuditResult, CancelPlan, Engine, Pin, PinPlan, Refused
from engine.audit.reading import AuditReader

Wait = Callable[..., None]
ROOT = Path(__file__).parents[2]


def records(server: Any) -> tuple[AuditRecord, ...]:
    page = AuditReader(server.data_dir).tail(9999)
    assert page.broken == 0
    return page.records


def told(server: Any) -> list[tuple[str, str, str]]:
    """Action, what it was done to, and how it ended."""
    return [(found.event.action, found.event.subject, found.event.code or "ok") for found in records(server)]


def built(server: Any, engine: Engine, wait_until: Wait) -> str:
    """The key of an environment that was built, which the audit tells of from start to end."""
    plan = engine.plan_build(engine.open_bundle(str(server.bundle())))
    outcome = engine.execute(plan)
    assert outcome.build is not None
    assert engine.wait(outcome.build.id, 300).state == "done"
    wait_until(lambda: len(records(server)) == 2, what="the end of the build in the audit")
    return plan.key


def test_from_a_build_to_its_reaping_everything_is_told(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    content = engine.deploy(engine.plan_deploy(engine.open_bundle(str(server.bundle())), name="sales"))
    engine.run(engine.plan_run("sales"), ["python", "-c", "raise SystemExit(3)"])
    engine.execute(engine.plan_set("sales", management=False))
    engine.execute(engine.plan_pin(key, note="kept"))
    engine.execute(engine.plan_unpin(key))
    engine.execute(engine.plan_remove("sales"))
    engine.execute(engine.plan_reap([key], grace=0.0))
    assert told(server) == [
        ("build.start", "app", "ok"),
        ("build.end", "app", "ok"),
        ("content.deploy", "sales", "ok"),
        ("run.start", "sales", "ok"),
        ("run.end", "sales", "ok"),
        ("content.set", "sales", "ok"),
        ("pin", key, "ok"),
        ("unpin", key, "ok"),
        ("content.remove", "sales", "ok"),
        ("reap", key, "ok"),
    ]
    by_action = {found.event.action: found for found in records(server)}
    assert by_action["run.end"].event.what["exit code"] == 3
    assert by_action["content.deploy"].event.what["guid"] == content.guid
    assert by_action["build.start"].event.what["build"] == by_action["build.end"].event.what["build"]
    assert by_action["build.end"].who.pid != os.getpid(), "told by the supervisor"
    assert by_action["build.end"].who.user == by_action["build.start"].who.user
    assert all(
        f"--config={server.config}" in found.event.command for found in records(server) if found.who.pid == os.getpid()
    )
    assert engine.audit_problem is None


def test_what_was_refused_is_told_with_the_reason(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    (build,) = engine.refresh().builds
    (environment,) = engine.snapshot().environments
    stale = PinPlan(environment, Pin("a", 0.0, ""), None)
    engine.execute(engine.plan_reap([key], grace=0.0))
    for plan in (CancelPlan(build), stale):
        with pytest.raises(Refused):
            engine.execute(plan)
    assert told(server)[-2:] == [("build.cancel", "app", "build-ended"), ("pin", key, "environment-gone")]
    assert {found.event.result for found in records(server)[-2:]} == {AuditResult.REFUSED}


def test_what_reaping_leaves_is_told_item_by_item(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    plan = engine.plan_reap([key], grace=0.0)
    engine.execute(engine.plan_pin(key))
    assert not engine.execute(plan).removed
    last = records(server)[-1].event
    assert (last.action, last.result, last.code) == ("reap", AuditResult.REFUSED, "pinned")


def test_deleting_a_runtime_cache_is_an_action_of_its_own(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    (cache,) = engine.caches()
    engine.execute(engine.plan_delete_cache(cache.language, cache.version, cache.image_name))
    last = records(server)[-1].event
    assert (last.action, last.what["key"]) == ("cache.delete", key)
    assert last.subject == f"Python {cache.version} Local"


def test_a_build_that_is_cancelled_says_who_did_it(server, wait_until: Wait, make_source) -> None:
    make_source(server.packages, "slow", "import time; time.sleep(60)")
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("slow")))))
    assert outcome.build is not None
    wait_until(lambda: engine.build(outcome.build.id).state == "running", what="the build to run")
    engine.execute(engine.plan_cancel(outcome.build.id))
    engine.wait(outcome.build.id, 300)
    wait_until(lambda: len(records(server)) == 3, what="the end of the build in the audit")
    assert told(server)[1:] == [("build.cancel", "app", "ok"), ("build.end", "app", "build-cancelled")]
    assert "cancelled by" in records(server)[-1].event.why


def test_a_build_whose_supervisor_was_killed_is_told_by_whoever_sees_it_first(
    server, wait_until: Wait, make_source
) -> None:
    make_source(server.packages, "slow", "import time; time.sleep(60)")
    engine = server.engine()
    build = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("slow"))))).build
    assert build is not None
    wait_until(lambda: engine.build(build.id).state == "running", what="the build to run")
    events = (build.directory / "events.jsonl").read_text().splitlines()
    pid = next(json.loads(line)["pid"] for line in events if "pid" in json.loads(line))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.refresh() and len(records(server)) > 1, what="the loss in the audit")
    assert told(server)[1:] == [("build.end", "app", "build-lost")]


def test_a_process_that_stays_tells_each_configuration_it_took_over(server, wait_until: Wait) -> None:
    server.data_dir.mkdir()
    engine = server.engine()
    engine.start()
    wait_until(lambda: len(records(server)) == 1, what="the first load")
    server.configure("VersionMatching = exact")
    wait_until(lambda: len(records(server)) == 2, what="the change")
    server.configure("VersionMatching = wrong")
    wait_until(lambda: len(records(server)) == 3, what="the error")
    first, change, error = (found.event for found in records(server))
    assert {e.action for e in (first, change, error)} == {"config.load"}
    assert first.subject == str(server.config)
    assert change.what["changed"] == "Python.VersionMatching: major-minor -> exact"
    assert (error.result, error.what["errors"]) == (AuditResult.FAILED, 1)
    wait_until(lambda: len(engine.snapshot().audit.records) == 3, what="the picture")
    server.save(server.config.read_text() + "; a remark\n")
    wait_until(lambda: len(records(server)) == 4, what="the change of a remark")


def test_who_only_looks_leaves_no_trace(server) -> None:
    server.data_dir.mkdir()
    engine = server.engine()
    engine.installations()
    engine.plan_build(engine.open_bundle(str(server.bundle())))
    engine.refresh()
    read_only = server.engine(read_only=True)
    read_only.start()
    with pytest.raises(Refused):
        read_only.execute(read_only.plan_build(read_only.open_bundle(str(server.bundle()))))
    read_only.close()
    assert not list(server.data_dir.glob("audit*"))


def test_an_audit_that_cannot_be_written_stops_nothing_and_is_no_secret(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    (server.data_dir / "audit.jsonl").rename(server.data_dir / "old")
    (server.data_dir / "audit.jsonl").mkdir()
    assert engine.execute(engine.plan_pin(key)).pinned
    assert engine.audit_problem is not None
    assert engine.audit_problem.code == "audit-write"
    snapshot = engine.refresh()
    assert snapshot.audit_problem == engine.audit_problem
    assert snapshot.audit.problem is not None
    (server.data_dir / "audit.jsonl").rmdir()
    engine.execute(engine.plan_unpin(key))
    assert engine.audit_problem is None


def test_the_service_tells_its_beginning_and_its_end_and_that_it_is_the_second(server, wait_until: Wait) -> None:
    server.data_dir.mkdir()
    argv = [sys.executable, "-m", "app", "--config", str(server.config), "serve"]
    environ = {**server.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ("service.start", str(server.data_dir), "ok") in told(server), what="the service")
        second = subprocess.run(argv, env=environ, stderr=subprocess.DEVNULL, timeout=300)
        assert second.returncode == 1
        first.send_signal(signal.SIGTERM)
        assert first.wait(300) == 0
    finally:
        first.kill()
        first.wait()
    services = [item for item in told(server) if item[0].startswith("service")]
    where = str(server.data_dir)
    assert services == [
        ("service.start", where, "ok"),
        ("service.start", where, "already-serving"),
        ("service.stop", where, "ok"),
    ]


def test_a_follower_on_the_command_line_sees_what_another_process_does(server, wait_until: Wait) -> None:
    engine = server.engine()
    key = built(server, engine, wait_until)
    argv = [sys.executable, "-m", "app", "--config", str(server.config), "audit", "-f", "-n", "1"]
    environ = {**server.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "80"}
    output = server.root / "followed"
    with output.open("wb") as file:
        follower = subprocess.Popen(argv, env=environ, stdout=file, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "build." in output.read_text(), what="the last record")
        engine.execute(engine.plan_pin(key))
        wait_until(lambda: f"pin {key}" in output.read_text(), what="the new record")
        follower.send_signal(signal.SIGINT)
        assert follower.wait(300) == 130
    finally:
        follower.kill()
        follower.wait()
    lines = [line for line in output.read_text().splitlines() if line[:2] == time.strftime("%Y")[:2]]
    assert len({line.index("✓") for line in lines}) == 1, "both are in the same columns"

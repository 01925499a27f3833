"""The JSON documents: their fields are promises."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
from pathlib import Path

import cli_fakes as fakes
import pytest
from cli_engine import FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from app.cli import json_cache, json_config, json_content, json_output
from app.cli.terminal import Terminal
from app.cli.units import duration, iso, number, size
from engine import (
    Basis,
    BuildState,
    Candidate,
    Engine,
    EnvironmentJudgement,
    EnvironmentState,
    Fault,
    FrozenLine,
    Judgement,
    LogLine,
    Nearest,
    PackagePlan,
    Phase,
    Pin,
    Problem,
    ReapResult,
    Request,
    Rule,
    Severity,
    TargetMatch,
    TargetRequest,
    Verdict,
    Where,
)
from tests.records import replace


def test_a_usable_installation() -> None:
    document = json_output.installation(fakes.installation())
    assert document["version"] == "3.11.9"
    assert document["path"] == "/opt/python/3.11.9/bin/python3"
    assert document["usable"] is True
    assert document["state"] == "usable"
    assert document["origin"] == "/etc/envdeck.gcfg:3"
    assert document["target"] == "Local"
    assert document["checks"] == []
    assert document["facts"]["pip"] == "24.0"  # type: ignore[index]


def test_an_unusable_installation_says_why_and_what_to_do() -> None:
    document = json_output.installation(fakes.installation(broken="it exits with 1"))
    assert (document["usable"], document["version"], document["facts"]) == (False, None, None)
    assert (document["reason"], document["remedy"]) == ("it exits with 1", "Install it again")
    assert document["checks"] == [
        {"code": "runs", "status": "failed", "finding": "it exits with 1", "remedy": "Install it again"}
    ]


def test_a_match() -> None:
    assert json_output.match(fakes.match()) == {
        "rule": "major-minor",
        "request": {"version": "3.11.9", "requires": None},
        "chosen": {"version": "3.11.9", "path": "/opt/python/3.11.9/bin/python3", "target": "Local"},
        "reason": "exact match",
        "candidates": [
            {
                "version": "3.11.9",
                "path": "/opt/python/3.11.9/bin/python3",
                "target": "Local",
                "verdict": "chosen",
                "reason": "exact match",
            },
            {
                "version": None,
                "path": "/opt/python/gone",
                "target": "Local",
                "verdict": "unusable",
                "reason": "there is no such file",
            },
        ],
        "error": None,
    }


def test_a_failed_match_carries_its_problem() -> None:
    document = json_output.match(fakes.match(chosen=False))
    assert document["chosen"] is None
    assert document["error"]["code"] == "no-matching-installation"  # type: ignore[index]
    assert document["error"]["message"] == "none fits"  # type: ignore[index]


def test_a_plan_that_is_a_hit() -> None:
    document = json_output.plan(fakes.plan(hit=True))
    assert (document["key"], document["hit"]) == (fakes.KEY, True)
    assert document["environment"] == f"/data/{fakes.KEY}/{fakes.ID}"
    assert document["installation"]["version"] == "3.11.9"  # type: ignore[index]
    assert document["packages"] == [
        {
            "name": "flask",
            "requirement": "flask==3.0",
            "action": "install",
            "reason": "",
            "where": "requirements.txt:1",
            "notes": [],
            "mutable": False,
        },
        {
            "name": "pywin32",
            "requirement": "pywin32==300",
            "action": "prohibited",
            "reason": "only for Windows",
            "where": "requirements.txt:1",
            "notes": [],
            "mutable": False,
        },
    ]
    assert (document["nearest"], document["running"], document["error"]) == (None, None, None)


def test_a_plan_that_is_a_miss_names_the_nearest_environment() -> None:
    nearest = Nearest(fakes.environment(), ("flask==3.1",), ("flask==3.0",), ("index",))
    plan = replace(fakes.plan(), nearest=nearest, running=fakes.build(BuildState.RUNNING))
    document = json_output.plan(plan)
    assert (document["hit"], document["environment"], document["running"]) == (False, None, fakes.ID)
    assert document["nearest"] == {
        "key": fakes.KEY,
        "path": f"/data/{fakes.KEY}/{fakes.ID}",
        "only_here": ["flask==3.1"],
        "only_there": ["flask==3.0"],
        "other_ingredients": ["index"],
        "changes": [],
    }


def test_a_password_in_a_requirement_is_not_in_the_document() -> None:
    line = fakes.line("flask @ https://u:****@host.example/flask.whl")
    assert "secret" in line.effective
    document = json_output.plan(replace(fakes.plan(), packages=PackagePlan((line,))))
    assert "secret" not in json.dumps(document)


@pytest.mark.parametrize(
    ("build", "environment", "problem", "expected"),
    [
        (None, fakes.environment(), None, {"status": "done", "reused": True, "seconds": 0.0, "build": None}),
        (fakes.build(), fakes.environment(), None, {"status": "done", "reused": False, "seconds": 3.4}),
        (fakes.build(reused=True), fakes.environment(), None, {"status": "done", "reused": True}),
        (fakes.build(BuildState.CANCELLED), None, None, {"status": "cancelled", "path": None, "reused": False}),
        (fakes.build(BuildState.LOST), None, None, {"status": "lost", "path": None}),
        (fakes.build(BuildState.QUEUED), None, None, {"status": "running", "build": fakes.ID}),
        (fakes.build(BuildState.RUNNING), None, None, {"status": "running"}),
        (None, None, Problem("read-only", "no"), {"status": "refused", "log": None, "reused": False}),
    ],
)
def test_the_outcome_of_a_build(build, environment, problem, expected) -> None:  # type: ignore[no-untyped-def]
    document = json_output.built(fakes.plan(), fakes.AT, build=build, environment=environment, refused=problem)
    assert document.items() >= expected.items()
    assert document["key"] == fakes.KEY
    if environment:
        assert document["path"] == f"/data/{fakes.KEY}/{fakes.ID}"


def test_a_failed_build_carries_its_fault_and_its_log() -> None:
    fault = Fault(Phase.RESOLVE, "nosuchpkg", "no matching distribution", "Check the name")
    document = json_output.built(fakes.plan(), fakes.AT, build=fakes.build(BuildState.FAILED, fault=fault))
    assert document["fault"] == {
        "phase": "resolve",
        "package": "nosuchpkg",
        "message": "no matching distribution",
        "advice": "Check the name",
    }
    assert document["log"] == f"/data/jobs/{fakes.ID}/log"


def test_an_environment() -> None:
    document = json_output.environment(fakes.environment(EnvironmentState.STALE, "its Python is gone"))
    assert (document["state"], document["reason"]) == ("stale", "its Python is gone")
    assert (document["size"], document["seconds"]) == (41_200_000, 3.4)
    assert document["built_at"] == "2026-01-31T12:00:00.250Z"
    assert document["packages"] == [{"name": "flask", "version": "3.0"}]


def test_a_build_that_was_never_started_has_no_times() -> None:
    queued = replace(fakes.build(BuildState.QUEUED), started_at=None)
    document = json_output.build(queued, fakes.AT)
    assert (document["started_at"], document["finished_at"], document["seconds"]) == (None, None, 0.0)
    assert document["submitted_at"] == "2026-01-31T12:00:00.250Z"


def test_a_log() -> None:
    document = json_output.log(fakes.build(), [LogLine(fakes.AT, "one"), LogLine(0.0, "no time")], fakes.AT)
    assert document["id"] == fakes.ID
    assert document["lines"] == [
        {"at": "2026-01-31T12:00:00.250Z", "text": "one"},
        {"at": None, "text": "no time"},
    ]


def test_a_cancelled_build() -> None:
    document = json_output.cancelled(fakes.build(BuildState.CANCELLED), fakes.AT)
    assert (document["id"], document["cancelled"], document["error"]) == (fakes.ID, True, None)


def test_a_checked_configuration_counts_errors_and_warnings() -> None:
    error = Problem("key-unknown", "no such key", where=Where("/etc/envdeck.gcfg", 3, 1))
    warning = Problem("key-repeated", "twice", severity=Severity.WARNING)
    document = json_config.config_check(fakes.config(error, warning))
    assert (document["ok"], document["errors"], document["warnings"]) == (False, 1, 1)
    assert document["problems"][0]["where"] == "/etc/envdeck.gcfg:3:1"  # type: ignore[index]
    assert document["files"] == ["/etc/envdeck.gcfg"]


def test_a_shown_configuration() -> None:
    state = fakes.config(default=True)
    document = json_config.config_show(state, state.values)
    assert (document["is_default"], document["files"]) == (True, [])
    assert document["values"][1] == {  # type: ignore[index]
        "name": "Server.DataDir",
        "values": ["/data"],
        "origins": ["/etc/envdeck.gcfg:2"],
        "is_default": False,
        "meaning": "Where",
        "document": "envdeck",
    }


@pytest.mark.parametrize("at", [None, float("nan"), float("inf"), 1e300, -1e300])
def test_a_number_that_is_no_time_is_null(at: float | None) -> None:
    assert iso(at) is None


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_number_that_json_does_not_have_is_null(value: float | None) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (3.44, "3.4 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s"), (3720, "1 h 02 min"), (1e999, "-")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_960, "1.0 MB"),
        (41_200_000, "41.2 MB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@given(st.text())
def test_a_document_is_printable_ascii_and_says_exactly_what_was_put_in(text: str) -> None:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        Terminal(json=True, color=False).document({"path": text})
    assert all(" " <= character <= "~" for character in output.getvalue().replace("\n", ""))
    assert json.loads(output.getvalue()) == {"path": text}


def test_a_plan_tells_which_level_decides_and_where_the_version_comes_from() -> None:
    document = json_output.plan(fakes.plan(), fakes.STEPS)
    assert document["management"] == {
        "managed": True,
        "level": "server",
        "reason": "Python.EnvironmentManagement decides",
        "levels": [
            {"level": "bundle", "value": None, "standing": "unset", "reason": "the bundle says nothing"},
            {"level": "server", "value": True, "standing": "decides", "reason": "Python.EnvironmentManagement decides"},
        ],
    }
    assert document["provenance"][0] == {  # type: ignore[index]
        "source": "python.version",
        "standing": "decides",
        "raw": "3.11.9",
        "constraint": "3.11.9",
        "reason": "the author's version",
    }
    assert document["target_match"] is None


def test_a_plan_off_host_tells_how_the_environment_was_chosen() -> None:
    (image,) = fakes.declarations().environments
    asked = TargetRequest(image="registry/content:1")
    inside = Judgement(Candidate(Version("3.12.1"), "/p", image.name), Verdict.CHOSEN, "exact match")
    judged = EnvironmentJudgement(image, Verdict.CHOSEN, "the manifest asks for it", (inside,))
    request = Request(Version("3.12.1"))
    found = TargetMatch(Rule.EXACT, request, asked, Basis.IMAGE, (judged,), image, image.python[0], None)
    document = json_output.plan(replace(fakes.plan(), target_match=found))["target_match"]
    assert isinstance(document, dict)
    assert (document["environment"], document["basis"]) == (image.name, "the manifest's environment.image")
    assert document["environments"][0]["verdict"] == "chosen"
    assert document["environments"][0]["installations"][0]["version"] == "3.12.1"


def test_targets() -> None:
    problem = Problem("image-unknown", "no image", where=Where("/etc/environments.yaml", 9, 2))
    document = json_config.targets(fakes.declarations(problem))
    assert (document["off_host"], document["ok"], document["errors"]) == (True, False, 1)
    assert document["problems"][0]["where"] == "/etc/environments.yaml:9:2"  # type: ignore[index]
    assert document["environments"][0]["installations"] == [  # type: ignore[index]
        {"version": "3.12.1", "path": "/opt/python/bin/python3", "where": "/etc/environments.yaml:3:5"}
    ]


def test_an_environment_tells_who_uses_it() -> None:
    users = FakeEngine().users_of([fakes.environment()])
    document = json_cache.environment(fakes.environment(), ["board"], Pin("anna", fakes.AT, "why"), users)
    assert document["used_by"] == ["board"]
    assert document["pinned"] == {"by": "anna", "at": "2026-01-31T12:00:00.250Z", "note": "why"}
    assert document["processes"] == [{"pid": 42, "user": "anna", "command": "python app.py", "how": ["command line"]}]
    assert document["last_used_at"] is None


def test_content_and_how_it_would_run() -> None:
    document = json_content.shown(fakes.content(), fakes.resolution())
    assert (document["guid"], document["active"], document["key"]) == (fakes.GUID, 2, fakes.KEY)
    assert document["bundles"][0]["deployed_at"] == "2026-01-31T12:00:00.250Z"  # type: ignore[index]
    assert document["resolution"] == {
        "installation": {"version": "3.11.9", "path": "/opt/python/3.11.9/bin/python3", "target": "Local"},
        "environment": f"/data/{fakes.KEY}/{fakes.ID}",
        "key": fakes.KEY,
        "builds_first": False,
        "reasons": [{"code": "kept", "text": "it is still there"}],
        "match": None,
        "error": None,
    }


def test_a_reaping_tells_each_verdict_with_its_reasons() -> None:
    plan = fakes.reap_plan(fakes.reap_item(), fakes.reap_item(fakes.KEPT, used_by=("board",)))
    document = json_cache.reap(plan)
    assert (document["reapable"], document["kept"], document["bytes"]) == (1, 1, 41_200_000)
    assert document["result"] is None
    assert document["items"][1]["reasons"] == [  # type: ignore[index]
        {"code": "used-by-content", "message": "1 content item would need it again", "names": ["board"]}
    ]


def test_a_reaping_that_failed_in_part_tells_what_failed() -> None:
    item, problem = fakes.reap_item(), Problem("storage-write", "no")
    document = json_cache.reap(fakes.reap_plan(item), ReapResult((), (), ((item, problem),)))
    assert document["result"]["failed"][0]["error"]["code"] == "storage-write"  # type: ignore[index]


def test_a_frozen_line_does_not_give_its_password_away() -> None:
    line = FrozenLine("a @ https://u:****@host.example/a.whl", "a @ https://u:secret@host.example/a.whl", "x")
    document = json_content.captured(replace(fakes.captured(), frozen=(line,)), Path("/tmp/a.tar.gz"), written=True)
    assert document["frozen"] == [{"line": line.original, "dropped": False, "reason": "x"}]
    assert "secret" not in json.dumps(document)


def test_the_fake_engine_has_the_methods_of_the_real_one() -> None:
    for name in ("snapshot", "refresh", "installations", "open_bundle", "try_request",
                 "read_config", "impact_of", "plan_build", "plan_cancel",
                 "execute",
                 "build", "wait", "follow", "default_config", "close", "explain_request", "pip_files", "pip_settings",
                 "uv",
                 "capture", "write_bundle", "content", "contents", "plan_deploy", "deploy", "resolve", "plan_set",
                 "plan_activate", "activate", "forecast_rebuild",
                 "plan_remove", "plan_run", "run", "users_of", "foreign", "plan_reap", "reap_is_due", "plan_pin",
                 "plan_unpin", "caches", "plan_delete_cache", "plan_rebuild", "rebuild_lists", "plan_bulk", "run_bulk",
                 "serve", "audit", "executors"):  # fmt: skip
        real = inspect.signature(getattr(Engine, name)).parameters
        assert list(inspect.signature(getattr(FakeEngine, name)).parameters) == list(real), name

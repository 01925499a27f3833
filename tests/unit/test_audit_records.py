"""What the audit says: every event has its line, its limits, and a command line that envdeck understands."""

from __future__ import annotations

import json
import os
import shlex
import socket
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_fakes import (
    AT,
    GUID,
    KEY,
    activate_plan,
    build,
    cache_plan,
    config,
    content,
    deploy_plan,
    environment,
    plan,
    reap_item,
    reap_plan,
    rebuild_plan,
    run_plan,
)
from hypothesis import given
from hypothesis import strategies as st

from app.cli.parser import parse_command
from engine import (
    BuildState,
    BulkPlan,
    CancelPlan,
    EnvdeckError,
    InputError,
    Pin,
    PinPlan,
    Problem,
    Refused,
    RemovePlan,
    RunResult,
    SetPlan,
    StorageError,
    clean,
)
from engine.actions import audit
from engine.actions.reap import reap_event
from engine.audit import actor
from engine.audit.model import (
    MAX_LINE,
    Actor,
    AuditAction,
    AuditEvent,
    AuditRecord,
    AuditResult,
    command,
    decode,
    encode,
)
from engine.audit.reading import AuditQuery
from engine.builds.audit import build_ended, build_started
from tests.records import replace

ALICE = Actor("alice", "alice", "root", "pts/3", "192.0.2.7", "web01", 4121)
TEXT = st.text(max_size=3000)
NAME = st.text("abc ", max_size=12)
"""Names are not foreign."""


def record(event: AuditEvent, who: Actor = ALICE) -> AuditRecord:
    return AuditRecord(AT, who, event)


# The line


def test_a_record_is_read_as_it_was_written() -> None:
    event = AuditEvent(
        AuditAction.BUILD_END,
        {"bundle": "flask-api", "seconds": 41.2, "packages": 12},
        AuditResult.FAILED,
        "build-failed",
        "install: greenlet: no compiler",
        command("log", "20260131-120000-ab12cd"),
    )
    assert decode(encode(record(event))) == record(event)


@given(st.dictionaries(NAME, TEXT | st.integers(-(2**63), 2**63), max_size=30), TEXT, TEXT, TEXT)
def test_whatever_is_said_becomes_one_short_line_that_can_be_read_and_shown(what, why, line, user) -> None:
    encoded = encode(record(AuditEvent(AuditAction.RUN_START, what, why=why, command=line), Actor(user)))
    assert len(encoded) < MAX_LINE
    assert encoded.count(b"\n") == 1
    assert encoded.endswith(b"\n")
    found = decode(encoded)
    assert found is not None
    shown = (found.event.why, found.event.command, found.event.subject, found.event.details, found.who.user)
    assert [clean(text) for text in shown] == list(shown)


@pytest.mark.parametrize("where", ["what", "why", "command"])
def test_no_password_of_a_url_is_kept(where: str) -> None:
    text = "pip install -i https://bob:hunter2@pypi.example/simple"
    event = AuditEvent(AuditAction.RUN_START, {"what": text if where == "what" else ""})
    if where != "what":
        event = replace(event, **{where: text})
    line = encode(record(event))
    assert b"hunter2" not in line
    assert b"https://****@pypi.example" in line


def test_a_command_that_is_too_long_is_left_out_rather_than_cut() -> None:
    long = command("run", GUID, "--", "x" * 2000)
    found = decode(encode(record(AuditEvent(AuditAction.RUN_START, {"command": long}, command=long))))
    assert found is not None
    assert found.event.command == ""
    assert found.event.subject.endswith("…")


def test_blanks_in_a_command_stay_as_they_are() -> None:
    line = command("run", GUID, "--", "echo", "a  b")
    found = decode(encode(record(AuditEvent(AuditAction.RUN_START, {}, command=line))))
    assert found is not None
    assert shlex.split(found.event.command)[-1] == "a  b"


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["at", "action", "result", "what", "who", "code", "why", "command", "pid", "user"]), inner, max_size=10),
    max_leaves=30,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_a_line_that_is_no_record_is_none_and_never_an_error(line: bytes) -> None:
    assert decode(line) is None


@pytest.mark.parametrize("part", ["at", "action", "result", "what", "who", "code", "why", "command"])
@pytest.mark.parametrize("wrong", [None, 17, [], {"x": []}, "\ud800 no date, no result"])
def test_a_record_with_a_wrong_part_is_none_or_safe(part: str, wrong: object) -> None:
    values = json.loads(encode(record(AuditEvent(AuditAction.PIN, {"key": KEY}))))
    found = decode(json.dumps(values | {part: wrong}).encode())
    assert found is None or "\ud800" not in repr(found)


def test_hostile_text_that_somebody_put_into_the_file_is_shown_as_escapes() -> None:
    values = json.loads(encode(record(AuditEvent(AuditAction.PIN, {"key": KEY}))))
    values |= {"why": "\x1b]52;c;aGk=\x07", "who": {"user": "a\nb"}}
    found = decode(json.dumps(values).encode())
    assert found is not None
    assert found.event.why == "\\x1b]52;c;aGk=\\x07"
    assert found.who.user == "a\\x0ab"


def test_an_action_of_another_release_is_read() -> None:
    values = json.loads(encode(record(AuditEvent(AuditAction.PIN, {})))) | {"action": "moon.land", "extra": 1}
    found = decode(json.dumps(values).encode())
    assert found is not None
    assert found.event.action == "moon.land"


# How it ended


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [
        (Refused(Problem("plan-changed", "it changed")), AuditResult.REFUSED, "plan-changed"),
        (InputError(Problem("content-unknown", "no such content")), AuditResult.REFUSED, "content-unknown"),
        (Refused(Problem("build-failed", "no compiler")), AuditResult.FAILED, "build-failed"),
        (StorageError(Problem("storage-write", "disk full")), AuditResult.FAILED, "storage-write"),
        (EnvdeckError(Problem("other", "other")), AuditResult.FAILED, "other"),
        (KeyboardInterrupt(), AuditResult.FAILED, "interrupted"),
        (ValueError("a defect"), AuditResult.FAILED, "internal"),
    ],
)
def test_what_stopped_an_action_is_its_result(error: BaseException, result: AuditResult, code: str) -> None:
    event = AuditEvent(AuditAction.PIN, {"key": KEY}, command="envdeck pin x").stopped_by(error)
    assert (event.result, event.code, event.command) == (result, code, "envdeck pin x")
    assert str(error) in event.why


def test_options_for_every_command_come_before_it() -> None:
    event = AuditEvent(AuditAction.PIN, {}, command=command("pin", "a b"))
    assert shlex.split(event.with_options("--config=/etc/a b").command) == [
        "envdeck",
        "--config=/etc/a b",
        "pin",
        "a b",
    ]
    assert event.with_options() is event
    assert AuditEvent(AuditAction.PIN, {}).with_options("--config=x").command == ""


# What is wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (AuditQuery(), True),
        (AuditQuery(since=AT), True),
        (AuditQuery(since=AT + 1), False),
        (AuditQuery(who="alice"), True),
        (AuditQuery(who="root"), True),
        (AuditQuery(who="ali"), False),
        (AuditQuery(action="content"), True),
        (AuditQuery(action="deploy"), False),
        (AuditQuery(what="SALES"), True),
        (AuditQuery(what="retry"), True),
        (AuditQuery(what="envdeck deploy"), True),
        (AuditQuery(what="17"), True),
        (AuditQuery(what="board"), False),
        (AuditQuery(who="alice", action="content", what="board"), False),
    ],
)
def test_a_query_joins_its_parts(query: AuditQuery, wanted: bool) -> None:
    event = AuditEvent(
        AuditAction.CONTENT_DEPLOY, {"content": "sales", "number": 17}, why="retry", command="envdeck deploy x"
    )
    assert query.accepts(record(event)) is wanted


# Who

USERS = {0: "root", 1000: "alice", 1001: "bob", 999: "deploy"}


@pytest.mark.parametrize(
    ("sudo", "login", "uid", "user"),
    [
        (None, None, 999, "deploy"),
        (None, 1000, 1000, "alice"),
        ("alice", 1000, 0, "alice"),
        ("alice", None, 0, "alice"),
        ("alice", None, 999, "alice"),
        (None, 1000, 0, "alice"),  # su, or sudo su
        (None, None, 0, "root"),
        ("bob", 1000, 0, "bob"),  # su bob, then sudo: the login is told as well
        (None, 1000, 1001, "bob"),  # su bob
    ],
)
def test_the_real_user_is_found_behind_sudo_and_su(monkeypatch, sudo, login, uid, user: str) -> None:
    monkeypatch.setattr(actor, "account_name", USERS.__getitem__)
    monkeypatch.setattr(actor.os, "geteuid", lambda: uid)
    monkeypatch.setattr(actor, "_login", lambda: USERS[login] if login is not None else "")
    who = actor.acting({"SUDO_USER": sudo} if sudo else {})
    assert (who.user, who.login, who.effective) == (user, USERS.get(login, ""), USERS[uid])


def test_the_client_the_host_and_the_process_are_told() -> None:
    who = actor.acting({"SSH_CONNECTION": "192.0.2.7 51234 198.51.100.1 22"}, user="carol")
    assert (who.user, who.ssh, who.host, who.pid) == ("carol", "192.0.2.7", socket.gethostname(), os.getpid())


def test_an_account_without_an_entry_has_its_number() -> None:
    assert actor.account_name(2**31 - 7) == f"uid {2**31 - 7}"


# What is said of each action

PINNED = PinPlan(environment(), Pin("alice", AT, "until the audit"), None)
UNPINNED = PinPlan(environment(), None, Pin("alice", AT, ""))
SET = SetPlan(content(), "dashboard", True, "", None)
EVENTS = {
    "build": (audit.event_of(plan()), AuditAction.BUILD_START, "my-app", "build"),
    "cancel": (audit.event_of(CancelPlan(build())), AuditAction.BUILD_CANCEL, "my-app", "cancel"),
    "rebuild": (audit.event_of(rebuild_plan()), AuditAction.REBUILD, KEY, "rebuild"),
    "reap": (audit.event_of(reap_plan(reap_item())), AuditAction.REAP, "all", "reap"),
    "reap one": (audit.event_of(reap_plan(reap_item(), complete=False)), AuditAction.REAP, KEY, "reap"),
    "reaped": (reap_event(reap_item()), AuditAction.REAP, KEY, "reap"),
    "cache": (audit.event_of(cache_plan(reap_item())), AuditAction.CACHE_DELETE, "Python 3.11.9 Local", "caches"),
    "pin": (audit.event_of(PINNED), AuditAction.PIN, KEY, "pin"),
    "unpin": (audit.event_of(UNPINNED), AuditAction.UNPIN, KEY, "unpin"),
    "set": (audit.event_of(SET), AuditAction.CONTENT_SET, "board", "content"),
    "remove": (audit.event_of(RemovePlan(content(), 7)), AuditAction.CONTENT_REMOVE, "board", "content"),
    "deploy": (audit.event_of(deploy_plan()), AuditAction.CONTENT_DEPLOY, "board", "deploy"),
    "deployed": (audit.deployed(deploy_plan(), content()), AuditAction.CONTENT_DEPLOY, "board", "deploy"),
    "activate": (audit.event_of(activate_plan()), AuditAction.CONTENT_ACTIVATE, "board", "content"),
    "bulk": (audit.event_of(BulkPlan("up", (), (KEY,), rebuild_plan(), ())), AuditAction.REBUILD, "up", "rebuild"),
    "run": (audit.run_started(run_plan(), ["python", "-c", "1 + 1"]), AuditAction.RUN_START, "board", "run"),
    "ran": (audit.run_ended(run_plan(), ["make"], RunResult(3), 1.0), AuditAction.RUN_END, "board", "run"),
    "config": (audit.config_loaded(config()), AuditAction.CONFIG_LOAD, "/etc/envdeck.gcfg", "config"),
    "serve": (audit.service_event(AuditAction.SERVICE_START, Path("/d")), AuditAction.SERVICE_START, "/d", "serve"),
    "end": (build_ended("20260131-1", KEY, "my-app", BuildState.DONE, ""), AuditAction.BUILD_END, "my-app", "log"),
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_each_event_names_what_it_is_about_and_has_a_command_line_that_envdeck_takes(name: str) -> None:
    event, action, subject, word = EVENTS[name]
    assert (event.action, event.subject, event.result) == (action, subject, AuditResult.OK)
    words = shlex.split(event.command)
    assert words[0] == "envdeck"
    options = parse_command(words[1:], Namespace())
    assert options.command == word


def test_the_events_are_of_every_action_that_there_is() -> None:
    elsewhere = {AuditAction.SERVICE_STOP, AuditAction.VERIFY, AuditAction.DOCTOR_REPAIR}
    assert {action for _, action, _, _ in EVENTS.values()} | elsewhere == set(AuditAction)


@pytest.mark.parametrize("state", [state for state in BuildState if state.final])
def test_a_build_that_is_not_done_has_failed_for_the_audit(state: BuildState) -> None:
    event = build_ended("20260131-1", KEY, "my-app", state, "why", seconds=2.04)
    done = state is BuildState.DONE
    assert event.result is (AuditResult.OK if done else AuditResult.FAILED)
    assert event.code == ("" if done else f"build-{state.value}")
    assert event.what["seconds"] == 2.0


def test_what_changed_in_the_configuration_is_told_and_what_is_wrong_with_it() -> None:
    good = audit.config_loaded(replace(config(), changed={"Python.Enabled": ("false", "true"), "A.B": ("", "x")}))
    assert good.what["changed"] == "A.B: none -> x; Python.Enabled: false -> true"
    bad = audit.config_loaded(config(Problem("setting-bad-value", "not a number")))
    assert (bad.result, bad.code, bad.what["errors"]) == (AuditResult.FAILED, "setting-bad-value", 1)
    assert "changed" not in bad.what
    assert audit.config_loaded(config(default=True)).subject == "none: the embedded default"


def test_only_what_a_change_of_settings_changes_is_told() -> None:
    event = audit.event_of(SetPlan(content(), content().name, content().management, "img", None))
    assert list(event.what) == ["content", "image", "guid"]
    assert shlex.split(event.command)[-2:] == ["--image", "img"]


def test_a_command_that_could_not_be_started_has_failed() -> None:
    event = audit.run_ended(run_plan(), ["nope"], RunResult(127, Problem("command-not-found", "no nope")), 0.0)
    assert (event.result, event.code, event.what["exit code"]) == (AuditResult.FAILED, "command-not-found", 127)


def test_an_actor_is_all_texts_but_for_the_process() -> None:
    assert {name for name in Actor.__struct_fields__ if not isinstance(getattr(ALICE, name), str)} == {"pid"}


@dataclass(frozen=True)
class Job:
    """What of a job concerns the audit."""

    attempt: str = "20260131-1"
    key: str = KEY
    bundle: str = "my-app"
    python_version: str = "3.11.9"
    target: str = "Local"
    replaces: str = ""
    fresh: bool = False
    bundle_path: str = "/srv/my-app"


@pytest.mark.parametrize(
    ("job", "action", "line", "image"),
    [
        (Job(), AuditAction.BUILD_START, "envdeck build /srv/my-app", None),
        (Job(replaces="20260130-1"), AuditAction.REBUILD, f"envdeck rebuild {KEY}", None),
        (Job(replaces="20260130-1", fresh=True), AuditAction.REBUILD, f"envdeck rebuild {KEY} --fresh", None),
        (Job(target="img:1"), AuditAction.BUILD_START, "envdeck build /srv/my-app", "img:1"),
    ],
)
def test_the_start_of_a_build_and_that_of_a_rebuild_are_two_actions(job, action, line: str, image) -> None:
    event = build_started(job)
    assert (event.action, event.command, event.what.get("image")) == (action, line, image)
    assert event.what["build"] == job.attempt

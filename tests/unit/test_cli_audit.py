"""``envdeck audit`` and ``envdeck executors``: what they ask the engine for, show, and return."""

from __future__ import annotations

import time
from datetime import datetime

import pytest
from cli_engine import FakeEngine
from cli_fakes import AT, KEY, executor_choice
from cli_runner import Cli

from app.cli.auditing import since
from engine import (
    Actor,
    AuditAction,
    AuditEvent,
    AuditPage,
    AuditQuery,
    AuditRecord,
    AuditResult,
    InputError,
    Problem,
    Severity,
    StorageError,
)
from tests.records import replace

ALICE = Actor("alice", "alice", "root", "pts/3", "192.0.2.7", "web01", 4121)
REAPED = AuditRecord(AT, ALICE, AuditEvent(AuditAction.REAP, {"key": KEY, "bytes": 7}, command=f"envdeck reap {KEY}"))
REFUSED = AuditRecord(
    AT + 60,
    replace(ALICE, user="bob"),
    AuditEvent(
        AuditAction.CONTENT_REMOVE,
        {"content": "sales", "bundles": 2, "guid": "8f11a637-5a0d-4069-8077-92a2bbc6793e"},
        AuditResult.REFUSED,
        "content-running",
        "the content sales is running",
        "envdeck content remove 8f11a637",
    ),
)
PAGE = AuditPage((REAPED, REFUSED))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(capsys)


def asked(engine: FakeEngine) -> AuditQuery:
    (query,) = [item[1] for item in engine.asked if isinstance(item, tuple) and item[0] == "audit"]
    return query


def test_the_options_become_the_query(cli: Cli) -> None:
    engine = FakeEngine(audited=PAGE)
    argv = ["--since", "2026-01-31T12:00:00+00:00", "--who", "bob", "--action", "content", "--what", "sales"]
    assert cli("audit", *argv, engine=engine) == 0
    assert asked(engine) == AuditQuery(1769860800.0, "bob", "content", "sales")


def test_without_options_everything_is_wanted(cli: Cli) -> None:
    engine = FakeEngine()
    assert cli("audit", engine=engine) == 0
    assert asked(engine) == AuditQuery()
    assert "no record of that kind" in cli.err


@pytest.mark.parametrize(("text", "ago"), [("90s", 90), ("2h", 7200), ("1d12h", 129600), ("0", 0)])
def test_a_length_of_time_is_ago(text: str, ago: float) -> None:
    assert since(text) == pytest.approx(time.time() - ago, abs=5)


@pytest.mark.parametrize("text", ["2026-11-21", "2026-11-21T03:00", "2026-11-21 03:00:00", "2026-11-21T03:00Z"])
def test_a_date_is_local_unless_it_says_otherwise(text: str) -> None:
    assert since(text) == datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("text", ["", "yesterday", "2h ago", "-2h", "2026-13-01", "99999-01-01", "٣h"])
def test_what_is_no_time_says_what_is(text: str) -> None:
    with pytest.raises(InputError) as caught:
        since(text)
    assert caught.value.problem.code == "time-invalid"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["audit"], 0),
        (["audit", "-n", "5"], 0),
        (["audit", "-n", "0"], 2),
        (["audit", "-n", "many"], 2),
        (["audit", "--since", "soon"], 2),
        (["audit", "extra"], 2),
        (["executors"], 0),
        (["executors", "extra"], 2),
    ],
)
def test_the_exit_code_is_the_same_with_and_without_json(cli: Cli, argv: list[str], code: int) -> None:
    assert cli(*argv, engine=FakeEngine(audited=PAGE)) == code
    cli.json(*argv, engine=FakeEngine(audited=PAGE), code=code)


def test_the_columns_are_aligned_and_fit_80_cells(cli: Cli) -> None:
    assert cli("audit", engine=FakeEngine(audited=PAGE)) == 0
    head, *lines = cli.out.splitlines()
    assert max(map(len, cli.out.splitlines())) <= 80
    places = [head.index(word) for word in ("WHEN", "WHO", "RESULT", "WHAT")]
    first = next(line for line in lines if "alice" in line)
    last = next(line for line in lines if "bob" in line)
    assert lines.index(first) < lines.index(last), "the newest last"
    for line, words in ((first, ("20", "alice", "✓ ok", "reap")), (last, ("20", "bob", "✗ refused", "content.remove"))):
        assert all(line[place:].startswith(word) for place, word in zip(places, words, strict=True))
    assert "the content sales is running" in " ".join(cli.out.split())


def test_json_has_every_field_in_plain_values(cli: Cli) -> None:
    document = cli.json("audit", engine=FakeEngine(audited=replace(PAGE, broken=2, complete=False)))
    assert (document["broken_lines"], document["complete"]) == (2, False)
    assert document["records"][1] == {
        "at": "2026-01-31T12:01:00.250Z",
        "action": "content.remove",
        "result": "refused",
        "what": {"content": "sales", "bundles": 2, "guid": "8f11a637-5a0d-4069-8077-92a2bbc6793e"},
        "who": {
            "user": "bob",
            "login": "alice",
            "effective": "root",
            "tty": "pts/3",
            "ssh": "192.0.2.7",
            "host": "web01",
            "pid": 4121,
        },
        "code": "content-running",
        "why": "the content sales is running",
        "command": "envdeck content remove 8f11a637",
    }


def test_broken_lines_and_older_records_are_told_on_standard_error(cli: Cli) -> None:
    assert cli("audit", engine=FakeEngine(audited=replace(PAGE, broken=1, complete=False))) == 0
    assert "1 line that is no record was passed over" in cli.err
    assert "the newest 2 are shown; -n shows more" in cli.err
    assert cli("audit", engine=FakeEngine(audited=replace(PAGE, broken=7))) == 0
    assert "7 lines that are no records were passed over" in cli.err


def test_following_ends_with_an_interruption_and_is_no_document(cli: Cli) -> None:
    assert cli("audit", "-f", engine=FakeEngine(audited=PAGE)) == 130
    assert "content.remove" in cli.out
    assert cli.json("audit", "-f", engine=FakeEngine(audited=PAGE), code=2)["error"]["code"] == "usage"


@pytest.mark.parametrize("error", [None, StorageError(Problem("storage-write", "disk full"))])
def test_a_gap_in_the_audit_is_a_warning_behind_whatever_the_command_said(cli: Cli, error) -> None:
    gap = Problem("audit-write", "the audit could not be written, so it lacks this pin", severity=Severity.WARNING)
    assert cli("pin", "k", engine=FakeEngine(audit_problem=gap, execute_error=error)) == (1 if error else 0)
    assert "warning[audit-write]: the audit could not be written, so it lacks this pin" in cli.err
    document = cli.json("pin", "k", engine=FakeEngine(audit_problem=gap, execute_error=error), code=1 if error else 0)
    assert "audit-write" not in str(document)
    assert "warning[audit-write]" in cli.err


def test_each_executor_says_whether_it_can_be_used_and_why_not(cli: Cli) -> None:
    assert cli("executors") == 0
    assert "✓ usable    local" in cli.out
    assert "✗ unusable  slurm" in cli.out
    for words in ("this machine", "a note", "there is no sbatch here", "Install Slurm's client", "given to local"):
        assert words in cli.out


def test_builds_that_are_given_to_an_executor_that_cannot_be_used_are_an_answer_of_no(cli: Cli) -> None:
    document = cli.json("executors", engine=FakeEngine(executing=executor_choice("slurm")), code=1)
    assert document["executor"] == "slurm"
    assert document["reason"] == "Envdeck.Executor is slurm"
    assert document["error"]["code"] == "executor-missing"
    local, slurm = document["executors"]
    assert local == {
        "executor": "local",
        "usable": True,
        "chosen": False,
        "version": "this machine",
        "notes": ["a note"],
        "error": None,
    }
    assert (slurm["usable"], slurm["chosen"], slurm["error"]["code"]) == (False, True, "executor-missing")

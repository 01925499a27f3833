"""Exit codes, where words go, error blocks and help of the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cli_fakes as fakes
import pytest
from cli_engine import FakeEngine, building
from cli_runner import Cli

from engine import (
    BuildState,
    Fault,
    ImpactItem,
    ImpactKind,
    LogLine,
    Outcome,
    Phase,
    Problem,
    Refused,
    Severity,
    StorageError,
    Subject,
    Where,
)
from tests.records import replace

COMMANDS = [
    "installations",
    "match",
    "plan",
    "bundles",
    "environments",
    "builds",
    "build",
    "log",
    "cancel",
    "config check",
    "config impact",
    "config show",
    "config init",
    "config pip",
    "targets",
    "deploy",
    "run",
    "content",
    "content show",
    "content activate",
    "content set",
    "content remove",
    "bundle create",
    "environments show",
    "environments diff",
    "environments verify",
    "pin",
    "unpin",
    "reap",
    "caches",
    "caches delete",
    "rebuild",
    "retry",
    "executors",
    "audit",
    "doctor",
    "serve",
    "completion",
]
CONFIG_ERROR = Problem(
    "key-unknown", "no such key", "a key of [Python]", "Foo", Where("/etc/e.gcfg", 3, 1), "Remove it"
)

BROKEN = ImpactItem(Subject.CONTENT, "board", ImpactKind.BREAKS, "Python 3.9.5", "cannot run", "nothing is 3.9", "g")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(capsys)


@pytest.mark.parametrize("command", ["builds", "config show", "bundle create"])
def test_what_a_command_does_not_know_leads_to_its_own_help(cli: Cli, command: str) -> None:
    document = cli.json(*command.split(), "--nonsense", "app", code=2)
    assert "unrecognized arguments: --nonsense" in document["error"]["message"]
    assert document["error"]["hint"] == f"See `envdeck {command} --help`"


def test_the_longest_name_leaves_room_for_what_happens_and_why(cli: Cli) -> None:
    named = replace(BROKEN, name="b" * 180)
    assert cli("config", "impact", "new.gcfg", engine=FakeEngine(impacts=(named,))) == 1
    assert "✗ breaks" in cli.out
    assert "nothing is 3.9" in cli.out
    assert cli.out.count("b") >= 180, "all of the name is shown"
    assert max(map(len, cli.out.splitlines())) <= 80


def test_a_terminal_that_tells_no_width_gets_the_answer_all_the_same(cli: Cli, monkeypatch) -> None:
    assert cli("installations") == 0
    expected = cli.out
    monkeypatch.setenv("COLUMNS", "0")
    assert cli("installations") == 0
    assert cli.out == expected


FAILED = fakes.build(
    BuildState.FAILED, fault=Fault(Phase.RESOLVE, "nosuchpkg", "no matching distribution", "Check the name")
)


@pytest.mark.parametrize(
    ("argv", "engine", "code"),
    [
        (["installations"], FakeEngine(), 0),
        (["match", "app"], FakeEngine(), 0),
        (["match", "--python", "3.9.1"], FakeEngine(decision=fakes.match(chosen=False)), 1),
        (["match"], FakeEngine(), 2),
        (["match", "app", "--python", "3.9.1"], FakeEngine(), 0),
        (["plan", "app", "--python", "3.9.1", "--rule", "exact"], FakeEngine(), 0),
        (["match", "--python", "three"], FakeEngine(), 2),
        (["match", "--requires", "3.9"], FakeEngine(), 2),
        (["match", "--python", "3.9.1", "--rule", "newest"], FakeEngine(), 2),
        (["match", "missing"], FakeEngine(), 2),
        (["config", "impact", "new.gcfg"], FakeEngine(), 0),
        (["config", "impact", "new.gcfg"], FakeEngine(impacts=(BROKEN,)), 1),
        (["config", "impact"], FakeEngine(), 2),
        (["plan", "app"], FakeEngine(), 0),
        (["plan", "app"], FakeEngine(planned=fakes.plan(problem=Problem("x", "no"), chosen=False)), 1),
        (["build", "app"], FakeEngine(outcome=Outcome(environment=fakes.environment())), 0),
        (["build", "app"], building(fakes.build()), 0),
        (["build", "app", "--no-wait"], building(FAILED), 0),
        (["build", "app"], building(FAILED), 1),
        (["build", "app"], building(fakes.build(BuildState.CANCELLED)), 1),
        (["build", "app"], building(fakes.build(BuildState.LOST)), 1),
        (["build", "app"], FakeEngine(planned=fakes.plan(problem=Problem("x", "no"), chosen=False)), 1),
        (["build", "app"], FakeEngine(execute_error=Refused(Problem("read-only", "no"))), 1),
        (["build", "app"], FakeEngine(execute_error=StorageError(Problem("storage-write", "full"))), 1),
        (["build", "missing"], FakeEngine(), 2),
        (["build"], FakeEngine(), 2),
        (["bundles"], FakeEngine(), 0),
        (["environments"], FakeEngine(), 0),
        (["builds"], FakeEngine(), 0),
        (["log", "last"], FakeEngine(), 0),
        (["log", "-f", "last"], FakeEngine(ended=FAILED), 0),
        (["log", "nonsense"], FakeEngine(), 2),
        (["cancel", "last"], FakeEngine(ended=fakes.build(BuildState.CANCELLED)), 0),
        (["cancel", "last"], FakeEngine(), 1),
        (["cancel", "last"], FakeEngine(cancel_problem=Problem("build-ended", "it has ended")), 1),
        (["cancel", "nonsense"], FakeEngine(), 2),
        (["config", "check"], FakeEngine(), 0),
        (["config", "check"], FakeEngine(configuration=fakes.config(CONFIG_ERROR)), 1),
        (["config", "show"], FakeEngine(), 0),
        (["config"], FakeEngine(), 2),
        (["frobnicate"], FakeEngine(), 2),
        ([], FakeEngine(), 2),
    ],
)
def test_the_exit_code_is_the_same_with_and_without_json(
    cli: Cli, argv: Sequence[str], engine: FakeEngine, code: int
) -> None:
    assert cli(*argv, engine=engine) == code
    if code == 2:
        assert cli.out == ""
        assert cli.err.startswith("error[")
    document = cli.json(*argv, engine=engine, code=code)
    if code == 2:
        assert set(document["error"]) >= {"code", "message", "expected", "found", "where", "hint"}


def test_an_error_is_a_short_block(cli: Cli) -> None:
    assert cli("builds", engine=FakeEngine(configuration=fakes.config(CONFIG_ERROR))) == 1
    assert cli.err.splitlines() == [
        "error[config-errors]: the configuration has errors, the first being: no such key",
        "  at /etc/e.gcfg:3:1",
        "  expected a key of [Python]",
        "  found Foo",
        "  → `envdeck config check` tells all of them",
    ]


def test_a_defect_is_told_without_a_traceback(cli: Cli) -> None:
    engine = FakeEngine(execute_error=RuntimeError("oops"))
    assert cli("build", "app", engine=engine) == 70
    assert "Traceback" not in cli.err
    assert "RuntimeError: oops" in cli.err
    assert cli.json("build", "app", engine=engine, code=70)["error"]["code"] == "internal"


@pytest.mark.parametrize("argv", [["installations"], ["build", "missing"], ["build", "app"]])
def test_the_engine_is_closed_whatever_happens(cli: Cli, argv: Sequence[str]) -> None:
    engine = FakeEngine(execute_error=RuntimeError("oops"))
    cli(*argv, engine=engine)
    assert engine.closed


@pytest.mark.parametrize(
    "argv",
    [
        ["--config", "a", "--config", "b", "--read-only", "--json", "config", "check"],
        ["--config", "a", "config", "check", "--config=b", "--read-only", "--json"],
        ["config", "--config", "a", "--read-only", "check", "--json", "--config", "b"],
    ],
)
def test_global_options_stand_anywhere(cli: Cli, argv: Sequence[str]) -> None:
    engine = FakeEngine()
    assert cli(*argv, engine=engine) == 0
    assert engine.asked[0] == ("make", [Path("a"), Path("b")], True)
    assert json.loads(cli.out)["ok"] is True


def test_what_follows_a_double_dash_is_no_option(cli: Cli) -> None:
    engine = FakeEngine()
    assert cli("plan", "--", "--json", engine=engine) == 0
    assert ("open", "--json") in engine.asked
    assert "bundle" in cli.out


def test_a_bundle_is_matched_by_what_it_asks_for_unless_something_else_is_asked(cli: Cli) -> None:
    engine = FakeEngine()
    cli("match", "app", engine=engine)
    cli("match", "--requires", ">=3.9", engine=engine)
    cli("match", "app", "--python", "3.9.1", engine=engine)
    cli("plan", "app", "--requires", ">=3.9", engine=engine)
    assert [a for a in engine.asked if isinstance(a, tuple) and a[0] == "match"] == [
        ("match", None, "my-app"),
        ("match", ">=3.9", None),
        ("match", "3.9.1", "my-app"),
        ("match", ">=3.9", "my-app"),
    ]


def test_a_match_tells_what_the_other_rule_would_give(cli: Cli) -> None:
    document = cli.json("match", "--python", "3.9.1", "--rule", "exact")
    assert [(one["rule"], one["in_force"]) for one in document["rules"]] == [("major-minor", True), ("exact", False)]
    assert document["rules"][0]["chosen"]["version"] == "3.11.9"
    assert cli("match", "--python", "3.9.1") == 0
    assert "the exact rule, not in force, would give 3.11.9" in " ".join(cli.out.split())
    assert cli("match", "--requires", ">=3.9") == 0
    assert "supersedes the rule" in cli.out


def test_force_probe_reaches_the_engine(cli: Cli) -> None:
    engine = FakeEngine()
    cli("installations", "--force-probe", engine=engine)
    assert ("installations", True) in engine.asked


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_and_its_exit_codes(cli: Cli, command: str) -> None:
    assert cli(*command.split(), "--help") == 0
    examples = cli.out.partition("example:")[2].partition("exit codes:")[0]
    assert f"envdeck {command}" in examples
    codes = re.findall(r"^  (\d) +\w", cli.out.partition("exit codes:")[2], re.MULTILINE)
    assert codes == [code for code in "012" if code != "1" or command != "completion"]
    assert "JSON:\n" in cli.out
    assert max(map(len, cli.out.splitlines())) <= 80


@pytest.mark.parametrize("argv", ["--bogus", "-x", "--theme", "--bogus plan app", "--mouse --bogus"])
def test_an_option_that_is_not_there_is_named_also_without_a_command(cli: Cli, argv: str) -> None:
    assert cli(*argv.split()) == 2
    assert f"unrecognized arguments: {argv.split()[0]}" in cli.err


FREE = {"variables", "phases", "ingredients", "manifest", "what", "facts", "where"}
"""What is under these has names that envdeck does not choose, or is told in another place."""
ELSEWHERE = re.compile(r"envdeck ([a-z]+(?: [a-z]+)?)`")


def names(value: object) -> Iterator[str]:
    """Every name of a field in a document."""
    if isinstance(value, list):
        for each in value:
            yield from names(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            if name not in FREE:
                yield from names(each)


def told(cli: Cli, command: Sequence[str], seen: frozenset[str] = frozenset()) -> str:
    """What the help of `command` says of its JSON, with what other helps say that it refers to."""
    assert cli(*command, "--help") == 0
    text = " ".join(cli.out.partition("JSON:\n")[2].split())
    others = set(ELSEWHERE.findall(text)) - seen
    return text + "".join(told(cli, other.split(), seen | others) for other in others)


@pytest.mark.parametrize(
    "argv",
    [
        "installations", "match app", "plan app", "bundles", "targets", "builds", "build app", "build app --dry-run",
        "log last", "cancel last", "retry last", "deploy app", "run board --dry-run", "content", "content show board",
        "content activate board", "content set board --name x", "content remove board --yes",
        "bundle create dir", "environments", "environments --foreign", "environments show k", "environments diff k k",
        "pin k", "unpin k", "reap --yes", "caches", "caches delete --language Python --version 3.11.9 --yes",
        "rebuild k", "rebuild k --dry-run", "rebuild --list up k", "rebuild --list up --show",
        "config check", "config show", "config pip", "config impact f", "executors", "audit", "completion bash",
    ],
)  # fmt: skip
def test_the_help_names_every_field_of_the_json(cli: Cli, argv: str) -> None:
    cli("--json", *argv.split())
    found = set(names(json.loads(cli.out))) - {"code", "severity", "message", "expected", "found", "where", "hint"}
    help_text = told(cli, max((c for c in COMMANDS if f"{argv} ".startswith(f"{c} ")), key=len).split())
    assert {name for name in found if not re.search(rf"\b{re.escape(name)}\b", help_text)} == set()


def test_the_help_names_every_command(cli: Cli) -> None:
    assert cli("--help") == 0
    for command in COMMANDS:
        assert f"\n    {command.split()[0]}" in cli.out
    assert "exit codes:" in cli.out


def test_the_version(cli: Cli) -> None:
    assert cli("--version") == 0
    assert cli.out.startswith("envdeck ")
    assert set(cli.json("--no-color", "--version")) == {"version"}


def test_a_build_tells_what_is_matched_what_is_dropped_the_log_and_where_the_environment_is(cli: Cli) -> None:
    assert cli("build", "app", engine=building(fakes.build())) == 0
    assert cli.out.splitlines() == [
        "matched  Python 3.11.9 at /opt/python/3.11.9/bin/python3: exact match",
        "dropped  pywin32==300: only for Windows",
        "Collecting flask",
        "done",
        f"ready  /data/{fakes.KEY}/{fakes.ID}  (built in 3.4 s)",
    ]
    assert cli.err == ""


def test_a_hit_is_told_as_reused(cli: Cli) -> None:
    engine = FakeEngine(outcome=Outcome(environment=fakes.environment()))
    assert cli("build", "app", engine=engine) == 0
    assert cli.out.splitlines()[-1] == f"ready  /data/{fakes.KEY}/{fakes.ID}  (reused)"


def test_a_failed_build_tells_the_fault_the_advice_and_the_log(cli: Cli) -> None:
    assert cli("build", "app", engine=building(FAILED)) == 1
    assert cli.err.splitlines() == [
        "failed in resolve: nosuchpkg: no matching distribution",
        "  → Check the name",
        f"  log  /data/jobs/{fakes.ID}/log",
    ]


def test_with_json_the_talk_of_a_build_goes_to_standard_error(cli: Cli) -> None:
    document = cli.json("build", "app", engine=building(fakes.build()))
    assert document["status"] == "done"
    assert "Collecting flask" in cli.err
    assert "matched  Python 3.11.9" in cli.err


def test_a_refused_build_is_a_document_with_its_error(cli: Cli) -> None:
    engine = FakeEngine(execute_error=Refused(Problem("read-only", "started with --read-only")))
    document = cli.json("build", "app", engine=engine, code=1)
    assert (document["status"], document["error"]["code"]) == ("refused", "read-only")


def test_a_detached_build_tells_how_to_go_on(cli: Cli) -> None:
    engine = building(fakes.build())
    assert cli("build", "app", "--detach", engine=engine) == 0
    assert f"envdeck log -f {fakes.ID}" in cli.out
    assert cli.json("build", "app", "--detach", engine=engine)["status"] == "running"


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("argv", [["build", "app"], ["log", "-f", "last"]])
def test_ctrl_c_says_that_the_build_goes_on(cli: Cli, argv: Sequence[str]) -> None:
    engine = building(fakes.build())
    engine.on_follow = _interrupt
    assert cli(*argv, engine=engine) == 130
    (line,) = cli.err.splitlines()
    assert "the build goes on" in line
    assert f"envdeck log -f {fakes.ID}" in line
    assert f"envdeck cancel {fakes.ID}" in line


def test_ctrl_c_with_json_still_gives_one_document(cli: Cli) -> None:
    engine = building(fakes.build())
    engine.on_follow = _interrupt
    assert cli.json("build", "app", engine=engine, code=130)["status"] == "running"


def test_ctrl_c_elsewhere_is_one_error(cli: Cli) -> None:
    engine = FakeEngine()
    engine.refresh = lambda **_: _interrupt()  # type: ignore[method-assign,assignment,return-value]
    assert cli("builds", engine=engine) == 130
    assert cli.err == "error[interrupted]: interrupted with Ctrl-C\n"


def test_timestamps_are_in_front_of_the_log(cli: Cli) -> None:
    cli("log", "last", "--timestamps")
    assert cli.out.splitlines()[0] == "2026-01-31T12:00:00.250Z Collecting flask"
    cli("log", "-f", "last", "--timestamps")
    assert cli.out.splitlines()[1] == "2026-01-31T12:00:01.250Z done"


LINES = tuple(
    LogLine(fakes.AT, text) for text in ("Collecting numpy", "ERROR: No matching distribution", "error-report 1.0")
)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
@pytest.mark.parametrize(
    ("options", "shown", "code"),
    [
        (["--grep", "NUMPY|report"], ["Collecting numpy", "error-report 1.0"], 0),
        (["--grep", "numpy", "--invert"], ["ERROR: No matching distribution", "error-report 1.0"], 0),
        (["--errors"], ["ERROR: No matching distribution"], 0),
        (["--errors", "--grep", "numpy"], [], 1),
        (["--grep", "zebra"], [], 1),
    ],
)
def test_lines_of_the_log_can_be_looked_for(cli: Cli, follow, options, shown: list[str], code: int) -> None:
    assert cli("log", "last", *follow, *options, engine=FakeEngine(lines=LINES)) == code
    assert cli.out.splitlines() == shown


def test_the_lines_that_were_looked_for_are_the_ones_in_json(cli: Cli) -> None:
    document = cli.json("log", "last", "--errors", engine=FakeEngine(lines=LINES))
    assert [line["text"] for line in document["lines"]] == ["ERROR: No matching distribution"]


@pytest.mark.parametrize("options", [["--grep", "("], ["--invert"]])
def test_what_cannot_be_looked_for_is_bad_usage(cli: Cli, options: list[str]) -> None:
    assert cli("log", "last", *options) == 2
    assert cli.err.startswith("error[usage]: --")


def test_a_retry_is_followed_like_a_build(cli: Cli) -> None:
    engine = building(fakes.build())
    assert cli("retry", "last", engine=engine) == 0
    assert ("execute", "BuildPlan") in engine.asked
    assert cli.out.splitlines()[-1].startswith("ready  ")


def test_a_retry_of_a_rebuild_rebuilds(cli: Cli) -> None:
    engine = FakeEngine(retried=fakes.rebuild_plan())
    assert cli("retry", "last", engine=engine) == 0
    assert ("execute", "RebuildPlan") in engine.asked


def test_a_retry_can_be_looked_at_and_refused(cli: Cli) -> None:
    engine = FakeEngine()
    assert cli("retry", "last", "--dry-run", engine=engine) == 0
    assert not [asked for asked in engine.asked if asked[0] == "execute"]
    refused = Refused(Problem("build-running", "the build has not ended yet"))
    assert cli("retry", "last", engine=FakeEngine(retry_error=refused)) == 1


def test_config_check_tells_each_problem_and_counts(cli: Cli) -> None:
    warning = Problem("key-repeated", "given twice", where=Where("/etc/e.gcfg", 9, 2), severity=Severity.WARNING)
    assert cli("config", "check", engine=FakeEngine(configuration=fakes.config(CONFIG_ERROR, warning))) == 1
    assert "error[key-unknown]: no such key\n  at /etc/e.gcfg:3:1\n" in cli.out
    assert "warning[key-repeated]: given twice\n  at /etc/e.gcfg:9:2\n" in cli.out
    assert cli.out.splitlines()[-1] == "1 error, 1 warning"


@pytest.mark.parametrize("command", ["check", "show"])
def test_config_says_when_the_embedded_default_is_in_force(cli: Cli, command: str) -> None:
    assert cli("config", command, engine=FakeEngine(configuration=fakes.config(default=True))) == 0
    assert "the embedded default is in force" in cli.out


def test_config_show_can_leave_the_defaults_out(cli: Cli) -> None:
    cli("config", "show")
    assert "Python.Enabled" in cli.out
    cli("config", "show", "--changed")
    assert "Python.Enabled" not in cli.out
    assert "Server.DataDir" in cli.out
    assert [v["name"] for v in cli.json("config", "show", "--changed")["values"]] == ["Server.DataDir"]


def test_config_works_while_the_configuration_has_errors(cli: Cli) -> None:
    engine = FakeEngine(configuration=fakes.config(CONFIG_ERROR))
    assert cli("config", "init", "-", engine=engine) == 0
    assert cli("config", "show", engine=engine) == 1
    assert "Server.DataDir" in cli.out
    assert "error[key-unknown]" in cli.err


def test_config_init_refuses_to_overwrite(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "new" / "envdeck.gcfg"
    assert cli("config", "init", str(path)) == 0
    assert path.read_text() == "; the default\n[Python]\n"
    path.write_text("mine")
    assert cli("config", "init", str(path)) == 1
    assert cli.err.startswith("error[file-exists]")
    assert path.read_text() == "mine"
    assert cli.json("config", "init", str(path), "--force")["path"] == str(path)
    assert path.read_text() != "mine"


def test_config_init_writes_where_the_configuration_is_looked_for(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert cli("config", "init") == 0
    assert (tmp_path / "envdeck" / "envdeck.gcfg").is_file()
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli("config", "init") == 0
    assert (tmp_path / ".config" / "envdeck" / "envdeck.gcfg").is_file()
    monkeypatch.delenv("HOME")
    assert cli("config", "init") == 2
    assert cli.err.startswith("error[no-home]")


def test_config_init_prints(cli: Cli) -> None:
    assert cli("config", "init", "-") == 0
    assert cli.out == "; the default\n[Python]\n"
    assert cli.json("config", "init", "-") == {"path": None, "text": "; the default\n[Python]\n"}


def test_config_init_writes_nothing_when_read_only(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "envdeck.gcfg"
    assert cli("--read-only", "config", "init", str(path)) == 1
    assert not path.exists()
    assert cli("--read-only", "config", "init", "-") == 0


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="needs a directory nobody can write to")
def test_config_init_tells_when_it_cannot_write(cli: Cli) -> None:
    assert cli("config", "init", "/proc/envdeck/envdeck.gcfg") == 1
    assert cli.err.startswith("error[config-write]")


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_a_bundle_does_not_take_the_place_of_a_file_unseen(cli: Cli, tmp_path: Path, dry_run: list[str]) -> None:
    path = tmp_path / "app.tar.gz"
    argv = ["bundle", "create", "app", "-o", str(path), *dry_run]
    assert cli(*argv) == 0
    path.write_text("mine")
    engine = FakeEngine()
    assert cli(*argv, engine=engine) == 1
    assert cli.err == f"error[file-exists]: the file is there already\n  at {path}\n  → --force replaces it\n"
    assert ("write", str(path)) not in engine.asked
    assert cli.json(*argv, engine=engine, code=1)["error"]["code"] == "file-exists"
    assert cli(*argv, "--force", engine=engine) == 0
    assert (("write", str(path)) in engine.asked) is (not dry_run)


@pytest.mark.parametrize("place", ["/dev/null", "."])
def test_a_bundle_never_takes_the_place_of_what_is_no_file(cli: Cli, place: str) -> None:
    engine = FakeEngine()
    assert cli("bundle", "create", "app", "-o", place, "--force", engine=engine) == 1
    assert "what is there is not a file" in cli.err
    assert not [asked for asked in engine.asked if isinstance(asked, tuple) and asked[0] == "write"]

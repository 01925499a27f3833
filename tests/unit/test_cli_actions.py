"""Commands about content, the cache and rebuilds: exit codes, dry runs, questions and what reaches the engine."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence

import cli_fakes as fakes
import pytest
from cli_engine import FakeEngine, building
from cli_runner import Cli

from app.cli.grammar import seconds
from engine import (
    UNCHANGED,
    BuildState,
    CaptureOptions,
    InputError,
    ItemState,
    Problem,
    ReapResult,
    RebuildPlan,
    Refused,
    RunResult,
    Severity,
    Where,
)

NO = Problem("no", "it cannot be done", where=Where("/x", 1, 2), hint="Do something else")
WARNING = Problem("odd", "it is odd", severity=Severity.WARNING)
KEPT = fakes.reap_item(fakes.KEPT, used_by=("board",))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(capsys)


def refusing() -> FakeEngine:
    return FakeEngine(
        deploying=fakes.deploy_plan(problem=NO),
        running=fakes.run_plan(problem=NO),
        settings_problem=NO,
        rebuilding=fakes.rebuild_plan(NO),
        bulk_problem=NO,
    )


@pytest.mark.parametrize(
    ("argv", "engine", "code"),
    [
        (["targets"], FakeEngine(), 0),
        (["targets"], FakeEngine(declared=fakes.declarations(WARNING)), 0),
        (["targets"], FakeEngine(declared=fakes.declarations(NO)), 1),
        (["content"], FakeEngine(), 0),
        (["content", "show", "board"], FakeEngine(), 0),
        (["content", "show", "nothing"], FakeEngine(), 2),
        (["content", "set", "board", "--name", "b"], FakeEngine(), 0),
        (["content", "set", "board", "--name", "b"], refusing(), 1),
        (["content", "set", "board", "--name", "b", "--dry-run"], refusing(), 1),
        (["content", "set", "board"], FakeEngine(), 2),
        (["content", "set", "board", "--management", "maybe"], FakeEngine(), 2),
        (["content", "remove", "board", "--yes"], FakeEngine(), 0),
        (["content", "remove", "board", "--yes"], refusing(), 1),
        (["content", "remove", "board"], FakeEngine(), 1),
        (["content", "activate", "board"], FakeEngine(), 0),
        (["content", "activate", "board", "1"], FakeEngine(), 0),
        (["content", "activate", "board", "one"], FakeEngine(), 2),
        (["content", "activate", "nothing"], FakeEngine(), 2),
        (["content", "activate", "board"], FakeEngine(activating=fakes.activate_plan(problem=NO)), 1),
        (["content", "activate", "board", "--dry-run"], FakeEngine(activating=fakes.activate_plan(problem=NO)), 1),
        (["content", "activate", "board"], FakeEngine(execute_error=Refused(NO)), 1),
        (["deploy", "app"], FakeEngine(), 0),
        (["deploy", "app"], refusing(), 1),
        (["deploy", "app", "--dry-run"], FakeEngine(), 0),
        (["deploy", "app", "--dry-run"], refusing(), 1),
        (["deploy", "app"], FakeEngine(execute_error=Refused(NO)), 1),
        (["deploy", "app"], FakeEngine(execute_error=InputError(NO)), 2),
        (["deploy", "app", "--name", "a", "--content", "b"], FakeEngine(), 2),
        (["deploy", "missing"], FakeEngine(), 2),
        (["run", "board", "--dry-run"], FakeEngine(), 0),
        (["run", "board", "--dry-run"], refusing(), 1),
        (["run", "nothing", "--dry-run"], FakeEngine(), 2),
        (["run", "board"], FakeEngine(), 2),
        (["run", "board", "python"], FakeEngine(), 2),
        (["environments", "--foreign"], FakeEngine(), 0),
        (["environments", "show", fakes.KEY[:4]], FakeEngine(), 0),
        (["environments", "show", "other"], FakeEngine(), 2),
        (["environments", "diff", fakes.KEY, fakes.KEY[:3]], FakeEngine(), 0),
        (["environments", "diff", fakes.KEY, "other"], FakeEngine(), 2),
        (["pin", "k", "--note", "why"], FakeEngine(), 0),
        (["unpin", "k"], FakeEngine(), 0),
        (["unpin", "k"], refusing(), 1),
        (["reap", "--yes"], FakeEngine(), 0),
        (["reap", "--yes"], FakeEngine(reaping=fakes.reap_plan(KEPT)), 0),
        (["reap", "k", "--yes"], FakeEngine(reaping=fakes.reap_plan(KEPT, complete=False)), 1),
        (["reap", "k", "--dry-run"], FakeEngine(reaping=fakes.reap_plan(KEPT, complete=False)), 1),
        (["reap"], FakeEngine(), 1),
        (["reap", "--dry-run"], FakeEngine(), 0),
        (["reap", "--if-due"], FakeEngine(due=False), 0),
        (["reap", "--yes"], FakeEngine(result=ReapResult((), (), ((fakes.reap_item(), NO),))), 1),
        (["reap", "--yes"], FakeEngine(result=ReapResult((), (KEPT,), ())), 0),
        (["reap", "k", "--yes"], FakeEngine(result=ReapResult((), (KEPT,), ())), 1),
        (["reap", "--grace", "soon"], FakeEngine(), 2),
        (["caches"], FakeEngine(), 0),
        (["caches", "delete", "--language", "Python", "--version", "3.11.9", "-y"], FakeEngine(), 0),
        (["caches", "delete", "--language", "Python", "--version", "3.11.9"], FakeEngine(), 1),
        (["caches", "delete", "--language", "Python", "--version", "3.11.9", "--dry-run"], FakeEngine(), 0),
        (
            ["caches", "delete", "--language", "Python", "--version", "3.11.9", "-y"],
            FakeEngine(clearing=fakes.cache_plan(KEPT)),
            1,
        ),
        (["caches", "delete", "--language", "Python"], FakeEngine(), 2),
        (["rebuild", "k", "--dry-run"], FakeEngine(), 0),
        (["rebuild", "k"], refusing(), 1),
        (["rebuild", "k"], building(fakes.build()), 0),
        (["rebuild", "k"], building(fakes.build(BuildState.FAILED)), 1),
        (["rebuild"], FakeEngine(), 2),
        (["rebuild", "k", "--retry"], FakeEngine(), 2),
        (["rebuild", "--list", "up", "k"], FakeEngine(), 0),
        (["rebuild", "--list", "up", "--dry-run"], FakeEngine(), 0),
        (["rebuild", "--list", "up"], refusing(), 1),
        (["rebuild", "--list", "up"], FakeEngine(bulk_end=ItemState.ERROR), 1),
        (["rebuild", "--list", "up", "--show"], FakeEngine(), 0),
        (["rebuild", "--list", "other", "--show"], FakeEngine(), 2),
        (["rebuild", "--list", "up", "--parallelism", "0"], FakeEngine(), 2),
        (["bundle", "create", "dir"], FakeEngine(), 0),
        (["bundle", "create", "dir", "--dry-run"], FakeEngine(), 0),
        (["--read-only", "bundle", "create", "dir"], FakeEngine(), 1),
        (["bundle"], FakeEngine(), 2),
        (["build", "app", "--dry-run"], FakeEngine(), 0),
        (["build", "app", "--dry-run"], FakeEngine(refusal=NO), 1),
        (["plan", "app"], FakeEngine(refusal=NO), 0),
        (["cancel", "last", "--dry-run"], FakeEngine(), 0),
        (["cancel", "last", "--dry-run"], FakeEngine(cancel_problem=NO), 1),
        (["config", "pip"], FakeEngine(), 0),
        (["config", "pip"], FakeEngine(pip_problem=WARNING), 0),
        (["config", "pip"], FakeEngine(pip_problem=NO), 1),
        (["serve"], FakeEngine(), 0),
        (["completion", "bash"], FakeEngine(), 0),
        (["completion", "csh"], FakeEngine(), 2),
    ],
)
def test_the_exit_code_is_the_same_with_and_without_json(
    cli: Cli, argv: Sequence[str], engine: FakeEngine, code: int
) -> None:
    assert cli(*argv, engine=engine) == code
    if code == 2:
        assert cli.err.startswith("error[")
    elif code == 0:
        assert not cli.err.startswith("error[")
    document = cli.json(*argv, engine=engine, code=code)
    if code == 2:
        assert set(document["error"]) >= {"code", "message", "expected", "found", "where", "hint"}


@pytest.mark.parametrize(
    "argv",
    [
        ["build", "app"],
        ["cancel", "last"],
        ["deploy", "app"],
        ["run", "board"],
        ["content", "activate", "board", "1"],
        ["content", "set", "board", "--name", "b"],
        ["content", "remove", "board"],
        ["pin", "k"],
        ["unpin", "k"],
        ["reap"],
        ["caches", "delete", "--language", "Python", "--version", "3.11.9"],
        ["rebuild", "k"],
        ["rebuild", "--list", "up"],
        ["bundle", "create", "dir"],
    ],
)
def test_a_dry_run_shows_the_plan_and_does_nothing(cli: Cli, argv: Sequence[str]) -> None:
    engine = FakeEngine()
    assert cli(*argv, "--dry-run", engine=engine) == 0
    assert cli.out
    cli.json(*argv, "--dry-run", engine=engine)
    done = [asked[0] if isinstance(asked, tuple) else asked for asked in engine.asked]
    assert not {"execute", "deployed", "run", "write", "parallelism"} & set(done)


# Questions

DESTRUCTIVE = [
    ["content", "remove", "board"],
    ["reap"],
    ["caches", "delete", "--language", "Python", "--version", "3.11.9"],
]


class Tty(io.StringIO):
    """Standard input of somebody who sits at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def type_in(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Tty(text))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return type_in


@pytest.mark.parametrize("argv", DESTRUCTIVE)
def test_without_a_terminal_nothing_is_deleted_unless_yes_is_given(cli: Cli, argv: Sequence[str]) -> None:
    engine = FakeEngine()
    assert cli(*argv, engine=engine) == 1
    assert cli.err.splitlines()[0].startswith("error[confirmation-needed]")
    assert "expected --yes" in cli.err
    assert cli.json(*argv, engine=engine, code=1)["error"]["code"] == "confirmation-needed"
    assert not any(isinstance(a, tuple) and a[0] == "execute" for a in engine.asked)
    assert cli(*argv, "--yes", engine=engine) == 0
    assert any(isinstance(a, tuple) and a[0] == "execute" for a in engine.asked)


@pytest.mark.parametrize("argv", DESTRUCTIVE)
@pytest.mark.parametrize(
    ("typed", "goes_on"), [("yes\n", True), ("yes", True), ("\n", False), ("y\n", False), ("", False), ("YES\n", False)]
)
def test_on_a_terminal_only_the_word_yes_goes_on(
    cli: Cli, answer: Callable[[str], None], argv: Sequence[str], typed: str, goes_on: bool
) -> None:
    engine = FakeEngine()
    answer(typed)
    assert cli(*argv, engine=engine) == (0 if goes_on else 1)
    assert "Type yes to go on: " in cli.out
    assert any(isinstance(a, tuple) and a[0] == "execute" for a in engine.asked) is goes_on
    assert ("nothing was done" in cli.err) is not goes_on


def test_nobody_is_asked_when_there_is_nothing_to_delete(cli: Cli) -> None:
    engine = FakeEngine(reaping=fakes.reap_plan(KEPT), result=ReapResult((), (), ()))
    assert cli("reap", engine=engine) == 0
    assert "1 content item would need it again: board" in cli.out


# What reaches the engine, and what is said


def test_a_deployment_shows_the_log_and_what_became_of_it(cli: Cli) -> None:
    engine = FakeEngine(deployed=fakes.build(BuildState.RUNNING))
    assert cli("deploy", "app", "--content", "board", engine=engine) == 0
    assert cli.out.splitlines() == [
        "matched  Python 3.11.9 at /opt/python/3.11.9/bin/python3: exact match",
        "Collecting flask",
        "done",
        f"deployed  board  bundle 2  {fakes.GUID}",
    ]
    assert ("deploy", None, "board") in engine.asked
    document = cli.json("deploy", "app", "--name", "b", engine=engine)
    assert ("deploy", "b", None) in engine.asked
    assert (document["content"]["guid"], document["build"]["id"]) == (fakes.GUID, fakes.ID)
    assert "Collecting flask" in cli.err


def test_going_back_to_a_bundle_says_why_and_what_became_of_it(cli: Cli) -> None:
    engine = FakeEngine(deployed=fakes.build(BuildState.RUNNING), activating=fakes.activate_plan(running=True))
    assert cli("content", "activate", "board", "1", engine=engine) == 0
    assert cli.out.splitlines() == [
        "  bundle 1 takes the place of bundle 2",
        "Collecting flask",
        "done",
        f"activated  board  bundle 1  {fakes.GUID}",
        "it runs now, and goes on with the bundle that it began with until it is started again",
    ]
    assert ("activate", 1) in engine.asked
    document = cli.json("content", "activate", "board", engine=engine)
    assert ("activate", None) in engine.asked
    assert (document["number"], document["before"], document["content"]["active"]) == (1, 2, 1)
    assert document["reasons"][0]["code"] == "takes-over"
    interrupted = FakeEngine(deployed=fakes.build(BuildState.RUNNING), on_follow=_interrupt)
    assert cli("content", "activate", "board", engine=interrupted) == 130
    assert "the content stays as it was; the build goes on" in cli.err


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_an_interrupted_deployment_says_how_things_stand(cli: Cli) -> None:
    engine = FakeEngine(deployed=fakes.build(BuildState.RUNNING), on_follow=_interrupt)
    assert cli("deploy", "app", engine=engine) == 130
    assert "the content stays as it was; the build goes on" in cli.err
    assert cli.json("deploy", "app", engine=engine, code=130)["content"] is None


def test_the_exit_code_of_a_command_is_passed_on_and_its_words_are_left_alone(cli: Cli) -> None:
    engine = FakeEngine(ran=RunResult(42), deployed=fakes.build(BuildState.RUNNING))
    assert cli("run", "board", "--", "python", "--json", "--dry-run", "--", "-x", engine=engine) == 42
    assert ("run", ["python", "--json", "--dry-run", "--", "-x"]) in engine.asked
    assert cli.out == "", "standard output belongs to the command"
    assert "Collecting flask" in cli.err


def test_a_command_that_cannot_be_started_is_told(cli: Cli) -> None:
    assert cli("run", "board", "--", "nope", engine=FakeEngine(ran=RunResult(127, NO))) == 127
    assert cli.err.startswith("error[no]")


def test_the_output_of_a_command_is_no_json(cli: Cli) -> None:
    engine = FakeEngine()
    assert cli.json("run", "board", "--", "python", engine=engine, code=2)["error"]["code"] == "usage"
    assert not any(isinstance(a, tuple) and a[0] == "run" for a in engine.asked)
    document = cli.json("run", "board", "--dry-run", "--", "python", "-V")
    assert (document["command"], document["python"]) == (["python", "-V"], "/e/bin/python")


@pytest.mark.parametrize(("word", "value"), [("on", True), ("off", False), ("unset", None)])
def test_a_level_of_management_is_set_or_taken_back(cli: Cli, word: str, value: bool | None) -> None:
    engine = FakeEngine()
    assert cli("content", "set", "board", "--management", word, engine=engine) == 0
    assert ("set", None, value, None) in engine.asked
    cli("content", "set", "board", "--image", "", engine=engine)
    assert ("set", None, UNCHANGED, "") in engine.asked


def test_what_reaping_is_asked_for(cli: Cli) -> None:
    engine = FakeEngine()
    cli("reap", "a", "b", "--grace", "1h30m", "--dry-run", engine=engine)
    cli("reap", "--grace", "0", "--dry-run", engine=engine)
    asked = [a for a in engine.asked if isinstance(a, tuple) and a[0] == "reap"]
    assert asked == [("reap", ["a", "b"], 5400.0), ("reap", None, 0.0)]


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("90s", 90), ("1.5h", 5400), ("2d", 172800), ("1h30m5s", 5405), ("0s", 0)]
)
def test_a_length_of_time(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "-1s", "1w", "1 h", "h", "s1", "１s", "1h 5m", "inf", "nan"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(InputError, match="no length of time"):
        seconds(text)


def test_too_many_rebuilds_at_once_are_refused_and_sent_to_a_list(cli: Cli) -> None:
    (one,) = fakes.rebuild_plan().items
    engine = FakeEngine(rebuilding=RebuildPlan((one,) * 9))
    for more in ((), ("--dry-run",)):
        assert cli("rebuild", "k", *more, engine=engine) == 1
        assert cli.err.count("rebuild-too-many") == 1
        assert "envdeck rebuild --list NAME KEY…" in cli.err
    assert cli.json("rebuild", "k", engine=engine, code=1)["error"]["code"] == "rebuild-too-many"


def test_a_run_over_a_list_tells_its_progress_and_its_summary(cli: Cli) -> None:
    engine = FakeEngine(bulk_end=ItemState.ERROR)
    argv = ["rebuild", "--list", "up", "a", "--all", "--retry", "--force", "--fresh", "--parallelism", "3"]
    assert cli(*argv, engine=engine) == 1
    assert cli.out.splitlines() == [
        "Running = 0, Pending = 1, Success = 0, Error = 0",
        f"Running = 0, Pending = 0, Success = 0, Error = 1  {fakes.KEY} ERROR: it went wrong",
        "0/1 environment builds completed in 0:00:03",
    ]
    assert ("bulk", "up", ["a"], True, True, True, True) in engine.asked
    assert ("parallelism", 3) in engine.asked
    document = cli.json(*argv, engine=engine, code=1)
    assert (document["result"]["error"], document["result"]["items"][0]["state"]) == (1, "ERROR")
    assert "Pending = 1" in cli.err


def test_an_interrupted_run_over_a_list_says_how_to_resume(cli: Cli) -> None:
    engine = FakeEngine(on_follow=_interrupt)
    assert cli("rebuild", "--list", "up", engine=engine) == 130
    assert "`envdeck rebuild --list up --retry`" in cli.err
    document = cli.json("rebuild", "--list", "up", engine=engine, code=130)
    assert (document["interrupted"], document["result"]) == (True, None)


def test_an_interrupted_rebuild_goes_on(cli: Cli) -> None:
    engine = building(fakes.build(BuildState.RUNNING))
    engine.on_follow = _interrupt
    assert cli("rebuild", "k", engine=engine) == 130
    assert f"envdeck cancel {fakes.ID}" in cli.err


def test_what_a_bundle_is_asked_to_be(cli: Cli) -> None:
    engine = FakeEngine()
    assert (
        cli("bundle", "create", "/srv/my-app", "-o", "/tmp/x.tar.gz", "--python", "p", "--app-mode", "python-api",
            "--entrypoint", "e", "--requires", ">=3.9", "--image", "i", "--no-management", engine=engine)
        == 0
    )  # fmt: skip
    assert ("capture", "/srv/my-app", CaptureOptions("p", "python-api", "e", ">=3.9", False, "i")) in engine.asked
    assert ("write", "/tmp/x.tar.gz") in engine.asked
    assert cli.out.splitlines()[-1] == "written  /tmp/x.tar.gz"
    assert ".git: never part of a bundle" in cli.out


def test_a_bundle_can_be_made_while_the_configuration_has_errors(cli: Cli) -> None:
    engine = FakeEngine(configuration=fakes.config(NO))
    assert cli("bundle", "create", "dir", "--dry-run", engine=engine) == 0
    assert cli("reap", "--dry-run", engine=engine) == 1


def test_an_option_of_a_command_may_be_called_version(cli: Cli) -> None:
    engine = FakeEngine()
    cli("caches", "delete", "--language", "Python", "--version", "3.11.9", "--image", "i", "--dry-run", engine=engine)
    assert ("clear", "Python", "3.11.9", "i") in engine.asked

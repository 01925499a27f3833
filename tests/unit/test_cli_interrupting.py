"""What ends a command before it is done: signals and outputs that take no more end every command in the same way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cli_fakes as fakes
import pytest
from cli_engine import FakeEngine
from cli_runner import Cli
from test_cli_process import ROOT, RUN, environ

from app.cli import following
from app.cli.interrupting import Interrupted, answering_signals, check
from engine import AuditPage, AuditQuery, AuditReader, Build, BuildState, LogRing, Outcome
from tests.records import replace

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FOLLOWING = {
    "build": ["build", "app"],
    "build --json": ["build", "app", "--json"],
    "log": ["log", "-f", "last"],
    "log --json": ["log", "-f", "last", "--json"],
    "rebuild": ["rebuild", "k"],
    "retry": ["retry", "last"],
    "deploy": ["deploy", "app"],
    "activate": ["content", "activate", "board", "1"],
    "run": ["run", "board", "--", "true"],
    "list": ["rebuild", "--list", "up", "k"],
    "cancel": ["cancel", "last"],
    "audit": ["audit", "-f"],
}
"""Every command that follows or waits."""
GOES_ON = f"the build goes on. Follow it with `envdeck log -f {fakes.ID}`, end it with `envdeck cancel {fakes.ID}`"
SAID = {
    "deploy": f"the content stays as it was; {GOES_ON}",
    "activate": f"the content stays as it was; {GOES_ON}",
    "run": f"the command was not run; {GOES_ON}",
    "list": "builds that were started go on, the others were not begun. "
    "Resume with `envdeck rebuild --list up --retry`",
    "cancel": f"asked {fakes.ID} to stop, but it is still running. See how it ends with `envdeck builds`",
    "audit": "",
}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("COLUMNS", "80")
    return Cli(capsys)


class Endless(FakeEngine):
    """On which everything goes on until somebody has had enough, who is called at each look."""

    def __init__(self, enough: Callable[[], None]) -> None:
        going = replace(fakes.build(), state=BuildState.RUNNING, finished_at=None)
        super().__init__(outcome=Outcome(build=going), ended=going, deployed=going, on_follow=enough)
        self._enough = enough

    def wait(self, build_id: str, timeout: float | None = None) -> Build:
        self._enough()
        return super().wait(build_id, timeout)

    def follow(self, build_id: str) -> LogRing:
        self._enough()
        return LogRing()

    def run_bulk(self, plan, *, stop=lambda: False, **options):
        self._enough()
        while not stop():
            pass
        return super().run_bulk(plan, stop=stop, **options)

    def audit(self, query: AuditQuery | None = None) -> AuditReader:
        reader = super().audit(query)

        def new() -> AuditPage:
            self._enough()
            return AuditPage()

        reader.new.side_effect = new  # type: ignore[attr-defined]
        return reader


class Dismantled:
    """Something that is taken to pieces when a signal comes: Python throws its exception away there."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", FOLLOWING)
def test_a_signal_ends_what_follows_or_waits_and_says_what_goes_on(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, number: signal.Signals, lost: bool
) -> None:
    monkeypatch.setattr(following, "_TICK", 0.01)
    monkeypatch.setattr("app.cli.auditing._LOOK", 0.01)
    arrived: list[int] = []

    def enough() -> None:
        if not arrived:
            arrived.append(number)
            if lost:
                Dismantled(number)
            else:
                signal.raise_signal(number)

    before = [signal.getsignal(each) for each in SIGNALS]
    assert cli(*FOLLOWING[command], engine=Endless(enough)) == 128 + number
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert "Traceback" not in cli.err
    (line,) = [line for line in cli.err.splitlines() if line.startswith(("interrupted", "ended"))]
    came, _, goes_on = line.partition(": ")
    assert came == str(Interrupted(number))
    assert goes_on == SAID.get(command, GOES_ON)


def test_an_interruption_while_a_build_is_started_says_whether_it_was(cli: Cli) -> None:
    """As the copying of a large bundle takes its time, and the supervisor may be there before the exception."""
    engine = FakeEngine(execute_error=Interrupted())  # type: ignore[arg-type]
    assert cli("build", "app", engine=engine) == 130
    assert cli.err == "interrupted with Ctrl-C: no build was started\n"
    engine.ended = replace(fakes.build(), key=engine.planned.key, state=BuildState.RUNNING)
    assert cli("build", "app", engine=engine) == 130
    assert cli.err == f"interrupted with Ctrl-C: {GOES_ON}\n"


@pytest.mark.parametrize("command", ["reap --yes", "caches delete --language Python --version 3.11.9 --yes"])
def test_an_interrupted_deletion_says_how_it_leaves_things(cli: Cli, command: str) -> None:
    engine = FakeEngine(execute_error=Interrupted())  # type: ignore[arg-type]
    assert cli(*command.split(), engine=engine) == 130
    assert cli.err.startswith("error[interrupted]: interrupted with Ctrl-C\n  → What was deleted until then is gone")
    assert cli.json(*command.split(), engine=engine, code=130)["error"]["code"] == "interrupted"


def test_what_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with answering_signals():
            signal.raise_signal(signal.SIGHUP)
            check()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_was_answered_does_not_end_what_comes_after() -> None:
    with pytest.raises(Interrupted), answering_signals():
        signal.raise_signal(signal.SIGTERM)
    with answering_signals():
        check()


BROKEN = {
    "full": (2, "error[output-write]: not all of the output could be written"),
    "closed": (141, ""),
}


def output(kind: str) -> int:
    """The descriptor of an output that takes nothing."""
    if kind == "full":
        return os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("command", ["builds", "builds --json", "match --help"])
def test_an_output_that_takes_no_more_is_one_error(command: str, kind: str, buffered: bool) -> None:
    code, words = BROKEN[kind]
    descriptor = output(kind)
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN + f"sys.exit(main({command.split()!r}, FakeEngine().make))"],
            stdout=descriptor,
            stderr=subprocess.PIPE,
            env=environ(**({} if buffered else {"PYTHONUNBUFFERED": "1"})),
            timeout=60,
        )
    finally:
        os.close(descriptor)
    assert done.returncode == code
    assert done.stderr.decode().startswith(words)
    assert done.stderr.count(b"\n") == bool(words)


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("command", ["frobnicate"])
def test_where_nothing_can_be_said_the_exit_code_still_says_it(command: str, kind: str) -> None:
    descriptor = output(kind)
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN + f"sys.exit(main({command.split()!r}, FakeEngine().make))"],
            stdout=descriptor,
            stderr=descriptor,
            env=environ(),
            timeout=60,
        )
    finally:
        os.close(descriptor)
    assert done.returncode == BROKEN[kind][0]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_build_that_nobody_can_follow_any_more_goes_on_and_that_is_said(kind: str) -> None:
    code, words = BROKEN[kind]
    descriptor = output(kind)
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUN + "e = building(f.build()); e.build = lambda _: e.outcome.build; "
             "e.execute_error = None; sys.exit(main(['log', '-f', 'last'], e.make))"],
            stdout=descriptor,
            stderr=subprocess.PIPE,
            env=environ(),
            cwd=ROOT,
            timeout=60,
        )  # fmt: skip
    finally:
        os.close(descriptor)
    assert done.returncode == code
    assert GOES_ON in done.stderr.decode()
    assert words in done.stderr.decode()


EARLY = """
import signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {imported!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["envdeck", "targets"]
from app.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("imported", "code", "told"),
    [
        ("app.tui.options", -signal.SIGINT, ""),
        ("app.cli.main", 130, ""),
        ("app.cli.render_plan", 130, "error[interrupted]: interrupted with Ctrl-C\n"),
    ],
)
def test_ctrl_c_while_it_starts_is_no_traceback(tmp_path: Path, imported: str, code: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY.format(imported=imported)],
        capture_output=True,
        text=True,
        env=environ(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path)),
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (code, told)

"""Programs that do their worst when they are run as interpreters: bounded time, bounded memory, and nothing left."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from packaging.version import Version

from engine.installations.externals import probe_externals
from engine.installations.facts import facts_to_json
from engine.installations.inventory import probe_all
from engine.installations.judge import judge
from engine.installations.model import InterpreterFacts, ProbeFailure
from engine.installations.probe import run_probe
from engine.text import clean

BASE = Path(sys.executable).resolve()
LIMIT = 0.5
"""Seconds that a program made to hang is given."""
PATIENCE = 60.0
"""Seconds that all others are given, also where the machine has other things to do."""

Program = Callable[[str], Path]

PYTHON = f"""#!{BASE}
import json, os, signal, subprocess, sys, time
start, end = [a for a in sys.argv if len(a) == 32 and all(c in "0123456789abcdef" for c in a)][:2]
def answer(text):
    sys.stdout.write(start[::-1] + text + end[::-1])
    sys.stdout.flush()
"""


@pytest.fixture
def tag() -> str:
    """What the command lines of a test's processes hold, by which they are found."""
    return f"3000.{time.monotonic_ns()}"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def write(text: str) -> Path:
        path = tmp_path / "python"
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write


def living(tag: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if tag in " ".join(process.info["cmdline"] or ()) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture(autouse=True)
def nothing_stays(tag: str) -> Iterator[None]:
    yield
    left = living(tag)
    for process in left:
        process.kill()
    assert left == []


@pytest.fixture(autouse=True)
def memory_is_bounded() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024**2
    finally:
        tracemalloc.stop()


def failure(path: Path, timeout: float = 30) -> ProbeFailure:
    started = time.monotonic()
    found = run_probe(path, timeout)
    assert time.monotonic() - started < timeout + PATIENCE
    assert isinstance(found, ProbeFailure)
    assert clean(found.detail) == found.detail
    return found


@pytest.mark.parametrize(
    "spawn",
    [
        # In its group; in a session of its own; orphaned by its parent; with no pipe of ours; ignoring every wish.
        "sleep {tag} &",
        "setsid sleep {tag} &",
        "(setsid sleep {tag} &) &",
        "setsid sh -c 'exec sleep {tag}' </dev/null >/dev/null 2>&1 &",
        "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep {tag}; done' &",
        "setsid nohup sh -c 'sleep {tag} & sleep {tag} & wait' &",
        "for n in 1 2 3 4 5 6 7 8 9 10; do setsid sleep {tag} & sleep {tag} & done",
    ],
)
@pytest.mark.parametrize("end", ["sleep {tag}", "exit 0", f'exec {BASE} "$@"'])
def test_what_an_interpreter_started_ends_with_the_probe(program: Program, spawn: str, end: str, tag: str) -> None:
    path = program(f"#!/bin/sh\n{spawn}\n{end}\n".replace("{tag}", tag))
    found = run_probe(path, PATIENCE if "exec" in end else LIMIT)
    if "exec" in end:
        assert isinstance(found, InterpreterFacts)
    assert living(tag) == []


def test_a_program_that_multiplies_is_ended_whole(program: Program, tag: str) -> None:
    """63 processes at most, each in a session of its own, the last of them started after the time limit."""
    path = program(
        f"{PYTHON}\n"
        "depth = int(os.environ.get('DEPTH', '0'))\n"
        "environ = dict(os.environ, DEPTH=str(depth + 1))\n"
        f"argv = [sys.executable, '-S', __file__, start, end, {tag!r}]\n"
        "for n in range(2 if depth < 5 else 0):\n"
        "    time.sleep(0.2)\n"
        "    subprocess.Popen(argv, env=environ, start_new_session=True)\n"
        "time.sleep(30)\n"
    )
    found = run_probe(path, 1.0)
    assert isinstance(found, ProbeFailure)
    assert found.code == "timeout"
    assert living(tag) == []


def test_neighbours_of_the_probe_are_left_alone(program: Program, tag: str) -> None:
    import subprocess

    with subprocess.Popen(["sleep", tag], start_new_session=True) as before:
        path = program(f'#!/bin/sh\nexec {BASE} "$@"\n')
        try:
            assert isinstance(run_probe(path, 30), InterpreterFacts)
            assert before.poll() is None
        finally:
            before.kill()


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_gigabyte_of_output_is_not_taken(program: Program, stream: str) -> None:
    found = failure(program(f"#!/bin/sh\nhead -c 1000000000 /dev/zero {stream}\n"))
    assert found.code == "too-much-output"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        # Cookies in the wrong place, or of the wrong kind.
        ("sys.stdout.write(end[::-1] + '{}' + start[::-1])", "no-report"),
        ("sys.stdout.write(start + '{}' + end)", "no-report"),
        ("sys.stderr.write(start[::-1] + '{}' + end[::-1])", "no-report"),
        ("sys.stdout.write(start[::-1] * 20000)", "no-report"),
        ("sys.stdout.write(start[::-1] + end[::-1])", "garbage"),
        ("sys.stdout.write(start[::-1][:-1] + '{}' + end[::-1])", "no-report"),
        # Bombs.
        ("answer('[' * 500000)", "garbage"),
        ("answer('{\"a\":' * 100000 + '1' + '}' * 100000)", "garbage"),
        ("answer('[' + '{},' * 300000 + '{}]')", "garbage"),
        ("answer('[' + '9' * 4000 + ']')", "garbage"),
        ("answer('1e99999999')", "garbage"),
        ("answer('NaN')", "garbage"),
        ("answer('\"' + '\\\\ud800' * 100000 + '\"')", "garbage"),
        ("answer(json.dumps({'sys_path': ['/'] * 100000, 'pointer_bits': 64}))", "garbage"),
        ("answer(json.dumps({str(n): n for n in range(50000)}))", "garbage"),
        ("answer('\\x00\\x1b[31m\\u202e')", "garbage"),
        ("sys.stdout.buffer.write(os.urandom(100000))", "no-report"),
        ("sys.stdout.buffer.write(b'\\x1b]0;title\\x07\\x1b[2J' * 1000)", "no-report"),
        # Ends.
        ("os._exit(0)", "no-report"),
        ("os.close(1); os.close(2)", "no-report"),
        ("os.kill(os.getppid(), 0); os.kill(os.getpid(), 34 + 3)", "signal"),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3000)", "timeout"),
        ("os.kill(os.getpid(), signal.SIGSTOP); time.sleep(3000)", "timeout"),
        ("sys.stderr.write('x' * 900000); sys.exit(3)", "exit"),
        ("sys.stderr.write('ImportError: \\x1b[31m' + 'y' * 900000); sys.exit(3)", "exit"),
    ],
)
def test_whatever_it_answers_is_a_failure_with_a_reason_and_a_remedy(program: Program, body: str, code: str) -> None:
    path = program(f"{PYTHON}{body}\n")
    found = failure(path, LIMIT if code == "timeout" else PATIENCE)
    assert found.code == code
    judged = judge(str(path), "x:1", str(path), found, real_path=str(path), minimum_version=Version("3.8"), seconds=1.0)
    assert judged.decisive is not None
    assert clean(judged.reason) == judged.reason
    assert len(judged.reason) < 600
    assert judged.decisive.remedy


@pytest.mark.parametrize(
    "report",
    [
        "[]", "{}", "null", "1", "NaN", "[" * 100_000, '{"packages": [], "environment": {}}',
        '{"packages": {"a": null}, "environment": {}}', '{"packages": {"a": {}}, "environment": {}}',
        '{"packages": {}, "environment": []}', '{"packages": {}, "environment": {"os_name": 1}}',
    ],
)  # fmt: skip
def test_an_answer_about_packages_that_makes_no_sense_is_garbage(program: Program, report: str) -> None:
    found = probe_externals(program(f"{PYTHON}answer({report!r})\n"), ["numpy"], 30)
    assert isinstance(found, ProbeFailure)
    assert found.code == "garbage"


def test_an_answer_about_packages_cannot_name_files_elsewhere(program: Program) -> None:
    package = {
        "version": "1.0", "location": "/site", "requires": ["numpy>=1", "(" * 3000, "x" * 5000],
        "entries": ["../../etc/passwd", "/etc/passwd", "a/../../b", "a\0b", "", ".", "fine"],
        "commands": [["../evil", "a:b"], ["ok", "a:b"], ["x", "a;import os:b"], ["y", "a:b()"]],
    }  # fmt: skip
    package["requires"] = ["numpy>=1", "(" * 3000]
    report = json.dumps({"packages": {"numpy": package}, "environment": {}})
    found = probe_externals(program(f"{PYTHON}answer({report!r})\n"), ["numpy"], 30)
    assert not isinstance(found, ProbeFailure)
    (numpy,) = found.values()
    assert numpy.entries == ("fine",)
    assert [command.name for command in numpy.commands] == ["ok"]


def test_an_interpreter_that_changes_between_two_probes_is_asked_again(program: Program, tmp_path: Path) -> None:
    facts = run_probe(BASE, 30)
    assert isinstance(facts, InterpreterFacts)

    class Entry:
        origin = "x:1"
        path = str(tmp_path / "python")

    def versions(version: str) -> list[str]:
        # At the same place and of the same size, so that nothing but its time and number tells it from the last one.
        report = json.dumps(facts_to_json(facts) | {"version": version, "real_executable": Entry.path})
        (tmp_path / "python").unlink(missing_ok=True)
        program(f"{PYTHON}answer({report!r})\n")
        found = probe_all([Entry()], minimum_version=Version("3.8"), timeout=300, cache_path=tmp_path / "cache.json")
        return [str(installation.version) for installation in found]

    assert [versions("3.9.1"), versions("3.9.2"), versions("3.9.2")] == [["3.9.1"], ["3.9.2"], ["3.9.2"]]


def test_no_core_file_is_left_of_an_interpreter_that_crashes(program: Program, tmp_path: Path) -> None:
    seen = tmp_path / "limit"
    path = program(
        f"{PYTHON}import resource\n"
        "while resource.getrlimit(resource.RLIMIT_CORE)[1]: time.sleep(0.01)\n"
        f"open({str(seen)!r}, 'w').write('no core files')\n"
        "os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    assert failure(path).code == "signal"
    assert seen.read_text() == "no core files"

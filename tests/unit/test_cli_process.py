"""The command line as a process: what it imports, pipes, terminals and signals."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RUN = (
    "import sys; from app.cli.main import main; import cli_fakes as f; from engine import *; "
    "from cli_engine import FakeEngine, building; "
)


def environ(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED")}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "TERM": "xterm-256color", **more}


def run(code: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", RUN + code], capture_output=True, env=environ(**env), timeout=60)


@pytest.mark.parametrize(
    "command",
    [
        "installations",
        "match app",
        "plan app",
        "build app",
        "builds",
        "config check",
        "content",
        "targets",
        "deploy app",
        "run board --dry-run",
        "environments",
        "reap --dry-run",
        "rebuild k --dry-run",
        "completion bash",
    ],
)
def test_json_needs_neither_rich_nor_textual(command: str) -> None:
    done = run(
        f"code = main({command.split()!r} + ['--json'], FakeEngine().make); "
        "print([m for m in ('rich', 'textual') if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.decode().splitlines()[-1] == "[]"
    json.loads(done.stdout)


def test_json_of_the_real_engine_needs_neither_rich_nor_textual(tmp_path: Path) -> None:
    config = tmp_path / "envdeck.gcfg"
    config.write_text(f"[Server]\nDataDir = {tmp_path}/data\n[Python]\nExecutable = {sys.executable}\n")
    for command in ("installations", "environments", "config show", "config check"):
        done = run(
            f"code = main({command.split()!r} + ['--json', '--config', {str(config)!r}]); "
            "print([m for m in ('rich', 'textual') if m in sys.modules], file=sys.stderr); sys.exit(code)",
            HOME=str(tmp_path),
            XDG_CACHE_HOME=str(tmp_path / "cache"),
        )
        assert (done.returncode, done.stderr) == (0, b"[]\n"), command
        json.loads(done.stdout)


def test_a_configuration_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    done = run(f"sys.exit(main(['builds', '--config', {str(tmp_path / 'none.gcfg')!r}]))")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(b"error[config-not-found]")


def test_tables_do_not_need_textual() -> None:
    done = run("main(['builds'], FakeEngine().make); print('textual' in sys.modules)")
    assert done.stdout.decode().splitlines()[-1] == "False"


def test_an_output_without_unicode_gets_plain_symbols() -> None:
    done = run("sys.exit(main(['installations'], FakeEngine().make))", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert b"+ usable" in done.stdout
    assert b"x unusable" in done.stdout


def test_closed_output_is_survived() -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -c "$CODE" >&- 2>&-'],
        env=environ(CODE=RUN + "sys.exit(main(['builds'], FakeEngine().make))"),
        timeout=60,
    )
    assert done.returncode == 0


def on_a_terminal(code: str, **env: str) -> tuple[str, int]:
    """What the code writes to a terminal of 80 columns, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", RUN + code], environ(COLUMNS="80", **env))
    output = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side is closed
            break
        if not data:
            break
        output += data
    os.close(terminal)
    return output.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


BUILD = "e = building(f.build()); sys.exit(main(['build', 'app'{more}], e.make))"
SLOW = """
import threading, time
def follow(build_id):
    ring = LogRing()
    def write():
        ring.extend([LogLine(1.0, 'Collecting flask')])
        time.sleep(2)
        ring.extend([LogLine(2.0, 'x' * 200)])
        ring.finish()
    threading.Thread(target=write, daemon=True).start()
    return ring
"""


def test_a_terminal_gets_a_progress_line_that_is_gone_in_the_end() -> None:
    code = f"exec({SLOW!r}); e = building(f.build()); e.follow = follow; sys.exit(main(['build', 'app'], e.make))"
    output, status = on_a_terminal(code)
    assert status == 0, output
    assert "1/3 packages" in output
    assert "\x1b[?25l" not in output, "the cursor must not be hidden: a killed process would leave it so"
    assert "x" * 200 in output, "the log must not be wrapped by us"
    # What is left of each line once it was erased and drawn again.
    left = [re.sub(r"\x1b\[[0-9;]*m", "", line).rpartition("\x1b[2K")[2].strip("\r") for line in output.split("\n")]
    assert not any("1/3 packages" in line for line in left)
    assert left[-2].startswith("ready  /data/")


def test_a_dumb_terminal_gets_lines_only() -> None:
    output, status = on_a_terminal(BUILD.format(more=""), TERM="dumb")
    assert status == 0
    assert "\x1b" not in output


@pytest.mark.parametrize(("more", "env"), [(", '--no-color'", {}), ("", {"NO_COLOR": "1"})])
def test_no_color_means_no_colour(more: str, env: dict[str, str]) -> None:
    code = f"sys.exit(main(['installations'{more}], FakeEngine().make))"
    output, status = on_a_terminal(code, **env)
    assert status == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", output)
    coloured, _ = on_a_terminal("sys.exit(main(['installations'], FakeEngine().make))")
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", coloured)

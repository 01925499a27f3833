"""On every kind and size of terminal: what is shown can be read, and nothing foreign reaches it as a command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pty.budgets import APP
from tests.pty.terminal_harness import Terminal

SEQUENCE = re.compile(rb"\x1b\[[0-9;?<>=$]*[A-Za-z]|\x1b\[\?2026\$p|\x1b\[[0-9;]*m")


def test_no_foreign_text_reaches_the_terminal_as_a_command() -> None:
    with Terminal([*APP, "hostile"]) as terminal:
        terminal.until_shown("3 Match")
        terminal.until_quiet()
        before = len(terminal.output)
        for keys in ("d", "q", "2", "d", "q", "3", "d", "q", "4", "l", "q", "5", "d", "q", "!", "q", "2", "x"):
            terminal.cost_of(keys)
        sent = bytes(terminal.output[before:])
        # What envdeck itself says, and the shape of the pointer, which Textual resets.
        text = re.sub(rb"\x1b\]22;[a-z-]*\x07", b"", SEQUENCE.sub(b"", sent)).decode()
        bad = {one for one in text if unicodedata.category(one) in ("Cc", "Cs", "Cf", "Zl", "Zp")}
        assert not bad
        assert b"\x1b[2J" not in sent
        assert "[on magenta]odd" in text


@pytest.mark.parametrize(
    ("columns", "rows", "shown"),
    [
        (40, 10, "envdeck needs 60x16, this is 40x10"),
        (60, 16, "? help"),
        (300, 100, "? help"),
        (300, 10, "this is 300x10"),
    ],
)
def test_every_size_is_laid_out_or_says_what_it_needs(columns: int, rows: int, shown: str) -> None:
    with Terminal([*APP, "normal"], columns=columns, rows=rows) as terminal:
        terminal.until_shown(shown)
        terminal.until_quiet()
        lines = [line for line in terminal.text.splitlines() if line.strip()]
        if "this is" in shown:
            assert len(lines) == 1
        else:
            assert "unusable" in terminal.text
        terminal.send("q")
        assert terminal.wait() == 0


def test_a_storm_of_sizes_ends_in_a_whole_picture() -> None:
    with Terminal([*APP, "many"]) as terminal:
        terminal.until_shown("unusable")
        terminal.send("2")
        terminal.until_shown("bundle-30")
        for step in range(30):
            terminal.resize(40 + step * 5, 10 + step)
        terminal.resize(100, 30)
        terminal.until(lambda: "q quit" in terminal.text.splitlines()[-1], "the last line")
        terminal.until_quiet()
        lines = terminal.text.splitlines()
        assert len(lines) == 30
        assert "envs 500" in lines[0]
        assert sum("ready" in line for line in lines) == 30 - 6
        # What was said on a terminal of another size is gone.
        assert "needs 60x16" not in terminal.text


@pytest.mark.parametrize("term", ["linux", "vt100", "screen", "xterm-256color"])
def test_every_kind_of_terminal_gets_what_it_can_show(term: str) -> None:
    with Terminal([*APP, "normal"], environ={"TERM": term}, columns=80, rows=24) as terminal:
        poor = term in ("linux", "vt100")
        terminal.until_shown("x unusable" if poor else "✗ unusable")
        terminal.cost_of("3", shown="MISS")
        terminal.cost_of("!", shown="events")
        assert bytes(terminal.output).isascii() is poor
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;2;", terminal.output), "no colours of its own"


def test_an_encoding_that_cannot_gets_ascii() -> None:
    environ = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with Terminal([*APP, "normal"], environ=environ) as terminal:
        terminal.until_shown("x unusable")
        assert bytes(terminal.output).isascii()


@pytest.mark.parametrize("theme", ["textual-light", "ansi-light"])
def test_a_light_terminal_can_be_read(theme: str) -> None:
    with Terminal([*APP, "normal", "--theme", theme]) as terminal:
        terminal.until_shown("✗ unusable")


def test_over_ssh_every_value_of_the_profile_is_in_the_events() -> None:
    environ = {"SSH_CONNECTION": "192.0.2.7 50000 192.0.2.1 22"}
    with Terminal([*APP, "normal"], environ=environ) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.cost_of("!", shown="this terminal:")
        terminal.cost_of("/", "terminal:", "\r", shown=" 1/")
        terminal.cost_of("d", shown="symbols UTF-8")
        page = " ".join(terminal.text.split())
        told = ("over SSH from 192.0.2.7", "colours 256", "frames 15 a second", "mouse off", "refresh 2 times a second")
        assert all(words in page for words in told)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[list[str]]:
    """The command of a tmux server of our own."""
    if not shutil.which("tmux"):
        pytest.skip("there is no tmux here")
    command = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    yield command
    subprocess.run([*command, "kill-server"], check=False, capture_output=True)


def test_under_tmux_it_is_drawn_copied_and_redrawn_after_attaching_again(tmux: list[str], tmp_path: Path) -> None:
    def ask(*arguments: str) -> str:
        return subprocess.run([*tmux, *arguments], check=True, capture_output=True, text=True).stdout

    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    environ.pop("TMUX", None)
    command = [*tmux, "new-session", "-d", "-x", "100", "-y", "30", "-s", "test", *APP, "normal"]
    subprocess.run(command, check=True, env=environ)
    with Terminal([*tmux, "attach", "-t", "test"], columns=100, rows=30) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.send("y")
        terminal.until_shown("Copy")
        terminal.send("p")
        terminal.until_shown("sent to tmux")
        copied = tmp_path / "envdeck" / "clip.txt"
        terminal.until(copied.exists, "the file of what was copied")
        assert ask("show-buffer").startswith("/opt/python/")
        assert copied.read_text() == ask("show-buffer")
    with Terminal([*tmux, "attach", "-t", "test"], columns=80, rows=24) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.send("2")
        terminal.until_shown("damaged")


def test_under_tmux_nothing_stays_on_the_screen_after_it_has_grown(tmux: list[str], tmp_path: Path) -> None:
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    environ.pop("TMUX", None)
    script = f"{shlex.join([*APP, 'normal'])}; echo over; exec cat"
    command = [*tmux, "new-session", "-d", "-x", "80", "-y", "24", "-s", "test", "sh", "-c", script]
    subprocess.run(command, check=True, env=environ)
    with Terminal([*tmux, "attach", "-t", "test"], columns=80, rows=24) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.resize(120, 40)
        terminal.until(lambda: "? help" in "".join(terminal.text.splitlines()[30:]), "the keys at the new end")
        terminal.until_quiet()
        terminal.send("Q")
        terminal.until_shown("over")
        # What it said when it ended, and nothing of before.
        assert terminal.text.split()[:4] == ["1", "build", "still", "running;"]


def test_a_size_that_the_shell_has_exported_is_not_taken_for_that_of_the_terminal() -> None:
    with Terminal([*APP, "normal"], environ={"COLUMNS": "80", "LINES": "24"}) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.resize(120, 40)
        terminal.until(lambda: "? help" in terminal.text.splitlines()[-1], "the keys at the new end")
        assert len(terminal.text.splitlines()) == 40


def test_without_tmux_a_copy_goes_to_the_terminal_which_is_said_honestly(tmp_path: Path) -> None:
    with Terminal([*APP, "normal"], environ={"XDG_CACHE_HOME": str(tmp_path)}) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.cost_of("y", shown="Copy")
        terminal.cost_of("p", shown="which may ignore it")
        assert b"\x1b]52;c;" in terminal.output
        assert (tmp_path / "envdeck" / "clip.txt").read_text().startswith("/opt/python/")


def test_a_dumb_terminal_is_refused_in_one_line() -> None:
    with Terminal([sys.executable, "-m", "app"], environ={"TERM": "dumb"}) as terminal:
        assert terminal.wait() == 2
        terminal.until_shown("envdeck --help")
        assert b"\x1b" not in terminal.output

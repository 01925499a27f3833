"""What only a terminal can show: signals, suspending, a lost line (textual.md §3.8)."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.pty.terminal_harness import Terminal

APP = [sys.executable, str(Path(__file__).with_name("fake_app.py"))]
LEFT_ALTERNATE_SCREEN = b"\x1b[?1049l"


def test_it_starts_shows_and_quits() -> None:
    with Terminal([*APP, "normal"], columns=80, rows=24) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.until_quiet()
        assert len(terminal.output) <= 35_000
        terminal.send("q")
        assert terminal.wait() == 0
        terminal.until(lambda: LEFT_ALTERNATE_SCREEN in terminal.output, "the restored screen")
        terminal.until(lambda: b"1 build still running" in terminal.output, "the remark on the build that goes on")


def test_mouse_reporting_stays_off() -> None:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        assert b"\x1b[?1003h" not in terminal.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_deadly_signal_restores_the_terminal(number: signal.Signals, code: int) -> None:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.signal(number)
        assert terminal.wait() == code
        terminal.until(lambda: LEFT_ALTERNATE_SCREEN in terminal.output, "the restored screen")


def test_suspending_and_coming_back_repaints() -> None:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.send("\x1a")
        process = psutil.Process(terminal.process.pid)
        terminal.until(lambda: process.status() == psutil.STATUS_STOPPED, "the suspended process")
        terminal.until_quiet()
        before = len(terminal.output)
        terminal.signal(signal.SIGCONT)
        terminal.until(lambda: b"unusable" in terminal.output[before:], "the repaint")
        terminal.send("2")
        terminal.until_shown("damaged")


def test_a_byte_that_is_not_utf8_does_no_harm() -> None:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.send(b"\xff\xfe\x9b")
        terminal.until_quiet()
        terminal.send("2")
        terminal.until_shown("damaged")


def test_a_lost_line_ends_the_process() -> None:
    with Terminal([*APP, "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.hang_up()
        assert terminal.wait() == 129


def test_a_lost_line_ends_the_process_even_if_hanging_up_is_ignored() -> None:
    ignoring = "import signal, runpy, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv = sys.argv[1:]; "
    ignoring += "import asyncio; asyncio.unix_events._UnixSelectorEventLoop.add_signal_handler = lambda *_a: None; "
    ignoring += "runpy.run_path(sys.argv[0], run_name='__main__')"
    with Terminal([sys.executable, "-c", ignoring, APP[1], "normal"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.hang_up()
        assert terminal.wait() == 129


def test_no_color_sends_no_colours() -> None:
    with Terminal([*APP, "normal", "--no-color"]) as terminal:
        terminal.until_shown("✗ unusable")
        terminal.send("3")
        terminal.until_shown("MISS")
        codes = {code for found in re.findall(rb"\x1b\[([0-9;]*)m", terminal.output) for code in found.split(b";")}
        assert codes <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"22", b"39", b"49"}

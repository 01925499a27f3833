"""Terminal manners that Textual does not have by itself (textual.md §3.8)."""

from __future__ import annotations

import codecs
import curses
import functools
import os
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping

import textual.drivers.linux_driver as driver

__all__ = ["TidyDriver", "erases_in_colour", "guard_terminal", "survive_bad_bytes"]


class TidyDriver(driver.LinuxDriver):
    """Wipes its screen before it gives the terminal back.

    tmux shows lines of it behind what was there before, when the window has grown since (3.3a).
    """

    def stop_application_mode(self) -> None:
        self.write("\x1b[m\x1b[H\x1b[2J")
        super().stop_application_mode()


def erases_in_colour(environ: Mapping[str, str]) -> bool:
    """Whether what this terminal erases gets the background colour that is set then, by terminfo.

    Not inside GNU screen, whatever TERM says there.
    """
    if environ.get("STY"):
        return False
    try:
        curses.setupterm(environ.get("TERM", ""), sys.__stderr__.fileno() if sys.__stderr__ else 2)
    except curses.error:
        return False
    return curses.tigetflag("bce") == 1


def survive_bad_bytes() -> None:
    """Let a byte on stdin that is not UTF-8 (an old mouse report after a tmux re-attach) be a mere unknown key.

    The driver's strict decoder would end the app. Needed up to Textual 8.2.8.
    """
    driver.getincrementaldecoder = lambda name: functools.partial(  # type: ignore[attr-defined]
        codecs.getincrementaldecoder(name), errors="replace"
    )


def guard_terminal(cleanup: Callable[[], None], period: float = 2.0) -> None:
    """End the process when the terminal has gone for good, after `cleanup`.

    With SIGHUP ignored, as under some `sudo su`, the input thread would otherwise spin for ever.
    """
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ else 0

    def watch() -> None:
        while True:
            time.sleep(period)
            try:
                termios.tcgetattr(descriptor)
            except (termios.error, OSError):
                cleanup()
                os._exit(129)

    threading.Thread(target=watch, daemon=True, name="terminal-guard").start()

"""Lending the terminal to another program: the admin's editor and pager."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["editor", "pager", "run_outside"]


def editor(environ: Mapping[str, str]) -> Sequence[str]:
    """The command of the admin's editor; empty when there is none."""
    return _choose(environ, ("VISUAL", "EDITOR"), ("sensible-editor", "editor", "nano", "vi"))


def pager(environ: Mapping[str, str]) -> Sequence[str]:
    """The command of the admin's pager, which reads its standard input; empty when there is none."""
    return _choose(environ, ("PAGER",), ("less", "more"))


def _choose(environ: Mapping[str, str], variables: Sequence[str], usual: Sequence[str]) -> Sequence[str]:
    for name in variables:
        try:
            command = shlex.split(environ.get(name, ""))
        except ValueError:  # an open quote
            continue
        if command:
            return command
    return next(([name] for name in usual if shutil.which(name, path=environ.get("PATH"))), ())


def run_outside(deck: EnvdeckApp, argv: Sequence[str], text: bytes | None = None) -> str:
    """Run `argv` in the terminal in place of envdeck, with `text` as its input if given; returns what went wrong.

    Nothing is awaited in here: the loop stands still, since a screen that is drawn meanwhile would fill the driver's
    queue and wait for ever (textual.md §3.8). The engine goes on in its threads.
    """
    try:
        with deck.suspend(), _not_interrupted(deck):
            done = subprocess.run(list(argv), input=text, check=False)
    except SuspendNotSupported:
        return "this terminal cannot be lent to another program"
    except OSError as error:
        return f"cannot run {argv[0]}: {error.strerror or error}"
    if done.returncode:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return f"{os.path.basename(argv[0])} ended with {how}"  # noqa: PTH119 - a command, not a path
    return ""


@contextmanager
def _not_interrupted(deck: EnvdeckApp) -> Iterator[None]:
    """Let Ctrl+C reach the other program alone: it is sent to all that share the terminal."""
    loop = asyncio.get_running_loop()
    loop.remove_signal_handler(signal.SIGINT)
    # A handler is undone in the program that is run, where ignoring would be inherited.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        # Not at once: the loop is still to read of those that came meanwhile, and would take them for new ones.
        loop.call_later(0, deck.end_on, signal.SIGINT)

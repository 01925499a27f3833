"""What ends a command before it is done: Ctrl-C, SIGTERM, the end of its session, an output that nobody reads.

All of them end every command in the same way: it lets go of what it holds, says in one line what goes on without it,
and its exit code is 128 and the number of the signal, as of a program that knows nothing of signals.

Python throws away an exception that a signal raises where no caller can be told, as in the middle of an import or while
something is taken to pieces. So it is remembered as well, whoever waits asks for it with `check`, and nothing is said
of the one that was lost.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.cli.terminal import Terminal

__all__ = [
    "BROKEN_PIPE",
    "HALF_DELETED",
    "STOPS",
    "Interrupted",
    "answering_signals",
    "check",
    "exit_code",
    "leaving",
    "stopped",
    "told",
]

BROKEN_PIPE = 128 + signal.SIGPIPE
STOPS = (KeyboardInterrupt, OSError)
"""What ends the watching of something that goes on without the command: `stopped` says so. An `OSError` is nearly
always that of the output."""

HALF_DELETED = "What was deleted until then is gone, everything else is as it was; the same command goes on with it"

_SIGNALS = {
    signal.SIGINT: "interrupted with Ctrl-C",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended because its terminal has gone (SIGHUP)",
}
_arrived: list[int] = []
"""Signals that no command has answered yet."""


class Interrupted(KeyboardInterrupt):
    """A signal asks this command to end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(_SIGNALS[signal.Signals(number)])
        self.number = number


def _arrive(number: int, _frame: FrameType | None) -> None:
    _arrived.append(number)
    raise Interrupted(number)


@contextmanager
def answering_signals(*, last: bool = False) -> Iterator[None]:
    """Let the signals that end a command raise `Interrupted` for the length of the block.

    `last` says that nothing comes after it in this process: a signal then ends it without a word. Inside of another
    such block it changes nothing.
    """
    ours = any(signal.getsignal(number) is _arrive for number in _SIGNALS)
    if ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    _arrived.clear()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # What is ignored, as SIGHUP is under nohup, stays so.
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    hook = sys.unraisablehook

    def quiet(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, Interrupted):
            hook(lost)

    sys.unraisablehook = quiet
    for number in before:
        signal.signal(number, _arrive)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if last else handler)


def check() -> None:
    """Raise `Interrupted` if a signal has arrived that was not answered. To be called by whoever waits."""
    if _arrived:
        raise Interrupted(_arrived[0])


@contextmanager
def leaving(what: str) -> Iterator[None]:
    """Have an interruption of the block tell in which state it leaves things, `what`."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(what)
        raise


def told(error: KeyboardInterrupt) -> str:
    """What came, in words."""
    return str(error if isinstance(error, Interrupted) else Interrupted())


def exit_code(error: KeyboardInterrupt) -> int:
    """128 and the number of the signal."""
    return 128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)


def stopped(error: KeyboardInterrupt | OSError, goes_on: str, terminal: Terminal) -> int:
    """Say on standard error what came, and what `goes_on` without this command if anything does; the exit code.

    An `OSError` is raised again when that is said: `app.cli.main` tells what it was.
    """
    _arrived.clear()
    # The terminal may be what has gone.
    if isinstance(error, OSError):
        if goes_on:
            with suppress(OSError):
                terminal.say(goes_on, error=True)
        raise error
    with suppress(OSError):
        terminal.say(": ".join(filter(None, (told(error), goes_on))), error=True)
    return exit_code(error)

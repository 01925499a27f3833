"""Where words go: answers to standard output, errors to standard error, and with ``--json`` one document only.

Importing this module does not import rich; only showing something to a person does.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from app.cli import json_output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from engine import Problem

__all__ = ["OutputError", "Terminal", "prepare_streams", "written"]

# What an output that cannot carry our symbols gets in their place.
_PLAIN = {"✓": "+", "✗": "x", "⊘": "~", "↻": ">", "◌": ".", "·": "-", "…": "...", "→": "->", "–": "-"}


def _plain_symbols(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    refused = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in refused), error.end


def prepare_streams() -> None:
    """Make standard output and error usable whatever the locale says, even when they are closed."""
    codecs.register_error("envdeck-plain", _plain_symbols)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="envdeck-plain")


class OutputError(OSError):
    """Standard output or error takes no more: nothing is wrong with what the command is about."""


@contextmanager
def written() -> Iterator[None]:
    """What goes wrong in the block is said of the output. A closed pipe stays a `BrokenPipeError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


def _finish_answer() -> None:
    """Where standard output and error go to one place, what was said first is to stand first."""
    with suppress(OSError):  # told at the end, by whoever closes the answer
        sys.stdout.flush()


class Terminal:
    """The two output streams of one run of the command line."""

    def __init__(self, *, json: bool, color: bool) -> None:
        self.json = json
        self.color = color
        self.answered = False
        """True once the JSON document is out."""

    def document(self, value: object) -> None:
        """Print `value` as the run's one JSON document.

        All in ASCII, so that foreign text in it cannot drive the terminal it may be shown on.
        """
        self.answered = True
        text = json.dumps(value, indent=2, default=str).replace("\x7f", "\\u007f")
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Print `text` to standard output as it is."""
        with written():
            sys.stdout.write(text)

    def show(self, *renderables: RenderableType) -> None:
        """Print an answer for people to standard output."""
        console = self.console()
        with written(), console.capture() as captured:
            for renderable in renderables:
                console.print(renderable)
        # Tables are padded to their width; in a pipe or a copied text that is only noise.
        self.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    def say(self, text: str, *, error: bool = False) -> None:
        """Print one line for people, unstyled and unwrapped: to standard error when standard output is for JSON."""
        stream = sys.stderr if error or self.json else sys.stdout
        with written():
            if stream is sys.stderr:
                _finish_answer()
            stream.write(text + "\n")
            stream.flush()

    def complain(self, problem: Problem) -> None:
        """Report why there is no answer, in the form that was asked for."""
        if self.json:
            if self.answered:
                self.say(f"error[{problem.code}]: {problem}", error=True)
            else:
                self.document(json_output.error(problem))
            return
        from app.cli import blocks

        _finish_answer()
        self.console(sys.stderr).print(blocks.problem(problem), soft_wrap=True)

    def console(self, stream: TextIO | None = None) -> Console:
        """A rich console on `stream` (standard output by default) that takes no text for markup."""
        from app.cli.blocks import SafeConsole

        # Serial lines, containers and editors tell no width as 0, in which rich would show nothing at all.
        columns = os.environ.get("COLUMNS")
        return SafeConsole(
            file=stream or sys.stdout,
            width=80 if columns and not columns.strip("0") else None,
            no_color=True if not self.color else None,
            markup=False,
            highlight=False,
            emoji=False,
        )

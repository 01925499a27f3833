"""The command that keeps house without a front. Returns the exit code."""

from __future__ import annotations

from argparse import Namespace

from app.cli.grammar import Commands
from app.cli.terminal import Terminal
from engine import Engine

__all__ = ["add_commands", "serve"]


def serve(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    code = engine.serve()
    if terminal.json:
        terminal.document({"ended": True})
    return code


def add_commands(children: Commands) -> None:
    children.add(
        "serve",
        serve,
        "reap on schedule and rebuild what vanished, until it is ended",
        "Does what a server does by itself: reaps on schedule when\n"
        "Applications.PythonEnvironmentReaping is on, and rebuilds the environments of\n"
        "content that vanished. A line per action goes to standard error. One process\n"
        "serves a data directory; SIGTERM or Ctrl-C ends it.",
        "  envdeck serve",
        "  0  ended by a signal\n  1  refused: another process serves this data directory\n  2  bad usage",
        "{ended}, when it has ended",
    )

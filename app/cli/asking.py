"""The question before something is deleted."""

from __future__ import annotations

import sys

from app.cli.terminal import Terminal
from engine import Problem, Refused

__all__ = ["confirmed"]


def confirmed(question: str, terminal: Terminal, *, yes: bool) -> bool:
    """Whether to go on: `yes` was given, or whoever sits at the terminal types the word.

    The plan is to be on the screen already. Without a terminal nobody can be asked: raises `Refused`
    (`confirmation-needed`).
    """
    if yes:
        return True
    if terminal.json or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused(
            Problem(
                "confirmation-needed",
                "this deletes something, and nobody can be asked here",
                expected="--yes",
                hint="--dry-run shows what would be deleted",
            )
        )
    terminal.write(f"{question} Type yes to go on: ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        terminal.say("")
    if answer.strip() == "yes":
        return True
    terminal.say("nothing was done", error=True)
    return False

"""The command that tells where builds can run. Returns the exit code."""

from __future__ import annotations

from argparse import Namespace

from app.cli.grammar import Commands
from app.cli.terminal import Terminal
from engine import Engine

__all__ = ["add_commands", "executors"]


def executors(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    choice = engine.executors()
    if terminal.json:
        from app.cli import json_config

        terminal.document(json_config.executors(choice))
    else:
        from app.cli import render_plan

        terminal.show(render_plan.executors(choice))
        if choice.problem:
            terminal.complain(choice.problem)
    return 1 if choice.problem else 0


def add_commands(children: Commands) -> None:
    children.add(
        "executors",
        executors,
        "where builds can run, and why not",
        "Shows for each executor whether builds can run on it from here: as a process of\n"
        "this machine, in a container, as a Slurm job, in a Kubernetes pod. Each is found\n"
        "out by asking its command-line tool, so this takes a moment. Envdeck.Executor\n"
        "chooses one; auto is this machine, or a container when content runs in images.",
        "  envdeck executors\n  envdeck executors --json | jq -r '.executors[] | select(.usable) | .executor'",
        "  0  the executor that builds are given to can be used\n  1  it cannot\n  2  bad usage",
        "{executor (the one that builds are given to), reason, executors [{executor\n"
        "  (local, container, slurm or kubernetes), usable, chosen, version, notes, error}],\n"
        "  error (null, or why builds cannot run now)}",
    )

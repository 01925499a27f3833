"""The `config` commands: check, show and init. Each returns the exit code."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from app.cli import json_output
from app.cli.terminal import Terminal
from engine import Engine, EnvdeckError, InputError, Problem, Refused, Where

__all__ = ["check", "init", "show"]


def check(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    state = engine.snapshot().config
    if terminal.json:
        terminal.document(json_output.config_check(state))
    else:
        from app.cli import render

        terminal.show(render.config_check(state))
    return 1 if state.errors else 0


def show(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    state = engine.snapshot().config
    values = [value for value in state.values if not (options.changed and value.is_default)]
    if terminal.json:
        terminal.document(json_output.config_show(state, values))
    else:
        from app.cli import render

        terminal.show(render.config_show(state, values))
        for problem in state.errors:
            terminal.complain(problem)
    return 1 if state.errors else 0


def user_config(environ: Mapping[str, str]) -> Path:
    """Where an admin's own configuration is looked for (XDG Base Directory Specification).

    Raises `InputError` (`no-home`) when the environment names neither place.
    """
    for base in (environ.get("XDG_CONFIG_HOME", ""), f"{environ.get('HOME', '')}/.config"):
        if base.startswith("/") and base != "/.config":
            return Path(base) / "envdeck" / "envdeck.gcfg"
    raise InputError(
        Problem("no-home", "neither XDG_CONFIG_HOME nor HOME says where to write", hint="Give the file's PATH")
    )


def init(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    text = engine.default_config()
    if options.path == "-":
        if terminal.json:
            terminal.document({"path": None, "text": text})
        else:
            sys.stdout.write(text)
        return 0
    path = Path(options.path) if options.path else user_config(os.environ)
    if options.read_only:
        raise Refused(Problem("read-only", "nothing is written with --read-only", hint="`config init -` prints it"))
    _write(path, text, force=options.force)
    if terminal.json:
        terminal.document({"path": str(path), "text": text})
    else:
        terminal.say(f"written  {path}")
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Refused(
            Problem("file-exists", "the file is there already", where=Where(str(path)), hint="--force replaces it")
        ) from error
    except OSError as error:
        raise EnvdeckError(
            Problem("config-write", f"cannot write the file: {error.strerror or error}", where=Where(str(path)))
        ) from error

"""The `config` commands: check, impact, show, pip and init. Each returns the exit code."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from app.cli import json_config
from app.cli.grammar import Commands, add_force
from app.cli.replacing import there_already
from app.cli.terminal import Terminal
from engine import Engine, EnvdeckError, ImpactKind, InputError, Problem, Refused, Severity, Where

__all__ = ["add_commands", "check", "impact", "init", "pip", "show"]


def check(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001 - all commands look alike
    # The registry of actions is plain data of the terminal UI.
    from app.keys.keymap import read_key_map

    state = engine.snapshot().config
    state = replace(state, problems=(*state.problems, *read_key_map(state.settings.keys)[1]))
    if terminal.json:
        terminal.document(json_config.config_check(state))
    else:
        from app.cli import render

        terminal.show(render.config_check(state))
    return 1 if state.errors else 0


def show(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    state = engine.snapshot().config
    values = [value for value in state.values if not (options.changed and value.is_default)]
    if terminal.json:
        terminal.document(json_config.config_show(state, values))
    else:
        from app.cli import render

        terminal.show(render.config_show(state, values))
        for problem in state.errors:
            terminal.complain(problem)
    return 1 if state.errors else 0


def impact(engine: Engine, options: Namespace, terminal: Terminal) -> int:
    state = engine.read_config(options.files)
    found = None if state.errors else engine.impact_of(state)
    if terminal.json:
        terminal.document(json_config.config_impact(state, found))
    else:
        from app.cli import render

        if found is None:
            terminal.show(render.config_check(state))
        else:
            terminal.show(render.config_impact(found))
    return 1 if found is None or found.of(ImpactKind.BREAKS) else 0


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
            terminal.write(text)
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
        raise there_already(path) from error
    except OSError as error:
        raise EnvdeckError(
            Problem(
                "config-write",
                f"cannot write the file: {error.strerror or error}",
                where=Where(str(path)),
                hint="Name a PATH where this account may write; `config init -` prints it",
            )
        ) from error


def pip(engine: Engine, options: Namespace, terminal: Terminal) -> int:  # noqa: ARG001
    files, settings, uv = engine.pip_files(), engine.pip_settings(), engine.uv()
    if terminal.json:
        terminal.document(json_config.config_pip(files, settings, uv))
    else:
        from app.cli import render

        terminal.show(render.config_pip(files, settings, uv))
        for file in files:
            if file.problem:
                terminal.complain(file.problem)
    return 1 if any(f.problem and f.problem.severity is Severity.ERROR for f in files) else 0


def add_commands(children: Commands) -> None:
    command = children.add(
        "config",
        None,
        "check, show or create the configuration",
        "Checks, shows or creates the configuration, and tells what another one would do.",
        "  envdeck config check",
        "  see `envdeck config COMMAND --help`",
    )
    children = Commands(command, "config_command")
    children.add(
        "check",
        check,
        "what is wrong with the configuration, with file, line and column",
        "Reads the configuration and tells every problem with its place, what was\nexpected and found, and what to do.",
        "  envdeck config check\n  envdeck config check --config new.gcfg",
        "  0  no error (warnings may be)\n  1  it has errors\n  2  bad usage, or a file that cannot be read",
        "{ok, errors, warnings (counts), problems [{code, severity, message, expected,\n"
        "  found, where, hint}], is_default (true when no file was found and the embedded\n"
        "  default is in force), files, loaded_at}",
    )
    command = children.add(
        "impact",
        impact,
        "what another configuration file would do to content, before it is saved",
        "Reads FILE as if it were the configuration, takes nothing over, and tells what\n"
        "would become of each piece of content and of each bundle on offer: what breaks,\n"
        "what gets another Python, what has to be built again. Interpreters that are not\n"
        "known yet are run once.",
        "  envdeck config impact new.gcfg\n  envdeck config impact new.gcfg --json | jq '.items[] | .impact'",
        "  0  nothing breaks\n"
        "  1  something breaks, or the file has errors\n"
        "  2  bad usage, or a file that cannot be read",
        "{the fields of `envdeck config check`, items (null with errors) [{subject\n"
        "  (content or bundle), name, guid, impact (breaks, moves, rebuilds, ready or\n"
        "  mends), before, after, reason}], unchanged (a count)}",
    )
    command.add_argument("files", metavar="FILE", type=Path, nargs="+", help="the file; more of them override")
    command = children.add(
        "show",
        show,
        "every setting in force and where its value comes from",
        "Shows every setting with its value and where that comes from: a file and line,\n"
        "an environment variable, or the default.",
        "  envdeck config show --changed",
        "  0  shown\n  1  shown, but the configuration has errors\n  2  bad usage, or a file that cannot be read",
        "{values [{name, values, origins, is_default, meaning, document}], problems,\n  is_default, files, loaded_at}",
    )
    command.add_argument("--changed", action="store_true", help="only settings that differ from the default")
    children.add(
        "pip",
        pip,
        "pip's configuration files, what they set for builds, and uv",
        "Shows the files that pip reads in builds, and every option that they set with\n"
        "its value and place. Passwords are masked. Options marked as part of the key\n"
        "give another environment when they change. The last line says whether uv can be\n"
        "used instead of pip; it is handed the same options.",
        "  envdeck config pip\n  envdeck config pip --json | jq '.settings[] | select(.in_key)'",
        "  0  shown\n  1  shown, but pip would stop at a file\n  2  bad usage",
        "{files [{path, exists, error}], settings [{name, value, section, origin,\n"
        "  in_key}], uv {path, version, origin, usable,\n  error}}",
    )
    command = children.add(
        "init",
        init,
        "write the default configuration as a file to edit",
        "Writes the default configuration for this machine, commented, to PATH, or to\n"
        "envdeck/envdeck.gcfg under $XDG_CONFIG_HOME (~/.config).",
        "  envdeck config init\n  envdeck config init - | less",
        "  0  written\n  1  refused: the file is there already, or cannot be written\n  2  bad usage",
        "{path (null when printed), text}",
    )
    command.add_argument("path", metavar="PATH", nargs="?", help="the file to write; `-` prints it")
    add_force(command)

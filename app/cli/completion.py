"""Completion for shells: a static script, made from the grammar of the command line."""

from __future__ import annotations

import argparse
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from msgspec import Struct

from app.cli.grammar import Commands
from app.cli.terminal import Terminal

__all__ = ["add_commands", "completion", "script"]

_FILES = frozenset({"BUNDLE", "DIR", "FILE", "PATH", "PYTHON"})
"""The words for values that are files."""


class _Point(Struct, frozen=True):
    """What can follow a command."""

    path: str
    """The command with those above it, such as ``config check``; empty for none yet."""
    commands: tuple[tuple[str, str], ...]
    """Names and summaries of the commands below it."""
    flags: tuple[str, ...]
    choices: tuple[str, ...]
    """The values of its arguments, where they are fixed."""
    files: bool
    """Whether an argument is a file."""
    values: tuple[tuple[str, tuple[str, ...], bool], ...]
    """For each option with a value: the option, the fixed values, whether it is a file."""


def completion(options: Namespace, terminal: Terminal) -> int:
    text = script(options.shell)
    if terminal.json:
        terminal.document({"shell": options.shell, "script": text})
    else:
        terminal.write(text)
    return 0


def script(shell: str) -> str:
    """The script for `shell` (``bash``, ``zsh`` or ``fish``), to be read by it."""
    from app.cli.parser import command_parser

    points = list(_points(command_parser(), ""))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](points)


def _points(parser: ArgumentParser, path: str) -> Iterator[_Point]:
    commands: list[tuple[str, str]] = []
    below: list[tuple[str, ArgumentParser]] = []
    flags: list[str] = []
    values: list[tuple[str, tuple[str, ...], bool]] = []
    choices: tuple[str, ...] = ()
    files = False
    # argparse has no public way to ask for this; argcomplete and shtab read the same attributes.
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands += [(choice.dest, choice.help or "") for choice in action._get_subactions()]
            below += action.choices.items()
        elif action.option_strings:
            flags += action.option_strings
            if action.nargs != 0:
                fixed = tuple(map(str, action.choices or ()))
                values += [(flag, fixed, action.metavar in _FILES) for flag in action.option_strings]
        else:
            choices += tuple(map(str, action.choices or ()))
            files = files or action.metavar in _FILES
    yield _Point(path, tuple(commands), tuple(flags), choices, files, tuple(values))
    for name, child in below:
        yield from _points(child, f"{path} {name}".strip())


def _words(point: _Point) -> tuple[str, ...]:
    return (*(name for name, _ in point.commands), *point.choices)


def _cases(points: list[_Point]) -> Iterator[tuple[str, str]]:
    """For each option with a value, ``command:option`` and how a POSIX-like shell fills its two variables."""
    for point in points:
        for flag, fixed, files in point.values:
            yield f"{point.path}:{flag}", f"offered={shlex.quote(' '.join(fixed))} files={'1' if files else ''}"


def _shared(points: list[_Point]) -> str:
    """What bash and zsh have in common: from the words so far to ``offered``, ``flags``, ``files``."""
    paths = "|".join(shlex.quote(point.path) for point in points if point.path)
    values = "\n".join(f"        {shlex.quote(case)}) {body}; return ;;" for case, body in _cases(points))
    own = "\n".join(
        f"        {shlex.quote(point.path)}) offered={shlex.quote(' '.join(_words(point)))} "
        f"flags={shlex.quote(' '.join(point.flags))} files={'1' if point.files else ''} ;;"
        for point in points
    )
    return f"""\
_envdeck_at() {{
    at= offered= flags= files=
    local word last=
    for word in "$@"; do
        case "${{at:+$at }}$word" in
        {paths}) at="${{at:+$at }}$word" ;;
        esac
        last=$word
    done
    case "$at:$last" in
{values}
    esac
    case "$at" in
{own}
    esac
}}
"""


def _bash(points: list[_Point]) -> str:
    return f"""\
# Completion of envdeck for bash. To use it: source <(envdeck completion bash)
{_shared(points)}
_envdeck() {{
    local at offered flags files cur=${{COMP_WORDS[COMP_CWORD]}}
    _envdeck_at "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"
    COMPREPLY=()
    case "$cur" in
    -*) offered=$flags files= ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$cur")
    if [ -n "$files" ]; then
        compopt -o filenames 2>/dev/null
        mapfile -t -O "${{#COMPREPLY[@]}}" COMPREPLY < <(compgen -f -- "$cur")
    fi
}}
complete -F _envdeck envdeck
"""


def _zsh(points: list[_Point]) -> str:
    return f"""\
#compdef envdeck
# Completion of envdeck for zsh. To use it: source <(envdeck completion zsh), after compinit
{_shared(points)}
_envdeck() {{
    local at offered flags files cur="$words[CURRENT]"
    local -a before
    before=("${{(@)words[2,CURRENT-1]}}")
    _envdeck_at "${{before[@]}}"
    if [[ $cur == -* ]]; then
        compadd -- ${{=flags}}
        return
    fi
    compadd -- ${{=offered}}
    [[ -n $files ]] && _files
}}
compdef _envdeck envdeck
"""


def _fish(points: list[_Point]) -> str:
    paths = " ".join(_fish_quoted(point.path) for point in points if point.path)
    lines = [
        "# Completion of envdeck for fish. To use it: envdeck completion fish | source",
        "function __envdeck_at",
        "    set -l at ''",
        "    for word in (commandline -opc)[2..-1]",
        '        set -l next (string trim "$at $word")',
        f'        contains -- "$next" {paths}; and set at "$next"',
        "    end",
        '    test "$at" = "$argv[1]"',
        "end",
        "complete -c envdeck -f",
    ]
    for point in points:
        here = f"complete -c envdeck -n {_fish_quoted(f'__envdeck_at {_fish_quoted(point.path)}')}"
        lines += [f"{here} -a {_fish_quoted(name)} -d {_fish_quoted(help_)}" for name, help_ in point.commands]
        if point.choices:
            lines.append(f"{here} -a {_fish_quoted(' '.join(point.choices))}")
        if point.files:
            lines.append(f"{here} -F")
        values = {flag: (fixed, files) for flag, fixed, files in point.values}
        for flag in point.flags:
            name = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            fixed, files = values.get(flag, ((), False))
            value = "" if flag not in values else " -r -F" if files else f" -x -a {_fish_quoted(' '.join(fixed))}"
            lines.append(f"{here} {name}{value}")
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def add_commands(children: Commands) -> None:
    command = children.add(
        "completion",
        None,
        "print a completion script for bash, zsh or fish",
        "Prints a script that completes commands, options and files in a shell.",
        "  source <(envdeck completion bash)\n  envdeck completion fish > ~/.config/fish/completions/envdeck.fish",
        "  0  printed\n  2  bad usage",
        "{shell, script}",
    )
    command.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell to read it")

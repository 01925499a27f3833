"""The grammar of the command line as a whole."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from app.cli.grammar import Commands, Formatter, Parser, globals_parser
from engine import InputError, Problem

_ROOMS = {
    "commands": "installations match plan bundles targets builds",
    "building": "build log cancel",
    "contents": "deploy run content",
    "bundling": "bundle",
    "environments": "environments pin unpin",
    "caching": "reap caches",
    "rebuilding": "rebuild retry",
    "configuring": "config",
    "executing": "executors",
    "doctoring": "doctor",
    "auditing": "audit",
    "serving": "serve",
    "completion": "completion",
}
"""The modules of the commands, in the order of the help, and the commands that each adds."""
_ROOM_OF = {command: room for room, commands in _ROOMS.items() for command in commands.split()}

__all__ = ["command_parser", "own_words", "parse_command", "split_globals"]

_DESCRIPTION = """\
Python package management of a content server: which interpreter serves a
bundle and why, what is installed, which environment is reused, and building
it. Without a command the terminal UI opens."""

_EPILOG = """\
options of the terminal UI (without a command):
  --mouse          take clicks and the wheel from the terminal
  --ascii          symbols that every terminal can show
  --theme NAME     a Textual theme instead of the terminal's own colours
  --local          do not save bytes although SSH_CONNECTION is set
  --truecolor      all colours, also over SSH
  It takes --config, --read-only and --no-color as well.

examples:
  envdeck installations                which interpreters can be used, why not
  envdeck plan ./my-app                what building a bundle would do
  envdeck build ./my-app               find its environment, or build it
  envdeck build ./my-app --json | jq -r .path
  envdeck log -f last                  watch the newest build
  envdeck deploy ./my-app              build it and record it as content
  envdeck reap --dry-run               what nobody uses, and why the rest stays

exit codes:
  0    done
  1    the answer is no: no match, the build failed or was cancelled, the
       configuration has errors, or what was asked for was refused
  2    bad usage, or input that cannot be read
  70   a defect of envdeck itself
  130  interrupted with Ctrl-C; a build that was started goes on
  129, 141, 143
       the same by SIGHUP (the terminal has gone), SIGPIPE (whoever was reading
       the output went away) and SIGTERM

With --json standard output gets exactly one JSON document, also for an error:
{"error": {"code", "severity", "message", "expected", "found", "where", "hint"}}
Times in it are ISO 8601 UTC, durations seconds, sizes bytes."""


def own_words(argv: Sequence[str]) -> list[str]:
    """The words of `argv` that are for envdeck: those before ``--``."""
    words = list(argv)
    return words[: words.index("--")] if "--" in words else words


def split_globals(argv: Sequence[str]) -> tuple[Namespace, list[str]]:
    """The options for every command, wherever they stand in `argv`, and what is left for `parse_command`.

    The namespace has `config_files` (list of `Path`), `json`, `read_only`, `no_color` and `version`. Raises
    `InputError` (`usage`).
    """
    own = own_words(argv)
    options, rest = globals_parser().parse_known_args(own)
    # Only in front of a command: behind one it may be an option of that command.
    options.version = rest[:1] == ["--version"]
    return options, [*rest, *argv[len(own) :]]


def parse_command(arguments: Sequence[str], namespace: Namespace) -> Namespace:
    """`namespace` with the command's own options and `run`, the `Command` to call.

    For the command ``run`` what follows the first ``--`` becomes `argv`, untouched: argparse would take every other
    ``--`` out of it.

    Raises `InputError` (`usage`, `version-invalid`, `specifier-invalid`, `duration-invalid`), `SystemExit` after
    ``--help``.
    """
    words = list(arguments)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help"):
        # argparse would say first that there is no command.
        raise InputError(
            Problem(
                "usage",
                f"unrecognized arguments: {words[0]}",
                expected="a COMMAND, or nothing but options of the terminal UI",
                hint="See `envdeck --help`",
            )
        )
    if words[:1] == ["run"]:
        words = own_words(arguments)
        namespace.argv = list(arguments[len(words) + 1 :])
    return command_parser(words[0] if words else "").parse_args(words, namespace)


def command_parser(command: str = "") -> Parser:
    """The parser of everything but the values of the options for every command.

    For a `command` it knows that one and its neighbours only: to load all of them takes longer than most answers.
    """
    parser = Parser(
        prog="envdeck",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=Formatter,
        parents=[globals_parser(for_help=True)],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    children = Commands(parser, "command")
    for room in [_ROOM_OF[command]] if command in _ROOM_OF else _ROOMS:
        import_module(f"app.cli.{room}").add_commands(children)
    return parser

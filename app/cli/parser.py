"""The grammar of the command line and its help."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from app.cli import building, commands, configuring
from engine import InputError, Problem

if TYPE_CHECKING:
    from app.cli.terminal import Terminal
    from engine import Engine

__all__ = ["Command", "parse_command", "split_globals"]

Command = Callable[["Engine", Namespace, "Terminal"], int]

_BUNDLE = "a directory or .tar.gz with a manifest.json, or the name of a shipped sample (see `envdeck bundles`)"
_BUILD = "a build's id, a part of it that no other build's id has, or `last` for the newest"

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
  It takes --config, --read-only and --no-color as well.

examples:
  envdeck installations                which interpreters can be used, and why not
  envdeck plan ./my-app                what building a bundle would do
  envdeck build ./my-app               find its environment, or build it
  envdeck build ./my-app --json | jq -r .path
  envdeck log -f last                  watch the newest build

exit codes:
  0    done
  1    the answer is no: no match, the build failed or was cancelled, the
       configuration has errors, or what was asked for was refused
  2    bad usage, or input that cannot be read
  70   a defect of envdeck itself
  130  interrupted with Ctrl-C; a build that was started goes on
  141  whoever was reading the output went away

With --json standard output gets exactly one JSON document, also for an error:
{"error": {"code", "message", "expected", "found", "where", "hint", "severity"}}.
Times in it are ISO 8601 UTC, durations seconds, sizes bytes."""

_BUILD_FIELDS = """\
id, key, state (queued, running, done, failed, cancelled or
  lost), phase, bundle, python_version, python_path, by, submitted_at,
  started_at, finished_at, seconds, packages_done, packages_total, message,
  fault (null or {phase, package, message, advice}), reused, log"""


class _Formatter(RawDescriptionHelpFormatter):
    """Text as it is written, and room for the longest command name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


class _Parser(ArgumentParser):
    """A parser that reports bad usage as a problem instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(Problem("usage", message, hint=f"See `{self.prog} --help`"))


def _globals_parser(*, for_help: bool = False) -> _Parser:
    """The options for every command. `for_help` makes a parent that shows them but never sets their values."""

    def default(value: object) -> object:
        return SUPPRESS if for_help else value

    parser = _Parser(prog="envdeck", add_help=False, allow_abbrev=False)
    group = parser.add_argument_group("options for every command (before or after it)")
    group.add_argument(
        "--config",
        dest="config_files",
        metavar="FILE",
        type=Path,
        action="append",
        default=default([]),
        help="read this configuration file instead of looking for one; repeat it to add files that override",
    )
    for flag, text in (
        ("--json", "print one JSON document to standard output"),
        ("--read-only", "change nothing: refuse to build, cancel and write"),
        ("--no-color", "no colour (so does NO_COLOR in the environment)"),
        ("--version", "print the version and exit"),
    ):
        group.add_argument(flag, action="store_true", default=default(False), help=text)
    return parser


def split_globals(argv: Sequence[str]) -> tuple[Namespace, list[str]]:
    """The options for every command, wherever they stand in `argv`, and what is left for `parse_command`.

    The namespace has `config_files` (list of `Path`), `json`, `read_only`, `no_color` and `version`. Raises
    `InputError` (`usage`).
    """
    return _globals_parser().parse_known_args(list(argv))


def parse_command(arguments: Sequence[str], namespace: Namespace) -> Namespace:
    """`namespace` with the command's own options and `run`, the `Command` to call.

    Raises `InputError` (`usage`, `version-invalid`, `specifier-invalid`), `SystemExit` after ``--help``.
    """
    return _command_parser().parse_args(list(arguments), namespace)


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise InputError(
            Problem("version-invalid", "--python is not a version", expected="X.Y.Z, such as 3.11.4", found=text)
        ) from None


def _specifier(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        raise InputError(
            Problem(
                "specifier-invalid",
                "--requires is not a version constraint",
                expected="a constraint such as >=3.9,<3.12",
                found=text,
            )
        ) from None


class _Commands:
    """Adds commands to a parser, each with its help in the same form."""

    def __init__(self, parser: ArgumentParser, shared: _Parser, dest: str) -> None:
        self._children = parser.add_subparsers(
            title="commands", metavar="COMMAND", parser_class=_Parser, required=True, dest=dest
        )
        self._shared = shared

    def add(
        self, name: str, run: Command | None, summary: str, detail: str, example: str, exits: str, fields: str = ""
    ) -> ArgumentParser:
        """A command `name` that calls `run`. `exits` and `fields` say what its exit codes and its JSON mean."""
        epilog = f"example:\n{example}\n\nexit codes:\n{exits}"
        if fields:
            epilog += f"\n\nJSON:\n  {fields}"
        parser: ArgumentParser = self._children.add_parser(
            name,
            help=summary,
            description=detail,
            epilog=epilog,
            parents=[self._shared],
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        if run is not None:
            parser.set_defaults(run=run)
        return parser


_LOOKING = "  0  shown\n  2  bad usage, or a configuration file that cannot be read"


def _command_parser() -> _Parser:
    shared = _globals_parser(for_help=True)
    parser = _Parser(
        prog="envdeck",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Formatter,
        parents=[shared],
        allow_abbrev=False,
    )
    children = _Commands(parser, shared, "command")
    _add_looking(children)
    _add_building(children)
    _add_configuring(children, shared)
    return parser


def _add_looking(children: _Commands) -> None:
    command = children.add(
        "installations",
        commands.installations,
        "the configured interpreters, and whether each can be used",
        "Shows every interpreter named by Python.Executable: its version, whether it can\n"
        "be used, and if not why and what to do.",
        "  envdeck installations\n  envdeck installations --json | jq '.[] | select(.usable | not)'",
        _LOOKING,
        "a list of {version, path (as declared), executable, origin, target, usable,\n"
        "  state, reason, remedy, checks [{code, status, finding, remedy}],\n"
        "  facts (null, or what the interpreter said of itself), seconds}",
    )
    command.add_argument("--force-probe", action="store_true", help="run every interpreter again, ignoring the cache")

    command = children.add(
        "match",
        commands.match,
        "which installation serves a bundle or a version, and why",
        "Decides which installation serves a bundle, or a version and constraint given\n"
        "here, and shows the verdict and the reason for every candidate.",
        "  envdeck match ./my-app\n"
        "  envdeck match --python 3.9.7\n"
        "  envdeck match --python 3.11.4 --requires '>=3.9,<3.12' --json",
        "  0  an installation was chosen\n"
        "  1  none fits\n"
        "  2  bad usage, or a bundle or configuration file that cannot be read",
        "{rule, request {version, requires}, chosen (null or {version, path,\n"
        "  target}), reason, candidates [{version, path, target, verdict, reason}],\n"
        "  error}. A verdict is chosen, passed over, rejected or unusable.",
    )
    command.add_argument("bundle", metavar="BUNDLE", nargs="?", help=_BUNDLE)
    command.add_argument("--python", metavar="X.Y.Z", type=_version, help="match this version instead of a bundle's")
    command.add_argument(
        "--requires", metavar="SPEC", type=_specifier, help="a version constraint, which supersedes version and rule"
    )
    command.add_argument(
        "--rule",
        choices=["major-minor", "exact"],
        help="match by this rule instead of the configured Python.VersionMatching",
    )

    command = children.add(
        "plan",
        commands.plan,
        "what building a bundle would do, and why; changes nothing",
        "Shows the match, what happens to each requirement line and why, the key, and\n"
        "whether the environment is there already. On a miss it names the nearest\n"
        "environment and the lines that differ.",
        "  envdeck plan ./my-app\n  envdeck plan bundle.tar.gz --json | jq .hit",
        "  0  the plan can be carried out, or its environment is there\n"
        "  1  it cannot be carried out; the reason is shown\n"
        "  2  bad usage, or a bundle or configuration file that cannot be read",
        "{bundle, bundle_path, key, hit, match (as `envdeck match`), installation\n"
        "  (as `envdeck installations`, or null), packages [{name, requirement, action,\n"
        "  reason, where}], needs_source, lines (those the key covers), environment (path\n"
        "  or null), nearest (null or {key, path, only_here, only_there,\n"
        "  other_ingredients}), running (a build's id or null), ingredients, error}",
    )
    command.add_argument("bundle", metavar="BUNDLE", help=_BUNDLE)

    children.add(
        "bundles",
        commands.bundles,
        "the bundles on offer: shipped samples and those under Envdeck.BundleDir",
        "Shows the shipped samples and the bundles in the directories named by\n"
        "Envdeck.BundleDir, with whether the environment of each is in the cache.",
        "  envdeck bundles",
        _LOOKING,
        "a list of {name, path, sample, title, key, hit, error}",
    )
    children.add(
        "environments",
        commands.environments,
        "the cache: every environment with its state, size and origin",
        "Shows every environment of the cache: its state and the reason for it, its\n"
        "Python, size, age, and the bundle it was first built for.",
        "  envdeck environments\n  envdeck environments --json | jq 'map(.size) | add'",
        _LOOKING,
        "a list of {key, attempt, path, state (ready, stale or damaged), reason,\n"
        "  installer, python_version, python_path, target, lines, packages [{name,\n"
        "  version}], size, files, built_at, built_by, seconds, bundle, ingredients}",
    )
    children.add(
        "builds",
        commands.builds,
        "running and past builds, newest first",
        "Shows the builds of everybody on this data directory, newest first.",
        "  envdeck builds\n  envdeck builds --json | jq -r '.[0].log'",
        _LOOKING,
        f"a list of {{{_BUILD_FIELDS}}}",
    )


def _add_building(children: _Commands) -> None:
    command = children.add(
        "build",
        building.build,
        "find the environment of a bundle, or build it",
        "Finds the environment of a bundle in the cache, or builds it and shows pip's log\n"
        "while it runs. The last line says where the environment is. The build runs on\n"
        "its own: closing the terminal or pressing Ctrl-C does not stop it.",
        "  envdeck build ./my-app\n"
        "  envdeck build ./my-app --detach\n"
        "  python=$(envdeck build ./my-app --json | jq -r .path)/bin/python",
        "  0    the environment is ready, or with --detach the build was started\n"
        "  1    no match, refused, or the build failed, was cancelled or was lost\n"
        "  2    bad usage, or a bundle or configuration file that cannot be read\n"
        "  130  interrupted with Ctrl-C; the build goes on",
        "{key, path (null unless ready), reused, seconds (0 for a hit), status (done,\n"
        "  failed, cancelled, lost, running or refused), build (id, null for a hit),\n"
        "  fault (null or {phase, package, message, advice}), log (path or null), match\n"
        "  (as `envdeck match`), error}. The log goes to standard error.",
    )
    command.add_argument("bundle", metavar="BUNDLE", help=_BUNDLE)
    command.add_argument(
        "--detach", "--no-wait", dest="detach", action="store_true", help="start the build and do not wait for it"
    )

    command = children.add(
        "log",
        building.log,
        "the log of a build",
        "Prints the log of a build; with --follow until the build has ended.",
        "  envdeck log last\n  envdeck log -f last --timestamps",
        "  0    shown, however the build ended\n"
        "  2    bad usage, or no such build\n"
        "  130  interrupted with Ctrl-C; the build goes on",
        f"{{{_BUILD_FIELDS},\n  lines [{{at, text}}]}}. With --follow it is printed when the build has ended.",
    )
    command.add_argument("build", metavar="BUILD", help=_BUILD)
    command.add_argument("-f", "--follow", action="store_true", help="go on until the build has ended")
    command.add_argument("--timestamps", action="store_true", help="put the UTC time in front of each line")

    command = children.add(
        "cancel",
        building.cancel,
        "stop a running build",
        "Stops a running build and waits for its end. Nothing of it stays in the cache.",
        "  envdeck cancel last",
        "  0  cancelled\n  1  it had ended already, or cancelling was refused\n  2  bad usage, or no such build",
        f"{{{_BUILD_FIELDS},\n  cancelled, error}}",
    )
    command.add_argument("build", metavar="BUILD", help=_BUILD)


def _add_configuring(children: _Commands, shared: _Parser) -> None:
    command = children.add(
        "config",
        None,
        "check, show or create the configuration",
        "Checks, shows or creates the configuration.",
        "  envdeck config check",
        "  see `envdeck config COMMAND --help`",
    )
    children = _Commands(command, shared, "config_command")
    children.add(
        "check",
        configuring.check,
        "what is wrong with the configuration, with file, line and column",
        "Reads the configuration and tells every problem with its place, what was\nexpected and found, and what to do.",
        "  envdeck config check\n  envdeck config check --config new.gcfg",
        "  0  no error (warnings may be)\n  1  it has errors\n  2  bad usage, or a file that cannot be read",
        "{ok, errors, warnings (counts), problems [{code, severity, message, expected,\n"
        "  found, where, hint}], is_default (true when no file was found and the embedded\n"
        "  default is in force), files, loaded_at}",
    )
    command = children.add(
        "show",
        configuring.show,
        "every setting in force and where its value comes from",
        "Shows every setting with its value and where that comes from: a file and line,\n"
        "an environment variable, or the default.",
        "  envdeck config show --changed",
        "  0  shown\n  1  shown, but the configuration has errors\n  2  bad usage, or a file that cannot be read",
        "{values [{name, values, origins, is_default, meaning, document}], problems,\n  is_default, files, loaded_at}",
    )
    command.add_argument("--changed", action="store_true", help="only settings that differ from the default")
    command = children.add(
        "init",
        configuring.init,
        "write the default configuration as a file to edit",
        "Writes the default configuration for this machine, commented, to PATH, or to\n"
        "envdeck/envdeck.gcfg under $XDG_CONFIG_HOME (~/.config).",
        "  envdeck config init\n  envdeck config init - | less",
        "  0  written\n  1  refused: the file is there already, or cannot be written\n  2  bad usage",
        "{path (null when printed), text}",
    )
    command.add_argument("path", metavar="PATH", nargs="?", help="the file to write; `-` prints it")
    command.add_argument("--force", action="store_true", help="replace a file that is there")

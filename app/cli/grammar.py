"""What the grammar of every command is made of: parsers that report problems, help in one form, and typed values."""

from __future__ import annotations

import re
import sys
import textwrap
from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from app.cli.terminal import written
from engine import InputError, Problem

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from app.cli.terminal import Terminal
    from engine import Engine

__all__ = [
    "BUILD",
    "BUILD_FIELDS",
    "BUNDLE",
    "LOOKING",
    "UNTOLD",
    "Command",
    "Commands",
    "Formatter",
    "Parser",
    "add_dry_run",
    "add_force",
    "add_yes",
    "count",
    "globals_parser",
    "pattern",
    "seconds",
    "specifier",
    "version",
]

Command = Callable[["Engine", Namespace, "Terminal"], int]
"""Carries a command out and returns the exit code."""

BUNDLE = "a directory or .tar.gz with a manifest.json, or the name of a shipped sample (see `envdeck bundles`)"
BUILD = "a build's id, a part of it that no other build's id has, or `last` for the newest"
UNTOLD = "  1  not shown: the configuration has errors, or the data directory is closed"
LOOKING = f"  0  shown\n{UNTOLD}\n  2  bad usage, or a configuration file that cannot be read"
BUILD_FIELDS = """\
id, key, state (queued, running, done, failed, cancelled or
  lost), phase, bundle, content (null or the guid whose settings count),
  python_version, python_path, by, executor, image
  (empty for none), host (of its supervisor), submitted_at, started_at,
  finished_at, seconds, packages_done, packages_total,
  packages_supplied (of the wheel store, before the installer), bytes_done,
  bytes_total (of the files named so far), phases {phase: seconds},
  seconds_left and fraction (null while nothing tells), expected (null or
  {seconds, packages, basis}, from earlier builds), installer (pip or uv),
  message (while queued what it waits for), fault (null or {phase, package,
  message, advice}), reused, place (in the waiting line,
  1 for who is next, 0 when in none), log"""

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Formatter(RawDescriptionHelpFormatter):
    """Text as it is written, and room for the longest command name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)


class Parser(ArgumentParser):
    """A parser that reports bad usage as a problem instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(Problem("usage", message, hint=f"See `{self.prog} --help`"))

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """As argparse does, which keeps quiet about an output that takes no more."""
        with written():
            (file or sys.stdout).write(self.format_help())


class CommandParser(Parser):
    """The parser of a command, which itself says what it does not know: its help is the one that tells more."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # as it is overloaded
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


class Commands:
    """Adds commands to a parser, each with its help in the same form."""

    def __init__(self, parser: ArgumentParser, dest: str, *, required: bool = True) -> None:
        """Commands below `parser`. Unless one is `required`, the parser is a command itself."""
        children: type[Parser] = CommandParser
        self._children = parser.add_subparsers(
            title="commands", metavar="COMMAND", parser_class=children, required=required, dest=dest
        )

    def add(
        self, name: str, run: Command | None, summary: str, detail: str, example: str, exits: str, fields: str = ""
    ) -> ArgumentParser:
        """A command `name` that calls `run`. `exits` and `fields` say what its exit codes and its JSON mean."""
        epilog = f"example:\n{example}\n\nexit codes:\n{exits}"
        if fields:
            words = " ".join(fields.split())
            epilog += "\n\nJSON:\n" + textwrap.indent(textwrap.fill(words, 78, break_on_hyphens=False), "  ")
        parser: ArgumentParser = self._children.add_parser(
            name,
            help=summary,
            description=detail,
            epilog=epilog,
            parents=[globals_parser(for_help=True)],
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        if run is not None:
            parser.set_defaults(run=run)
        return parser


def globals_parser(*, for_help: bool = False) -> Parser:
    """The options for every command. `for_help` makes a parent that shows them but never sets their values."""

    def default(value: object) -> object:
        return SUPPRESS if for_help else value

    parser = Parser(prog="envdeck", add_help=False, allow_abbrev=False)
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
        ("--read-only", "change nothing: refuse to build, cancel, delete and write"),
        ("--no-color", "no colour (so does NO_COLOR in the environment)"),
    ):
        group.add_argument(flag, action="store_true", default=default(False), help=text)
    return parser


def add_dry_run(command: ArgumentParser) -> None:
    command.add_argument("--dry-run", action="store_true", help="show what would happen, and do nothing")


def add_force(command: ArgumentParser) -> None:
    command.add_argument("--force", action="store_true", help="replace a file that is there")


def add_yes(command: ArgumentParser) -> None:
    command.add_argument("-y", "--yes", action="store_true", help="do not ask; needed where there is no terminal")


def version(text: str) -> Version:
    """A version. Raises `InputError` (`version-invalid`)."""
    try:
        return Version(text)
    except InvalidVersion:
        raise InputError(
            Problem("version-invalid", "--python is not a version", expected="X.Y.Z, such as 3.11.4", found=text)
        ) from None


def specifier(text: str) -> SpecifierSet:
    """A version constraint. Raises `InputError` (`specifier-invalid`)."""
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


def seconds(text: str) -> float:
    """A length of time in seconds, such as from ``90s``, ``1h30m`` or ``0``. Raises `InputError`."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise InputError(
            Problem(
                "duration-invalid", "this is no length of time", expected="0, or such as 90s, 1h30m, 7d", found=text
            )
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def pattern(text: str) -> re.Pattern[str]:
    """A regular expression for which letter case does not matter. Raises `InputError`."""
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            Problem(
                "usage", f"--grep is not a regular expression: {error}", expected="such as numpy|pandas", found=text
            )
        ) from None


def count(text: str) -> int:
    """A number of at least one. Raises `InputError`."""
    if not text.isascii() or not text.isdigit() or len(text) > 4 or int(text) < 1:
        raise InputError(
            Problem("usage", "this is not a number that can be used here", expected="1 to 9999", found=text)
        )
    return int(text)

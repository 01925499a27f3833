"""The flags of the terminal UI, and the terminals that it cannot run in. Imports nothing of Textual."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

__all__ = ["Options", "parse_options", "refusal"]


class Options(Struct, frozen=True):
    """How the UI was asked to run."""

    config: tuple[Path, ...] = ()
    read_only: bool = False
    mouse: bool = False
    ascii: bool = False
    no_color: bool = False
    theme: str = ""
    local: bool = False
    truecolor: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # the command line reports it in its own words
        raise argparse.ArgumentError(None, message)


def parse_options(argv: Sequence[str]) -> Options | None:
    """The options if `argv` has nothing but flags of the UI; None when it is for the command line."""
    parser = _Parser(prog="envdeck", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[], type=Path)
    for flag in ("--read-only", "--mouse", "--ascii", "--no-color", "--local", "--truecolor"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--theme", default="")
    try:
        found, others = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return None
    if others:
        return None
    return Options(**{**vars(found), "config": tuple(found.config)})


def refusal(environ: Mapping[str, str], *, is_terminal: bool) -> str:
    """Why the UI cannot run in this terminal; "" when it can."""
    if not is_terminal:
        return "the terminal UI needs a terminal; `envdeck --help` lists the commands that do not"
    if environ.get("TERM", "") in ("", "dumb"):
        return "this terminal (TERM=dumb) cannot show the UI; `envdeck --help` lists the commands that need none"
    return ""

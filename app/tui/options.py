"""The flags of the terminal UI and what they, SSH and the terminal mean for Textual. Imports nothing of Textual:
its switches are read from the environment while it is imported."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Options", "parse_options", "refusal", "terminal_defaults"]

_PLAIN_THEME = "ansi-dark"
"""The terminal's own sixteen colours: the admin's palette, and half the bytes of truecolor (textual.md §3.2)."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the UI was asked to run."""

    config: tuple[Path, ...] = ()
    read_only: bool = False
    mouse: bool = False
    ascii: bool = False
    no_color: bool = False
    theme: str = ""
    local: bool = False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # the command line reports it in its own words
        raise argparse.ArgumentError(None, message)


def parse_options(argv: Sequence[str]) -> Options | None:
    """The options if `argv` has nothing but flags of the UI; None when it is for the command line."""
    parser = _Parser(prog="envdeck", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[], type=Path)
    for flag in ("--read-only", "--mouse", "--ascii", "--no-color", "--local"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--theme", default="")
    try:
        found, others = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return None
    if others:
        return None
    return Options(
        tuple(found.config), found.read_only, found.mouse, found.ascii, found.no_color, found.theme, found.local
    )


def terminal_defaults(options: Options, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables to set before Textual is imported (textual.md §5.6, §3.9).

    A variable that the admin has set already is left alone.
    """
    remote = bool(environ.get("SSH_CONNECTION")) and not options.local
    no_color = options.no_color or bool(environ.get("NO_COLOR"))
    values = {
        "TEXTUAL_ANIMATIONS": "none",
        "TEXTUAL_SMOOTH_SCROLL": "0",
        "TEXTUAL_THEME": _PLAIN_THEME,
    }
    if remote:
        values["TEXTUAL_FPS"] = "15"
        if environ.get("TERM", "").endswith("-256color"):
            values["TEXTUAL_COLOR_SYSTEM"] = "256"
    values = {name: value for name, value in values.items() if name not in environ}
    if no_color:
        # Any other theme would be shown in shades of grey, or black on black.
        values |= {"NO_COLOR": "1", "TEXTUAL_THEME": _PLAIN_THEME}
    elif options.theme:
        values["TEXTUAL_THEME"] = options.theme
    return values


def refusal(environ: Mapping[str, str], *, is_terminal: bool) -> str:
    """Why the UI cannot run in this terminal; "" when it can."""
    if not is_terminal:
        return "the terminal UI needs a terminal; `envdeck --help` lists the commands that do not"
    if environ.get("TERM", "") in ("", "dumb"):
        return "this terminal (TERM=dumb) cannot show the UI; `envdeck --help` lists the commands that need none"
    return ""

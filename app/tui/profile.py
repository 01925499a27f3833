"""How the UI behaves towards this terminal: what flags, SSH and the terminal itself decide, each with its reason.

Imports nothing of Textual, which reads its switches from the environment while it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from app.tui.options import Options

__all__ = ["PLAIN", "Manner", "Profile", "choose_profile"]

_PLAIN_THEME = "ansi-dark"
"""The terminal's own sixteen colours: the admin's palette, and half the bytes of truecolor (textual.md §3.2)."""
_OVER_SSH = "over SSH; --local takes it back"
_TAME = "animations and the like are sent again and again"
_POOR_FONTS = ("linux", "vt52", "vt100", "vt102", "vt220", "vt320")
"""What TERM is where the font has few symbols, if it has UTF-8 at all."""


class Manner(Struct, frozen=True):
    """One thing that was decided: what, how, and why so."""

    name: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.value} ({self.why})"


class Profile(Struct, frozen=True):
    """All that was decided."""

    variables: Mapping[str, str]
    """To be put into the environment before Textual is imported."""
    ascii: bool = False
    mouse: bool = False
    refresh: float = 0.25
    """Seconds between two looks at what the engine has found."""
    manners: tuple[Manner, ...] = ()
    """For the events."""

    def __str__(self) -> str:
        return "this terminal: " + "; ".join(map(str, self.manners))


PLAIN = Profile({})
"""Nothing was decided."""


def choose_profile(options: Options, environ: Mapping[str, str], encoding: str = "utf-8") -> Profile:
    """The profile for a terminal whose output has that encoding (textual.md §5.6, §3.9).

    A variable of Textual that the admin has set already is left alone.
    """
    term = environ.get("TERM", "")
    ssh = environ.get("SSH_CONNECTION", "")
    remote = bool(ssh) and not options.local
    default = _OVER_SSH if remote else "the default"
    variables: dict[str, str] = {}
    manners = [Manner("TERM", term or "not set", _place(ssh, options))]

    def decide(name: str, variable: str, value: str, why: str, shown: str = "") -> None:
        if variable in environ:
            value, shown, why = environ[variable], "", f"your {variable}"
        elif value:
            variables[variable] = value
        manners.append(Manner(name, shown or value or "as the terminal has", why))

    # NO_COLOR with any other theme would be shades of grey, or black on black.
    no_color = options.no_color or bool(environ.get("NO_COLOR"))
    if no_color or options.theme:
        theme = _PLAIN_THEME if no_color else options.theme
        variables["TEXTUAL_THEME"] = theme
        manners.append(Manner("theme", theme, "there is one without colours" if no_color else "--theme"))
    else:
        decide("theme", "TEXTUAL_THEME", _PLAIN_THEME, "the terminal's own colours, and the fewest bytes")
    if no_color:
        variables["NO_COLOR"] = "1"
        manners.append(Manner("colours", "none", "--no-color" if options.no_color else "NO_COLOR"))
    else:
        decide("colours", "TEXTUAL_COLOR_SYSTEM", *_colours(options, environ, remote=remote))
    decide("frames", "TEXTUAL_FPS", "15" if remote else "", default, f"{15 if remote else 60} a second at most")
    decide("animations", "TEXTUAL_ANIMATIONS", "none", _TAME)
    decide("smooth scrolling", "TEXTUAL_SMOOTH_SCROLL", "0", _TAME, "off")
    mouse = Manner("mouse", "on", "--mouse") if options.mouse else Manner("mouse", "off", "the terminal selects text")
    refresh = 0.5 if remote else 0.25
    manners += [mouse, Manner("refresh", f"{1 / refresh:.0f} times a second", default)]
    ascii_only, why = _symbols(options, term, encoding)
    manners.append(Manner("symbols", "ASCII" if ascii_only else "UTF-8", why))
    return Profile(variables, ascii_only, options.mouse, refresh, tuple(manners))


def _place(ssh: str, options: Options) -> str:
    if not ssh:
        return "no SSH_CONNECTION: taken for local"
    client = ssh.split(maxsplit=1)[0]
    return f"over SSH from {client}, --local" if options.local else f"over SSH from {client}"


def _colours(options: Options, environ: Mapping[str, str], *, remote: bool) -> tuple[str, str]:
    if options.truecolor:
        return "truecolor", "--truecolor"
    if remote and environ.get("TERM", "").endswith("-256color"):
        return "256", f"fewer bytes {_OVER_SSH}, --truecolor asks for all"
    return "", "TERM and COLORTERM say"


def _symbols(options: Options, term: str, encoding: str) -> tuple[bool, str]:
    if options.ascii:
        return True, "--ascii"
    if encoding.lower().replace("-", "").replace("_", "") != "utf8":
        return True, f"the encoding of this session is {encoding or 'unknown'}"
    if term in _POOR_FONTS:
        return True, f"TERM={term} has a font with few symbols"
    return False, f"the encoding is {encoding}"

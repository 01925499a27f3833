"""Where the files of a wheel belong in an environment: the specification "Binary distribution format", as pip does it.

Pure. A wheel that this cannot place exactly as pip would, or that reaches for what makes an environment one, is
refused: pip then installs it as if there were no store.
"""

from __future__ import annotations

import configparser
import posixpath
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from engine.text import one_line

__all__ = ["Layout", "Place", "Unfit", "commands_of", "is_shadowed"]

# What venv makes, and what envdeck does: written after packages are linked, so it must not be written through a link.
_RESERVED = re.compile(
    r"(pyvenv\.cfg|\.gitignore|lib64|envdeck-[^/]*|requirements\.txt\.lock)(/.*)?|lib/python[^/]*(/.*)?|(bin|lib|include)"
    r"|bin/(python(\d+(\.\d+)?)?t?|activate(_this\.py|\.\w+)?|Activate\.ps1)",
    re.IGNORECASE,
)
_OVERLAY = "zzz_externals.pth"
"""What lets an environment see external packages."""
_COMMAND_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_COMMAND = re.compile(r"([A-Za-z_][\w.]*)\s*:\s*([A-Za-z_][\w.]*)\s*(\[[\w\s,.-]*\])?", re.ASCII)
_PYTHON = re.compile(r"cpython-3(\d+)(t?)")
_SECTIONS = ("console_scripts", "gui_scripts")
_WRAPPERS = (".exe", "-script.py", ".pya")


class Unfit(Exception):
    """A wheel that the store does not take: `code` and what is wrong, safe to show."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = one_line(what, 500)


class Place(Struct, frozen=True):
    """Where one file goes."""

    source: str
    """In the store, relative to the entry."""
    target: str
    """In an environment, relative to it."""
    script: bool = False
    """Whether it is one of the wheel's own scripts."""


class Layout:
    """Where files go in environments of one kind of interpreter."""

    def __init__(self, tag: str, name: str, info: str) -> None:
        """`tag` is the `bytecode_tag`, `name` the project's, `info` the wheel's metadata directory."""
        found = _PYTHON.match(tag)
        if not found:
            raise ValueError(f"{tag} is no bytecode tag")
        self.python = f"3.{found[1]}"
        self.site = f"lib/python{self.python}{found[2]}/site-packages"
        self._data = info.removesuffix(".dist-info") + ".data"
        self._schemes = {
            "purelib": ("site", self.site),
            "platlib": ("site", self.site),
            "headers": ("headers", f"include/site/python{self.python}/{name}"),
            "scripts": ("scripts", "bin"),
            "data": ("data", ""),
        }

    def place(self, member: str) -> Place:
        """Where the member of that name goes. Raises `Unfit`."""
        top, _, rest = member.partition("/")
        if not top.endswith(".data"):
            if member.lower() == _OVERLAY:
                raise Unfit("layout", f"{member} is not a package's to install")
            return Place(f"site/{member}", f"{self.site}/{member}")
        scheme, _, rest = rest.partition("/")
        if top != self._data or scheme not in self._schemes or not rest:
            raise Unfit("layout", f"nobody knows where {member} belongs")
        source, target = self._schemes[scheme]
        place = Place(f"{source}/{rest}", posixpath.join(target, rest), scheme == "scripts")
        if source != "site":
            check_target(place.target)
        return place

    def recorded(self, target: str) -> str:
        """The path `target` of an environment as a RECORD in it names it."""
        return posixpath.relpath(target, self.site)


def check_target(target: str) -> None:
    """Raise `Unfit` when a package may not have a file at `target` of an environment."""
    if _RESERVED.fullmatch(target):
        raise Unfit("layout", f"{target} is not a package's to install")


def commands_of(entry_points: str, python: str) -> tuple[tuple[str, str, str], ...]:
    """Name, module and function of every command that pip makes from the text of ``entry_points.txt``.

    `python` is X.Y: pip names its own commands, and those of an old setuptools, after it. Raises `Unfit`.
    """
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points)
        found = {
            name: value
            for section in _SECTIONS
            if parser.has_section(section)
            for name, value in parser[section].items()
        }
    except configparser.Error as error:
        raise Unfit("entry-points", f"entry_points.txt cannot be read: {error}") from None
    commands = []
    for name, value in _versioned(found, python).items():
        parts = _COMMAND.fullmatch(value.strip())
        if not _COMMAND_NAME.fullmatch(name) or not parts:
            raise Unfit("entry-points", f"nobody knows which command {name} = {value} means")
        check_target(f"bin/{name}")
        commands.append((name, parts[1], parts[2]))
    return tuple(commands)


def _versioned(found: Mapping[str, str], python: str) -> dict[str, str]:
    commands = dict(found)
    for name, pattern, names in (
        ("pip", r"pip(\d+(\.\d+)?)?", ("pip", "pip3", f"pip{python}")),
        ("easy_install", r"easy_install(-\d+\.\d+)?", ("easy_install", f"easy_install-{python}")),
    ):
        if name in commands:
            value = commands[name]
            commands = {key: text for key, text in commands.items() if not re.fullmatch(pattern, key)}
            commands |= dict.fromkeys(names, value)
    return commands


def is_shadowed(script: str, commands: Iterable[str]) -> bool:
    """Whether pip leaves the wheel's own script of that name out, because it makes the command itself."""
    name = posixpath.basename(script)
    for ending in _WRAPPERS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    return name in commands

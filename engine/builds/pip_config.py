"""pip's configuration as builds on this machine will see it: which files apply, and what they set.

The global file and that of the account that builds apply (package-management-posit.txt, "Configuring pip"). What
decides *which* file pip picks enters the key of an environment (builds.md, section D); all of it is shown.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from engine.errors import InputError, Problem, Severity, Where
from engine.executors.accounts import Account, first_barrier
from engine.files import read_limited
from engine.text import clean, mask_credentials, one_line

__all__ = [
    "INDEX_OPTIONS",
    "PipFile",
    "PipSetting",
    "compiles",
    "configuration",
    "effective",
    "index_configuration",
    "named_options",
    "pip_files",
]

INDEX_OPTIONS = (
    "index-url",
    "extra-index-url",
    "find-links",
    "no-index",
    "constraint",
    "only-binary",
    "no-binary",
    "pre",
)
_GLOBAL_FILES = ("etc/xdg/pip/pip.conf", "etc/pip.conf")
_USER_FILES = (".pip/pip.conf", ".config/pip/pip.conf")
_SECTIONS = ("global", "install")
_LIMIT = 1 << 20
_NO = ("n", "no", "f", "false", "off", "0")
# A proxy may be written without a scheme, and then has its password where no URL would.
_BARE_CREDENTIALS = re.compile(r"^[^/\s]*@")


class PipFile(Struct, frozen=True):
    """One file that pip looks for; `problem` says why what is in it does not apply, or keeps pip from working."""

    path: Path
    exists: bool
    problem: Problem | None = None


class PipSetting(Struct, frozen=True):
    """One option in force for ``pip install``."""

    name: str
    """The option as on pip's command line, without its dashes."""
    value: str
    """Safe to show: credentials are masked, several lines are one."""
    section: str
    """``global`` or ``install``; pip lets the latter win, whatever file it is in."""
    origin: str
    """``file:line``."""

    @property
    def in_key(self) -> bool:
        """Whether another value gives another environment."""
        return self.name in INDEX_OPTIONS


class _Entry(Struct, frozen=True):
    name: str
    value: str
    section: str
    path: Path
    line: int


def pip_files(home: Path, root: Path = Path("/"), account: Account | None = None) -> tuple[PipFile, ...]:
    """The files that pip reads for the account whose home directory is `home`, a later one over an earlier one.

    A file that cannot be read or does not parse has the problem `pip-config-unreadable`. With `account`, who builds run
    as, a file that only envdeck itself may read counts as unreadable too: pip passes over it without a word.
    """
    return tuple(_inspect(path, account) for path in _paths(home, root))


def effective(home: Path, root: Path = Path("/"), account: Account | None = None) -> tuple[PipSetting, ...]:
    """Every option that the files set for ``pip install``, by name, each with the value in force."""
    return tuple(
        PipSetting(
            clean(entry.name),
            _shown(entry),
            entry.section,
            f"{clean(str(entry.path))}:{entry.line}",
        )
        for _, entry in sorted(_in_force(home, root, account).items())
    )


def index_configuration(home: Path, root: Path = Path("/"), account: Account | None = None) -> Mapping[str, str]:
    """What decides which file pip picks: option to value, as the files have it. May hold a password.

    A file that pip could not read either is passed over: pip itself will say so in the build's log.
    """
    found = configuration(home, root, account)
    return {name: found[name] for name in INDEX_OPTIONS if name in found}


def configuration(home: Path, root: Path = Path("/"), account: Account | None = None) -> Mapping[str, str]:
    """Every option that the files set for ``pip install``, as they have it. May hold a password."""
    return {name: entry.value for name, entry in _in_force(home, root, account).items()}


def named_options(options: object) -> str:
    """Options as `index_configuration` has them, with credentials masked, in a line."""
    found = options.items() if isinstance(options, Mapping) else ()
    return ", ".join(f"{name} = {value}" for name, value in found) or "pip's defaults"


def compiles(settings: Mapping[str, str]) -> bool:
    """Whether ``pip install`` is to compile modules, by its `configuration`.

    In a file `no-compile` means the same as `compile`: pip takes the value for what the option is about.
    """
    return all(settings.get(name, "").lower() not in _NO for name in ("compile", "no-compile"))


def _paths(home: Path, root: Path) -> tuple[Path, ...]:
    return (*(root / name for name in _GLOBAL_FILES), *(home / name for name in _USER_FILES))


def _inspect(path: Path, account: Account | None) -> PipFile:
    if account and (barrier := first_barrier(account, path, os.R_OK)):
        found = "" if barrier == path else f"{barrier} is closed to it"
        return PipFile(path, path.exists(), _unreadable(path, f"{account.name} may not read it", found=found))
    try:
        _parse(path)
    except FileNotFoundError:
        return PipFile(path, False)
    except (OSError, InputError) as error:
        reason = error.problem.message if isinstance(error, InputError) else error.strerror or str(error)
        return PipFile(path, True, _unreadable(path, reason))
    except UnicodeDecodeError:
        return PipFile(path, True, _unreadable(path, "it is not UTF-8", severity=Severity.ERROR))
    except configparser.Error as error:
        line = getattr(error, "lineno", None)
        problem = _unreadable(path, one_line(str(error).partition("\n")[0]), line=line, severity=Severity.ERROR)
        return PipFile(path, True, problem)
    return PipFile(path, True)


def _unreadable(
    path: Path, reason: str, *, line: int | None = None, found: str = "", severity: Severity = Severity.WARNING
) -> Problem:
    return Problem(
        "pip-config-unreadable",
        f"{path.name} cannot be used: {reason}",
        found=found,
        where=Where(str(path), line),
        hint="No build can start while pip stops at this file"
        if severity is Severity.ERROR
        else "What it sets does not apply to builds",
        severity=severity,
    )


def _in_force(home: Path, root: Path, account: Account | None) -> dict[str, _Entry]:
    """Option to entry. pip lets ``[install]`` win over ``[global]``, and in each a later file over an earlier one."""
    found: dict[str, dict[str, _Entry]] = {section: {} for section in _SECTIONS}
    for path in _paths(home, root):
        if account and first_barrier(account, path, os.R_OK):
            continue
        try:
            for entry in _parse(path):
                found[entry.section][entry.name] = entry
        except (OSError, InputError, UnicodeDecodeError, configparser.Error):
            continue
    return found["global"] | found["install"]


def _parse(path: Path) -> tuple[_Entry, ...]:
    """Raises `OSError`, `InputError`, `UnicodeDecodeError` or `configparser.Error`."""
    text = read_limited(path, _LIMIT).decode("utf-8")
    parser = configparser.RawConfigParser()
    parser.read_string(text, str(path))
    lines = dict(_lines(text))
    return tuple(
        # pip reads index_url, index-url and --index-url alike.
        _Entry(
            option.replace("_", "-").removeprefix("--"),
            " ".join(value.split()),
            section,
            path,
            lines.get((section, option), 1),
        )
        for section in _SECTIONS
        if parser.has_section(section)
        for option, value in parser.items(section)
    )


def _lines(text: str) -> Iterator[tuple[tuple[str, str], int]]:
    """Where each option stands: (section, option as the parser spells it) and the 1-based number of its line."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := configparser.RawConfigParser.SECTCRE.match(line.strip()):
            section = header["header"]
        elif option := configparser.RawConfigParser.OPTCRE.match(line.strip()):
            yield (section, option["option"].strip().lower()), number


def _shown(entry: _Entry) -> str:
    value = mask_credentials(entry.value)
    if entry.name == "proxy":
        value = _BARE_CREDENTIALS.sub("****@", value)
    return one_line(value, 500)

"""Which configuration files are in force."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

__all__ = ["Sources", "look_up", "user_directory"]


class Sources(Struct, frozen=True):
    """The files to read and the files to watch, as absolute paths."""

    files: tuple[Path, ...]
    """In the order they are read; empty when the embedded default is in force."""
    by_name: bool
    """True when the files were asked for by name, so that each must be there."""
    watch: tuple[Path, ...]
    """The files whose change, appearance or removal can change the configuration."""


def look_up(config_files: Sequence[Path], environ: Mapping[str, str], etc: Path = Path("/etc")) -> Sources:
    """The first of these that names or has a file:

    1. `config_files`, from the command line;
    2. ``ENVDECK_CONFIG``: one or more paths, separated as in ``PATH``;
    3. the server's ``rstudio-connect/rstudio-connect.gcfg`` and ``envdeck/envdeck.gcfg`` in `etc`, both if both exist;
    4. ``envdeck/envdeck.gcfg`` in ``$XDG_CONFIG_HOME`` or ``~/.config``;
    5. nothing: the embedded default.

    Files asked for by name (1, 2) are not looked at here: `load` says what is wrong with them.
    """
    named = list(config_files) or [Path(part) for part in environ.get("ENVDECK_CONFIG", "").split(os.pathsep) if part]
    if named:
        files = tuple(dict.fromkeys(path.absolute() for path in named))
        return Sources(files, by_name=True, watch=files)
    system = (etc / "rstudio-connect" / "rstudio-connect.gcfg", etc / "envdeck" / "envdeck.gcfg")
    found = tuple(path for path in system if _exists(path))
    if found:
        return Sources(found, by_name=False, watch=system)
    base = user_directory(environ, "XDG_CONFIG_HOME", ".config")
    user = (base / "envdeck" / "envdeck.gcfg",) if base else ()
    return Sources(tuple(path for path in user if _exists(path)), by_name=False, watch=(*system, *user))


def user_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    """The user's directory that `variable` names, else `below_home` in ``HOME``, else None.

    A relative path in either is ignored (XDG Base Directory Specification, "Environment variables").
    """
    if environ.get(variable, "").startswith("/"):
        return Path(environ[variable])
    home = environ.get("HOME", "")
    return Path(home) / below_home if home.startswith("/") else None


def _exists(path: Path) -> bool:
    """Whether the file is there. One that we may not look at counts: ignoring it in silence would mislead."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True

"""The embedded default configuration: what is in force where no file is found, written to be saved and edited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.config.catalogue import find
from engine.config.gcfg import quote
from engine.config.lookup import user_directory
from engine.text import one_line

__all__ = ["EMBEDDED", "default_data_dir", "default_text"]

EMBEDDED = "default"
"""The embedded default's name where a file's path would stand."""


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """``envdeck`` in ``$XDG_DATA_HOME`` or ``~/.local/share``; the catalogue's default where there is no home."""
    base = user_directory(environ, "XDG_DATA_HOME", ".local/share")
    return base / "envdeck" if base else Path(_catalogue_default("Server", "DataDir"))


def default_text(executables: Sequence[str], unusable: Sequence[tuple[str, str]], data_dir: Path) -> str:
    """The embedded default as gcfg text.

    `executables` are interpreters to list; `unusable` are those found but not worth listing, each with the reason,
    which are shown as comments. All paths absolute.
    """
    lines = [
        "; The configuration of envdeck where none was found. To make it yours, save it as",
        "; ~/.config/envdeck/envdeck.gcfg (for you) or /etc/envdeck/envdeck.gcfg (for everyone).",
        ";",
        "; Lines are `Key = value`; a key marked `repeatable` may stand on several. Put a value in",
        '; double quotes if it holds any of ; # " \\ or blanks at its ends. Saving takes effect at once.',
        "",
        "[Server]",
        "",
        "; Where environments and builds are kept.",
        _assignment("DataDir", str(data_dir)),
        "",
        "[Python]",
        "",
        "Enabled = true",
        "",
        "; Python installations: an interpreter or the directory it is installed in. Repeatable.",
    ]
    lines += [_assignment("Executable", path) for path in executables]
    if not executables:
        lines.append("; Executable = /opt/python/3.12.4/bin/python3")
    lines += [f"; not usable: {one_line(path)} ({one_line(reason)})" for path, reason in unusable]
    lines += [
        "",
        "; major-minor: a bundle made with 3.12.1 may get another 3.12.",
        "; exact: it gets 3.12.1 or fails.",
        "; VersionMatching = major-minor",
        "",
        "; Packages dropped from what bundles ask for, besides the built-in ones. Repeatable.",
        "; ProhibitedPackage = pywin32",
        "",
        "[Envdeck]",
        "",
        "; Directories whose bundles are offered. Repeatable.",
        "; BundleDir = ~/bundles",
        "",
        "; The oldest Python that is usable, and how long probes and builds may take.",
        *(
            f"; {key} = {_catalogue_default('Envdeck', key)}"
            for key in ("MinimumVersion", "ProbeTimeout", "BuildTimeout")
        ),
    ]
    return "\n".join(lines) + "\n"


def _assignment(key: str, value: str) -> str:
    """The line that sets `key`, or a comment if gcfg cannot hold `value`."""
    try:
        return f"{key} = {quote(value)}"
    except ValueError as error:
        return f"; not usable: {one_line(value)} ({error})"


def _catalogue_default(section: str, key: str) -> str:
    setting = find(section, key)
    assert setting is not None
    return setting.default[0]

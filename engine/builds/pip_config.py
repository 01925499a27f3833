"""pip's configuration of where packages come from, as builds on this machine will see it.

The global file and that of the account that builds apply (package-management-posit.txt, "Configuring pip"). Only what
decides *which* file pip picks is read: it enters the key of an environment (builds.md, section D).
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from engine.files import read_limited

__all__ = ["INDEX_OPTIONS", "index_configuration"]

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
_LIMIT = 1 << 20


def index_configuration(home: Path, root: Path = Path("/")) -> Mapping[str, str]:
    """Option to value, later files winning, for the account whose home directory is `home`.

    A file that pip could not read either is passed over: pip itself will say so in the build's log.
    """
    found: dict[str, str] = {}
    files = ("etc/xdg/pip/pip.conf", "etc/pip.conf")
    for path in (*(root / name for name in files), home / ".pip/pip.conf", home / ".config/pip/pip.conf"):
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(read_limited(path, _LIMIT).decode("utf-8"))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
        for section in ("global", "install"):
            for option in INDEX_OPTIONS:
                # pip reads index_url and index-url alike.
                for spelling in (option.replace("-", "_"), option):
                    if parser.has_option(section, spelling):
                        found[option] = " ".join(parser.get(section, spelling).split())
    return found

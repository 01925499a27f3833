"""``pyvenv.cfg``: what a virtual environment says of the interpreter it was made with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.environments.tree import read_regular
from engine.text import decode

__all__ = ["pyvenv_version", "read_pyvenv"]

_LIMIT = 64 * 1024
_VERSION = re.compile(r"\d+(?:\.\d+)*")


def read_pyvenv(path: Path) -> dict[str, str]:
    """The ``name = value`` lines of a ``pyvenv.cfg``, names in lower case; nothing when it cannot be read."""
    try:
        text = decode(read_regular(path, _LIMIT, follow=True))
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip().lower(): value.strip() for name, value in pairs}


def pyvenv_version(values: Mapping[str, str]) -> str:
    """X.Y.Z from what ``venv`` (``version``) or ``virtualenv`` (``version_info``, 3.8.12.final.0) wrote."""
    found = _VERSION.match(values.get("version") or values.get("version_info") or "")
    return ".".join(found.group().rstrip(".").split(".")[:3]) if found else ""

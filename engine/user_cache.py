"""Where what saves time, and can be made anew, is kept for a user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.config.lookup import user_directory

__all__ = ["cache_file"]


def cache_file(environ: Mapping[str, str], name: str) -> Path | None:
    """The file of that name in the cache of the user of `environ`; None when there is no place for a cache."""
    base = user_directory(environ, "XDG_CACHE_HOME", ".cache")
    if base is None:
        return None
    try:
        (base / "envdeck").mkdir(parents=True, exist_ok=True)
    except OSError:
        # Without the cache every start probes and reads anew, which is slower and just as right.
        return None
    return base / "envdeck" / name

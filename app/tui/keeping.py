"""Files in the admin's own cache directory: what was copied, what was written and not put in place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["keep"]


def keep(name: str, data: bytes, environ: Mapping[str, str]) -> Path | None:
    """Write `data` to the file `name`, readable by this account alone; None where that cannot be done."""
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    # A relative one would be in whatever directory envdeck was started in.
    if cache.startswith("/"):
        base = Path(cache)
    elif home.startswith("/"):
        base = Path(home) / ".cache"
    else:
        return None
    file = base / "envdeck" / name
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except OSError:
        return None
    return file

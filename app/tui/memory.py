"""Taking no memory for what is never needed, and giving back what is not needed any more."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["give_back", "load_asyncio_without_tls", "share_one_arena"]

_ARENA_MAX = -8
"""``M_ARENA_MAX`` of mallopt(3)."""


def load_asyncio_without_tls() -> None:
    """Load `asyncio` as a Python without `ssl` has it, which can be loaded by others afterwards.

    asyncio wants it for connections only, and the UI makes none: it takes 4 MB, OpenSSL most of it, which nothing else
    in the UI loads before it digests files (`engine.digest`).
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # the documented way to let an import fail
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


def share_one_arena() -> None:
    """Have the threads that begin from now on take memory from one place; nothing happens where that cannot be asked.

    glibc gives each a place of its own, for threads that allocate at the same time, which those of Python hardly do.
    What one of them has freed no other can use: it was 3 MB after the first look at ten thousand environments.
    """
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Give the system what the C library keeps of memory that was freed; nothing happens where it cannot be asked to.

    Loading modules takes far more for moments than it leaves behind, and glibc keeps the holes: a tenth of what a
    session has. Takes milliseconds, and other threads go on.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)

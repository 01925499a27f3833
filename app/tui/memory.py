"""Taking no memory for what is never needed, and giving back what is not needed any more."""

from __future__ import annotations

import sys

__all__ = ["give_back", "load_asyncio_without_tls"]


def load_asyncio_without_tls() -> None:
    """Load `asyncio` as a Python without `ssl` has it, which can be loaded by others afterwards.

    asyncio wants it for connections only, and the UI makes none: OpenSSL takes 4 MB until the first picture and 1 MB
    from then on.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]  # the documented way to let an import fail
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


def give_back() -> None:
    """Give the system what the C library keeps of memory that was freed; nothing happens where it cannot be asked to.

    Loading modules takes far more for moments than it leaves behind, and glibc keeps the holes: a tenth of what a
    session has. Takes milliseconds, and other threads go on.
    """
    # Only here: nothing of it is needed for the first picture.
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""Giving memory back that is not needed any more."""

from __future__ import annotations

import ctypes

__all__ = ["give_back"]


def give_back() -> None:
    """Give the system what the C library keeps of memory that was freed; nothing happens where it cannot be asked to.

    Loading modules takes far more for moments than it leaves behind, and glibc keeps the holes: a tenth of what a
    session has. Takes milliseconds, and other threads go on.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

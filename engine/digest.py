"""SHA-256 of little, without OpenSSL.

`hashlib` loads OpenSSL, which is 3.5 MB of a terminal UI that stays for hours and digests a few lines of text. The
interpreter has an implementation of its own, which `random` in the standard library goes to directly as well. Files are
digested by `hashlib`, which is several times as fast.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

__all__ = ["sha256"]

_OWN = ("_sha2", "_sha256")
"""The interpreter's own, from Python 3.12 on and before."""


def sha256(data: bytes) -> bytes:
    """The SHA-256 of `data`."""
    digest: bytes = _implementation().sha256(data).digest()
    return digest


def _implementation() -> Any:
    for name in _OWN:
        with suppress(ImportError):
            return import_module(name)
    import hashlib  # of an interpreter that was built without one of its own

    return hashlib

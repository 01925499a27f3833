"""Names of archive members: which of them may become paths on disk. One rule for every kind of archive."""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

__all__ = [
    "BAD_CHARACTER",
    "DEPTH_LIMIT",
    "ENTRY_LIMIT",
    "PATH_LENGTH",
    "RATIO_COUNTS_FROM",
    "RATIO_LIMIT",
    "NameFault",
    "name_fault",
]

ENTRY_LIMIT = 100_000
DEPTH_LIMIT = 100
"""Directories above a file."""
PATH_LENGTH = 1024
"""Bytes of a path, which goes behind that of the data directory."""
_NAME_LENGTH = 255
"""Bytes of a name in it, which is what file systems take."""
RATIO_LIMIT = 1000
"""How many times its size an archive may unpack to."""
RATIO_COUNTS_FROM = 50 * 1024**2
BAD_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators, and bytes that are not UTF-8."""


class NameFault(Struct, frozen=True):
    """Why a name may not become a path."""

    code: str
    """``bad-name``, ``absolute-name`` or ``path-traversal``."""
    what: str
    """What follows on "a name in the archive"."""
    expected: str = ""


def name_fault(name: str) -> NameFault | None:
    """What is wrong with the name of a member; None when `posixpath.normpath` of it is a path inside the archive."""
    if BAD_CHARACTER.search(name) or not name:
        return NameFault("bad-name", "is no printable text")
    if len(name.encode()) > PATH_LENGTH:
        return NameFault("bad-name", "is too long", f"at most {PATH_LENGTH} bytes")
    if name.count("/") > DEPTH_LIMIT:
        return NameFault("bad-name", "is too deep", f"at most {DEPTH_LIMIT} directories")
    if any(len(part.encode()) > _NAME_LENGTH for part in name.split("/")):
        return NameFault("bad-name", "is too long", f"parts of {_NAME_LENGTH} bytes")
    if posixpath.isabs(name):
        return NameFault("absolute-name", "is absolute", "a relative path")
    if ".." in name.split("/"):
        return NameFault("path-traversal", "leads out of it", "a path without ..")
    return None

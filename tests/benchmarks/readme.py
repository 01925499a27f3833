"""Figures in the README come from a run, never from a hand: a marked block of it is replaced."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["BlockMissing", "replace_block"]


class BlockMissing(Exception):
    """The file has no such block, so nothing was written."""


def replace_block(path: Path, name: str, text: str) -> None:
    """Put `text` between ``<!-- benchmark: NAME -->`` and ``<!-- end -->``. Raises `BlockMissing`."""
    before = path.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- benchmark: {re.escape(name)} -->\n).*?(\n?<!-- end -->)", re.DOTALL)
    after, count = block.subn(lambda match: f"{match[1]}{text.rstrip()}\n{match[2].lstrip()}", before, count=1)
    if not count:
        raise BlockMissing(f"{path} has no block `<!-- benchmark: {name} -->` … `<!-- end -->`")
    path.write_text(after, encoding="utf-8")

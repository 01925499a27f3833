"""Cutting a stream of bytes into the lines that an executor's `output` gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["split_lines"]

_LONGEST = 1 << 16


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of `chunks` without their end; one longer than 64 KiB in pieces, so that none can exhaust memory.

    What follows the last line end is a line too, unless it is empty.
    """
    pending = b""
    for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            yield from _pieces(line)
        if len(pending) > _LONGEST:
            *full, pending = _pieces(pending)
            yield from full
    if pending:
        yield from _pieces(pending)


def _pieces(line: bytes) -> Iterator[bytes]:
    yield line[:_LONGEST]
    for start in range(_LONGEST, len(line), _LONGEST):
        yield line[start : start + _LONGEST]

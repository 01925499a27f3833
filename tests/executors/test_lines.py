"""Cutting output into lines: nothing is lost or added, and nothing grows without bound."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.executors.lines import split_lines

LONGEST = 1 << 16


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"\x01", b"\n"))))
def test_the_cuts_of_the_stream_do_not_matter(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    lines = list(split_lines(chunks))
    assert lines == list(split_lines([whole]))
    assert lines == (whole.removesuffix(b"\n").split(b"\n") if whole else [])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 3 * LONGEST), max_size=4), st.integers(5_000, 2 * LONGEST))
def test_long_lines_come_in_pieces(lengths: list[int], cut: int) -> None:
    whole = b"".join(b"x" * length + b"\n" for length in lengths)
    lines = list(split_lines(whole[start : start + cut] for start in range(0, len(whole), cut)))
    assert max(map(len, lines), default=0) <= LONGEST
    assert b"".join(lines) == whole.replace(b"\n", b"")
    assert len(lines) == sum(max(1, -(-length // LONGEST)) for length in lengths)

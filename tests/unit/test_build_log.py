"""A build's log on disk and in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import LogLine, LogRing, clean_log_line
from engine.builds.log import LogReader, format_line, parse_line, read_log


@given(st.floats(0, 4e9), st.text())
def test_a_line_is_read_as_it_was_written(at: float, text: str) -> None:
    line = parse_line(format_line(LogLine(at, clean_log_line(text))))
    assert abs(line.at - at) <= 0.002
    assert line.text == clean_log_line(text)


@pytest.mark.parametrize(
    "text",
    ["", "Collecting flask", "2026-01-31 12:00", "2026-01-31T12:00:00 x", "9999-99-99T99:99:99.999Z x", " x"],
)
def test_a_line_without_a_time_is_all_text(text: str) -> None:
    assert parse_line(text) == LogLine(0.0, text)


def write(path: Path, lines: int, tail: str = "") -> None:
    with path.open("w") as file:
        file.writelines(format_line(LogLine(0.0, f"{number} {'x' * 80}")) + "\n" for number in range(lines))
        file.write(tail)


def test_the_end_of_a_long_log_is_found_without_reading_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, 40_000, "2026-01-31T12:00:00.000Z half a li")
    reader = LogReader(path)
    skipped = reader.skip_to_last(10_000)
    lines = []
    while some := reader.poll():
        lines += some
    assert 0 < skipped <= 30_000
    assert len(lines) == 40_000 - skipped
    assert [lines[0].text.split()[0], lines[-1].text.split()[0]] == [str(skipped), "39999"]
    assert sum(1 for _ in read_log(path)) == 40_000


@pytest.mark.parametrize("lines", [0, 1, 100])
def test_a_short_log_is_read_from_its_beginning(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "log"
    assert LogReader(path).skip_to_last(10) == 0
    write(path, lines)
    reader = LogReader(path)
    assert reader.skip_to_last(10) == 0
    assert len(reader.poll()) == lines


def test_what_is_only_on_the_disk_counts() -> None:
    ring = LogRing(keep=3)
    ring.skip(100)
    ring.extend([LogLine(0.0, str(number)) for number in range(5)])
    assert ring.total == 105
    assert [line.text for line in ring.since(0)[0]] == ["2", "3", "4"]
    assert [line.text for line in ring.since(104)[0]] == ["4"]
    assert ring.since(105) == ([], 105)

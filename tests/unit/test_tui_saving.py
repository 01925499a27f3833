"""Writing what the screen shows to a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.tui.screens.saving import write_lines


def breaks() -> Iterator[str]:
    yield "one"
    raise OSError(28, "No space left on device")


def test_a_file_that_is_there_is_not_touched_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert write_lines(path, ["one", "zwölf"], replace=False) == 2
    assert path.read_text() == "one\nzwölf\n"
    with pytest.raises(FileExistsError):
        write_lines(path, ["two"], replace=False)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_lines(tmp_path / "dangling", ["two"], replace=False)
    assert write_lines(path, ["two"], replace=True) == 1
    assert path.read_text() == "two\n"


@pytest.mark.parametrize("replace", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "log"
    if replace:
        path.write_text("before")
    with pytest.raises(OSError, match="No space"):
        write_lines(path, breaks(), replace=replace)
    assert [one.read_text() for one in tmp_path.iterdir()] == (["before"] if replace else [])

"""Where what was copied is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.tui.keeping import keep


def test_the_cache_directory_is_the_one_that_the_variables_name(tmp_path: Path) -> None:
    assert keep("clip.txt", b"text", {"HOME": str(tmp_path)}) == tmp_path / ".cache" / "envdeck" / "clip.txt"
    environ = {"HOME": "/nonexistent", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    file = keep("clip.txt", b"text", environ)
    assert file == tmp_path / "cache" / "envdeck" / "clip.txt"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"text", 0o600)


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "here"}, {"XDG_CACHE_HOME": "cache"}])
def test_without_a_home_nothing_is_written_anywhere(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert keep("clip.txt", b"text", environ) is None
    assert list(tmp_path.iterdir()) == []


def test_where_it_cannot_be_written_nothing_is_claimed(tmp_path: Path) -> None:
    (tmp_path / ".cache").touch()
    assert keep("clip.txt", b"text", {"HOME": str(tmp_path)}) is None

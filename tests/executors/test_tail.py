"""Reading output that somebody else writes, who may put anything in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import Problem
from engine.executors.base import ExecutorError, JobNotFound
from engine.executors.tail import follow, last_bytes, make_output, size_of


def steps(*each: Callable[[], object]) -> Callable[[], bool]:
    """Does one step each time it is asked whether the job has ended, which is so with the last."""
    rest = list(each)

    def ended() -> bool:
        rest.pop(0)()
        return not rest

    return ended


def nothing() -> None:
    pass


def fails() -> None:
    raise ExecutorError(Problem("executor-failed", "no answer"))


def forgotten() -> None:
    raise JobNotFound("slurm", "a")


def appends(path: Path, data: bytes) -> Callable[[], object]:
    def append() -> None:
        with path.open("ab") as file:
            file.write(data)

    return append


def test_what_is_written_until_the_end_is_read_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.write_bytes(b"one\ntw")
    assert list(follow(path, steps(appends(path, b"o\n"), appends(path, b"three")))) == [b"one", b"two", b"three"]


def test_output_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "output"
    assert list(follow(path, steps(nothing, appends(path, b"late\n")))) == [b"late"]


def test_while_the_executor_does_not_answer_the_output_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "output"
    assert list(follow(path, steps(fails, appends(path, b"after\n"), nothing))) == [b"after"]


def test_a_forgotten_job_has_no_more_output(tmp_path: Path) -> None:
    assert list(follow(tmp_path / "output", steps(forgotten, nothing))) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "missing"])
def test_what_is_no_file_has_no_output(tmp_path: Path, kind: str) -> None:
    path, secret = tmp_path / "output", tmp_path / "secret"
    secret.write_text("secret\n")
    if kind == "link":
        path.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    assert list(follow(path, steps(nothing))) == []
    assert last_bytes(path, 10) == b""


def test_the_end_of_the_output(tmp_path: Path) -> None:
    path = tmp_path / "output"
    assert size_of(path) == 0
    path.write_bytes(b"abcdef")
    assert (size_of(path), last_bytes(path, 2), last_bytes(path, 99)) == (6, b"ef", b"abcdef")


def test_output_is_for_its_account_only_and_never_made_through_a_link(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "output", tmp_path / "elsewhere"
    make_output(path, None)
    assert path.stat().st_mode & 0o777 == 0o600
    link = tmp_path / "link"
    link.symlink_to(elsewhere)
    with pytest.raises(OSError, match="link"):
        make_output(link, None)
    assert not elsewhere.exists()

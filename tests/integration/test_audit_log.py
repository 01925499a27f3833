"""The audit on disk: many writers, full files put aside, half lines, and reading while all of that happens."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import AuditAction, AuditPage, AuditQuery, AuditReader, Severity, StorageError
from engine.audit import writing
from engine.audit.model import Actor, AuditEvent, AuditRecord, encode
from engine.audit.reading import AuditTail
from engine.audit.writing import AUDIT_FILE, record

ROOT = Path(__file__).parents[2]
WHO = Actor("alice")

WRITER = """
import sys
from pathlib import Path
from engine.audit import writing
from engine.audit.model import Actor, AuditAction, AuditEvent

writing._ROTATE_AT = 20_000
writing._PATIENCE = 60.0  # on a busy machine, too, it is the lock that keeps them in order
sys.stdin.readline()
for number in range(200):
    event = AuditEvent(AuditAction.PIN, {"key": f"{sys.argv[2]}-{number}", "note": "x" * (number * 7 % 900)})
    problem = writing.record(Path(sys.argv[1]), event, Actor("alice"))
    assert problem is None, problem
"""


def put(data_dir: Path, *keys: str) -> None:
    for key in keys:
        assert record(data_dir, AuditEvent(AuditAction.PIN, {"key": key}), WHO) is None


def keys(page: AuditPage) -> list[str]:
    return [found.event.subject for found in page.records]


def at(seconds: float, key: str, action: str = AuditAction.PIN) -> bytes:
    return encode(AuditRecord(seconds, WHO, AuditEvent(action, {"key": key})))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are full after a few lines."""
    monkeypatch.setattr(writing, "_ROTATE_AT", 500)


# Writing


def test_many_processes_lose_no_line_and_mix_none_while_files_are_put_aside(tmp_path: Path) -> None:
    names = [f"writer{i}" for i in range(6)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], cwd=ROOT, stdin=subprocess.PIPE)
        for name in names
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.close()
    assert [writer.wait(120) for writer in writers] == [0] * len(writers)
    page = AuditReader(tmp_path).tail(9999)
    assert page.broken == 0
    assert sorted(keys(page)) == sorted(f"{name}-{number}" for name in names for number in range(200))
    files = list(tmp_path.glob("audit-*.jsonl"))
    assert len(files) > 5
    assert max(file.stat().st_size for file in files) < 20_000 + 4096 * len(names)
    for name in names:
        mine = [key for key in keys(page) if key.startswith(f"{name}-")]
        assert mine == [f"{name}-{number}" for number in range(200)], "each in the order of its actions"


def test_without_a_data_directory_nothing_is_made(tmp_path: Path) -> None:
    put(tmp_path / "data", "a")
    assert list(tmp_path.iterdir()) == []


def test_a_half_line_spoils_no_other(tmp_path: Path) -> None:
    put(tmp_path, "before")
    with (tmp_path / AUDIT_FILE).open("ab") as file:
        file.write(at(1, "half")[:40])
    put(tmp_path, "after")
    page = AuditReader(tmp_path).tail(10)
    assert (keys(page), page.broken) == (["before", "after"], 1)


@pytest.mark.parametrize("obstacle", ["a directory", "a full disk", "not a directory"])
def test_what_cannot_be_written_is_a_warning_that_says_what_is_missing(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / AUDIT_FILE
    if obstacle == "a directory":
        path.mkdir()
    elif obstacle == "a full disk":
        path.symlink_to("/dev/full")
    else:
        path.symlink_to(Path(__file__) / "x")
    problem = record(tmp_path, AuditEvent(AuditAction.REAP, {"key": "k"}), WHO)
    assert problem is not None
    assert (problem.code, problem.severity) == ("audit-write", Severity.WARNING)
    assert "reap" in problem.message
    assert str(path) in str(problem.where)


def test_a_file_that_may_not_be_moved_goes_on_growing(tmp_path: Path, small: None, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "rename", refuse)
    put(tmp_path, *map(str, range(10)))
    assert [file.name for file in tmp_path.iterdir()] == [AUDIT_FILE]
    assert len(AuditReader(tmp_path).tail(99).records) == 10


def test_a_new_file_can_be_written_by_the_same_people(tmp_path: Path, small: None) -> None:
    put(tmp_path, "a")
    (tmp_path / AUDIT_FILE).chmod(0o664)
    put(tmp_path, *map(str, range(9)))
    modes = {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {0o664}
    assert len(list(tmp_path.iterdir())) > 2


def test_a_lock_that_somebody_keeps_holds_nobody_up_for_long(tmp_path: Path, monkeypatch) -> None:
    import fcntl

    monkeypatch.setattr(writing, "_PATIENCE", 0.05)
    put(tmp_path, "a")
    with (tmp_path / AUDIT_FILE).open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        put(tmp_path, "b")
    assert keys(AuditReader(tmp_path).tail(9)) == ["a", "b"]


# Reading the end


def test_the_newest_come_last_across_files_and_say_whether_there_are_more(tmp_path: Path, small: None) -> None:
    names = [str(i) for i in range(30)]
    put(tmp_path, *names)
    assert len(list(tmp_path.iterdir())) > 3
    page = AuditReader(tmp_path).tail(7)
    assert (keys(page), page.complete) == (names[-7:], False)
    page = AuditReader(tmp_path).tail(30)
    assert (keys(page), page.complete) == (names, True)


def test_nothing_yet_is_an_empty_page(tmp_path: Path) -> None:
    assert AuditReader(tmp_path / "no" / "such").tail(9) == AuditPage()
    assert AuditReader(tmp_path).tail(9) == AuditPage()


def test_a_query_looks_as_far_back_as_it_must_and_clocks_may_differ(tmp_path: Path) -> None:
    day = 86400.0
    lines = [at(day, "old"), at(day * 10 + 60, "wanted"), at(day * 10 - 60, "slow clock"), at(day * 11, "late")]
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(lines))
    assert keys(AuditReader(tmp_path, AuditQuery(since=day * 10)).tail(9)) == ["wanted", "late"]


def test_lines_that_are_no_records_are_counted(tmp_path: Path) -> None:
    junk = [b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b"x" * 700_000 + b"\n", b"\n"]
    lines = itertools.chain.from_iterable((at(i, str(i)), line) for i, line in enumerate(junk))
    (tmp_path / AUDIT_FILE).write_bytes(b"".join(lines))
    page = AuditReader(tmp_path).tail(99)
    assert keys(page) == [str(i) for i in range(len(junk))]
    assert page.broken == 4


def test_reading_takes_no_more_memory_for_a_longer_audit(tmp_path: Path) -> None:
    line = at(1.0, "k" * 300)
    with (tmp_path / AUDIT_FILE).open("wb") as file:
        for _ in range(20_000):
            file.write(line)
    tracemalloc.start()
    try:
        AuditReader(tmp_path, AuditQuery(what="not there")).tail(100)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_audit_that_may_not_be_read_is_an_error_that_says_so(tmp_path: Path) -> None:
    put(tmp_path, "a")
    (tmp_path / AUDIT_FILE).chmod(0)
    with pytest.raises(StorageError) as caught:
        AuditReader(tmp_path).tail(9)
    assert caught.value.problem.code == "audit-read"


def test_an_audit_that_cannot_be_read_is_an_error_for_one_and_a_problem_of_the_picture(tmp_path: Path) -> None:
    (tmp_path / AUDIT_FILE).mkdir()
    with pytest.raises(StorageError) as caught:
        AuditReader(tmp_path).tail(9)
    assert caught.value.problem.code == "audit-read"
    page = AuditTail(tmp_path, 9).look()
    assert page.problem is not None
    assert page.problem.code == "audit-read"


# Reading on


def test_what_is_added_is_read_once_whatever_happens_to_the_files(tmp_path: Path, small: None) -> None:
    put(tmp_path, "0", "1")
    reader = AuditReader(tmp_path)
    seen = keys(reader.tail(9))
    for number in range(2, 40):
        put(tmp_path, str(number))
        if number % 9 == 0:
            seen += keys(reader.new())
    seen += keys(reader.new())
    assert seen == [str(number) for number in range(40)]
    assert keys(reader.new()) == []


def test_an_audit_that_begins_later_is_read_from_its_start(tmp_path: Path, small: None) -> None:
    reader = AuditReader(tmp_path)
    assert reader.tail(9) == AuditPage()
    assert reader.new() == AuditPage()
    put(tmp_path, "a")
    assert keys(reader.new()) == ["a"]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    put(tmp_path, "a")
    line = at(1.0, "b")
    with (tmp_path / AUDIT_FILE).open("ab", buffering=0) as file:
        file.write(line[:30])
        reader = AuditReader(tmp_path)
        assert keys(reader.tail(9)) == ["a"]
        assert reader.new() == AuditPage()
        file.write(line[30:])
        assert keys(reader.new()) == ["b"]


def test_a_file_that_was_emptied_is_read_from_its_start(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    reader = AuditReader(tmp_path)
    reader.tail(9)
    os.truncate(tmp_path / AUDIT_FILE, 0)
    put(tmp_path, "c")
    assert keys(reader.new()) == ["c"]


def test_full_files_may_be_taken_away_at_any_time(tmp_path: Path, small: None) -> None:
    put(tmp_path, *map(str, range(20)))
    reader = AuditReader(tmp_path)
    reader.tail(1)
    put(tmp_path, *map(str, range(20, 40)))
    for path in tmp_path.glob("audit-*.jsonl"):
        path.unlink()
    reader.new()
    put(tmp_path, "40")
    assert keys(reader.new()) == ["40"]


def test_the_filter_holds_for_what_is_added_too(tmp_path: Path) -> None:
    reader = AuditReader(tmp_path, AuditQuery(what="b"))
    put(tmp_path, "a", "b", "ab")
    assert keys(reader.tail(9)) == ["b", "ab"]
    put(tmp_path, "c", "bc")
    assert keys(reader.new()) == ["bc"]


@pytest.mark.parametrize("looks", [1, 3])
def test_the_tail_is_the_same_object_until_something_is_added(tmp_path: Path, looks: int, small: None) -> None:
    tail = AuditTail(tmp_path, 5)
    assert tail.look() == AuditPage()
    for number in range(12):
        put(tmp_path, str(number))
        if number % looks == 0:
            tail.look()
    page = tail.look()
    assert keys(page) == ["7", "8", "9", "10", "11"]
    assert page.complete is False
    assert tail.look() is page


def test_each_writer_is_one_of_the_readers_of_the_others(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    reader = AuditReader(tmp_path)
    reader.tail(1)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), "w"], cwd=ROOT, stdin=subprocess.PIPE)
    assert writer.stdin is not None
    writer.stdin.write(b"go\n")
    writer.stdin.close()
    seen: list[str] = []

    def all_read() -> bool:
        seen.extend(keys(reader.new()))
        return len(seen) >= 200

    wait_until(all_read, what="all records of the other process")
    assert writer.wait(30) == 0
    assert seen == [f"w-{number}" for number in range(200)]

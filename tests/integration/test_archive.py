from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.bundles.archive import extract, open_archive
from engine.errors import InputError, Problem
from engine.files import StorageError

Entry = tuple[str, bytes] | tarfile.TarInfo


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def symlink(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def tar_bytes(*entries: Entry) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for item in entries:
            if isinstance(item, tarfile.TarInfo):
                tar.addfile(item)
            else:
                info = tarfile.TarInfo(item[0])
                info.size = len(item[1])
                tar.addfile(info, io.BytesIO(item[1]))
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Writes an archive of the given entries, or of raw bytes, and returns its path."""

    def write(*entries: Entry, raw: bytes | None = None) -> Path:
        path = tmp_path / "bundle.tar.gz"
        path.write_bytes(gzip.compress(tar_bytes(*entries), 1) if raw is None else raw)
        return path

    return write


def problem(path: Path) -> Problem:
    """The problem that keeps the archive from being read, after making sure that unpacking leaves nothing behind."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(InputError) as caught:
        extract(path, path.parent / "out")
    assert sorted(path.parent.iterdir()) == before
    return caught.value.problem


def listing(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


@pytest.mark.parametrize(
    ("entries", "code", "member"),
    [
        ([("a", b"x"), ("../x", b"")], "archive-path-traversal", "../x"),
        ([("a/../../x", b"")], "archive-path-traversal", "a/../../x"),
        ([("/etc/x", b"")], "archive-absolute-name", "/etc/x"),
        ([symlink("a", "/etc/passwd")], "archive-unsafe-link", "a"),
        ([symlink("a/b", "../../x")], "archive-unsafe-link", "a/b"),
        ([symlink("a", "b/../../x")], "archive-unsafe-link", "a"),
        ([symlink("a", "..")], "archive-unsafe-link", "a"),
        # Each looks harmless by itself: d/up is the root, so d/up/.. is its parent.
        ([symlink("d/up", ".."), symlink("d/out", "up/../secret")], "archive-unsafe-link", "d/out"),
        ([symlink("d", "e"), ("d/x", b""), ("e/y", b"")], "archive-unsafe-link", "d/x"),
        ([("d/x", b""), symlink("d", "e")], "archive-unsafe-link", "d/x"),
        ([("f", b""), ("f/x", b"")], "archive-unsafe-link", "f/x"),
        ([hardlink("a", "/etc/passwd")], "archive-unsafe-link", "a"),
        ([hardlink("a/b", "../x")], "archive-unsafe-link", "a/b"),
        ([hardlink("a", "gone")], "archive-unsafe-link", "a"),
        ([symlink("s", "f"), ("f", b""), hardlink("h", "s")], "archive-unsafe-link", "h"),
        ([entry("dev", tarfile.CHRTYPE)], "archive-special-file", "dev"),
        ([entry("disk", tarfile.BLKTYPE)], "archive-special-file", "disk"),
        ([entry("pipe", tarfile.FIFOTYPE)], "archive-special-file", "pipe"),
        ([entry("odd", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"})], "archive-special-file", "odd"),
        ([("a", b"1"), ("a", b"2")], "archive-duplicate-name", "a"),
        ([("a", b"1"), ("./a", b"2")], "archive-duplicate-name", "a"),
        ([entry("a", tarfile.DIRTYPE), symlink("a", "b")], "archive-duplicate-name", "a"),
        ([("a\nb", b"")], "archive-bad-name", "a\\x0ab"),
        ([("a\x1b[31m", b"")], "archive-bad-name", "a\\x1b[31m"),
        ([("a\udcff", b"")], "archive-bad-name", "a\\udcff"),
        ([("x" * 1025, b"")], "archive-bad-name", "x" * 1024),
        ([("d/" * 101 + "x", b"")], "archive-bad-name", "d/" * 101 + "x"),
        ([(".", b"")], "archive-bad-name", "."),
    ],
)
def test_a_harmful_member_is_refused_and_nothing_is_left_behind(archive, entries, code, member):
    path = archive(*entries)
    found = problem(path)
    assert found.code == code
    assert str(found.where) == f"{path}!{member}"


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


_PLAIN = tar_bytes(("manifest.json", b"{}"), ("app.py", os.urandom(4000)))
_GZIPPED = gzip.compress(_PLAIN)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (_GZIPPED[: len(_GZIPPED) // 2], "archive-damaged"),
        (_GZIPPED[:-4], "archive-damaged"),
        (flipped(_GZIPPED, -6), "archive-damaged"),
        (flipped(_GZIPPED, 2000), "archive-damaged"),
        (_GZIPPED + b"garbage", "archive-damaged"),
        (gzip.compress(b"no tar in here"), "archive-damaged"),
        (gzip.compress(b""), "archive-damaged"),
        (_PLAIN[:3000], "archive-damaged"),
        (_PLAIN[:1200], "archive-damaged"),
        (flipped(_PLAIN, 1024 + 3), "archive-damaged"),
        (b"", "archive-unknown-format"),
        (b"PK\x03\x04 a zip", "archive-unknown-format"),
        (b"\x00" * 1024, "archive-unknown-format"),
        (b"text" * 1000, "archive-unknown-format"),
    ],
    ids=range(14),
)
def test_what_is_no_whole_archive_is_refused(archive, raw, code):
    path = archive(raw=raw)
    found = problem(path)
    assert found.code == code
    assert str(found.where) == str(path)


def test_another_format_is_named(archive):
    assert problem(archive(raw=b"PK\x03\x04")).found == "zip"


def claiming(size: int) -> bytes:
    """The header of a member that says it has `size` bytes, without them."""
    return entry("big", size=size).tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (gzip.compress(claiming(3 * 1024**3)), "archive-too-large"),
        (claiming(3 * 1024**3), "archive-too-large"),
        (gzip.compress(claiming(60 * 1024**2)), "archive-too-compressed"),
        # Real content this time: a gzip stream may consist of many, each ten million zeros.
        (gzip.compress(claiming(10**8)) + gzip.compress(bytes(10**7)) * 10, "archive-too-compressed"),
        # Zeros after the end of the archive, which are read for the checksum's sake.
        (gzip.compress(tar_bytes(("a", b""))) + gzip.compress(bytes(10**7)) * 10, "archive-too-compressed"),
        (gzip.compress(entry("x", tarfile.XHDTYPE, size=2**30).tobuf(tarfile.GNU_FORMAT)), "archive-damaged"),
        (gzip.compress(entry("x", tarfile.GNUTYPE_LONGNAME, size=2**30).tobuf(tarfile.GNU_FORMAT)), "archive-damaged"),
        (gzip.compress(claiming(-512)), "archive-damaged"),
    ],
    ids=range(8),
)
def test_a_bomb_is_refused_before_it_costs_memory(archive, raw, code):
    path = archive(raw=raw)
    tracemalloc.start()
    try:
        assert problem(path).code == code
        assert tracemalloc.get_traced_memory()[1] < 10 * 1024**2
    finally:
        tracemalloc.stop()


def test_too_many_entries_are_refused(archive, monkeypatch):
    monkeypatch.setattr("engine.bundles.archive.ENTRY_LIMIT", 100)
    header = entry("d", tarfile.DIRTYPE).tobuf()
    assert problem(archive(raw=gzip.compress(header * 101))).code == "archive-too-many-entries"


def test_chained_extended_headers_are_refused(archive):
    header = entry("x", tarfile.XHDTYPE, size=0).tobuf(tarfile.GNU_FORMAT)
    assert problem(archive(raw=gzip.compress(header * 5000))).code == "archive-damaged"


@pytest.mark.parametrize("compress", [gzip.compress, bytes], ids=["gzip", "plain"])
@pytest.mark.parametrize("prefix", ["", "./", "bundle/", "./a/b/"])
def test_files_are_found_wherever_the_root_is(archive, prefix, compress):
    raw = tar_bytes((f"{prefix}app/main.py", b"pass"), (f"{prefix}manifest.json", b"{}"))
    with open_archive(archive(raw=compress(raw))) as opened:
        assert opened.read("manifest.json", 100) == b"{}"
        assert opened.read("./app/main.py", 2) == b"pa"
        assert opened.read("app", 100) is None
        assert opened.read("gone", 100) is None


def test_a_single_file_is_no_root_to_move_into(archive):
    with open_archive(archive(("manifest.json", b"{}"))) as opened:
        assert opened.read("manifest.json", 100) == b"{}"


def test_links_inside_the_archive_are_followed(archive):
    path = archive(
        ("a/real", b"content"), symlink("a/soft", "real"), hardlink("hard", "a/real"), symlink("loop", "loop")
    )
    with open_archive(path) as opened:
        assert opened.read("a/soft", 100) == b"content"
        assert opened.read("hard", 100) == b"content"
        assert opened.read("loop", 100) is None


def test_a_large_member_is_read_up_to_the_limit(archive):
    content = os.urandom(300_000)
    with open_archive(archive(("big", content), ("small", b"x"))) as opened:
        assert opened.read("big", 200_000) == content[:200_000]
        assert opened.read("small", 1) == b"x"
        assert opened.read("big", 10**6) == content


def test_names_that_differ_by_case_are_two_files(archive, tmp_path):
    extract(archive(("readme", b"1"), ("README", b"2")), tmp_path / "out")
    assert listing(tmp_path / "out") == ["README", "readme"]


@pytest.mark.parametrize("exists", [False, True])
def test_extracting_puts_the_root_into_the_destination(archive, tmp_path, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
    path = archive(
        entry("bundle", tarfile.DIRTYPE, mode=0o700),
        entry("bundle", tarfile.DIRTYPE, mode=0o700),
        entry("bundle/empty", tarfile.DIRTYPE),
        ("bundle/manifest.json", b"{}"),
        ("bundle/pkg/mod.py", b"pass"),
        symlink("bundle/link", "pkg/mod.py"),
        hardlink("bundle/hard", "bundle/pkg/mod.py"),
    )
    extract(path, out)
    assert listing(out) == ["empty", "hard", "link", "manifest.json", "pkg", "pkg/mod.py"]
    assert (out / "link").read_text() == "pass"
    assert (out / "hard").samefile(out / "pkg/mod.py")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle.tar.gz", "out"]


def test_dangerous_permissions_are_not_restored(archive, tmp_path):
    extract(archive(entry("tool", mode=0o6777, uid=12345, gid=12345), ("x", b"")), tmp_path / "out")
    status = (tmp_path / "out/tool").stat()
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert status.st_uid == os.getuid()


def test_an_occupied_destination_is_left_alone(archive, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").touch()
    with pytest.raises(StorageError) as caught:
        extract(archive(("a", b"")), tmp_path / "out")
    assert caught.value.problem.code == "storage-write"
    assert listing(tmp_path / "out") == ["precious"]


def test_a_name_the_disk_refuses_leaves_nothing_behind(archive, tmp_path):
    deep = tmp_path.joinpath(*["d" * 250] * 12)  # with the longest names more than the 4096 bytes of a path
    deep.mkdir(parents=True)
    with pytest.raises(StorageError):
        extract(archive(("ok", b"x"), ("/".join(["n" * 200] * 5), b"x")), deep / "out")
    assert listing(deep) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    data=st.data(),
    base=st.sampled_from([_PLAIN, _GZIPPED, tar_bytes(("a/b", b"x"), symlink("a/c", "b"), entry("d", size=0))]),
)
def test_only_input_errors_escape_from_damaged_bytes(tmp_path, data, base):
    raw = bytearray(base)
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzzed.tar"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        with open_archive(path) as opened:
            opened.read("manifest.json", 100)
    except InputError as error:
        code = error.problem.code
    else:
        code = "archive-"
    assert code.startswith("archive-")

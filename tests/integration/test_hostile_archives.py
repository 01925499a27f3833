"""Archives made to harm: whoever may publish can send any bytes, and some of these brought down what read them."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.bundles.archive import extract, open_archive
from engine.bundles.reading import read_bundle
from engine.errors import InputError, Problem
from engine.files import StorageError

REPOSITORY = Path(__file__).parents[2]


def header(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> bytes:
    """The header of a member, without its data."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")


def member(name: str, content: bytes = b"", **fields: Any) -> bytes:
    return header(name, size=len(content), **fields) + padded(content)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def pax(kind: bytes = tarfile.XHDTYPE, **records: str) -> bytes:
    """An extended header for the next member, or with `XGLTYPE` for all that follow."""
    data = b""
    for name, value in records.items():
        record = f" {name.replace('__', '.')}={value}\n".encode()
        length = len(record) + 1
        while length != len(str(length)) + len(record):
            length += 1
        data += str(length).encode() + record
    return header("pax", kind, size=len(data)) + padded(data)


def gnu_long(kind: bytes, text: bytes) -> bytes:
    return header("././@LongLink", kind, size=len(text) + 1) + padded(text + b"\0")


END = bytes(2 * tarfile.BLOCKSIZE)
SYM, LNK, DIR = {"kind": tarfile.SYMTYPE}, {"kind": tarfile.LNKTYPE}, {"kind": tarfile.DIRTYPE}


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    def write(*blocks: bytes, raw: bytes | None = None) -> Path:
        path = tmp_path / "bundle.tar.gz"
        path.write_bytes(gzip.compress(b"".join(blocks) + END, 1) if raw is None else raw)
        return path

    return write


def problem(path: Path) -> Problem:
    """Why the archive is refused, after making sure that nothing is left of it."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(InputError) as caught:
        extract(path, path.parent / "out")
    assert sorted(path.parent.iterdir()) == before
    return caught.value.problem


@pytest.mark.parametrize(
    ("blocks", "code"),
    [
        # The true name of a member is in the header before it.
        ([pax(path="../x"), member("harmless")], "archive-path-traversal"),
        ([pax(path="/etc/x"), member("harmless")], "archive-absolute-name"),
        ([pax(path="a\x1b]52;c;eA==\x07"), member("harmless")], "archive-bad-name"),
        ([pax(path="a\u2028b"), member("harmless")], "archive-bad-name"),
        ([pax(linkpath="/etc/passwd"), header("l", **SYM, linkname="harmless")], "archive-unsafe-link"),
        ([pax(linkpath="../x"), header("l", **LNK, linkname="harmless")], "archive-unsafe-link"),
        ([pax(tarfile.XGLTYPE, path="../x"), member("harmless")], "archive-path-traversal"),
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b"../x"), member("harmless")], "archive-path-traversal"),
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b"a\xff"), member("harmless")], "archive-bad-name"),
        ([gnu_long(tarfile.GNUTYPE_LONGLINK, b"/etc"), header("l", **SYM, linkname="harmless")], "archive-unsafe-link"),
        # An empty name is that of the archive's root.
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b""), member("x")], "archive-bad-name"),
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b"a\0/../x"), member("x"), member("a")], "archive-duplicate-name"),
        # Sizes.
        ([pax(size="-1"), member("a")], "archive-damaged"),
        ([pax(size="99999999999999999999"), member("a")], "archive-too-large"),
        ([member("a").replace(b"00000000000\0", b"77777777777\0", 1)], "archive-damaged"),
        # Sparse files, in all four notations.
        ([pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__realsize="9"), member("a", b"1\n0\n9\n")],
         "archive-special-file"),
        ([pax(GNU__sparse__map="0,1", GNU__sparse__size="1"), member("a")], "archive-special-file"),
        ([pax(GNU__sparse__size="1", GNU__sparse__offset="0", GNU__sparse__numbytes="1"), member("a")],
         "archive-special-file"),
        ([header("a", tarfile.GNUTYPE_SPARSE)], "archive-special-file"),
        # Kinds that are none, and those that unpackers treat as files.
        ([header("a", b"Z")], "archive-special-file"),
        ([header("a", b"V")], "archive-special-file"),
        ([header("a", b"M")], "archive-special-file"),
        # Names.
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b"n" * 256), member("a")], "archive-bad-name"),
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, ("é" * 128).encode()), member("a")], "archive-bad-name"),
        ([gnu_long(tarfile.GNUTYPE_LONGNAME, b"/".join([b"n" * 200] * 6)), member("a")], "archive-bad-name"),
        ([gnu_long(tarfile.GNUTYPE_LONGLINK, b"n/" * 600), header("l", **SYM, linkname="x")], "archive-unsafe-link"),
        # Links and what lies below them, in either order.
        ([header("a", **SYM, linkname="b"), header("b", **SYM, linkname="c"), member("a/x")], "archive-unsafe-link"),
        ([member("a/x"), header("a", **SYM, linkname=".")], "archive-unsafe-link"),
        ([header("a", **SYM, linkname="."), header("a/b", **LNK, linkname="c"), member("c")], "archive-unsafe-link"),
        ([header("a", **SYM, linkname="b"), header("a", **SYM, linkname="/etc")], "archive-unsafe-link"),
        ([header("a", **SYM, linkname="")], "archive-unsafe-link"),
        ([header("a", **LNK, linkname="b"), header("b", **LNK, linkname="a")], "archive-unsafe-link"),
        ([header("a", **LNK, linkname="a")], "archive-unsafe-link"),
        ([header("a", **LNK, linkname="d"), header("d", **DIR)], "archive-unsafe-link"),
        # CVE-2025-4517: directories and links that together are longer than a path may be.
        ([b"".join(header("/".join(["d" * 200] * n), **DIR) for n in range(1, 6)),
          header("l", **SYM, linkname="/".join(["d" * 200] * 5) + "/../../../../../../etc")], "archive-unsafe-link"),
    ],
)  # fmt: skip
def test_what_one_header_says_and_another_hides_is_refused(
    archive: Callable[..., Path], blocks: list[bytes], code: str
) -> None:
    assert problem(archive(*blocks)).code == code


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (gzip.compress(gzip.compress(member("a") + END)), "archive-damaged"),
        (gzip.compress(member("a") + END) + b"trailing garbage", "archive-damaged"),
        (gzip.compress(member("a") + END) + gzip.compress(b"more"), None),
        (gzip.compress(member("a")) + gzip.compress(member("b") + END), None),
        (gzip.compress(member("a") + END) + bytes(100), None),
        (gzip.compress(member("a")[:512]) + gzip.compress(member("a")[512:] + END)[:-1], "archive-damaged"),
        (b"\x1f\x8b\x08\x08" + b"a" * 100_000, "archive-damaged"),
        (b"\x1f\x8b\x09\x00" + bytes(600), "archive-damaged"),
        (b"\x1f\x8b", "archive-damaged"),
        (member("a", b"x" * 600)[:-512], "archive-damaged"),
        (header("a", tarfile.GNUTYPE_SPARSE)[:482] + b"\1" + header("a")[483:], "archive-unknown-format"),
    ],
    ids=range(11),
)
def test_gzip_in_all_its_forms(archive: Callable[..., Path], tmp_path: Path, raw: bytes, code: str | None) -> None:
    path = archive(raw=raw)
    if code:
        assert problem(path).code == code
    else:
        extract(path, tmp_path / "out")
        assert (tmp_path / "out/a").is_file()


def test_an_archive_in_an_archive_is_a_bundle_without_a_manifest(archive: Callable[..., Path]) -> None:
    inner = gzip.compress(member("manifest.json", b"{}") + END)
    with pytest.raises(InputError) as caught:
        read_bundle(archive(member("bundle.tar.gz", inner)))
    assert caught.value.problem.code == "manifest-missing"


def sparse_extensions() -> Iterator[bytes]:
    """A sparse file of the old kind whose map goes on and on: each block is 21 entries in memory."""
    start = bytearray(header("s", tarfile.GNUTYPE_SPARSE))
    start[482] = 1
    start[148:156] = b" " * 8
    start[148:156] = b"%06o\0 " % sum(start)
    yield bytes(start)
    for _ in range(20):
        yield ((b"00000000001\0" * 42) + b"\1" + bytes(7)) * 20_000


def global_headers() -> Iterator[bytes]:
    for number in range(200):
        yield pax(tarfile.XGLTYPE, **{f"k{number}_{n}": "v" for n in range(400)})
        yield member(f"a{number}")


def long_links() -> Iterator[bytes]:
    for number in range(3000):
        yield gnu_long(tarfile.GNUTYPE_LONGLINK, b"x/" * 7000)
        yield header(f"l{number}", **SYM, linkname="x")


def deep_names() -> Iterator[bytes]:
    """Each name has a hundred directories of its own."""
    for number in range(5000):
        yield gnu_long(tarfile.GNUTYPE_LONGNAME, f"{number}/{'/'.join(f'{n:08}' for n in range(99))}".encode())
        yield member("x")


def digits() -> Iterator[bytes]:
    """CVE-2024-6232: a regular expression of `tarfile` tries each digit of a header as the first."""
    for number in range(30):
        yield header("pax", tarfile.XHDTYPE, size=60_000) + padded(b"0" * 60_000)
        yield member(f"a{number}")


def small_digits() -> Iterator[bytes]:
    for number in range(20):
        yield header("pax", tarfile.XHDTYPE, size=59_976) + padded((b" 0" + b"0" * 250) * 238)
        yield member(f"a{number}")


def chained_long_names() -> Iterator[bytes]:
    for _ in range(20_000):
        yield gnu_long(tarfile.GNUTYPE_LONGNAME, b"x" * 500)


def huge_ids() -> Iterator[bytes]:
    for number in range(50):
        yield pax(uid="9" * 4000, gid="9" * 4000, mtime="9" * 4000)
        yield member(f"a{number}")


def links_to_links() -> Iterator[bytes]:
    for number in range(50_000):
        yield header(f"l{number}", **SYM, linkname=f"l{number + 1}")


def random_files() -> Iterator[bytes]:
    for number in range(50):
        yield member(f"data{number}", os.urandom(1024**2))


_MEASURE = textwrap.dedent(
    """
    import resource, sys, time
    from pathlib import Path
    from engine.bundles.reading import read_bundle
    from engine.errors import InputError
    resource.setrlimit(resource.RLIMIT_AS, (2 * 1024**3,) * 2)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read_bundle(Path(sys.argv[1]))
    except InputError as error:
        print(error.problem.code)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, time.process_time() - started)
    """
)


@pytest.mark.parametrize(
    ("blocks", "code", "megabytes"),
    [
        (sparse_extensions, "archive-damaged", 20),
        (global_headers, "archive-damaged", 20),
        (long_links, "archive-unsafe-link", 20),
        (deep_names, "archive-too-many-entries", 100),
        (digits, "archive-damaged", 20),
        (small_digits, "manifest-missing archive-damaged", 20),  # as this release of Python takes it
        (chained_long_names, "archive-damaged", 20),
        (huge_ids, "archive-damaged", 20),
        (links_to_links, "manifest-missing", 150),
        (random_files, "manifest-missing", 20),
    ],
)
def test_a_bomb_of_any_kind_costs_little_time_and_memory(
    blocks: Callable[[], Iterator[bytes]], code: str, megabytes: int, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.writelines(blocks())
        file.write(END)
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE, path], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True
    )
    found, used, seconds = run.stdout.split()
    assert found in code.split()
    assert int(used) < megabytes
    assert float(seconds) < 10


def test_reading_has_a_time_limit(archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.bundles.archive._TIME_LIMIT", 0.0)
    assert problem(archive(member("a"))).code == "archive-too-slow"


def test_a_file_that_includes_another_very_often_is_read_within_the_time_limit(
    archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back in a gzip archive means unpacking it again from its start."""
    manifest = b'{"version": 1, "python": {"version": "3.11.4", "package_manager": {}}}'
    path = archive(
        member("first.txt"),
        member("ballast", os.urandom(2 * 1024**2)),
        member("manifest.json", manifest),
        member("requirements.txt", b"-r first.txt\n-r last.txt\n" * 9_000),
        member("last.txt"),
    )
    monkeypatch.setattr("engine.bundles.archive._TIME_LIMIT", 1.0)
    with pytest.raises(InputError) as caught:
        read_bundle(path)
    assert caught.value.problem.code == "archive-too-slow"


def test_an_archive_larger_than_its_files_may_be_is_not_even_looked_into(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tar"
    path.write_bytes(member("a") + END)
    os.truncate(path, 3 * 1024**3)
    assert problem(path).code == "archive-too-large"


def test_times_owners_and_modes_of_the_archive_are_not_restored(archive: Callable[..., Path], tmp_path: Path) -> None:
    extract(
        archive(
            pax(mtime="1e300", uid="4294967295", uname="root", SCHILY__xattr__user__x="y"),
            member("tool", mode=0o6777),
            pax(mtime="nan"),
            header("d", **DIR, mode=0o7000),
            member("d/old", mode=0, mtime=0),
        ),
        tmp_path / "out",
    )
    for path, mode in ((tmp_path / "out/tool", 0o755), (tmp_path / "out/d", 0o755), (tmp_path / "out/d/old", 0o644)):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, os.getuid())
        assert status.st_mtime > 10**9  # a wheel cannot be made of files older than 1980
    assert os.listxattr(tmp_path / "out/tool") == []


def test_a_hard_link_may_come_before_its_file_and_is_no_way_around_its_mode(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    extract(archive(header("h", **LNK, linkname="./tool"), member("tool", b"x", mode=0o6755)), tmp_path / "out")
    assert (tmp_path / "out/h").read_bytes() == b"x"
    assert stat.S_IMODE((tmp_path / "out/h").stat().st_mode) == 0o755


@pytest.mark.parametrize("names", [("readme", "README"), ("Data/a", "data/b"), ("é", "e\u0301")])
def test_names_that_some_file_systems_take_for_one_are_kept_apart_or_refused(
    archive: Callable[..., Path], tmp_path: Path, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(*(member(name, name.encode()) for name in names))
    extract(path, tmp_path / "out")
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == [name.encode() for name in names]

    # A stand-in for such a file system: it folds names when something is made in it.
    def folded(path: Path) -> Path:
        name = unicodedata.normalize("NFC", str(path.relative_to(tmp_path))).lower()
        return tmp_path / name

    real_open, real_mkdir = Path.open, Path.mkdir
    monkeypatch.setattr(Path, "open", lambda self, *rest: real_open(folded(self), *rest))
    monkeypatch.setattr(Path, "mkdir", lambda self, *rest, **named: real_mkdir(folded(self), *rest, **named))
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)
    with pytest.raises(StorageError, match="File exists"):
        extract(path, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_on_a_file_system_that_folds_names_nothing_is_written_through_a_link(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    """Links are made when all else is there, whatever their place in the archive: this order shows it."""
    made: list[str] = []
    path = archive(header("a", **SYM, linkname="b"), member("z/x"), header("h", **LNK, linkname="z/x"))
    with open_archive(path) as opened:
        real_link, real_hard, real_open = Path.symlink_to, Path.hardlink_to, Path.open
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "symlink_to", lambda *a: (made.append("link"), real_link(*a))[1])
            patch.setattr(Path, "hardlink_to", lambda *a: (made.append("hard link"), real_hard(*a))[1])
            patch.setattr(Path, "open", lambda *a: (made.append("file"), real_open(*a))[1])
            opened.extract(tmp_path / "out")
    assert made == ["file", "hard link", "link"]


_NAMES = st.lists(
    st.sampled_from(
        ["a", "b", "A", "..", ".", "", "é", "e\u0301", "\n", "\x1b", "\x00", "\udcff", "d" * 200, "/", "~"]
    ),
    min_size=1,
    max_size=6,
).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.lists(st.tuples(st.sampled_from("f.dsh"), _NAMES, _NAMES), max_size=6))
def test_whatever_names_an_archive_has_nothing_leaves_the_destination(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("names")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind, name, target in members:
            info = tarfile.TarInfo(name)
            info.type = {"d": tarfile.DIRTYPE, "s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE}.get(kind, tarfile.REGTYPE)
            info.linkname = target
            tar.addfile(info)
    (root / "bundle.tar").write_bytes(buffer.getvalue())
    try:
        extract(root / "bundle.tar", root / "out")
    except InputError:
        assert sorted(p.name for p in root.iterdir()) == ["bundle.tar"]
        return
    assert sorted(p.name for p in root.iterdir()) == ["bundle.tar", "out"]
    for path in (root / "out").rglob("*"):
        assert path.parent.resolve().is_relative_to(root / "out")
        if path.is_symlink() and not is_loop(path):
            assert Path(os.path.realpath(path)).is_relative_to(root / "out")


def is_loop(link: Path) -> bool:
    """Whether a link leads to itself in the end; `realpath` takes ``a -> a//`` for the root."""
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False

"""Wheels that are wrong in one place are refused before anything of them is used; right ones come out as they are."""

from __future__ import annotations

import errno
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import wheel_maker as wheels
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.wheels import unpacking
from engine.wheels.layout import Unfit
from engine.wheels.model import Pin
from engine.wheels.unpacking import Unpacked, unpack

DEMO = Pin.of("demo", "1.0")
INFO = "demo-1.0.dist-info"


def unpacked(wheel: Path, pin: Pin = DEMO) -> Unpacked:
    return unpack(wheel, pin, wheels.TAG, wheel.parent / "out")


def refusal(wheel: Path, pin: Pin = DEMO) -> str:
    with pytest.raises(Unfit) as caught:
        unpacked(wheel, pin)
    assert caught.value.what
    return caught.value.code


def member(name: str, mode: int = wheels.PLAIN, data: bytes = b"x") -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, data


def with_member(directory: Path, name: str, mode: int = wheels.PLAIN) -> Path:
    """A wheel with one more member, which its RECORD knows."""
    files = wheels.contents("demo", "1.0", {"demo.py": "x = 1\n"})
    # As csv has it, whatever is in the name.
    record = wheels.record_of({**files, name: b"x"}, INFO)
    return wheels.make(directory, record=record, files={"demo.py": "x = 1\n"}, extra=[member(name, mode)])


# Right ones


def test_a_wheel_is_unpacked_byte_by_byte_and_nobody_can_write_it(tmp_path: Path) -> None:
    files = {"demo/__init__.py": "", "demo/tool": b"#!/bin/sh\n", "demo/däta.bin": bytes(range(256))}
    wheel = wheels.make(tmp_path, files=files, modes={"demo/tool": wheels.EXECUTABLE})
    result = unpacked(wheel)
    out = tmp_path / "out" / "site"
    assert {path: (out / path).read_bytes() for path in files} == {
        path: data if isinstance(data, bytes) else data.encode() for path, data in files.items()
    }
    modes = {file.place.target.rpartition("/")[2]: (file.executable, file.size) for file in result.files}
    assert modes["tool"] == (True, 10)
    assert stat.S_IMODE((out / "demo/tool").stat().st_mode) == 0o555
    assert stat.S_IMODE((out / "demo/__init__.py").stat().st_mode) == 0o444
    assert {f"sha256={file.digest}" for file in result.files} >= {wheels.spelled(bytes(range(256)))}
    assert not (out / INFO / "RECORD").exists(), "every environment has a RECORD of its own"


def test_every_part_of_a_wheel_is_told_apart(tmp_path: Path) -> None:
    data = "demo-1.0.data"
    files = {
        "demo.py": "",
        f"{data}/purelib/more.py": "",
        f"{data}/scripts/run": "#!python\nprint(1)\n",
        f"{data}/scripts/native": b"\x7fELF",
        f"{data}/scripts/made": "#!python\n",
        f"{data}/data/share/x": "x",
        f"{INFO}/entry_points.txt": "[console_scripts]\nmade = demo:main\n",
    }
    result = unpacked(wheels.make(tmp_path, files=files))
    found = {file.place.target: file for file in result.files}
    site = result.layout.site
    assert {"bin/run", "bin/native", "share/x", f"{site}/demo.py", f"{site}/more.py"} <= found.keys()
    assert [target for target, file in found.items() if file.rewritten] == ["bin/run"]
    assert "bin/made" not in found, "pip makes this one itself"
    rows = {path for path, _, _ in result.rows}
    assert {"../../../share/x", "../../../bin/native", f"{data}/scripts/made"} <= rows
    assert "../../../bin/run" not in rows, "its row depends on the environment"


def test_hashes_of_other_sound_algorithms_count(tmp_path: Path) -> None:
    files = wheels.contents("demo", "1.0", {"demo.py": "x = 1\n"})
    rows = [f"{path},{wheels.spelled(data, 'sha512')},\n" for path, data in files.items()]
    result = unpacked(wheels.make(tmp_path, files={"demo.py": "x = 1\n"}, record="".join(rows)))
    assert {row[1].partition("=")[0] for row in result.rows} == {"sha512"}


def test_directories_and_signatures_are_no_reason_to_refuse(tmp_path: Path) -> None:
    files = wheels.contents("demo", "1.0", {"demo/x.py": "", f"{INFO}/RECORD.jws": "{}"})
    record = wheels.record_of({p: d for p, d in files.items() if not p.endswith("jws")}, INFO)
    wheel = wheels.make(
        tmp_path,
        files={"demo/x.py": "", f"{INFO}/RECORD.jws": "{}"},
        record=record + f"{INFO}/RECORD.jws,,\n",
        extra=[member("demo/", stat.S_IFDIR | 0o755, b"")],
    )
    assert len(unpacked(wheel).files) == 4


# Names


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/etc/passwd", "absolute-name"),
        ("//x", "absolute-name"),
        ("../x", "path-traversal"),
        ("demo/../../x", "path-traversal"),
        ("demo/..", "path-traversal"),
        ("./x", "bad-name"),
        ("demo//x", "bad-name"),
        ("demo/./x", "bad-name"),
        ("C:/x", "bad-name"),
        ("c:x", "bad-name"),
        ("demo\\x", "bad-name"),
        ("..\\x", "bad-name"),
        ("demo/\x1b[31m", "bad-name"),
        ("demo/x\ny", "bad-name"),
        ("demo/\u2028", "bad-name"),
        ("demo/x\x7f", "bad-name"),
        ("x" * 256, "bad-name"),
        ("/".join(["d"] * 102), "bad-name"),
        ("d/" * 520 + "x", "bad-name"),
        ("DEMO.py", "duplicate-name"),
        ("demo.py/x", "duplicate-name"),
        ("Demo.PY/x", "duplicate-name"),
        ("demo-1.0.data/purelib/demo.py", "duplicate-name"),
        ("demo-1.0.data/platlib/Demo.py", "duplicate-name"),
        ("demo-1.0.data/data/pyvenv.cfg", "layout"),
        ("demo-1.0.data/headers", "layout"),
        ("other-1.0.dist-info/METADATA", "layout"),
        (f"{INFO}/INSTALLER", "layout"),
        (f"{INFO}/REQUESTED", "layout"),
        (f"{INFO}/direct_url.json", "layout"),
    ],
)
def test_a_name_that_could_lead_astray_is_refused(tmp_path: Path, name: str, code: str) -> None:
    assert refusal(with_member(tmp_path, name)) == code
    assert not (tmp_path / "out").exists(), "something was written before all was judged"


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        wheel = wheels.make(tmp_path, extra=[member("demo.py")])
    assert refusal(wheel) == "duplicate-name"


def test_a_name_with_a_zero_byte_is_read_to_its_end(tmp_path: Path) -> None:
    wheel = with_member(tmp_path, "demo_x.py!.txt")
    wheel.write_bytes(wheel.read_bytes().replace(b"demo_x.py!.txt", b"demo_x.py\0.txt"))
    assert refusal(wheel) == "bad-name"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR])
def test_anything_but_a_file_is_refused(tmp_path: Path, kind: int) -> None:
    assert refusal(with_member(tmp_path, "demo/x", kind | 0o777)) == "special-file"


PIECES = st.sampled_from(
    ["a", "A", "demo", "..", ".", "", "/", "\\", "C:", "\x00", "\x1b", "\n", "\u202e", "ä", "a" * 300, "bin", "python"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.lists(PIECES, min_size=1, max_size=5).map("/".join), min_size=1, max_size=3),
    prefix=st.sampled_from(["", "demo/", "demo-1.0.data/data/", "demo-1.0.data/scripts/", f"{INFO}/"]),
    mode=st.sampled_from([0, wheels.PLAIN, wheels.EXECUTABLE, stat.S_IFLNK | 0o777]),
)
def test_whatever_the_names_are_nothing_is_written_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], prefix: str, mode: int
) -> None:
    """PEP 427 says what a name means; no name may mean a place outside, or one place twice."""
    root = tmp_path_factory.mktemp("names")
    members = [member(prefix + name, mode) for name in dict.fromkeys(names) if (prefix + name).strip("\0")]
    files = wheels.contents("demo", "1.0", {"demo.py": ""})
    record = wheels.record_of({**files, **{info.filename: data for info, data in members}}, INFO)
    try:
        wheel = wheels.make(root / "in", files={"demo.py": ""}, record=record, extra=members)
        result = unpack(wheel, DEMO, wheels.TAG, root / "in" / "out")
    except (Unfit, UnicodeError, UserWarning):
        result = None
    here = {path for path in root.rglob("*") if "out" not in path.relative_to(root).parts}
    assert here == {root / "in", root / "in" / "demo-1.0-py3-none-any.whl"}
    if result is None:
        return
    targets = [file.place.target for file in result.files]
    assert len({target.casefold() for target in targets}) == len(targets)
    for file in result.files:
        assert os.path.normpath(file.place.target) == file.place.target
        assert not file.place.target.startswith(("/", ".."))
        assert file.place.target not in ("pyvenv.cfg", "bin/python")
        path = root / "in" / "out" / file.place.source
        assert stat.S_ISREG(path.lstat().st_mode)
        assert not path.lstat().st_mode & 0o222


@pytest.mark.parametrize(("code", "refused"), [(errno.ENAMETOOLONG, True), (errno.EILSEQ, True), (errno.ENOSPC, False)])
def test_a_name_that_the_file_system_does_not_take_is_the_wheels_fault_and_a_full_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, refused: bool
) -> None:
    wheel = wheels.make(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fchmod", fail)
    with pytest.raises(Unfit if refused else OSError):
        unpacked(wheel)


# RECORD and the rest of the metadata


def edited(directory: Path, edit: Callable[[str], str]) -> Path:
    files = wheels.contents("demo", "1.0", {"demo.py": "x = 1\n"})
    return wheels.make(directory, files={"demo.py": "x = 1\n"}, record=edit(wheels.record_of(files, INFO)))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace(wheels.spelled(b"x = 1\n"), wheels.spelled(b"x = 2\n")),
        lambda text: text.replace(",6\n", ",7\n"),
        lambda text: text.replace(",6\n", ",-6\n"),
        lambda text: text.replace(wheels.spelled(b"x = 1\n"), ""),
        lambda text: text.replace(wheels.spelled(b"x = 1\n"), wheels.spelled(b"x = 1\n", "md5")),
        lambda text: text.replace("sha256=", "sha1="),
        lambda text: text + "ghost.py,sha256=x,1\n",
        lambda text: text + text.splitlines()[0] + "\n",
        lambda text: "\n".join(line for line in text.splitlines() if not line.startswith("demo.py")),
        lambda text: text.replace("demo.py", "./demo.py"),
        lambda text: text.replace("demo.py,", 'demo.py,"'),
        lambda text: text + "demo.py,a,b,c,d\n",
        lambda _: "",
    ],
)
def test_a_record_that_is_not_exactly_what_is_there_is_refused(tmp_path: Path, edit: Callable[[str], str]) -> None:
    assert refusal(edited(tmp_path, edit)) == "record"


@pytest.mark.parametrize("pin", [Pin.of("other", "1.0"), Pin.of("demo", "1.1"), Pin.of("demo", "1.0+local")])
def test_a_wheel_of_another_package_is_refused(tmp_path: Path, pin: Pin) -> None:
    assert refusal(wheels.make(tmp_path), pin) == "other-package"


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("METADATA", b"Name: demo", b"Name: evil", "other-package"),
        ("METADATA", b"Version: 1.0", b"Version: 1.x", "other-package"),
        ("WHEEL", b"Wheel-Version: 1.0", b"Wheel-Version: 2.0", "unknown-format"),
        ("METADATA", b"Name: demo", b"Name: \xff\xff", "damaged"),
    ],
)
def test_metadata_that_contradicts_is_refused(tmp_path: Path, file: str, old: bytes, new: bytes, code: str) -> None:
    members = wheels.contents("demo", "1.0", {"demo.py": ""})
    members[f"{INFO}/{file}"] = members[f"{INFO}/{file}"].replace(old, new)
    record = wheels.record_of(members, INFO).encode()
    wheel = wheels.write_zip(tmp_path / "demo-1.0-py3-none-any.whl", [*members.items(), (f"{INFO}/RECORD", record)])
    assert refusal(wheel) == code


@pytest.mark.parametrize("missing", ["METADATA", "WHEEL", "RECORD"])
def test_a_wheel_without_metadata_is_refused(tmp_path: Path, missing: str) -> None:
    members = wheels.contents("demo", "1.0", {"demo.py": ""})
    members[f"{INFO}/RECORD"] = wheels.record_of(members, INFO).encode()
    del members[f"{INFO}/{missing}"]
    wheel = wheels.write_zip(tmp_path / "demo-1.0-py3-none-any.whl", list(members.items()))
    assert refusal(wheel) == "layout"


# Bytes


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"<html>Not found</html>",
        lambda data: data[:60] + bytes(20) + data[80:],
        lambda data: data[:-30] + bytes(30),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    wheel = wheels.make(tmp_path, files={"demo.py": os.urandom(2000).hex()})
    wheel.write_bytes(damage(wheel.read_bytes()))
    assert refusal(wheel) == "damaged"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("flipped")
    wheel = wheels.make(root, files={"demo.py": "x = 1\n" * 50})
    content = bytearray(wheel.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    wheel.write_bytes(content)
    try:
        result = unpacked(wheel)
    except Unfit:
        return
    assert (root / "out/site/demo.py").read_text() == "x = 1\n" * 50
    assert {file.place.target.rpartition("/")[2] for file in result.files} == {"demo.py", "METADATA", "WHEEL"}


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    wheel = wheels.make(tmp_path, files={"demo.bin": bytes(60 * 1024**2)})
    assert refusal(wheel) == "too-compressed"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("limit", "value", "code"), [("SIZE_LIMIT", 100, "too-large"), ("ENTRY_LIMIT", 3, "too-many-entries")]
)
def test_sizes_and_numbers_have_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, code: str
) -> None:
    monkeypatch.setattr(unpacking, limit, value)
    assert refusal(wheels.make(tmp_path, files={"demo.py": "x" * 200})) == code


def test_an_unusual_compression_is_refused(tmp_path: Path) -> None:
    info, data = member("demo/x")
    info.compress_type = zipfile.ZIP_BZIP2
    record = wheels.record_of({**wheels.contents("demo", "1.0", {"demo.py": ""}), "demo/x": data}, INFO)
    assert (
        refusal(wheels.make(tmp_path, files={"demo.py": ""}, record=record, extra=[(info, data)])) == "unknown-format"
    )

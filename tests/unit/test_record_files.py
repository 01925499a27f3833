"""RECORD files: what they claim, written by anybody."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Finding, FindingKind
from engine.environments.records import Row, distributions_in, parse_record, read_claims
from engine.environments.tree import walk

ROOT = Path("/data/env")
SITE = "lib/python3.11/site-packages"
INFO = f"{SITE}/six-1.0.dist-info"
SHA = "sha256=" + "A" * 43


def rows(text: str | bytes) -> list[Row]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(parse_record(data, ROOT, INFO))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"six.py,{SHA},10", Row(f"{SITE}/six.py", SHA, 10)),
        (f"./a/../six.py,{SHA},10", Row(f"{SITE}/six.py", SHA, 10)),
        (f"../../../bin/six,{SHA},10", Row("bin/six", SHA, 10)),
        ("six-1.0.dist-info/RECORD,,", Row(f"{INFO}/RECORD")),
        ("six.py", Row(f"{SITE}/six.py")),
        (f'"a, b.py",{SHA},1', Row(f"{SITE}/a, b.py", SHA, 1)),
        (f'"a\nb.py",{SHA},1', Row(f"{SITE}/a\nb.py", SHA, 1)),
        (f"{ROOT}/bin/six,{SHA},1", Row("bin/six", SHA, 1)),
        (f"{SHA[7:]},{SHA}==,1", Row(f"{SITE}/{SHA[7:]}", SHA, 1)),
        ("six.py,sha512=abc,1", Row(f"{SITE}/six.py", "sha512=abc", 1)),
        ("six.py,md5=abc,1", Row(f"{SITE}/six.py", "", 1)),
        ("six.py,nonsense,1", Row(f"{SITE}/six.py", "", 1)),
        (f"six.py,{SHA},-1", Row(f"{SITE}/six.py", SHA, None)),
        (f"six.py,{SHA},many", Row(f"{SITE}/six.py", SHA, None)),
        (f"six.py,{SHA},{'9' * 5000}", Row(f"{SITE}/six.py", SHA, None)),
    ],
)
def test_a_row_says_what_is_in_a_file(line: str, expected: Row) -> None:
    assert rows(line + "\n") == [expected]


@pytest.mark.parametrize("path", ["../../../../x", "/etc/passwd", "../../../..", "a/../../../../../etc/shadow"])
def test_a_row_that_leads_out_of_the_environment_is_known_as_such(path: str) -> None:
    (row,) = rows(f"{path},{SHA},1\n")
    assert row.outside


def test_empty_lines_are_no_rows() -> None:
    assert rows("\n\r\n,,\n") == []


def test_a_name_that_is_not_utf8_is_the_name_that_the_file_system_has() -> None:
    (row,) = rows(b"caf\xe9.py,,\n")
    assert row.path == f"{SITE}/caf\udce9.py"


@pytest.mark.parametrize("text", ['"unclosed', '"a"b,c,d\n', "x" * 200_000])
def test_what_is_no_table_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rows(text)


@given(st.binary(max_size=300))
def test_nothing_but_value_errors_comes_of_any_bytes(data: bytes) -> None:
    try:
        found = rows(data)
    except ValueError:
        return
    for row in found:
        assert row.outside or not row.path.startswith(("/", "../"))


def test_the_metadata_in_an_environment_names_its_distributions(tmp_path: Path) -> None:
    site = tmp_path / SITE
    for directory, file, text in (
        ("six-1.0.dist-info", "METADATA", "Name: six\nVersion: 1.0.0\n\nName: not this one\n"),
        ("legacy-2.0-py3.6.egg-info", "PKG-INFO", "Metadata-Version: 1.1\nName: Legacy.Name\nVersion: 2.0\n"),
        ("bare-3.0.dist-info", "RECORD", ""),
        ("vendor/inner-1.0.dist-info", "METADATA", "Name: inner\nVersion: 1.0\n"),
    ):
        (site / directory).mkdir(parents=True)
        (site / directory / file).write_text(text)
    (site / "distutils-4.0.egg-info").write_text("Name: distutils-thing\nVersion: 4.0\n")
    (site / "edited.egg-link").write_text("/src/edited\n.\n")
    found = {(d.key, d.version) for d in distributions_in(tmp_path, walk(tmp_path))}
    assert found == {
        ("six", "1.0.0"),
        ("legacy-name", "2.0"),
        ("bare", "3.0"),
        ("distutils-thing", "4.0"),
        ("edited", ""),
    }


def test_claims_of_several_packages_on_one_file_are_all_heard(tmp_path: Path) -> None:
    site = tmp_path / SITE
    for name, digest in (("one", "A"), ("two", "B")):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"shared.py,sha256={digest * 43},5\n{name}-1.0.dist-info/RECORD,,\n")
    tree = walk(tmp_path)
    claims = read_claims(tmp_path, distributions_in(tmp_path, tree), tree)
    path = f"{SITE}/shared.py"
    assert claims.vouch(path, {"sha256": "sha256=" + "A" * 43}, 5)
    assert claims.vouch(path, {"sha256": "sha256=" + "B" * 43}, 5)
    assert not claims.vouch(path, {"sha256": "sha256=" + "B" * 43}, 6)
    assert not claims.vouch(path, {"sha256": "sha256=" + "C" * 43}, 5)


def test_a_finding_is_safe_to_show_and_short() -> None:
    finding = Finding(FindingKind.CHANGED, "a\x1b[2Jb", "pkg", SHA, "sha256=" + "B" * 43)
    assert str(finding) == r"pkg: a\x1b[2Jb is changed (expected sha256=AAAAAAAAAAA…, found sha256=BBBBBBBBBBB…)"
    assert finding.to_json()["expected"] == SHA


@given(
    st.lists(st.sampled_from(["a", "b.py", ".", "..", ".libs", "", "c d", "é"]), min_size=1, max_size=5).map("/".join)
)
def test_a_path_is_the_shortest_that_leads_there(path: str) -> None:
    if not path or path.startswith("/"):
        return
    (row,) = rows(f'"{path}",,')
    assert row.path == posixpath.normpath(posixpath.join(SITE, path))

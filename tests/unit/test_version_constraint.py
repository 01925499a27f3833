from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.bundles.constraint import (
    StepStanding,
    adapt_python_version_file,
    constraint_fault,
    detect,
    explain_request,
    from_pyproject,
    from_setup_cfg,
    read_directory,
    read_project_files,
)
from engine.bundles.model import Bundle, Manifest
from tests.records import replace

MANIFEST = Manifest("python-api", "app", Version("3.11.4"), None, "none", "")


# connect.md §3.4, the table of adaptations, row by row.
@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("3", "~=3.0"),
        ("3.8", "~=3.8.0"),
        ("3.8.11", "~=3.8.0"),
        ("3.8.*", "==3.8.*"),
        ("3.*", "==3.*"),
        (">=3.9", ">=3.9"),
        ("==3.11.2", "==3.11.2"),
        ("~=3.10", "~=3.10"),
        ("!=3.9.*", "!=3.9.*"),
        ("===3.11.2", "===3.11.2"),
        # Split on commas, each part trimmed.
        (" >=3.8 , <3.13 \n", ">=3.8,<3.13"),
        ("3.8, !=3.8.1", "~=3.8.0,!=3.8.1"),
    ],
)
def test_a_python_version_file_is_adapted_to_a_constraint(text, constraint):
    adapted = adapt_python_version_file(text)
    assert (adapted.constraint, adapted.rejected) == (constraint, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cpython-3.12", "implementation"),
        ("pypy3.9@7.3", "implementation"),
        ("envs/mine", "implementation"),
        ("3.13.0a1", "pre-release"),
        ("3.13.0b2", "pre-release"),
        ("3.13.0rc1", "pre-release"),
        ("three", "neither a version"),
        ("3.8.", "neither a version"),
        (">= 3.8", "neither a version"),
        ("*", "neither a version"),
        ("3.8>=3.9", "neither a version"),
        ("", "empty"),
        ("3.8,", "empty"),
        # pyenv's form of several lines is invalid in the clients, too.
        ("3.12.1\n3.11.7\n", "neither a version"),
        # Not in the table; the server would refuse what is no constraint.
        ("~=3", "not a version constraint"),
        ("3" * 300, "more than"),
        ("３.8", "neither a version"),
    ],
)
def test_a_python_version_file_that_is_no_constraint_is_rejected(text, reason):
    adapted = adapt_python_version_file(text)
    assert adapted.rejected
    assert adapted.constraint == ""
    assert reason in adapted.reason


@given(st.text(alphabet="0123456789.,*=<>!~ -ab\n", max_size=30) | st.text(max_size=30))
def test_every_adapted_constraint_is_one_that_the_server_takes(text):
    adapted = adapt_python_version_file(text)
    assert bool(adapted.constraint) != adapted.rejected
    if adapted.constraint:
        assert constraint_fault(adapted.constraint) == ""
        assert len(SpecifierSet(adapted.constraint))


# connect.md §3.4, 2: verbatim.
@pytest.mark.parametrize(
    ("text", "constraint", "rejected"),
    [
        ('[project]\nrequires-python = ">=3.8, <4"\n', ">=3.8, <4", False),
        ('[project]\nname = "p"\n', "", False),
        ("", "", False),
        ('project = "p"\n', "", False),
        ('# requires-python = ">=3.8"\n[project]\nname = "p"', "", False),
        ('[tool.x]\nrequires-python = ">=3.8"', "", False),
        ('[project]\nrequires-python = "3.8"', "", True),
        ('[project]\nrequires-python = ""', "", True),
        ('[project]\nrequires-python = "^3.8"', "", True),
        ("[project]\nrequires-python = 3.8", "", True),
        ("[project\n", "", True),
        ("x = " + "9" * 5000, "", True),
        ("x = " + "[" * 5000, "", True),
        (b"[project]\nname = '\xff'", "", True),
    ],
)
def test_pyproject_is_read_as_toml(text, constraint, rejected):
    adapted = from_pyproject(text if isinstance(text, bytes) else text.encode())
    assert (adapted.constraint, adapted.rejected) == (constraint, rejected)
    assert adapted.reason


# connect.md §3.4, 3.
@pytest.mark.parametrize(
    ("text", "constraint", "rejected"),
    [
        ("[options]\npython_requires = >=3.8,<4\n", ">=3.8,<4", False),
        ("[options]\npython_requires =\n    >=3.8\n", ">=3.8", False),
        ("[metadata]\nversion = %(broken)s\n[options]\nPython_Requires = ~=3.10\n", "~=3.10", False),
        ("[metadata]\nname = p\n", "", False),
        ("", "", False),
        ("[options]\npython_requires = 3.8\n", "", True),
        ("[options]\npython_requires =\n    >=3.8\n    <4\n", "", True),
        ("python_requires = >=3.8\n", "", True),
        ("[options]\n[options]\n", "", True),
    ],
)
def test_setup_cfg_is_read_as_setuptools_does(text, constraint, rejected):
    adapted = from_setup_cfg(text)
    assert (adapted.constraint, adapted.rejected) == (constraint, rejected)
    assert adapted.reason


PYPROJECT = b'[project]\nrequires-python = ">=3.9"\n'
SETUP_CFG = b"[options]\npython_requires = >=3.7\n"
DECIDES, PASSED = StepStanding.DECIDES, StepStanding.PASSED_OVER
REJECTED, ABSENT = StepStanding.REJECTED, StepStanding.ABSENT


# connect.md §3.4: .python-version, pyproject.toml, setup.cfg; an invalid file hands over to the next.
@pytest.mark.parametrize(
    ("files", "standings", "constraint"),
    [
        ({}, [ABSENT, ABSENT, ABSENT], None),
        ({".python-version": b"3.11\n"}, [DECIDES, ABSENT, ABSENT], "~=3.11.0"),
        (
            {".python-version": b"\xef\xbb\xbf3.11", "pyproject.toml": PYPROJECT, "setup.cfg": SETUP_CFG},
            [DECIDES, PASSED, PASSED],
            "~=3.11.0",
        ),
        ({".python-version": b"pypy-3", "pyproject.toml": PYPROJECT}, [REJECTED, DECIDES, ABSENT], ">=3.9"),
        ({"pyproject.toml": b"[", "setup.cfg": SETUP_CFG}, [ABSENT, REJECTED, DECIDES], ">=3.7"),
        ({"pyproject.toml": b"[project]", "setup.cfg": SETUP_CFG}, [ABSENT, ABSENT, DECIDES], ">=3.7"),
        ({"setup.cfg": b" " * 1048577}, [ABSENT, ABSENT, REJECTED], None),
    ],
)
def test_the_first_valid_file_decides_and_the_chain_tells_of_all(files, standings, constraint):
    provenance = detect(files)
    assert [step.source for step in provenance.steps] == [".python-version", "pyproject.toml", "setup.cfg"]
    assert [step.standing for step in provenance.steps] == standings
    assert all(step.reason for step in provenance.steps)
    assert (provenance.deciding.constraint if provenance.deciding else None) == constraint


# connect.md §3.3: the server goes by the manifest, and in it by the constraint.
@pytest.mark.parametrize(
    ("version", "requires", "deciding"),
    [
        ("3.11.4", None, "python.version"),
        ("3.11.4", "~=3.11", "environment.python.requires"),
        (None, ">=3.8", "environment.python.requires"),
    ],
)
def test_the_manifest_decides_whatever_the_files_say(version, requires, deciding):
    manifest = replace(
        MANIFEST,
        python_version=Version(version) if version else None,
        requires=SpecifierSet(requires) if requires else None,
    )
    for provenance in (None, detect({}), detect({"pyproject.toml": PYPROJECT})):
        steps = explain_request(manifest, provenance)
        assert [step.source for step in steps if step.standing is DECIDES] == [deciding]
        assert [step.source for step in steps[:2]] == ["environment.python.requires", "python.version"]


@pytest.mark.parametrize(
    ("requires", "files", "warning"),
    [
        (None, {}, ""),
        (">=3.9", {}, ""),
        (">=3.9", {"pyproject.toml": PYPROJECT}, ""),
        ("<4,>=3.9", {".python-version": b">=3.9,<4"}, ""),
        (None, {"pyproject.toml": PYPROJECT}, "pyproject.toml asks for >=3.9, but the manifest has no constraint"),
        ("~=3.8.0", {"pyproject.toml": PYPROJECT}, "pyproject.toml asks for >=3.9, but the manifest has ~=3.8.0"),
        (None, {".python-version": b"pypy-3"}, ""),
    ],
)
def test_a_manifest_that_differs_from_the_project_is_warned_about(requires, files, warning):
    manifest = replace(MANIFEST, requires=SpecifierSet(requires) if requires else None)
    reasons = [s.reason for s in explain_request(manifest, detect(files)) if s.standing is StepStanding.WARNING]
    assert len(reasons) == bool(warning)
    assert "".join(reasons).startswith(warning)


def test_hostile_text_is_made_safe_in_every_step():
    files = {
        ".python-version": b"3\x1b]0;x\x07",
        "pyproject.toml": b'[project]\nrequires-python = "\\u001b[31m"',
        "setup.cfg": b"\x1b[2J",
    }
    for step in explain_request(MANIFEST, detect(files)):
        assert "\x1b" not in step.raw + step.constraint + step.reason


def bundle(path: Path) -> Bundle:
    return Bundle(path, path.name, path.is_file(), MANIFEST, ())


@pytest.mark.parametrize("shape", ["directory", "archive", "nested archive"])
def test_project_files_are_read_from_bundles_of_every_shape(tmp_path, shape):
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "manifest.json").write_text("{}")
    (directory / "pyproject.toml").write_bytes(PYPROJECT)
    (directory / "setup.cfg").write_bytes(b"#" * 2_000_000)
    path = directory
    if shape != "directory":
        path = tmp_path / "app.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for file in sorted(directory.iterdir()):
                content = file.read_bytes()
                member = tarfile.TarInfo(f"app/{file.name}" if "nested" in shape else file.name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    files = read_project_files(bundle(path))
    assert sorted(files) == ["pyproject.toml", "setup.cfg"]
    assert len(files["setup.cfg"]) < 1_100_000
    assert [step.standing for step in detect(files).steps] == [ABSENT, DECIDES, REJECTED]


def test_links_out_of_a_bundle_and_odd_entries_are_no_files_of_it(tmp_path):
    (tmp_path / "outside").write_text("3.8")
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / ".python-version").symlink_to(tmp_path / "outside")
    os.mkfifo(directory / "pyproject.toml")
    (directory / "setup.cfg").symlink_to("setup.cfg")
    assert read_directory(directory) == {}

"""What the builder finds in an environment: the distributions that the standard library finds, in much less time."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.builds.builder import INVENTORY

REFERENCE = """
import importlib.metadata, json, re, sys
first = {}
for distribution in importlib.metadata.distributions():
    name, version = distribution.metadata["Name"], distribution.version
    first.setdefault(re.sub("[-_.]+", "-", name or "").lower(), (name, version))
print(json.dumps([first[key] for key in sorted(first) if key]))
"""
HEAD = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
SITES: dict[str, Mapping[str, str]] = {
    "nothing": {},
    "one": {"one/a-1.0.dist-info/METADATA": HEAD.format("a", "1.0")},
    "a description that has fields too": {
        "one/a-1.0.dist-info/METADATA": HEAD.format("a", "1.0") + "Summary: x\n\nName: b\nVersion: 2\n" + "x" * 99_999
    },
    "more space than needed": {"one/a-1.0.dist-info/METADATA": "Name:  a.B_c\nVersion:\t1.0\n"},
    "one name twice": {
        "one/a_b-1.0.dist-info/METADATA": HEAD.format("a_b", "1.0"),
        "two/A.B-2.0.dist-info/METADATA": HEAD.format("A.B", "2.0"),
    },
    "a directory of setuptools": {"one/old.egg-info/PKG-INFO": HEAD.format("old", "3")},
    "a file of distutils": {"one/older-4.egg-info": HEAD.format("older", "4")},
    "no metadata": {"one/a-1.0.dist-info/RECORD": "", "one/b-1.0.dist-info/METADATA": HEAD.format("b", "1.0")},
    "no name": {
        "one/a-1.0.dist-info/METADATA": "Version: 1.0\n\n",
        "one/b-1.dist-info/METADATA": HEAD.format("b", "1"),
    },
    "folded": {"one/a-1.0.dist-info/METADATA": "Name: a\nSummary: x\n   Name: y\nVersion: 1.0\n"},
    "in a part of a package": {"one/a/b-1.0.dist-info/METADATA": HEAD.format("b", "1.0")},
    "an egg": {"an.egg/EGG-INFO/PKG-INFO": HEAD.format("an", "5"), "one/a-1.dist-info/METADATA": HEAD.format("a", "1")},
}


def told(code: str, *path: Path) -> list[list[str]]:
    places = [*map(str, path), *(place for place in sys.path if place.endswith((".zip", "lib-dynload")))]
    text = f"import sys; sys.path[:] = {places!r} + [p for p in sys.path if 'site-packages' not in p]\n{code}"
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = ast.literal_eval(done.stdout)
    return [list(package) for package in (said["packages"] if isinstance(said, dict) else said)]


@pytest.mark.parametrize("site", SITES)
def test_what_is_found_is_what_the_standard_library_finds(site: str, tmp_path: Path) -> None:
    path = [tmp_path / name for name in ("one", "two", "an.egg", "none")]
    for name, text in SITES[site].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8", errors="surrogateescape")
    if not (tmp_path / "an.egg").exists():
        path.remove(tmp_path / "an.egg")
    found = told(INVENTORY, *path)
    assert found == told(REFERENCE, *path)
    assert bool(found) == (site not in ("nothing", "in a part of a package"))


def test_a_description_that_is_no_text_is_passed_over(tmp_path: Path) -> None:
    """On which the standard library stops."""
    metadata = tmp_path / "a-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_bytes(HEAD.format("a", "1.0").encode() + b"Author: \xff\n")
    assert told(INVENTORY, tmp_path) == [["a", "1.0"]]

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.bundles.model import Bundle
from engine.bundles.reading import read_bundle
from engine.bundles.samples import samples
from engine.errors import InputError, Problem

MANIFEST = {
    "version": 1,
    "metadata": {"appmode": "python-api", "entrypoint": "app"},
    "python": {"version": "3.11.4", "package_manager": {"name": "pip", "package_file": "requirements.txt"}},
    "extension": {"title": "What it shows"},
}

Shape = Callable[[Path], Path]


def write(directory: Path, files: dict[str, str], **sections: Any) -> Path:
    """A bundle directory with a manifest and `files`."""
    for name, text in ({"manifest.json": json.dumps(MANIFEST | sections, indent=2)} | files).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def as_directory(directory: Path) -> Path:
    return directory


def as_archive(directory: Path) -> Path:
    """As rsconnect does it: the files straight in the archive, the manifest first."""
    path = directory.with_name(directory.name + ".tar.gz")
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(directory.iterdir(), key=lambda f: f.name != "manifest.json"):
            tar.add(file, file.name)
    return path


def as_nested_archive(directory: Path) -> Path:
    path = directory.with_name(directory.name + ".tar")
    with tarfile.open(path, "w") as tar:
        tar.add(directory, directory.name)
    return path


@pytest.fixture(params=[as_directory, as_archive, as_nested_archive])
def shape(request: pytest.FixtureRequest) -> Shape:
    return request.param


def inside(path: Path, name: str) -> str:
    return f"{path}{'/' if path.is_dir() else '!'}{name}"


def problem(path: Path) -> Problem:
    with pytest.raises(InputError) as caught:
        read_bundle(path)
    return caught.value.problem


def test_a_bundle_is_read_whole(tmp_path, shape):
    path = shape(write(tmp_path / "my app", {"requirements.txt": "flask\n-r sub/more.txt\n", "sub/more.txt": "dash"}))
    bundle = read_bundle(path)
    assert (bundle.path, bundle.name, bundle.title) == (path, "my app", "What it shows")
    assert bundle.is_archive == path.is_file()
    assert bundle.manifest.python_version == Version("3.11.4")
    assert [(line.text, str(line.where)) for line in bundle.requirements] == [
        ("flask", "requirements.txt:1:1"),
        ("dash", "sub/more.txt:1:1"),
    ]


def test_a_manifest_stands_for_its_directory(tmp_path):
    write(tmp_path / "app", {"requirements.txt": ""})
    assert read_bundle(tmp_path / "app/manifest.json").path == tmp_path / "app"


def test_a_relative_path_becomes_absolute(tmp_path, monkeypatch):
    write(tmp_path / "app", {"requirements.txt": ""})
    monkeypatch.chdir(tmp_path)
    assert read_bundle(Path("app")).path == tmp_path / "app"
    monkeypatch.chdir(tmp_path / "app")
    assert read_bundle(Path()).name == "app"


def test_without_a_package_manager_there_are_no_requirements(tmp_path, shape):
    path = shape(write(tmp_path / "app", {"requirements.txt": "flask"}, python={"version": "3.11.4"}))
    assert read_bundle(path).requirements == ()


@pytest.mark.parametrize(
    ("files", "code", "place"),
    [
        ({"manifest.json": "{"}, "manifest-not-json", "manifest.json:1:2"),
        ({"manifest.json": "[]"}, "manifest-not-object", "manifest.json:1:1"),
        ({"manifest.json": "{}"}, "manifest-no-python", "manifest.json:1:1"),
        ({"manifest.json": '{"python": []}'}, "manifest-wrong-type", "manifest.json:1:2"),
        ({"app.py": ""}, "package-file-missing", "requirements.txt"),
        ({"requirements.txt/x": ""}, "package-file-missing", "requirements.txt"),
        ({"requirements.txt": "flask\nnot a requirement"}, "requirement-invalid", "requirements.txt:2:5"),
        ({"requirements.txt": "-r a.txt", "a.txt": "\n-r gone.txt"}, "requirement-include-missing", "a.txt:2:1"),
    ],
)
def test_a_problem_says_where_the_bundle_is(tmp_path, shape, files, code, place):
    path = shape(write(tmp_path / "app", files))
    found = problem(path)
    assert found.code == code
    assert str(found.where) == inside(path, place)


def test_a_missing_manifest_says_how_to_write_one(tmp_path, shape):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/app.py").touch()
    found = problem(shape(tmp_path / "app"))
    assert found.code == "manifest-missing"
    assert "write-manifest" in found.hint


def test_a_manifest_that_is_no_file_is_missing(tmp_path):
    (tmp_path / "manifest.json").symlink_to("manifest.json")
    assert problem(tmp_path).code == "manifest-missing"


@pytest.mark.parametrize("name", ["manifest.json", "requirements.txt", "more.txt"])
def test_a_link_out_of_the_directory_is_refused(tmp_path, name):
    app = write(tmp_path / "app", {"requirements.txt": "-r more.txt", "more.txt": ""})
    shutil.move(app / name, tmp_path / "secret")
    (app / name).symlink_to("../secret")
    assert problem(app).code == "bundle-file-outside"


def test_a_directory_that_links_out_is_refused(tmp_path):
    app = write(tmp_path / "app", {"requirements.txt": "-r sub/more.txt"})
    (app / "sub").symlink_to(tmp_path)
    (tmp_path / "more.txt").touch()
    found = problem(app)
    assert found.code == "bundle-file-outside"
    assert str(found.where) == str(app / "sub/more.txt")


def test_links_inside_the_bundle_are_followed(tmp_path, shape):
    app = write(tmp_path / "app", {"real.txt": "flask"})
    (app / "requirements.txt").symlink_to("real.txt")
    assert [line.text for line in read_bundle(shape(app)).requirements] == ["flask"]


def test_a_bundle_may_be_reached_through_a_link(tmp_path):
    write(tmp_path / "app", {"requirements.txt": ""})
    (tmp_path / "link").symlink_to("app")
    assert read_bundle(tmp_path / "link").name == "link"


def test_what_is_not_there_is_not_found(tmp_path):
    found = problem(tmp_path / "gone")
    assert (found.code, str(found.where)) == ("bundle-not-found", str(tmp_path / "gone"))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_unreadable(tmp_path):
    app = write(tmp_path / "app", {"requirements.txt": ""})
    (app / "manifest.json").chmod(0)
    assert problem(app).code == "bundle-unreadable"


def test_a_path_that_is_neither_file_nor_directory_is_unreadable(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert problem(tmp_path / "pipe").code == "bundle-unreadable"
    assert problem(tmp_path / ("n" * 300)).code == "bundle-unreadable"
    assert problem(Path("a\0b")).code == "bundle-unreadable"


def test_a_file_that_is_no_archive_says_so(tmp_path):
    (tmp_path / "requirements.txt").write_text("flask")
    assert problem(tmp_path / "requirements.txt").code == "archive-unknown-format"


def test_a_truncated_archive_says_so_and_where(tmp_path):
    path = as_archive(write(tmp_path / "app", {"requirements.txt": "flask", "data": os.urandom(9999).hex()}))
    path.write_bytes(path.read_bytes()[:-2000])
    found = problem(path)
    assert (found.code, str(found.where)) == ("archive-damaged", str(path))


def test_control_characters_in_a_name_are_shown_as_escapes(tmp_path):
    app = write(tmp_path / "a\x1b[31mpp", {"requirements.txt": ""})
    assert read_bundle(app).name == "a\\x1b[31mpp"


class TestSamples:
    def read(self) -> dict[str, Bundle]:
        return {path.name: read_bundle(path) for path in samples()}

    def test_each_is_well_formed_and_says_what_it_shows(self):
        bundles = self.read()
        assert set(bundles) == {
            "dash-app", "fastapi-exact", "flask-api", "jupyter-notebook", "legacy-report", "mac-desktop"
        }  # fmt: skip
        assert all(bundle.title and bundle.requirements for bundle in bundles.values())

    def test_they_ask_for_python_in_different_ways(self):
        asked = {name: (str(b.manifest.python_version), b.manifest.requires) for name, b in self.read().items()}
        assert asked["flask-api"] == ("3.11.4", SpecifierSet(">=3.8"))
        assert asked["dash-app"] == ("3.9.6", SpecifierSet("~=3.9"))
        assert asked["fastapi-exact"] == ("3.11.7", None)
        assert asked["legacy-report"] == ("3.4.3", None)

    @pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
    def test_the_manifest_lists_every_file_with_its_checksum(self, path):
        manifest = json.loads((path / "manifest.json").read_text())
        files = [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        assert manifest["files"] == {
            file.relative_to(path).as_posix(): {"checksum": hashlib.md5(file.read_bytes()).hexdigest()}
            for file in files
            if file.name != "manifest.json"
        }

    @pytest.mark.parametrize("path", samples(), ids=lambda path: path.name)
    def test_the_entrypoint_is_there_and_compiles(self, path):
        entrypoint = read_bundle(path).manifest.entrypoint
        if entrypoint.endswith(".ipynb"):
            cells = json.loads((path / entrypoint).read_text())["cells"]
            source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        else:
            module, _, name = entrypoint.partition(":")
            source = (path / f"{module}.py").read_text()
            assert f"\n{name} = " in source
        compile(source, entrypoint, "exec")

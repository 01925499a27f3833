from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from engine.bundles.reading import read_bundle
from engine.capture.content import choose_app_mode, choose_entrypoint, imported
from engine.capture.freeze import filter_frozen
from engine.capture.interpreter import choose_interpreter
from engine.capture.model import Captured, CaptureOptions
from engine.capture.project import capture, manifest_bytes, write_bundle
from engine.errors import EnvdeckError, InputError, Problem, Refused
from tests.records import replace

pytestmark = pytest.mark.slow

VERSION = ".".join(map(str, sys.version_info[:3]))
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
Write = Callable[..., Path]


def notebook(kernel: str | None = "python3", language: str = "python") -> str:
    spec = {"kernelspec": {"name": kernel, "language": language}} if kernel else {}
    return json.dumps({"cells": [], "metadata": spec, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a project: file names with ``/`` to texts."""

    def write(files: Mapping[str, str], name: str = "project") -> Path:
        directory = tmp_path / name
        for file, text in files.items():
            path = directory / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return directory

    return write


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An author's environment whose python3 is the one that runs the tests."""
    programs = tmp_path / "desktop" / "bin"
    programs.mkdir(parents=True)
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python3").chmod(0o755)
    return {"HOME": str(tmp_path / "home"), "PATH": f"{programs}:/usr/bin:/bin"}


def problem(error: type[EnvdeckError], call: Callable[[], object]) -> Problem:
    with pytest.raises(error) as caught:
        call()
    return caught.value.problem


def members(archive: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return tar.getmembers()


def names(captured: Captured) -> list[str]:
    return [file.name for file in captured.files]


# A bundle as a whole


def test_a_project_becomes_a_bundle_that_reads_back(write, environ, tmp_path):
    directory = write(
        {"main.py": FASTAPI, "pkg/data.txt": "x", "requirements.txt": "fastapi==0.115.0\n", ".python-version": "3.11\n"}
    )
    captured = capture(directory, CaptureOptions(), environ)
    assert (captured.app_mode.value, captured.app_mode.reason) == ("python-fastapi", "main.py imports fastapi")
    assert captured.entrypoint.value == "main"
    assert captured.frozen == ()
    archive = tmp_path / "out.tar.gz"
    write_bundle(captured, archive)
    bundle = read_bundle(archive)
    assert (bundle.manifest.app_mode, bundle.manifest.entrypoint) == ("python-fastapi", "main")
    assert str(bundle.manifest.python_version) == VERSION
    assert bundle.manifest.requires == SpecifierSet("~=3.11.0")
    assert [line.text for line in bundle.requirements] == ["fastapi==0.115.0"]
    # connect.md §5.3: the manifest first, MD5 checksums, POSIX paths.
    assert [m.name for m in members(archive)] == [
        "manifest.json",
        ".python-version",
        "main.py",
        "pkg/data.txt",
        "requirements.txt",
    ]
    files = json.loads(manifest_bytes(captured))["files"]
    assert files["pkg/data.txt"] == {"checksum": hashlib.md5(b"x").hexdigest()}
    assert sorted(files) == names(captured)
    assert archive.stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_the_same_project_gives_the_same_bytes(write, environ, tmp_path):
    archives = []
    for name, files in (("one", ["app.py", "b.txt", "a/c.txt"]), ("two", ["a/c.txt", "b.txt", "app.py"])):
        directory = write(dict.fromkeys(files, "import flask\n") | {"requirements.txt": "flask\n"}, name)
        for path in directory.rglob("*"):
            os.utime(path, (len(archives) * 1000, len(archives) * 1000))
        archives.append(tmp_path / f"{name}.tar.gz")
        write_bundle(capture(directory, CaptureOptions(), environ), archives[-1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members(archives[0])} == {(0, 0, 0, "", 0o644)}


def test_what_the_author_decides_is_in_the_manifest(write, environ):
    directory = write({"app.py": "", "web/site.py": "", "requirements.txt": "", ".python-version": "3.8"})
    options = CaptureOptions(
        app_mode="python-dash",
        entrypoint="web.site:server",
        requires=">=3.9,<4",
        manage_environment=False,
        image="registry.test/image:1",
    )
    manifest = capture(directory, options, environ).manifest
    assert manifest["metadata"] == {"appmode": "python-dash", "entrypoint": "web.site:server"}
    assert manifest["environment"] == {
        "image": "registry.test/image:1",
        "environment_management": {"python": False},
        "python": {"requires": ">=3.9,<4"},
    }


def test_keys_that_say_nothing_are_absent(write, environ):
    manifest = capture(write({"app.py": FASTAPI, "requirements.txt": ""}), CaptureOptions(), environ).manifest
    assert "environment" not in manifest


def test_a_constraint_without_an_operator_is_refused(write, environ):
    directory = write({"app.py": FASTAPI, "requirements.txt": ""})
    found = problem(InputError, lambda: capture(directory, CaptureOptions(requires="3.11"), environ))
    assert (found.code, found.found) == ("capture-bad-constraint", "3.11")


# Files: connect.md §5.3


def test_what_clients_leave_out_is_left_out_and_named(write, environ):
    rubbish = {
        f"{directory}/x": ""
        for directory in (
            ".git",
            "sub/.svn",
            ".Rproj.user",
            "packrat",
            "renv",
            "rsconnect",
            "rsconnect-python",
            ".rsconnect-python",
            "sub/node_modules",
            "sub/__pycache__",
        )
    }
    directory = write(
        {"app.py": FASTAPI, "requirements.txt": "", "manifest.json": "old", "sub/manifest.json": "{}", "sub/renv/x": ""}
        | rubbish
        | {"my env/bin/python": "", "win/Scripts/Python.exe": "", "half/pyvenv.cfg": "", "bin/tool": ""}
    )
    (directory / "gone" / "bin").mkdir(parents=True)
    (directory / "gone" / "bin" / "python").symlink_to("/nowhere/python3")
    captured = capture(directory, CaptureOptions(), environ)
    assert names(captured) == ["app.py", "bin/tool", "requirements.txt", "sub/manifest.json", "sub/renv/x"]
    left_out = {entry.name: entry.reason for entry in captured.left_out}
    assert set(left_out) == {name.rsplit("/", 1)[0] for name in rubbish} | {
        "manifest.json",
        "my env",
        "win",
        "half",
        "gone",
    }
    assert left_out["my env"] == "a virtual environment"


def test_a_link_inside_the_project_becomes_a_file_and_modes_are_plain(write, environ, tmp_path):
    directory = write({"app.py": FASTAPI, "requirements.txt": "", "run.sh": "#!/bin/sh\n"})
    (directory / "run.sh").chmod(0o4777)
    (directory / "again.py").symlink_to("app.py")
    archive = tmp_path / "out.tar.gz"
    write_bundle(capture(directory, CaptureOptions(), environ), archive)
    found = {m.name: (m.isreg(), m.mode, m.size) for m in members(archive)}
    assert found["again.py"] == (True, 0o644, len(FASTAPI))
    assert found["run.sh"][1] == 0o755


def link_out(directory: Path) -> None:
    (directory / "secret").symlink_to("/etc/passwd")


def link_to_directory(directory: Path) -> None:
    (directory / "sub").mkdir()
    (directory / "loop").symlink_to(".")


def link_to_nothing(directory: Path) -> None:
    (directory / "gone").symlink_to("nothing")


def pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe")


def hostile_name(directory: Path) -> None:
    (directory / "a\x1b[2Jb").write_text("")


def bytes_name(directory: Path) -> None:
    Path(os.fsdecode(os.fsencode(directory) + b"/\xff")).write_text("")


def virtual_environment(directory: Path) -> None:
    (directory / "pyvenv.cfg").write_text("")


def removed(directory: Path) -> None:
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (link_out, "capture-unsafe-link"),
        (link_to_directory, "capture-unsafe-link"),
        (link_to_nothing, "capture-unsafe-link"),
        (pipe, "capture-special-file"),
        (hostile_name, "capture-bad-name"),
        (bytes_name, "capture-bad-name"),
        (virtual_environment, "capture-not-a-project"),
        (removed, "capture-not-a-project"),
    ],
)
def test_a_project_that_makes_no_safe_bundle_is_refused(write, environ, spoil, code):
    directory = write({"app.py": FASTAPI, "requirements.txt": ""})
    spoil(directory)
    assert problem(InputError, lambda: capture(directory, CaptureOptions(), environ)).code == code


# Writing


def grown(path: Path) -> None:
    path.write_text(FASTAPI + "more\n")


def shrunk(path: Path) -> None:
    path.write_text("")


def edited(path: Path) -> None:
    path.write_text(FASTAPI.replace("app", "api"))


@pytest.mark.parametrize("change", [grown, shrunk, edited, Path.unlink])
def test_a_file_that_changes_meanwhile_stops_the_writing(write, environ, tmp_path, change):
    directory = write({"app.py": FASTAPI, "requirements.txt": ""})
    captured = capture(directory, CaptureOptions(), environ)
    change(directory / "app.py")
    archive = tmp_path / "out" / "out.tar.gz"
    archive.parent.mkdir()
    archive.write_text("before")
    assert problem(Refused, lambda: write_bundle(captured, archive)).code == "capture-changed"
    assert [(p.name, p.read_text()) for p in archive.parent.iterdir()] == [("out.tar.gz", "before")]


def test_an_archive_inside_its_project_is_refused(write, environ, tmp_path):
    directory = write({"app.py": FASTAPI, "requirements.txt": ""})
    captured = capture(directory, CaptureOptions(), environ)
    (tmp_path / "link").symlink_to(directory)
    for archive in (directory / "out.tar.gz", tmp_path / "link" / "out.tar.gz"):
        assert problem(Refused, partial_write(captured, archive)).code == "capture-archive-inside"


def partial_write(captured: Captured, archive: Path) -> Callable[[], None]:
    return lambda: write_bundle(captured, archive)


def test_a_bundle_that_does_not_read_back_is_not_left_behind(write, environ, tmp_path):
    directory = write({"app.py": FASTAPI, "requirements.txt": "flask\n???\n"})
    archive = tmp_path / "out.tar.gz"
    captured = capture(directory, CaptureOptions(), environ)
    found = problem(InputError, lambda: write_bundle(captured, archive))
    assert (found.code, str(found.where)) == ("requirement-invalid", f"{archive}!requirements.txt:2:1")
    assert not archive.exists()


def test_a_directory_that_is_not_there_is_told(write, environ, tmp_path):
    captured = capture(write({"app.py": FASTAPI, "requirements.txt": ""}), CaptureOptions(), environ)
    assert problem(EnvdeckError, lambda: write_bundle(captured, tmp_path / "no" / "x.tar.gz")).code == "storage-write"


# App mode and entry point: connect.md §5.2


@pytest.mark.parametrize(
    ("files", "mode", "entrypoint"),
    [
        ({"app.py": "import dash\nfrom flask import Flask"}, "python-dash", "app"),
        ({"app.py": "import os, panel as pn\nimport bokeh.io"}, "python-panel", "app"),
        ({"app.py": "from bokeh.io import curdoc"}, "python-bokeh", "app"),
        ({"app.py": "import streamlit as st"}, "python-streamlit", "app"),
        ({"app.py": "import gradio\nimport fastapi"}, "python-gradio", "app"),
        ({"app.py": "from shiny import App"}, "python-shiny", "app"),
        ({"api.py": "from flask import Flask"}, "python-api", "api"),
        ({"main.py": "from starlette.applications import Starlette"}, "python-fastapi", "main"),
        # The order of names, then the only module, then the only one named like an app.
        ({"api.py": "import flask", "main.py": "import dash"}, "python-dash", "main"),
        ({"serve.py": "import flask"}, "python-api", "serve"),
        ({"my_app.py": "import flask", "util.py": "", "sub/app.py": ""}, "python-api", "my_app"),
        ({"app-sales.py": "import dash", "util.py": ""}, "python-dash", "app-sales"),
        ({"report.ipynb": "", "util.py": "import os"}, "jupyter-static", "report.ipynb"),
        ({"report.ipynb": "", "app.py": "import flask"}, "python-api", "app"),
    ],
)
def test_mode_and_entry_point_are_told_by_the_files(files, mode, entrypoint):
    chosen = choose_app_mode("", "", list(files), files)
    assert chosen.value == mode
    assert choose_entrypoint("", chosen.value, list(files)).value == entrypoint


@pytest.mark.parametrize(
    ("files", "mode", "entrypoint", "code"),
    [
        ({"a.py": "", "b.py": ""}, "", "", "capture-mode-unknown"),
        ({"app.py": "import os"}, "", "", "capture-mode-unknown"),
        ({"a.ipynb": "", "b.ipynb": ""}, "", "", "capture-mode-unknown"),
        ({"app.py": ""}, "python-fastapy", "", "capture-mode-unknown"),
        ({"app.py": ""}, "shiny", "", "capture-mode-unknown"),
        ({"a.py": "", "b.py": ""}, "python-api", "", "capture-entrypoint-unknown"),
        ({"a.ipynb": "", "b.ipynb": ""}, "jupyter-voila", "", "capture-entrypoint-unknown"),
        ({"app.py": ""}, "python-api", "web:app", "capture-entrypoint-missing"),
        ({"a.ipynb": ""}, "jupyter-static", "b.ipynb", "capture-entrypoint-missing"),
    ],
)
def test_what_cannot_be_told_is_asked_for(files, mode, entrypoint, code):
    def choose() -> None:
        chosen = choose_app_mode(mode, entrypoint, list(files), files)
        choose_entrypoint(entrypoint, chosen.value, list(files))

    assert problem(InputError, choose).code == code


@pytest.mark.parametrize("entrypoint", ["web", "web:app", "web.py", "web/__init__.py"])
def test_an_entry_point_may_be_a_file_a_module_or_an_object(entrypoint):
    files = {"web.py": ""} if not entrypoint.endswith("__init__.py") else {"web/__init__.py": ""}
    assert choose_entrypoint(entrypoint, "python-api", list(files)).value == entrypoint


def test_imports_are_read_without_running_or_parsing_anything():
    source = (
        'import a.b as x, c\nfrom d.e import f\nif 1:\n    import g\nimport(\n"broken\x00\nimport ,\nfrom . import h\n'
    )
    assert imported(source) == {"a", "c", "d"}


# The interpreter: package-management-posit.txt, "Package Installation", 2


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def kernel(data: Path, name: str, *argv: str) -> Path:
    spec = data / "kernels" / name / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": [*argv, "-m", "ipykernel_launcher"], "language": "python"}))
    return spec


@pytest.fixture
def desktop(tmp_path, environ):
    """An author's desktop on which every source names an interpreter of its own: source to path."""
    found = {"PATH": Path(environ["PATH"].split(":")[0]) / "python3"}
    for variable in ("RETICULATE_PYTHON", "RETICULATE_PYTHON_FALLBACK"):
        found[variable] = program(tmp_path / variable / "bin" / "python")
        environ[variable] = str(found[variable])
    found["--python"] = program(tmp_path / "asked" / "bin" / "python3.11")
    found["kernel"] = program(tmp_path / "kernel" / "bin" / "python")
    kernel(Path(environ["HOME"]) / ".local" / "share" / "jupyter", "analysis", str(found["kernel"]))
    return found


@pytest.mark.parametrize(
    ("asked", "kernel_name", "unset", "source"),
    [
        (True, "analysis", (), "--python"),
        (False, "analysis", (), "kernel"),
        (False, "Analysis", (), "kernel"),
        (False, "unknown-kernel", (), "RETICULATE_PYTHON"),
        (False, None, (), "RETICULATE_PYTHON"),
        (False, "../analysis", (), "RETICULATE_PYTHON"),
        (False, "no notebook", (), "RETICULATE_PYTHON"),
        (False, "no notebook", ("RETICULATE_PYTHON",), "RETICULATE_PYTHON_FALLBACK"),
        (False, "no notebook", ("RETICULATE_PYTHON", "RETICULATE_PYTHON_FALLBACK"), "PATH"),
    ],
)
def test_the_interpreter_is_that_of_the_first_source(write, environ, desktop, asked, kernel_name, unset, source):
    path = None
    if kernel_name != "no notebook":
        path = write({"report.ipynb": notebook(kernel_name)}) / "report.ipynb"
    for variable in unset:
        del environ[variable]
    chosen = choose_interpreter(str(desktop["--python"]) if asked else "", path, environ)
    assert chosen.value == str(desktop[source])
    assert source in chosen.reason
    assert len(chosen.looked_at) == len(unset) + (source == "RETICULATE_PYTHON" and path is not None)


def test_a_kernel_that_names_its_program_without_a_path_means_its_own(write, environ, tmp_path):
    own = program(tmp_path / "env" / "bin" / "python")
    spec = kernel(tmp_path / "env" / "share" / "jupyter", "python3", "python")
    path = write({"r.ipynb": notebook()}) / "r.ipynb"
    chosen = choose_interpreter("", path, environ | {"VIRTUAL_ENV": str(tmp_path / "env")})
    assert chosen.value == str(own)
    assert str(spec) in chosen.reason


@pytest.mark.parametrize("source", ["--python", "RETICULATE_PYTHON", "kernel.json"])
def test_an_interpreter_that_is_named_but_gone_is_an_error(write, environ, tmp_path, source):
    gone = str(tmp_path / "gone" / "python")
    path = write({"r.ipynb": notebook("k" if source == "kernel.json" else None)}) / "r.ipynb"
    kernel(tmp_path / "jupyter", "k", gone)
    environ |= {"JUPYTER_PATH": str(tmp_path / "jupyter"), "RETICULATE_PYTHON": gone}
    found = problem(InputError, lambda: choose_interpreter(gone if source == "--python" else "", path, environ))
    assert (found.code, found.found) == ("capture-python-missing", gone)
    assert source in found.message


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "[" * 100_000, notebook("ir", "R")])
def test_a_file_that_is_no_python_notebook_is_refused(write, environ, text):
    path = write({"r.ipynb": text}) / "r.ipynb"
    assert problem(InputError, lambda: choose_interpreter("", path, environ)).code == "capture-notebook-invalid"


def test_a_program_that_is_not_python_is_refused(write, environ):
    directory = write({"app.py": FASTAPI, "requirements.txt": ""})
    found = problem(InputError, lambda: capture(directory, CaptureOptions(python="/bin/true"), environ))
    assert found.code == "capture-python-unusable"


# Frozen lists: connect.md §5.4


def test_frozen_lines_are_filtered_and_each_change_has_its_reason():
    text = r"""
flask==3.0.3
numpy @ file:///croot/numpy_1/work
p @ git+https://example.test/p@main
setuptools==65.5.0.post20221011
rsconnect-python==1.20.0
# Editable install with no version control (mine==1.0)
-e /home/me/mine
-e c:\users\me\mine
[notice] A new release of pip is available
WARNING: something
-r other.txt
"""
    frozen = filter_frozen(text)
    assert [line.kept for line in frozen if line.kept] == [
        "flask==3.0.3",
        "numpy",
        "p @ git+https://example.test/p@main",
    ]
    assert all(line.reason for line in frozen if line.kept != line.original)
    assert not any(line.reason for line in frozen if line.kept == line.original)
    assert len(frozen) == 10


def test_a_password_in_a_frozen_line_is_kept_but_not_shown():
    (line,) = filter_frozen("p @ https://me:secret@example.test/p.zip")
    assert "secret" in line.kept
    assert "secret" not in line.original


def test_without_a_requirements_file_the_packages_of_the_interpreter_are_frozen(write, environ, tmp_path, make_wheel):
    python = desktop_environment(tmp_path / "env", [make_wheel(tmp_path / "wheels", "alpha", "1.2")])
    directory = write({"app.py": FASTAPI})
    captured = capture(directory, CaptureOptions(python=str(python)), environ)
    assert captured.requirements.reason == f"frozen from {python}"
    # Installed from a file: the index is to provide it, as for conda's packages.
    assert [(line.kept, bool(line.reason)) for line in captured.frozen] == [("alpha", True)]
    archive = tmp_path / "out.tar.gz"
    write_bundle(captured, archive)
    assert [line.text for line in read_bundle(archive).requirements] == ["alpha"]
    assert not (directory / "requirements.txt").exists()


def test_an_interpreter_without_pip_cannot_be_frozen(write, environ, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    directory = write({"app.py": FASTAPI})
    options = CaptureOptions(python=str(tmp_path / "bare" / "bin" / "python"))
    found = problem(InputError, lambda: capture(directory, options, environ))
    assert found.code == "capture-freeze-failed"
    assert "No module named pip" in found.message
    manifest = capture(write({"requirements.txt": ""}), options, environ).manifest
    assert manifest["python"]["package_manager"] == {"name": "pip", "package_file": "requirements.txt"}


def desktop_environment(path: Path, wheels: list[Path]) -> Path:
    """A virtual environment with `wheels`, made without an index; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    python = path / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check", *wheels]
    subprocess.run(command, check=True, capture_output=True)
    return python


# The same project through the publishing client


@pytest.fixture(scope="session")
def client(tmp_path_factory) -> Path:
    """A virtual environment with the publishing client from the package index, and some packages to freeze."""
    path = tmp_path_factory.mktemp("client") / "venv"
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    subprocess.run([path / "bin" / "pip", "install", "--quiet", "rsconnect-python", "colorama"], check=True)
    return path


@pytest.mark.network
@pytest.mark.parametrize("kind", ["fastapi", "notebook", "notebook frozen"])
def test_a_bundle_is_planned_like_the_one_of_the_publishing_client(client, server, write, environ, tmp_path, kind):
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    files = {".python-version": f"{minor}.0\n", "pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.9"\n'}
    files |= {"main.py": FASTAPI, "pkg/__init__.py": "", "__pycache__/x.pyc": "", "renv/x": ""}
    if kind.startswith("notebook"):
        files = {"report.ipynb": notebook()}
    if not kind.endswith("frozen"):
        files["requirements.txt"] = "Fast_API==0.115.0  # pinned\nuvicorn[standard]>=0.30\n"
    ours, theirs = write(files, "ours"), write(files, "theirs")
    python = str(client / "bin" / "python")
    archive = tmp_path / "ours.tar.gz"
    captured = capture(ours, CaptureOptions(python=python), environ)
    write_bundle(captured, archive)
    command = [client / "bin" / "rsconnect", "write-manifest", kind.split()[0], "--python", python]
    command += ["--force-generate"] if kind.endswith("frozen") else []
    command += [theirs / "report.ipynb" if kind.startswith("notebook") else theirs]
    subprocess.run(command, check=True, capture_output=True, env=environ | {"LC_ALL": "C.UTF-8"})
    mine, other = read_bundle(archive), read_bundle(theirs)
    assert mine.requirements
    assert [line.text for line in mine.requirements] == [line.text for line in other.requirements]
    assert replace(mine.manifest, where=None) == replace(other.manifest, where=None)
    listed = json.loads((theirs / "manifest.json").read_text())["files"]
    expected = {name: entry for name, entry in listed.items() if name != "requirements.txt"}
    assert {f.name: {"checksum": f.md5} for f in captured.files if f.name != "requirements.txt"} == expected
    engine = server.engine()
    plans = [engine.plan_build(bundle) for bundle in (mine, other)]
    assert plans[0].match == plans[1].match
    assert plans[0].packages.requirements_text == plans[1].packages.requirements_text
    assert plans[0].key == plans[1].key != ""

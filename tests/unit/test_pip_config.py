"""pip's configuration: package-management-posit.txt, "Configuring pip"; connect.md §9; builds.md, section G."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.builds.launch import build_mounts
from engine.builds.pip_config import INDEX_OPTIONS, compiles, configuration, effective, index_configuration, pip_files
from engine.errors import Severity
from engine.executors.accounts import Account, first_barrier

ETC, XDG = "etc/pip.conf", "etc/xdg/pip/pip.conf"
LEGACY, USER = "home/.pip/pip.conf", "home/.config/pip/pip.conf"


@pytest.fixture
def write(tmp_path: Path):
    def write(**files: str) -> None:
        paths = {"etc": ETC, "xdg": XDG, "legacy": LEGACY, "user": USER}
        for name, text in files.items():
            path = tmp_path / paths[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def in_force(root: Path) -> dict[str, str]:
    return {setting.name: setting.value for setting in effective(root / "home", root)}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, {}),
        # The example of package-management-posit.txt, "Specifying a Package Repository".
        (
            {"etc": "[global]\ntimeout = 60\nindex-url = https://mirror/simple\n"},
            {"timeout": "60", "index-url": "https://mirror/simple"},
        ),
        ({"xdg": "[global]\ntimeout=1\n", "etc": "[global]\ntimeout=2\n"}, {"timeout": "2"}),
        ({"etc": "[global]\ntimeout=2\n", "legacy": "[global]\ntimeout=3\n"}, {"timeout": "3"}),
        ({"legacy": "[global]\ntimeout=3\n", "user": "[global]\ntimeout=4\n"}, {"timeout": "4"}),
        ({"etc": "[global]\ntimeout=2\n[install]\ntimeout=5\n"}, {"timeout": "5"}),
        # The section weighs more than the file.
        ({"etc": "[install]\ntimeout=5\n", "user": "[global]\ntimeout=4\n"}, {"timeout": "5"}),
        ({"etc": "[download]\ntimeout=9\n[list]\nformat=json\n"}, {}),
        ({"etc": "[global]\nextra_index_url =\n  https://a/simple\n  https://b/simple\n"}, {"extra-index-url": "a b"}),
        ({"etc": "[global]\nindex_url = https://a\n", "user": "[global]\nindex-url = https://b\n"}, {"index-url": "b"}),
        ({"etc": "[global]\n--timeout = 7\n"}, {"timeout": "7"}),
    ],
)
def test_the_value_in_force_is_the_one_pip_takes(tmp_path: Path, write, files, expected) -> None:
    write(**files)
    found = {name: value.replace("https://", "").replace("/simple", "") for name, value in in_force(tmp_path).items()}
    assert found == {name: value.replace("https://", "").replace("/simple", "") for name, value in expected.items()}


def test_pip_itself_agrees(tmp_path: Path, write) -> None:
    """Only files that a home directory can hold: the global ones of this machine would get in the way."""
    write(
        legacy="[global]\ntimeout = 3\nindex_url = https://a/simple\n[install]\npre = yes\n",
        user="[global]\npre = no\ntimeout = 4\nfind-links =\n  /x\n  /y\n",
    )
    base = Path(sys.base_prefix) / "bin" / "python3"
    environ = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
    program = (
        "from pip._internal.commands.install import InstallCommand as C\n"
        "o = C('install', '').parser.get_default_values()\n"
        "print(o.timeout, o.index_url, o.pre, o.find_links)"
    )
    output = subprocess.run([base, "-I", "-c", program], env=environ, capture_output=True, text=True, check=True).stdout
    ours = in_force(tmp_path)
    assert output.split()[:3] == [str(float(ours["timeout"])), ours["index-url"], str(int(ours["pre"] == "yes"))]
    assert ours["find-links"] == "/x /y"
    assert "'/x', '/y'" in output


def test_every_option_says_where_it_stands(tmp_path: Path, write) -> None:
    write(
        etc="# company\n[global]\n\ntimeout = 60\nextra-index-url =\n  https://a/simple\n\n[install]\npre = true\n",
        user="[global]\nindex_url: https://b/simple\n",
    )
    home = tmp_path / "home"
    assert [(s.name, s.section, s.origin, s.in_key) for s in effective(home, tmp_path)] == [
        ("extra-index-url", "global", f"{tmp_path / ETC}:5", True),
        ("index-url", "global", f"{tmp_path / USER}:2", True),
        ("pre", "install", f"{tmp_path / ETC}:9", True),
        ("timeout", "global", f"{tmp_path / ETC}:4", False),
    ]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("index-url = https://user:s3cret@mirror/simple", "https://****@mirror/simple"),
        ("extra-index-url = https://a:s3cret@a/ https://b:s3cret@b/", "https://****@a/ https://****@b/"),
        ("proxy = user:s3cret@proxy:3128", "****@proxy:3128"),
        ("proxy = http://user:s3cret@proxy:3128", "http://****@proxy:3128"),
        ("proxy = proxy:3128", "proxy:3128"),
        ("cert = /etc/\x1b[31mred.pem", "/etc/\\x1b[31mred.pem"),
    ],
)
def test_what_is_shown_holds_no_password_and_no_control_character(tmp_path: Path, write, line: str, shown: str) -> None:
    write(etc=f"[global]\n{line}\n")
    (setting,) = effective(tmp_path / "home", tmp_path)
    assert setting.value == shown


def test_the_key_gets_the_index_options_alone_and_unmasked(tmp_path: Path, write) -> None:
    write(etc="[global]\ntimeout = 60\nindex-url = https://user:s3cret@mirror/simple\n[install]\nno-binary = :all:\n")
    assert index_configuration(tmp_path / "home", tmp_path) == {
        "index-url": "https://user:s3cret@mirror/simple",
        "no-binary": ":all:",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("[global]\ncompile = no\n", False),
        ("[install]\nno-compile = off\n", False),
        ("[install]\nno-compile = true\n", True),
        ("[global]\nno_compile = 0\n[install]\ncompile = yes\n", False),
    ],
)
def test_whether_pip_compiles_is_read_as_pip_reads_it(tmp_path: Path, write, text: str, expected: bool) -> None:
    write(user=text)
    assert compiles(configuration(tmp_path / "home", tmp_path)) is expected


def test_files_are_listed_in_pips_order_with_what_is_wrong_with_them(tmp_path: Path, write) -> None:
    write(etc="[global]\ntimeout = 60\n", legacy="no section\n", user="[global]\nx = 1\nx = 2\n")
    (tmp_path / XDG).mkdir(parents=True)
    files = pip_files(tmp_path / "home", tmp_path)
    assert [f.path.relative_to(tmp_path).as_posix() for f in files] == [XDG, ETC, LEGACY, USER]
    xdg, etc, legacy, user = files
    assert (etc.exists, etc.problem) == (True, None)
    for file, line, severity in ((xdg, None, Severity.WARNING), (legacy, 1, Severity.ERROR), (user, 3, Severity.ERROR)):
        assert file.problem is not None
        assert (file.problem.code, file.problem.severity) == ("pip-config-unreadable", severity)
        assert file.problem.where is not None
        assert file.problem.where.line == line
    assert in_force(tmp_path) == {"timeout": "60"}


def test_a_file_that_is_not_there_is_no_problem(tmp_path: Path) -> None:
    assert [(f.exists, f.problem) for f in pip_files(tmp_path / "home", tmp_path)] == [(False, None)] * 4


@pytest.mark.parametrize("data", [b"\xff\xfe[global]", b"[global\n", b"[global]\ntimeout"])
def test_a_file_that_stops_pip_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / ETC
    path.parent.mkdir()
    path.write_bytes(data)
    problems = [f.problem for f in pip_files(tmp_path / "home", tmp_path) if f.problem]
    assert [p.severity for p in problems] == [Severity.ERROR]
    assert effective(tmp_path / "home", tmp_path) == ()


def test_what_the_account_of_builds_may_not_read_does_not_apply_to_them() -> None:
    """connect.md §9: all restores run as ``Applications.RunAs``."""
    with tempfile.TemporaryDirectory() as name:  # below a directory that everybody may enter
        root = Path(name)
        root.chmod(0o755)
        home = root / "home"
        for path, value in ((ETC, 1), (USER, 2)):
            (root / path).parent.mkdir(parents=True)
            (root / path).write_text(f"[global]\ntimeout = {value}\n")
        (root / USER).chmod(0o600)
        stranger = Account("stranger", 4_000_000, 4_000_000, (4_000_000,), home)
        files = {f.path: f.problem for f in pip_files(home, root, stranger)}
        problem = files[root / USER]
        assert problem is not None
        assert "stranger may not read it" in problem.message
        assert files[root / ETC] is None
        assert [s.value for s in effective(home, root, stranger)] == ["1"]
        assert [s.value for s in effective(home, root)] == ["2"]
        (root / "etc").chmod(0o700)
        assert first_barrier(stranger, root / ETC, os.R_OK) == root / "etc"
        assert effective(home, root, stranger) == ()


@given(st.text(alphabet="[]globalinstx-_=: \n#;\t/", max_size=200))
def test_no_text_breaks_the_reading(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "etc").mkdir(parents=True, exist_ok=True)
    (root / ETC).write_text(text)
    settings = effective(root / "home", root)
    assert {s.name for s in settings} >= set(index_configuration(root / "home", root))
    for setting in settings:
        number = int(setting.origin.rpartition(":")[2])
        assert 1 <= number <= max(1, len(text.splitlines()))
    assert set(index_configuration(root / "home", root)) <= set(INDEX_OPTIONS)


def test_a_build_elsewhere_sees_the_files_that_the_configuration_names(tmp_path: Path) -> None:
    for name in ("ca.pem", "constraints.txt", "more.txt"):
        (tmp_path / name).touch()
    (tmp_path / "wheels").mkdir()
    config = tmp_path / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"[global]\ncert = {tmp_path}/ca.pem\nconstraint =\n    {tmp_path}/constraints.txt\n    {tmp_path}/more.txt\n"
        f"find-links = {tmp_path}/wheels {tmp_path}/gone https://example.org/wheels\n"
    )
    seen = {str(mount.path) for mount in build_mounts(tmp_path, None, {}, [Path("/srv/models")]) if mount.read_only}
    names = ("ca.pem", "constraints.txt", "more.txt", "wheels", ".config/pip/pip.conf")
    assert {str(tmp_path / name) for name in names} | {"/srv/models"} <= seen
    assert not {path for path in seen if "gone" in path or "example" in path}

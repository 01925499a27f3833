"""Where the files of a wheel belong, what its commands are called, and under which names the store keeps things."""

from __future__ import annotations

import pytest

from engine.wheels.commands import command_script
from engine.wheels.layout import Layout, Unfit, commands_of, is_shadowed
from engine.wheels.model import Pin, bytecode_tag, index_digest

TAG = "cpython-311-x86_64-linux-gnu"
SITE = "lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("member", "source", "target"),
    [
        ("demo.py", "site/demo.py", f"{SITE}/demo.py"),
        ("demo/a/b.py", "site/demo/a/b.py", f"{SITE}/demo/a/b.py"),
        ("demo-1.dist-info/METADATA", "site/demo-1.dist-info/METADATA", f"{SITE}/demo-1.dist-info/METADATA"),
        ("demo-1.data/purelib/demo.py", "site/demo.py", f"{SITE}/demo.py"),
        ("demo-1.data/platlib/demo.so", "site/demo.so", f"{SITE}/demo.so"),
        ("demo-1.data/scripts/tool", "scripts/tool", "bin/tool"),
        ("demo-1.data/data/share/man/x.1", "data/share/man/x.1", "share/man/x.1"),
        ("demo-1.data/data/lib/libx.so", "data/lib/libx.so", "lib/libx.so"),
        ("demo-1.data/headers/x.h", "headers/x.h", "include/site/python3.11/Demo/x.h"),
    ],
)
def test_a_member_goes_where_pip_puts_it(member: str, source: str, target: str) -> None:
    place = Layout(TAG, "Demo", "demo-1.dist-info").place(member)
    assert (place.source, place.target) == (source, target)


@pytest.mark.parametrize(
    "member",
    [
        "demo-1.data/unheard/x",
        "demo-1.data/scripts",
        "demo-1.data",
        "other-1.data/data/x",
        "demo-1.data/data/pyvenv.cfg",
        "demo-1.data/data/PYVENV.CFG",
        "demo-1.data/data/lib64/x",
        "demo-1.data/data/lib64",
        "demo-1.data/data/lib",
        "demo-1.data/data/lib/python3.11/site-packages/x.py",
        "demo-1.data/data/envdeck-seal.json",
        "demo-1.data/data/requirements.txt.lock",
        "demo-1.data/data/.gitignore",
        "demo-1.data/data/bin/python",
        "demo-1.data/scripts/python3.11",
        "demo-1.data/scripts/activate",
        "demo-1.data/scripts/activate.fish",
        "demo-1.data/scripts/Activate.ps1",
        "zzz_externals.pth",
    ],
)
def test_a_package_may_not_bring_what_makes_an_environment_one(member: str) -> None:
    with pytest.raises(Unfit):
        Layout(TAG, "demo", "demo-1.dist-info").place(member)


def test_commands_that_only_look_like_those_of_an_environment_are_a_packages_own() -> None:
    layout = Layout(TAG, "argcomplete", "argcomplete-1.dist-info")
    place = layout.place("argcomplete-1.data/scripts/activate-global-python-argcomplete")
    assert place.target == "bin/activate-global-python-argcomplete"


def test_free_threaded_pythons_have_their_own_directory() -> None:
    layout = Layout("cpython-313t-x86_64-linux-gnu", "demo", "demo-1.dist-info")
    assert layout.place("x.py").target == "lib/python3.13t/site-packages/x.py"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("[console_scripts]\nflask = flask.cli:main\n", [("flask", "flask.cli", "main")]),
        ("[gui_scripts]\nidle = idle_lib:App.run [gui]\n", [("idle", "idle_lib", "App.run")]),
        ("[other]\nx = nonsense at all\n", []),
        (
            "[console_scripts]\npip = pip._internal:main\npip3 = pip._internal:main\npip3.9 = pip._internal:main\n",
            [(name, "pip._internal", "main") for name in ("pip", "pip3", "pip3.11")],
        ),
        (
            "[console_scripts]\neasy_install = s:main\neasy_install-3.6 = s:main\nz = z:z\n",
            [("z", "z", "z"), ("easy_install", "s", "main"), ("easy_install-3.11", "s", "main")],
        ),
    ],
)
def test_commands_are_those_that_pip_makes(text: str, expected: list[tuple[str, str, str]]) -> None:
    assert list(commands_of(text, "3.11")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "../../x = a:b",
        "a/b = a:b",
        ".. = a:b",
        "python = a:b",
        "activate = a:b",
        "x = module_without_function",
        "x = a:b; import os",
        "x = a\n b:c",
        "x = a:b()",
        "x y = a:b",
        "x\x1b = a:b",
    ],
)
def test_a_command_that_reaches_elsewhere_or_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(Unfit):
        commands_of(f"[console_scripts]\n{line}\n", "3.11")


def test_entry_points_that_are_no_such_file_are_refused() -> None:
    with pytest.raises(Unfit):
        commands_of("x = a:b", "3.11")


@pytest.mark.parametrize("name", ["tool", "tool.exe", "tool-script.py", "tool.pya"])
def test_pip_leaves_out_a_script_that_it_makes_itself(name: str) -> None:
    assert is_shadowed(f"demo-1.data/scripts/{name}", ["tool"])
    assert not is_shadowed(f"demo-1.data/scripts/{name}", ["other"])


@pytest.mark.parametrize(
    ("python", "head"),
    [
        ("/env/bin/python", b"#!/env/bin/python\n"),
        ("/my env/bin/python", b"#!/bin/sh\n'''exec' \"/my env/bin/python\" \"$0\" \"$@\"\n' '''\n"),
        ("/" + "e" * 130, b"#!/bin/sh\n'''exec' /" + b"e" * 130 + b" \"$0\" \"$@\"\n' '''\n"),
    ],
)
def test_the_first_line_of_a_command_is_one_that_the_system_takes(python: str, head: bytes) -> None:
    assert command_script("from {module} import {object}; {function}()", python, "a.b", "C.run") == (
        head + b"from a.b import C; C.run()"
    )


def identity(**other: object) -> dict[str, object]:
    return {"implementation": "CPython", "version": "3.11.7", "soabi": TAG, "base_prefix": "/opt/3.11"} | other


@pytest.mark.parametrize(
    ("of", "tag"),
    [
        (identity(), TAG),
        (identity(version="3.11.9"), TAG),
        (identity(soabi="cpython-313td-x86_64-linux-gnu", version="3.13.0"), "cpython-313td-x86_64-linux-gnu"),
        (identity(version="3.11.0rc1"), f"{TAG}-3.11.0rc1"),
        (identity(implementation="PyPy", soabi="pypy39-pp73"), None),
        (identity(soabi=""), None),
        (identity(soabi="cpython-311/../../x"), None),
        (identity(version="2.7.18"), None),
        (identity(version="what"), None),
        ({}, None),
    ],
)
def test_interpreters_that_load_the_same_bytecode_share_what_is_stored(of: dict[str, object], tag: str | None) -> None:
    assert bytecode_tag(of) == tag


def test_an_index_is_told_apart_by_what_pip_sees_and_not_by_who_asks() -> None:
    one = index_digest({"index-url": "https://alice:secret@pypi.example/simple"}, identity())
    assert one == index_digest({"index-url": "https://bob:other@pypi.example/simple"}, identity(base_prefix="/usr"))
    assert one != index_digest({"index-url": "https://pypi.example/simple"}, identity())
    assert one != index_digest({"index-url": "https://alice:secret@pypi.example/simple"}, identity(version="3.11.8"))
    quick = {"index-url": "https://alice:secret@pypi.example/simple", "timeout": "3"}
    assert one == index_digest(quick, identity())


@pytest.mark.parametrize("option", ["proxy", "trusted-host", "cert", "client-cert", "find-links", "pre"])
def test_whoever_leads_pip_elsewhere_does_so_under_another_name(option: str) -> None:
    """The account of builds can write its own configuration of pip."""
    usual = {"index-url": "https://pypi.example/simple"}
    assert index_digest(usual, identity()) != index_digest(usual | {option: "x"}, identity())


def test_equal_versions_are_one_pin() -> None:
    assert Pin.of("Foo_Bar", "1.0") == Pin.of("foo-bar", "1.0.0")

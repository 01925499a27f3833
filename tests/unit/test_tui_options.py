from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from app.tui.options import Options, parse_options, refusal
from app.tui.profile import choose_profile
from app.version import VERSION

SSH = {"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22", "TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], Options()),
        (["--read-only", "--mouse"], Options(read_only=True, mouse=True)),
        (["--config", "a", "--config=b"], Options(config=(Path("a"), Path("b")))),
        (["--ascii", "--no-color", "--local"], Options(ascii=True, no_color=True, local=True)),
        (["--theme", "nord"], Options(theme="nord")),
    ],
)
def test_flags_alone_open_the_ui(argv: list[str], expected: Options) -> None:
    assert parse_options(argv) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ["match", "x"],
        ["--config", "a", "builds"],
        ["-h"],
        ["--help"],
        ["--version"],
        ["--config"],
        ["--mous"],
        ["--ascii=1"],
    ],
)
def test_anything_else_is_for_the_command_line(argv: list[str]) -> None:
    assert parse_options(argv) is None


@pytest.mark.parametrize(
    ("options", "environ", "name", "expected"),
    [
        (Options(), {}, "TEXTUAL_THEME", "ansi-dark"),
        (Options(), {}, "TEXTUAL_ANIMATIONS", "none"),
        (Options(), {}, "TEXTUAL_FPS", None),
        (Options(), SSH, "TEXTUAL_FPS", "15"),
        (Options(), SSH, "TEXTUAL_COLOR_SYSTEM", "256"),
        (Options(local=True), SSH, "TEXTUAL_FPS", None),
        (Options(truecolor=True), SSH, "TEXTUAL_COLOR_SYSTEM", "truecolor"),
        (Options(), {**SSH, "TERM": "screen"}, "TEXTUAL_COLOR_SYSTEM", None),
        (Options(), {**SSH, "TEXTUAL_FPS": "30"}, "TEXTUAL_FPS", None),
        (Options(theme="nord"), {}, "TEXTUAL_THEME", "nord"),
        (Options(theme="nord", no_color=True), {}, "TEXTUAL_THEME", "ansi-dark"),
        (Options(theme="nord"), {"NO_COLOR": "1"}, "TEXTUAL_THEME", "ansi-dark"),
        (Options(no_color=True), {}, "NO_COLOR", "1"),
    ],
)
def test_what_is_set_before_textual_is_imported(
    options: Options, environ: dict[str, str], name: str, expected: str | None
) -> None:
    assert choose_profile(options, environ).variables.get(name) == expected


@pytest.mark.parametrize(
    ("options", "term", "encoding", "expected"),
    [
        (Options(), "xterm-256color", "utf-8", False),
        (Options(), "xterm-256color", "UTF8", False),
        (Options(ascii=True), "xterm-256color", "utf-8", True),
        (Options(), "xterm-256color", "ANSI_X3.4-1968", True),
        (Options(), "xterm-256color", "", True),
        (Options(), "linux", "utf-8", True),
        (Options(), "vt100", "utf-8", True),
    ],
)
def test_symbols_are_ascii_where_others_cannot_be_shown(
    options: Options, term: str, encoding: str, expected: bool
) -> None:
    assert choose_profile(options, {"TERM": term}, encoding).ascii is expected


@pytest.mark.parametrize("environ", [{}, SSH, {**SSH, "TEXTUAL_FPS": "30"}, {**SSH, "NO_COLOR": "1"}])
def test_everything_that_was_decided_is_told_with_its_reason(environ: dict[str, str]) -> None:
    profile = choose_profile(Options(), environ)
    told = str(profile)
    assert all(manner.value and manner.why for manner in profile.manners)
    for name in ("TERM", "theme", "colours", "frames", "animations", "smooth scrolling", "mouse", "refresh", "symbols"):
        assert f"{name} " in told
    assert ("over SSH from 10.0.0.1" in told) is (environ != {})
    assert ("--local takes it back" in told) is (environ != {})
    assert ("frames 30 (your TEXTUAL_FPS)" in told) is ("TEXTUAL_FPS" in environ)


@pytest.mark.parametrize(
    ("environ", "is_terminal", "refused"),
    [
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, True, True),
        ({}, True, True),
        ({"TERM": "xterm"}, False, True),
    ],
)
def test_terminals_that_cannot_show_the_ui_are_refused_with_a_way_out(
    environ: dict[str, str], is_terminal: bool, refused: bool
) -> None:
    why = refusal(environ, is_terminal=is_terminal)
    assert bool(why) is refused
    assert not refused or "envdeck --help" in why


def test_without_a_terminal_one_line_and_exit_code_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "envdeck --help" in done.stderr


def test_the_environment_is_set_before_textual_is_imported() -> None:
    code = "import app.__main__, app.tui.options, sys; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_the_version_shown_is_that_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION

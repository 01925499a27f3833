"""Which lines of a log count as errors and warnings."""

from __future__ import annotations

import pytest

from engine import LogLevel, log_level


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: No matching distribution found for nump==9.9",
        "ERROR: Could not find a version that satisfies the requirement nump==9.9 (from versions: none)",
        "  error: subprocess-exited-with-error",
        "  × python setup.py egg_info did not run successfully.",
        "      Traceback (most recent call last):",
        "      ModuleNotFoundError: No module named 'numpy'",
        "pip._vendor.urllib3.exceptions.ReadTimeoutError: timed out",
        "    AssertionError",
        "src/parser.c:12:10: fatal error: Python.h: No such file or directory",
        "      gcc: error: unrecognized command-line option",
        "ld: error: cannot find -lfoo",
        "Failed to build installable wheels for some pyproject.toml based projects (foo)",
        "failed: resolve: nump: no version matches",
        "lost: its supervisor went away",
    ],
)
def test_an_error_is_told_by_how_its_line_begins(line: str) -> None:
    assert log_level(line) is LogLevel.ERROR


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("WARNING: The script is not on PATH", LogLevel.WARNING),
        ("DEPRECATION: foo is being installed using the legacy method", LogLevel.WARNING),
        ("  /usr/lib/x.py:3: SyntaxWarning: invalid escape", LogLevel.PLAIN),
        ("      SetuptoolsDeprecationWarning: License", LogLevel.WARNING),
        ("src/a.c:1:2: warning: unused variable", LogLevel.WARNING),
        ("cancelled: cancelled by bob", LogLevel.WARNING),
        ("Successfully installed flask-3.0", LogLevel.GOOD),
        ("done: published /data/x", LogLevel.GOOD),
        ("Collecting error-report==1.0", LogLevel.PLAIN),
        ("Collecting exceptiongroup (from anyio)", LogLevel.PLAIN),
        ("  Downloading errorhandler-2.0-py3-none-any.whl", LogLevel.PLAIN),
        ("No errors.", LogLevel.PLAIN),
        ("", LogLevel.PLAIN),
    ],
)
def test_names_that_only_look_like_it_are_nothing_of_the_kind(line: str, level: LogLevel) -> None:
    assert log_level(line) is level


def test_a_very_long_line_takes_no_time_to_speak_of() -> None:
    for text in ("a" * 1_000_000, "a." * 500_000, "1:" * 500_000, " " * 1_000_000 + "x"):
        assert log_level(text) is LogLevel.PLAIN

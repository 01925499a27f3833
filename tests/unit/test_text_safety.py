"""Foreign text never reaches a terminal as control, and what is hidden in it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import clean, clean_log_line, mask_credentials, one_line


def has_control(text: str) -> bool:
    return any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\u00ad" for c in text if c < "\ue000"
    )


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("requests[socks]", "requests[socks]"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines", "two\\x0alines"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_clean_shows_hidden_characters_as_escapes(raw: str, shown: str) -> None:
    assert clean(raw) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[32mCollecting\x1b[0m flask\r\n", "Collecting flask"),
        ("\x1b]52;c;aGFja2Vk\x07after", "after"),
        ("\x1b]52;c;aGFja2Vk\x1b\\after", "after"),
        ("unterminated \x1b]0;title", "unterminated "),
        ("8 bit \x9b31mred", "8 bit red"),
        ("10 %\r50 %\r100 %", "100 %"),
        ("done\r", "done"),
        ("a\tb", "a       b"),
        ("bell\x07", "bell\\x07"),
    ],
)
def test_a_log_line_looks_as_a_terminal_would_leave_it(raw: str, shown: str) -> None:
    assert clean_log_line(raw) == shown


@given(st.text())
def test_no_control_character_survives(text: str) -> None:
    for made_safe in (clean(text), clean_log_line(text), one_line(text)):
        assert not has_control(made_safe)


@given(st.text(), st.integers(1, 40))
def test_one_line_keeps_its_limit(text: str, limit: int) -> None:
    assert len(one_line(text, limit)) <= limit


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("--index-url https://user:secret@host/simple", "--index-url https://****@host/simple"),
        ("https://u:p@ss@host/x", "https://****@host/x"),
        ("git+https://token@host/repo.git@main", "git+https://****@host/repo.git@main"),
        ("https://host/path@version", "https://host/path@version"),
        ("six==1.16.0", "six==1.16.0"),
    ],
)
def test_passwords_in_urls_are_masked(raw: str, shown: str) -> None:
    assert mask_credentials(raw) == shown

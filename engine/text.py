"""The one place that makes foreign text safe to parse, to store and to show.

Manifests, requirement lines, file names, pip's and interpreters' output all come from people or programs that the
admin does not control. Nothing of it may reach a terminal as a control sequence, or reorder what the admin reads.
"""

from __future__ import annotations

import re

__all__ = ["clean", "clean_log_line", "decode", "mask_credentials", "one_line"]

# Cursor moves, colours and titles (CSI), operating system commands such as the clipboard write (OSC 52, also
# unterminated), other two- and three-byte escapes. Written for 7-bit and 8-bit introducers.
_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]"
)
# C0, DEL, C1, surrogates, line and paragraph separators, the marks that reorder text, and what is shown as nothing at
# all: Unicode's Default_Ignorable_Code_Point without the variation selectors that colour emoji.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# The user information of a URL, up to the last "@" before the host ends. The scheme is not looked for: trying every
# letter of a long word as its beginning takes time that grows with the square of the length.
_CREDENTIALS = re.compile(r"(?<=[A-Za-z0-9+.-])://[^\s/]*@")


def decode(data: bytes) -> str:
    """Text of `data` read as UTF-8; a byte that is not UTF-8 becomes U+FFFD. Never fails."""
    return data.decode("utf-8", "replace")


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def clean(text: str) -> str:
    """`text` on one line with every control or invisible character shown as an escape such as ``\\x1b``.

    For names, values and messages, where a hidden character is a fact the admin should see.
    """
    return _UNSAFE.sub(_visible, text)


def clean_log_line(text: str) -> str:
    """One line of program output as a terminal would end up showing it, without its escape sequences.

    Tabs become spaces, text before a carriage return is overwritten, escape sequences are dropped; any other
    control character is shown as an escape.
    """
    text = text.rstrip("\r\n")
    if text.isascii() and text.isprintable():
        return text  # as nearly every line of half a million is
    text = _ESCAPE_SEQUENCE.sub("", text).expandtabs()
    if "\r" in text:
        text = text.rstrip("\r").rpartition("\r")[2]
    return clean(text)


def one_line(text: str, limit: int = 200) -> str:
    """The first `limit` characters of `text` made safe, line breaks as spaces; a cut is marked with ``…``."""
    # Cut first: making text safe never shortens it, and there may be megabytes of it.
    text = clean(" ".join(text.split())[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def mask_credentials(text: str) -> str:
    """`text` with the user information of every URL in it as ``****``."""
    return _CREDENTIALS.sub("://****@", text)

"""Copying from the far end of an SSH line: tmux's buffer, else OSC 52, and always a file."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable, Mapping

from app.tui.keeping import keep

__all__ = ["copy"]

_OSC52_LIMIT = 74_994
"""Encoded bytes that terminals are known to take (textual.md §1.1, k9s)."""


def copy(text: str, environ: Mapping[str, str], osc52: Callable[[str], None]) -> str:
    """Put `text` wherever the admin can paste it from; returns in plain words where that was, claiming no more.

    `osc52` sends text to the terminal's clipboard. Touches disk and may run tmux: call it off the UI loop, and let
    `osc52` find its own way back.
    """
    done: list[str] = []
    if environ.get("TMUX") and _to_tmux(text):
        done.append("sent to tmux")
    elif not environ.get("TMUX") and len(base64.b64encode(text.encode())) <= _OSC52_LIMIT:
        osc52(text)
        done.append("sent to the terminal, which may ignore it")
    file = keep("clip.txt", text.encode("utf-8", "replace"), environ)
    if file is not None:
        done.append(f"written to {file}")
    return "; ".join(done) or "not copied: too long for the terminal, and the cache directory is not writable"


def _to_tmux(text: str) -> bool:
    # -w hands it on to the outer terminal, which tmux's default settings do not allow OSC 52 to do.
    try:
        done = subprocess.run(
            ["tmux", "load-buffer", "-w", "-"],
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0

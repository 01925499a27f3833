"""Record a session: ``.venv/bin/python screenshots/record.py``, with envdeck installed.

The real app on the server of `draw.py`, at 80x24, over a line of 256 kbit/s, with keys pressed as a person does. What
arrives at the terminal, and when, becomes `session-80x24.cast`, which asciinema and its web player show.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from tests.pty.terminal_harness import Terminal  # noqa: E402

COLUMNS, ROWS = 80, 24
LINE = 256_000 / 8

SSH = "192.0.2.7 50514 192.0.2.1 22"

SESSION: tuple[tuple[str, str, float], ...] = (
    # Keys that are pressed one after the other, what is to be seen then, and for how many seconds it is looked at.
    ("", "unusable", 2.0),
    ("jj", "3.10.13", 1.5),
    ("d", "Installation", 3.0),
    ("q", "unusable", 0.5),
    ("2", "stale", 2.0),
    ("/flask", "flask-api", 2.0),
    ("\x1b", "sales-report", 0.5),
    ("3", "sales-report", 1.0),
    ("G", "sales-report", 2.5),
    ("b", "y=build", 2.5),
    ("n", "sales-report", 0.5),
    ("4", "jupyter-note", 1.5),
    ("l", "jupyter_client", 2.0),
    ("/numba\x7f\x7f\x7f\x7f\x7fmistune\r", "mistune", 2.0),
    ("q", "jupyter-note", 0.5),
    ("5", "VersionMatching", 2.0),
    ("!", "this terminal", 1.5),
    ("d", "frames 15", 3.0),
    ("q", "this terminal", 0.5),
    ("?", "Help", 2.5),
    ("q", "this terminal", 0.5),
    ("Q", "", 0.5),
)


def play(terminal: Terminal) -> None:
    """Press the keys of the session."""
    for keys, shown, seconds in SESSION:
        for key in [keys] if keys.startswith("\x1b") else keys:
            terminal.send(key)
            time.sleep(0.15)
        if shown:
            terminal.until_shown(shown)
        time.sleep(seconds)
    terminal.wait()


def cast(terminal: Terminal) -> str:
    """What arrived as an asciicast, version 2."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "envdeck over 256 kbit/s"}
    lines: list[object] = [{**header, "env": {"TERM": "xterm-256color"}}]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    # The time until Python has started says nothing.
    first = next((at for at, data in terminal.chunks if b"\x1b[?2026h" in data), 0.0)
    for at, data in terminal.chunks:
        lines.append([round(max(0.0, at - first), 3), "o", decoder.decode(data)])
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def app() -> int:
    """The app that is recorded."""
    from app.tui.options import Options
    from app.tui.profile import choose_profile

    profile = choose_profile(Options(), os.environ)
    os.environ.update(profile.variables)
    import draw

    from app.tui.app import EnvdeckApp
    from app.tui.run import run_app

    return run_app(EnvdeckApp(draw.new_engine(), "0.1.0", profile, environ={}, clock=lambda: draw.NOW))


def main() -> None:
    """Record into the directory of this file, or into the one given."""
    import draw

    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    with draw.server():
        argv = [sys.executable, __file__, "--app"]
        with Terminal(argv, columns=COLUMNS, rows=ROWS, rate=LINE, environ={"SSH_CONNECTION": SSH}) as terminal:
            play(terminal)
        (directory / f"session-{COLUMNS}x{ROWS}.cast").write_text(cast(terminal))


if __name__ == "__main__":
    sys.exit(app() if sys.argv[1:] == ["--app"] else main())

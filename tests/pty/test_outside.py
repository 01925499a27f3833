"""The real app lends its terminal to the admin's editor and pager, and has it back afterwards."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from tests.pty.terminal_harness import Terminal

ROOT = Path(__file__).resolve().parents[2]
# Writes the next of the prepared texts, after a Ctrl+C that reaches all that share the terminal.
EDITOR = """\
trap : INT
kill -INT 0
next=$(ls {steps} | head -n 1)
cp {steps}/$next "$1"
rm {steps}/$next
"""


class Server:
    """A configuration, and an editor that writes what it was told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "envdeck.gcfg"
        self.config.write_text(f"[Server]\nDataDir = {root}/data\n\n[Python]\nVersionMatching = major-minor\n")
        self.config.chmod(0o640)
        (root / "data").mkdir()
        self._steps = root / "steps"
        self._steps.mkdir()
        (root / "editor").write_text(EDITOR.format(steps=self._steps))

    def will_write(self, *texts: str) -> None:
        for number, text in enumerate(texts):
            (self._steps / str(number)).write_text(text)

    def open(self, *flags: str, columns: int = 120) -> Terminal:
        environ = {
            "HOME": str(self.root),
            "EDITOR": f"sh {self.root}/editor",
            "VISUAL": "",
            "PAGER": f"tee {self.root}/paged",
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "PYTHONPATH": str(ROOT),
        }
        argv = [sys.executable, "-m", "app", "--config", str(self.config), *flags]
        return Terminal(argv, environ=environ, columns=columns)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_wrong_edit_is_explained_and_a_right_one_put_in_place(server: Server) -> None:
    before = server.config.read_text()
    wrong = before.replace("major-minor", "exactly")
    right = before.replace("major-minor", "exact")
    server.will_write(wrong, right)
    with server.open() as terminal:
        terminal.until_shown("Installations")
        terminal.send("5")
        terminal.until_shown("Python.VersionMatching")
        terminal.send("e")
        # The place in the real file, not in the copy.
        terminal.until_shown("It would not be taken over: 1 error.", "envdeck.gcfg:5:19")
        terminal.send("y")
        terminal.until_shown("there is 1 error in it")
        assert server.config.read_text() == before
        terminal.send("e")
        terminal.until_shown("It can be put in place", "major-minor -> exact")
        assert server.config.read_text() == before
        terminal.send("y")
        terminal.until_told("1 setting changed")
        assert server.config.read_text() == right
        assert stat.S_IMODE(server.config.stat().st_mode) == 0o640
        assert not [path for path in server.root.iterdir() if path.name.startswith(".envdeck.gcfg")]


def test_another_admins_change_is_noticed_and_nothing_that_was_written_is_lost(server: Server) -> None:
    before = server.config.read_text()
    mine = before.replace("major-minor", "exact")
    theirs = before + "; by another admin\n"
    server.will_write(mine)
    with server.open() as terminal:
        terminal.until_shown("Installations")
        terminal.send("5")
        terminal.until_shown("Python.VersionMatching")
        terminal.send("e")
        terminal.until_shown("It can be put in place")
        server.config.write_text(theirs)
        terminal.send("y")
        # That the file was read again may be told at once, in the place of the reason.
        terminal.until_shown("-; by another admin")
        assert server.config.read_text() == theirs
        terminal.send("\x1b")
        copy = server.root / "cache/envdeck/draft-envdeck.gcfg"
        terminal.until(lambda: copy.exists() and copy.read_text() == mine, "the file with what was written")
        assert server.config.read_text() == theirs
        terminal.send("!")
        terminal.until_shown("somebody else changed", "what you wrote is in")


def test_a_read_only_session_does_not_edit(server: Server) -> None:
    with server.open("--read-only") as terminal:
        terminal.until_shown("Installations")
        terminal.send("5")
        terminal.until_shown("Python.VersionMatching")
        terminal.send("e")
        terminal.until_shown("read-only: started with --read-only")


def test_a_long_text_can_be_read_in_the_pager(server: Server) -> None:
    with server.open() as terminal:
        terminal.until_shown("Installations")
        terminal.send("?")
        terminal.until_shown("╌╌ Help")
        terminal.send("P")
        paged = server.root / "paged"
        terminal.until(lambda: paged.exists() and "Go to Config" in paged.read_text(), "the text in the pager")
        entered = b"\x1b[?1049h"
        terminal.until(
            lambda: terminal.output.count(entered) == 2 and b"Help" in terminal.output.rpartition(entered)[2],
            "the repaint",
        )
        terminal.send("q")
        terminal.until_shown("1 Installations")

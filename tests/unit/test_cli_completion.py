"""Shell completion: what real shells make of the scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.completion import script

BASH = shutil.which("bash")
SHELLS = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_accepts_its_script(shell: str, tmp_path: Path) -> None:
    path = tmp_path / "completion"
    path.write_text(script(shell))
    done = subprocess.run([shell, "-n", path], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


def complete(words: list[str], directory: Path) -> list[str]:
    """What bash offers for the last of `words` in `directory`."""
    assert BASH
    ask = 'eval "$SCRIPT"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _envdeck; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        [BASH, "--norc", "-c", ask, "bash", *words],
        env={"PATH": os.environ["PATH"], "SCRIPT": script("bash")},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


OFFERED = [
    ("envdeck con", ["config", "content"]),
    ("envdeck config ", ["check", "impact", "show", "init", "pip"]),
    ("envdeck --json config ch", ["check"]),
    ("envdeck config check --j", ["--json"]),
    ("envdeck caches delete --ver", ["--version"]),
    ("envdeck plan my", ["my app.tar.gz", "my-app"]),
    ("envdeck targets --", ["--help", "--config", "--json", "--read-only", "--no-color"]),
    ("envdeck plan --r", ["--read-only", "--requires", "--rule"]),
    ("envdeck --config my", ["my app.tar.gz", "my-app"]),
    ("envdeck reap ", []),
    ("envdeck match --rule ", ["major-minor", "exact"]),
    ("envdeck content set board --management o", ["on", "off"]),
    ("envdeck completion ", ["bash", "zsh", "fish"]),
    ("envdeck nonsense con", ["config", "content"]),
]
"""What is offered for what was typed."""


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(("typed", "offered"), OFFERED)
def test_what_bash_offers(tmp_path: Path, typed: str, offered: list[str]) -> None:
    (tmp_path / "my-app").mkdir()
    (tmp_path / "my app.tar.gz").touch()
    assert sorted(complete(typed.split(" "), tmp_path)) == sorted(offered)


@pytest.mark.skipif("fish" not in SHELLS, reason="needs fish")
def test_fish_offers_the_same(tmp_path: Path) -> None:
    """Which knows by itself the difference between options that were typed and those that are left."""
    (tmp_path / "my-app").mkdir()
    (tmp_path / "my app.tar.gz").touch()
    ask = "echo $SCRIPT | source; for line in $argv; echo =; complete -C $line; end"
    done = subprocess.run(
        ["fish", "--no-config", "-c", ask, *(typed for typed, _ in OFFERED)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "SCRIPT": script("fish")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answers = [block.splitlines() for block in done.stdout.split("=\n")[1:]]
    for (typed, offered), lines in zip(OFFERED, answers, strict=True):
        words = {line.partition("\t")[0].rstrip("/").replace("\\ ", " ") for line in lines}
        assert words >= set(offered), typed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_in_the_script(shell: str) -> None:
    text = script(shell)
    for command in ("installations", "deploy", "reap", "rebuild", "completion"):
        assert command in text
    assert "major-minor" in text

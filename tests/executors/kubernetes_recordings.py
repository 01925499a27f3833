"""What a real cluster answered: Kubernetes 1.20.2 with two nodes, asked by kubectl 1.32.4.

Each file of recorded/kubernetes/ says how its state came about and when it was seen. Kept is what says something.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["STATES", "FakeKubectl", "Recording", "call", "recording"]

_DIRECTORY = Path(__file__).with_name("recorded") / "kubernetes"
_CALLS = json.loads((_DIRECTORY / "calls.json").read_text())
_TIME = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"')

STATES = sorted(path.stem for path in _DIRECTORY.glob("*.json") if path.stem != "calls" and "events" not in path.stem)


@dataclass(frozen=True, slots=True)
class Recording:
    """The objects of one answer, and when it came, in seconds since the epoch."""

    items: list[dict[str, Any]]
    at: float

    @property
    def job(self) -> dict[str, Any] | None:
        return next((item for item in self.items if item["kind"] == "Job"), None)

    @property
    def pods(self) -> list[dict[str, Any]]:
        return [item for item in self.items if item["kind"] == "Pod"]

    @property
    def answer(self) -> dict[str, Any]:
        """As a call of kubectl."""
        return {"exit_code": 0, "stdout": json.dumps({"kind": "List", "items": self.items}), "stderr": ""}


def recording(name: str, at: float | None = None) -> Recording:
    """The recording of that name, with all its times moved as if it were seen at the time `at`."""
    text = (_DIRECTORY / f"{name}.json").read_text()
    seen_at = float(json.loads(text)["at"])
    later = timedelta(seconds=round(at - seen_at) if at else 0)

    def move(match: re.Match[str]) -> str:
        return (datetime.fromisoformat(match[1]).astimezone(UTC) + later).strftime('"%Y-%m-%dT%H:%M:%SZ"')

    return Recording(json.loads(_TIME.sub(move, text))["items"], at or seen_at)


def call(name: str) -> dict[str, Any]:
    """A recorded call: its exit_code, stdout and stderr."""
    found: dict[str, Any] = _CALLS[name]
    return found


_PROGRAM = """\
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if not word.startswith("-")]
call = {"words": words, "options": [word for word in sys.argv[1:] if word.startswith("-")], "given": sys.stdin.read()}
with open(here / "calls", "a") as file:
    file.write(json.dumps(call) + "\\n")
for length in range(len(words), 0, -1):
    answers = here / ("answer " + " ".join(words[:length]).replace("/", "%"))
    if answers.exists():
        first, *rest = json.loads(answers.read_text())
        if rest:
            answers.write_text(json.dumps(rest))
        sys.stdout.write(first["stdout"])
        sys.stderr.write(first["stderr"])
        sys.exit(first["exit_code"])
sys.exit("error: no answer for " + " ".join(words))
"""


class FakeKubectl:
    """A program called kubectl, in a directory of its own: it gives the answers it was told and notes its calls."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        program = directory / "kubectl"
        program.write_text(f"#!{sys.executable} -IS\n{_PROGRAM}")
        program.chmod(0o755)
        self.environ = {"PATH": os.fspath(directory)}
        self.answer("config view", call("server"))
        self.answer("create", {"exit_code": 0, "stdout": "{}", "stderr": ""})
        self.answer("delete", call("delete"))

    def answer(self, words: str, *answers: dict[str, Any]) -> None:
        """What to say when asked with arguments that begin so: one after the other, the last one for ever."""
        (self.directory / f"answer {words.replace('/', '%')}").write_text(json.dumps(answers))

    def shows(self, *recordings: Recording) -> None:
        """What the Job and its pods look like from now on."""
        self.answer("get jobs,pods", *(each.answer for each in recordings))

    def asked(self, words: str) -> list[dict[str, Any]]:
        """The calls so far whose arguments begin so."""
        file = self.directory / "calls"
        calls = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [each for each in calls if " ".join(each["words"]).startswith(words)]

"""Where builds run now: the configured executor or the one that content asks for, and what keeps it from working."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import Availability, Problem
from engine.config.model import ExecutorSettings
from engine.executors import choice

MISSING = Problem("executor-unavailable", "there is no such tool here")
HERE = ("local", "container")


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tuple(
        Availability(name, problem=None if name in HERE else MISSING)
        for name in ("local", "container", "slurm", "kubernetes")
    )
    monkeypatch.setattr(choice, "availabilities", lambda *_: found)


@pytest.mark.parametrize(
    ("setting", "target", "name", "code"),
    [
        ("auto", "Local", "local", ""),
        ("auto", "registry/content:1", "container", ""),
        ("local", "Local", "local", ""),
        ("local", "registry/content:1", "local", "executor-without-images"),
        ("container", "Local", "container", "executor-needs-image"),
        ("slurm", "Local", "slurm", "executor-unavailable"),
        ("kubernetes", "registry/content:1", "kubernetes", "executor-unavailable"),
    ],
)
def test_the_executor_of_builds_and_why_it_cannot_run_them(setting: str, target: str, name: str, code: str) -> None:
    found = choice.survey(setting, target, Path("/jobs"), ExecutorSettings(), {})
    assert (found.name, found.problem.code if found.problem else "") == (name, code)
    assert found.reason.startswith(f"Envdeck.Executor is {setting}")
    assert ("content runs" in found.reason) is (setting == "auto")
    assert [one.usable for one in found.executors] == [True, True, False, False]

"""Which executor a build is given to, and whether that can be."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import InputError
from engine.config.model import ExecutorSettings
from engine.executors.registry import NAMES, availabilities, cannot_run, choose, executor
from engine.targets import LOCAL

IMAGE = "registry.example/python:3.12"


@pytest.mark.parametrize(
    ("setting", "target", "chosen", "problem"),
    [
        ("auto", LOCAL, "local", None),
        ("auto", IMAGE, "container", None),
        ("local", LOCAL, "local", None),
        ("local", IMAGE, "local", "executor-without-images"),
        ("container", IMAGE, "container", None),
        ("container", LOCAL, "container", "executor-needs-image"),
        ("slurm", LOCAL, "slurm", None),
        ("slurm", IMAGE, "slurm", None),
        ("kubernetes", IMAGE, "kubernetes", None),
        ("kubernetes", LOCAL, "kubernetes", "executor-needs-image"),
    ],
)
def test_the_target_decides_unless_the_setting_does(
    setting: str, target: str, chosen: str, problem: str | None
) -> None:
    assert choose(setting, target) == chosen
    refused = cannot_run(chosen, target)
    assert (refused and refused.code) == problem


def test_every_executor_goes_by_its_own_name(tmp_path: Path) -> None:
    assert [executor(name, tmp_path, ExecutorSettings(), {}).name for name in NAMES] == list(NAMES)


def test_a_name_that_no_executor_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such executor"):
        executor("cloud", tmp_path, ExecutorSettings(), {})


def test_every_executor_says_whether_it_can_be_used(tmp_path: Path) -> None:
    """Without any tool on the path only this machine itself is left."""
    found = availabilities(tmp_path, ExecutorSettings(), {"PATH": str(tmp_path)})
    assert [one.executor for one in found] == list(NAMES)
    assert [one.usable for one in found] == [True, False, False, False]
    assert all(one.problem is None or one.problem.hint for one in found)

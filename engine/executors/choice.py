"""Where builds run now, and whether they can: for whoever asks before a build does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from engine.config.model import ExecutorSettings
from engine.errors import Problem
from engine.executors.base import Availability
from engine.executors.registry import availabilities, cannot_run, choose
from engine.targets import LOCAL

__all__ = ["ExecutorChoice", "survey"]


class ExecutorChoice(Struct, frozen=True):
    """Every executor there is, and the one that builds are given to."""

    name: str
    """The one: ``local``, ``container``, ``slurm`` or ``kubernetes``."""
    reason: str
    executors: tuple[Availability, ...]
    problem: Problem | None = None
    """Why it cannot run builds now; None when it can."""


def survey(
    setting: str, target: str, jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]
) -> ExecutorChoice:
    """Ask every executor's tool whether it can be used for the jobs in `jobs_dir`; that takes up to a second or so.

    `setting` is the value of ``Envdeck.Executor``, `target` where content runs: `Local`, or an image.
    """
    name = choose(setting, target)
    reason = f"Envdeck.Executor is {setting}"
    if setting == "auto":
        reason += ", content runs " + ("on this machine" if target == LOCAL else "in container images")
    found = availabilities(jobs_dir, settings, environ)
    unavailable = next((one.problem for one in found if one.executor == name), None)
    return ExecutorChoice(name, reason, found, cannot_run(name, target) or unavailable)

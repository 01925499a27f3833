"""Bringing to its end a build whose supervisor went away: whoever sees it first does it, and nobody does it twice.

In the order that leaves nothing behind wherever it is cut short: the job is stopped, the attempt discarded, and last
the verdict written, exclusively. Each step can be done again by the next who looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine.builds.job import write_result
from engine.builds.model import BuildState, Fault, Phase
from engine.builds.spec import SCRATCH, Job, read_job
from engine.builds.vitals import this_machine
from engine.environments.locks import acquire
from engine.environments.store import EnvironmentStore
from engine.executors.base import Executor, JobNotFound
from engine.files import is_there
from engine.text import decode, one_line

__all__ = ["settle"]

_MESSAGE = "its supervisor went away without a verdict"
_LAST_WORDS = 4096


def settle(
    job_dir: Path, phase: Phase, store: EnvironmentStore, executor_of: Callable[[Job], Executor]
) -> BuildState | None:
    """Settle the lost build in `job_dir`, which had come to `phase`.

    `executor_of` makes the executor that the job was given to. Returns the verdict; None when somebody else has given
    one, or when it cannot be settled now because another build of its key is under way. Raises `ExecutorError` when
    its job cannot be stopped, `StorageError` and `OSError` when the disk fails; it then is to be settled later.
    """
    job = read_job(job_dir)
    if job is None:
        write_result(job_dir, BuildState.LOST, message=f"{_MESSAGE}, and its spec.json does not make sense")
        return BuildState.LOST
    _stop(job, executor_of)
    with acquire(store.lock_path(job.key), lambda: True) as held:
        if not held or is_there(job_dir / "result.json"):
            return None
        ours = job.attempt_dir.is_relative_to(store.root)
        if ours:
            store.clear_unfinished(job.key_dir)
        there = store.read(job.key_dir)
        if there is not None and there.attempt == job.attempt:
            # Only the verdict on it was not written any more.
            _clean(job)
            given = write_result(job_dir, BuildState.DONE, message=f"published {job.attempt_dir}")
            return BuildState.DONE if given else None
        if ours:
            store.discard_attempt(job.attempt_dir)
        _clean(job)
        message = ": ".join(filter(None, (_MESSAGE, _last_words(job_dir))))
        fault = Fault(phase, "", message, "Build again: nothing of this attempt is kept")
        return BuildState.LOST if write_result(job_dir, BuildState.LOST, fault=fault, message=message) else None


def _clean(job: Job) -> None:
    """Remove what a supervisor removes at the end, and what it was just writing."""
    for name in SCRATCH:
        shutil.rmtree(job.work_dir / name, ignore_errors=True)
    for unfinished in job.job_dir.glob(".*"):
        with suppress(OSError):
            unfinished.unlink()


def _stop(job: Job, executor_of: Callable[[Job], Executor]) -> None:
    """End the job wherever it runs, and what is kept of it there."""
    if job.executor == "local" and job.machine != this_machine():
        # Out of reach, and gone with its supervisor. On a machine that was only frozen, that one finds the verdict.
        return
    with suppress(JobNotFound):
        executor_of(job).forget(job.attempt)


def _last_words(job_dir: Path) -> str:
    """What a supervisor that failed printed last; nothing for one that was killed."""
    try:
        with (job_dir / "supervisor.err").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LAST_WORDS))
            lines = decode(file.read()).strip().splitlines()
    except OSError:
        return ""
    return one_line(lines[-1]) if lines else ""

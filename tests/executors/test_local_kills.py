"""Killed at a random instant, submitter, guard or init leave no process behind, and a job that is lost."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine.executors.base import JobNotFound, JobState
from engine.executors.guard import RECORD
from tests.executors.bench import Bench
from tests.executors.suite import Hold, settle, submitter
from tests.integration.conftest import wait_until
from tests.records import replace

LONGEST_START = 0.15
"""Seconds within which the kill comes: a job that is not disturbed runs by then."""
WITHIN = 60.0


def marked(mark: str) -> set[int]:
    """Every process, whosever child it is by now, that was started with the mark in its environment."""
    found = set()
    for pid in psutil.pids():
        with suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
    return found


def nothing_left(mark: str, besides: set[int]) -> None:
    end = time.monotonic() + WITHIN
    while left := marked(mark) - besides:
        assert time.monotonic() < end, f"left: {left}"
        time.sleep(0.01)


def victim(name: str, bench: Bench, key: str, submitter_id: int) -> int | None:
    """The id of the process to kill, as far as it is there yet."""
    if name == "submitter":
        return submitter_id
    try:
        guard = psutil.Process(submitter_id).children()[0]
        return guard.pid if name == "guard" else guard.children()[0].pid
    except (psutil.NoSuchProcess, IndexError):
        pass
    return recorded(name, bench, key)


def recorded(name: str, bench: Bench, key: str) -> int | None:
    try:
        found: int = json.loads((bench.jobs_dir / key / RECORD).read_text())[name][0]
    except OSError:
        return None
    return found


def disturb(bench: Bench, name: str, delay: float) -> str:
    """Kill one process `delay` seconds after the submission began; the state of the job afterwards."""
    mark = f"ENVDECK_MARK={secrets.token_hex(8)}"
    job = Hold(bench, detached=True, stubborn=True)
    variable, _, value = mark.partition("=")
    spec = replace(job.spec, env={**job.spec.env, variable: value})
    with submitter(bench, spec, {**os.environ, variable: value}) as process:
        time.sleep(delay)
        target = victim(name, bench, job.key, process.pid)
        if target is not None:
            os.kill(target, signal.SIGKILL)
        else:
            process.kill()
        if name == "init" and target is not None:
            # That may have been the child in which the guard tries whether it can have a namespace: then not now.
            wait_until(
                lambda: recorded("init", bench, job.key) not in (None, target) or not marked(mark) - {process.pid},
                WITHIN,
                what="an end, or another init",
            )
            if (init := recorded("init", bench, job.key)) not in (None, target):
                os.kill(init, signal.SIGKILL)
        if name != "submitter":
            # Gone while the submitter lives, not because it ends.
            nothing_left(mark, {process.pid})
    nothing_left(mark, set())
    executor = bench.executor()
    try:
        # A process that is on its way out has no environment any more, and is not gone yet.
        status = settle(executor, job.key, WITHIN)
    except JobNotFound:
        # Whoever is on its way out lets go of files after its environment.
        wait_until(job.free, what="the lock of the job")
        return "never submitted"
    assert job.free()
    assert status.state is JobState.LOST, status
    executor.stop(job.key)
    executor.forget(job.key)
    return "lost before its guard was known" if target is None else "lost"


def disturb_often(bench: Bench, rounds: int, seed: int) -> Counter[str]:
    choices = random.Random(seed)
    results: Counter[str] = Counter()
    for number in range(rounds):
        name, delay = choices.choice(["submitter", "guard", "init"]), choices.uniform(0, LONGEST_START)
        try:
            results[f"{name}: {disturb(bench, name, delay)}"] += 1
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, round {number}: {name} killed after {delay:.4f} s: {error}") from error
    return results


@pytest.mark.parametrize("name", ["submitter", "guard", "init"])
@pytest.mark.parametrize("delay", [0.02, LONGEST_START])
def test_killed_once(bench_of: Callable[[str], Bench], name: str, delay: float) -> None:
    disturb(bench_of("local"), name, delay)


@pytest.mark.slow
def test_killed_at_random_instants(bench_of: Callable[[str], Bench], capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("ENVDECK_SEED", secrets.randbits(32)))
    rounds = int(os.environ.get("ENVDECK_ROUNDS", "100"))
    results = disturb_often(bench_of("local"), rounds, seed)
    with capsys.disabled():
        print(f"\nseed {seed}, {rounds} kills, 0 processes left")
        for result, count in sorted(results.items()):
            print(f"  {count:4} {result}")

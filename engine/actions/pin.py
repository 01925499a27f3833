"""Pinning: an environment that an admin wants kept is not reaped, whether or not content uses it."""

from __future__ import annotations

import time
from pathlib import Path

from msgspec import Struct

from engine.content.store import hold_shared
from engine.environments.lookup import find_environment
from engine.environments.model import Environment
from engine.errors import Problem, Refused
from engine.files import StorageError, read_json, write_json, write_problem
from engine.roster import announce
from engine.text import one_line
from engine.world import World

__all__ = ["Pin", "PinPlan", "plan_pin", "plan_unpin", "read_pin", "set_pin"]


class Pin(Struct, frozen=True):
    """Who pinned an environment, when (seconds since the epoch) and why. Empty and 0 where the record does not say."""

    by: str
    at: float
    note: str


class PinPlan(Struct, frozen=True):
    """What pinning or unpinning would do now. `problem` says why there is nothing to do, if so."""

    environment: Environment
    pin: Pin | None
    """The pin that would be set; None to take it off."""
    before: Pin | None
    """The pin that is there now."""
    problem: Problem | None = None


def read_pin(environment: Environment) -> Pin | None:
    """The pin on `environment`, None when it is not pinned. A record that does not parse pins all the same."""
    if not environment.pinned:
        return None
    record = read_json(environment.key_dir / "pinned.json") or {}
    at = record.get("at")
    return Pin(
        one_line(str(record.get("by", ""))),
        float(at) if isinstance(at, int | float) else 0.0,
        one_line(str(record.get("note", ""))),
    )


def plan_pin(world: World, reference: str, *, note: str = "") -> PinPlan:
    """What pinning the environment of that key would do. A pin that is there already is replaced.

    Raises `InputError` (`environment-unknown`, `environment-ambiguous`).
    """
    environment = find_environment(world.environments(), reference)
    return PinPlan(environment, Pin(world.user, time.time(), one_line(note)), read_pin(environment), world.refusal)


def plan_unpin(world: World, reference: str) -> PinPlan:
    """What taking the pin off would do. Raises `InputError` (`environment-unknown`, `environment-ambiguous`)."""
    environment = find_environment(world.environments(), reference)
    problem = world.refusal
    if not environment.pinned:
        problem = Problem("not-pinned", f"environment {environment.key} is not pinned")
    return PinPlan(environment, None, read_pin(environment), problem)


def set_pin(world: World, plan: PinPlan) -> Environment:
    """Set the pin or take it off; returns the environment as it is then.

    Raises `Refused` (`environment-gone`, `not-pinned`) when that is not possible any more, `StorageError` when the
    disk fails.
    """
    if plan.problem is not None:
        raise Refused(plan.problem)
    key_dir, lock = plan.environment.key_dir, world.store.use_lock_path(plan.environment.key)
    try:
        # Shared with running content and apart from the reaper, which must not delete what was just pinned.
        with hold_shared(lock):
            with world.lock:
                there = world.store.read(key_dir)
            if there is None:
                raise Refused(
                    Problem("environment-gone", f"environment {plan.environment.key} has been deleted meanwhile")
                )
            _write(key_dir / "pinned.json", plan.pin)
            announce(key_dir)
            with world.lock:
                now = world.store.read(key_dir)
    except OSError as error:
        raise StorageError(write_problem("change the pin", key_dir, error)) from error
    return now or there


def _write(path: Path, pin: Pin | None) -> None:
    if pin is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"by": pin.by, "at": pin.at, "note": pin.note})

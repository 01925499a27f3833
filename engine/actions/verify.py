"""Verifying environments, and marking those that are not what was built, so that the next to need one builds it again.

The comparison changes nothing and is the plan; carrying it out is the marking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct

from engine.content.store import hold_shared
from engine.environments.findings import Verification
from engine.environments.foreign import ForeignEnvironment
from engine.environments.lookup import find_environment
from engine.environments.model import Environment, EnvironmentState
from engine.environments.verify import Verifier
from engine.errors import EnvdeckError, InputError, Problem
from engine.world import World

__all__ = ["VerifyPlan", "VerifyProgress", "VerifyResult", "mark", "plan_verify", "plan_verify_foreign"]

_T = TypeVar("_T")
_NOTED = 100
"""How many findings a mark keeps. To see all of them, verify again."""


class VerifyProgress(Struct, frozen=True):
    """How far a verification is."""

    name: str
    """What is being verified now: a key, or the hash of a foreign environment."""
    done: int
    total: int


class VerifyPlan(Struct, frozen=True):
    """What verifying came to, and what that would change."""

    verifications: tuple[Verification, ...]
    gone: tuple[str, ...] = ()
    """Keys of environments that were deleted or rebuilt meanwhile, so that nothing is known of them."""

    @property
    def damaged(self) -> tuple[Verification, ...]:
        return tuple(v for v in self.verifications if not v.ok)

    @property
    def to_mark(self) -> tuple[Verification, ...]:
        """Those that would be marked as damaged. Not the foreign ones, nor one whose record tells no attempt."""
        return tuple(v for v in self.damaged if v.environment is not None and v.environment.attempt)

    @property
    def to_clear(self) -> tuple[Verification, ...]:
        """Those that were marked as damaged and would not be any more."""
        return tuple(
            v for v in self.verifications if v.ok and v.environment and v.environment.state is EnvironmentState.DAMAGED
        )


class VerifyResult(Struct, frozen=True):
    """What marking did, by key."""

    marked: tuple[str, ...]
    cleared: tuple[str, ...]
    failed: tuple[tuple[str, Problem], ...]


def plan_verify(
    world: World,
    keys: Sequence[str] | None,
    *,
    on_progress: Callable[[VerifyProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> VerifyPlan:
    """Verify the environments of these keys, or beginnings of keys; every environment for None.

    `stop` is asked before each; the others are left out then. Raises `InputError` (`environment-unknown`,
    `environment-ambiguous`).
    """
    with world.lock:
        environments = world.store.environments()
    if keys is not None:
        environments = tuple({e.path: e for e in (find_environment(environments, key) for key in keys)}.values())
    verifier, gone, found = Verifier(), [], []
    for environment in _each(environments, [e.key for e in environments], on_progress, stop):
        verification = verifier.verify(environment)
        # No lock is held, so what is missing may just be on its way out.
        if verification.findings and not _is_current(world, environment):
            gone.append(environment.key)
        else:
            found.append(verification)
    return VerifyPlan(tuple(found), tuple(gone))


def plan_verify_foreign(
    environments: Iterable[ForeignEnvironment],
    names: Sequence[str] | None,
    *,
    on_progress: Callable[[VerifyProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> VerifyPlan:
    """Verify the environments of the server itself that have these names, or names that begin so; all for None.

    Nothing comes of carrying this out: what is not ours is not marked. Raises `InputError` (`environment-unknown`).
    """
    chosen = list(environments)
    for name in names or ():
        if not any(environment.name.startswith(name) for environment in chosen):
            raise InputError(
                Problem(
                    "environment-unknown",
                    f"the server has made no environment {name}",
                    expected="a name, or the beginning of one",
                    hint="`envdeck environments --foreign` lists them",
                )
            )
    if names is not None:
        chosen = [environment for environment in chosen if environment.name.startswith(tuple(names))]
    verifier = Verifier()
    each = _each(chosen, [environment.name for environment in chosen], on_progress, stop)
    return VerifyPlan(tuple(verifier.verify_foreign(environment) for environment in each))


def _each(
    items: Sequence[_T], names: Sequence[str], on_progress: Callable[[VerifyProgress], None], stop: Callable[[], bool]
) -> Iterator[_T]:
    for number, item in enumerate(items):
        if stop():
            return
        on_progress(VerifyProgress(names[number], number, len(items)))
        yield item


def mark(world: World, plan: VerifyPlan) -> VerifyResult:
    """Mark what is damaged, take the mark off what is not any more, and note of everything else that it is well.

    Each unless it was rebuilt or deleted meanwhile. A mark or a note that cannot be written is told in the result.
    """
    marked, cleared, failed = [], [], []
    for verification in plan.verifications:
        environment = verification.environment
        if environment is None or not environment.attempt:
            continue
        try:
            # Shared with running content and apart from the reaper, which must not delete what is being marked.
            with hold_shared(world.store.use_lock_path(environment.key)):
                if not _is_current(world, environment):
                    continue
                details = _details(world, verification)
                if verification.ok:
                    world.store.note_verified(environment.key_dir, environment.attempt, details)
                    if verification in plan.to_clear:
                        world.store.clear_mark(environment.key_dir)
                        cleared.append(environment.key)
                else:
                    world.store.mark_damaged(environment.key_dir, environment.attempt, _reason(verification), details)
                    marked.append(environment.key)
        except EnvdeckError as error:
            failed.append((environment.key, error.problem))
    return VerifyResult(tuple(marked), tuple(cleared), tuple(failed))


def _is_current(world: World, environment: Environment) -> bool:
    with world.lock:
        there = world.store.read(environment.key_dir)
    return there is not None and there.attempt == environment.attempt


def _reason(verification: Verification) -> str:
    more = len(verification.findings) - 1
    others = f", and {more} more" if more else ""
    return f"a verification found it changed: {verification.findings[0]}{others}"


def _details(world: World, verification: Verification) -> dict[str, object]:
    return {
        "at": verification.verified_at,
        "by": world.user,
        "findings": [finding.to_json() for finding in verification.findings[:_NOTED]],
        "count": len(verification.findings),
    }

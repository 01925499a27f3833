"""What one build gets from the wheel store: a lock to replay, wheels to begin with, or nothing, and why.

    no lock, or one that may not be replayed  ->  the exact pins that the store holds are linked, then pip runs
    a lock, all of it in the store            ->  everything is linked, pip does not run and no index is asked

Reads the store and decides; what follows from it is done by the build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from packaging.utils import NormalizedName

from engine.packages.seeding import OLDEST_PIP, seedable
from engine.targets import LOCAL
from engine.wheels.agreement import agreeing
from engine.wheels.locks import Lock, LockRecords
from engine.wheels.model import Pin, StoredWheel, bytecode_tag, index_digest
from engine.wheels.store import WheelStore

__all__ = ["Asked", "Supply", "decide"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What decides about the use of the store for one build."""

    key: str
    installer: str
    target: str
    executor: str
    pip_version: Sequence[int]
    interpreter: Mapping[str, object]
    """The result of `engine.packages.key.interpreter_identity`."""
    requirements: str = field(repr=False)
    """The requirements file for pip. May hold passwords."""
    constraints: str = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    """Every option that pip's configuration sets. May hold passwords."""
    index: Mapping[str, str] = field(repr=False)
    """Those of them that decide which file pip picks."""
    externals: Sequence[str] = ()
    """The packages that the environment sees of the installation."""
    replay: str = "exact"
    """``Envdeck.Replay``."""
    fresh: bool = False
    """True when everything is to be fetched anew."""


@dataclass(frozen=True, slots=True)
class Supply:
    """What comes from the store, and why no more."""

    wheels: tuple[StoredWheel, ...] = ()
    """What is linked before the builder starts."""
    lock: Lock | None = None
    """The lock that is replayed; None when pip runs."""
    requested: frozenset[NormalizedName] = frozenset()
    """What the lines ask for by name."""
    total: int = 0
    """How many packages the lines ask for, or the lock names."""
    unusable: str = ""
    """Why the store has no part in this build, not even in keeping what it fetches; empty when it has."""
    reason: str = ""
    """Why no lock is replayed, as one clause; empty when one is."""
    left: Mapping[NormalizedName, str] = field(default_factory=dict)
    """What pip is left to install of what the lines ask for, each with the reason."""
    index: str = ""
    """The `index_digest` of the build."""
    tag: str = ""
    """The `bytecode_tag` of its interpreter."""

    def __str__(self) -> str:
        if self.unusable:
            return f"nothing comes from the wheel store: {self.unusable}"
        if self.lock is not None:
            at = f"{datetime.fromtimestamp(self.lock.recorded_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            return (
                f"the lock of {at} is replayed: all {self.total} packages come from the wheel store, "
                "pip does not run and no index is asked"
            )
        some = f"{len(self.wheels)} of {self.total} packages come from the wheel store, and pip has the last word"
        return f"{some}; no lock is replayed, because {self.reason}" if self.reason else some


def decide(asked: Asked, store: WheelStore, locks: LockRecords) -> Supply:
    """What the build that is `asked` for gets from `store` as it is now.

    Raises `OSError`, `ValueError` when the store cannot be read.
    """
    tag = bytecode_tag(asked.interpreter)
    if unusable := _unusable(asked, tag):
        return Supply(unusable=unusable)
    assert tag is not None
    rule = seedable(
        asked.requirements,
        asked.constraints,
        settings=asked.settings,
        interpreter=asked.interpreter,
        externals=asked.externals,
    )
    if rule.unusable:
        return Supply(unusable=rule.unusable)
    index = index_digest(asked.index, asked.interpreter)
    supply = Supply(requested=rule.requested, total=len(rule.requested), index=index, tag=tag)
    if asked.fresh:
        reason = "everything is fetched anew"
        return replace(supply, reason=reason, left=dict.fromkeys(rule.requested, reason))
    reason = "[Envdeck] Replay is verify" if asked.replay == "verify" else rule.mutable
    if not reason:
        lock = locks.read(asked.key)
        found = _replayable(lock, index, tag, store)
        if not isinstance(found, str):
            return replace(supply, wheels=found, lock=lock, total=len(found))
        reason = found
    left = dict(rule.left)
    wheels: list[StoredWheel] = []
    for pin in rule.pins:
        digests = store.known(index, Pin.of(pin.name, pin.version))
        allowed = (store.find(sha256, tag) for sha256 in digests if pin.allows(sha256))
        wheel = next((wheel for wheel in allowed if wheel is not None), None)
        if wheel is None:
            left[pin.name] = "the store does not hold it"
        else:
            wheels.append(wheel)
    agreed, disagreeing = agreeing(wheels)
    return replace(supply, wheels=agreed, reason=reason, left=left | dict(disagreeing))


def _unusable(asked: Asked, tag: str | None) -> str:
    if asked.replay == "off":
        return "[Envdeck] Replay is off"
    if asked.installer != "pip":
        return f"{asked.installer} has a store of its own"
    if asked.target != LOCAL or asked.executor != "local":
        return "it serves builds on this machine only"
    if tuple(asked.pip_version[:2]) < OLDEST_PIP:
        return f"the interpreter's pip is older than {'.'.join(map(str, OLDEST_PIP))}"
    return "" if tag else "it keeps nothing for this kind of interpreter"


def _replayable(lock: Lock | None, index: str, tag: str, store: WheelStore) -> tuple[StoredWheel, ...] | str:
    """The wheels of `lock`, or why it cannot be replayed."""
    if lock is None:
        return "no build of this key has left one"
    if lock.reason:
        return lock.reason
    if (lock.index, lock.tag) != (index, tag):
        return "the last one was made with another index configuration or interpreter"
    wheels = []
    for wanted in lock.wheels:
        wheel = store.find(wanted.sha256, tag)
        if wheel is None:
            return f"the store does not hold {wanted.pin.name} {wanted.pin.version} any more"
        wheels.append(wheel)
    agreed, disagreeing = agreeing(wheels)
    if disagreeing:
        name, why = next(iter(disagreeing.items()))
        return f"{name} cannot be linked: {why}"
    return agreed

"""What one build gets from the wheel store: a lock to replay, wheels to begin with, or nothing, and why.

    no lock, or one that may not be replayed  ->  the exact pins that the store holds are linked, then pip runs
    a lock, all of it in the store            ->  everything is linked, pip does not run and no index is asked

Reads the store and decides; what follows from it is done by the build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace
from packaging.utils import NormalizedName

from engine.packages.seeding import OLDEST_PIP, Seedable, SeedablePin, seedable
from engine.targets import LOCAL
from engine.wheels.agreement import agreeing
from engine.wheels.locks import Lock, LockRecords
from engine.wheels.model import Pin, StoredWheel, Wanted, bytecode_tag, index_digest
from engine.wheels.store import WheelStore

__all__ = ["Asked", "Forecast", "Supply", "decide", "forecast"]


class Asked(Struct, frozen=True):
    """What decides about the use of the store for one build."""

    key: str
    installer: str
    target: str
    executor: str
    pip_version: Sequence[int]
    interpreter: Mapping[str, object]
    """The result of `engine.installations.identity.interpreter_identity`."""
    requirements: str
    """The requirements file for pip. May hold passwords."""
    constraints: str
    settings: Mapping[str, str]
    """Every option that pip's configuration sets. May hold passwords."""
    externals: Sequence[str] = ()
    """The packages that the environment sees of the installation."""
    replay: str = "exact"
    """``Envdeck.Replay``."""
    fresh: bool = False
    """True when everything is to be fetched anew."""

    def __repr__(self) -> str:
        return f"Asked({self.key})"  # the lines and settings may hold passwords

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("key", self.key)]  # what a struct brings along for reports of crashes shows everything


class Supply(Struct, frozen=True):
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


class Forecast(Struct, frozen=True):
    """What a build would get from the store now, told without opening what it holds."""

    stored: int = 0
    """How many packages would come from it."""
    total: int = 0
    """Of how many that are asked for, or that the lock names."""
    replayed: bool = False
    """Whether a lock would be replayed: then all come from it, and no index is asked."""
    reason: str = ""
    """Why not, as one clause; empty where one would, or nothing can come from it at all."""
    unusable: str = ""
    """Why nothing can come from it at all."""

    def __str__(self) -> str:
        if self.unusable:
            return f"nothing from the wheel store: {self.unusable}"
        some = f"{self.stored} of {self.total} packages from the wheel store"
        return f"{some}, without pip and index" if self.replayed else f"{some}; pip runs, because {self.reason}"


class _Usable(Struct, frozen=True):
    """What is known once it is clear that the store may be used."""

    rule: Seedable
    index: str
    tag: str
    why_no_replay: str


def decide(asked: Asked, store: WheelStore, locks: LockRecords) -> Supply:
    """What the build that is `asked` for gets from `store` as it is now.

    Raises `OSError`, `ValueError` when the store cannot be read.
    """
    usable = _usable(asked)
    if isinstance(usable, str):
        return Supply(unusable=usable)
    rule, index, tag, reason = usable.rule, usable.index, usable.tag, usable.why_no_replay
    supply = Supply(requested=rule.requested, total=len(rule.requested), index=index, tag=tag, reason=reason)
    if asked.fresh:
        return replace(supply, left=dict.fromkeys(rule.requested, reason))
    if not reason:
        lock = locks.read(asked.key)
        found = _replayable(lock, usable, store)
        if not isinstance(found, str):
            return replace(supply, wheels=found, lock=lock, total=len(found))
        reason = found
    left = dict(rule.left)
    wheels: list[StoredWheel] = []
    for pin in rule.pins:
        allowed = (store.find(sha256, tag) for sha256 in _digests(store, index, pin))
        wheel = next((wheel for wheel in allowed if wheel is not None), None)
        if wheel is None:
            left[pin.name] = "the store does not hold it"
        else:
            wheels.append(wheel)
    agreed, disagreeing = agreeing(wheels)
    return replace(supply, wheels=agreed, reason=reason, left=left | dict(disagreeing))


def forecast(asked: Asked, store: WheelStore, locks: LockRecords) -> Forecast:
    """What `decide` would come to, as far as can be told at once. Never fails."""
    usable = _usable(asked)
    if isinstance(usable, str):
        return Forecast(unusable=usable)
    rule, index, tag, reason = usable.rule, usable.index, usable.tag, usable.why_no_replay
    total = len(rule.requested)
    if asked.fresh:
        return Forecast(total=total, reason=reason)
    if not reason:
        lock = locks.read(asked.key)
        reason = _no_replay(lock, usable) or next(
            (_gone(w) for w in (lock.wheels if lock else ()) if not store.holds(w.sha256, tag)), ""
        )
        if lock is not None and not reason:
            return Forecast(len(lock.wheels), len(lock.wheels), replayed=True)
    stored = sum(any(store.holds(sha256, tag) for sha256 in _digests(store, index, pin)) for pin in rule.pins)
    return Forecast(stored, total, reason=reason)


def _usable(asked: Asked) -> _Usable | str:
    """What may be done with the store for this build, or why nothing may."""
    tag = bytecode_tag(asked.interpreter)
    if unusable := _unusable(asked, tag):
        return unusable
    assert tag is not None
    rule = seedable(
        asked.requirements,
        asked.constraints,
        settings=asked.settings,
        interpreter=asked.interpreter,
        externals=asked.externals,
    )
    if rule.unusable:
        return rule.unusable
    reason = rule.mutable
    if asked.replay == "verify":
        reason = "[Envdeck] Replay is verify"
    if asked.fresh:
        reason = "everything is fetched anew"
    return _Usable(rule, index_digest(asked.settings, asked.interpreter), tag, reason)


def _digests(store: WheelStore, index: str, pin: SeedablePin) -> Iterator[str]:
    """The digests of the wheels that will do for `pin`, the best first."""
    return (sha256 for sha256 in store.known(index, Pin.of(pin.name, pin.version)) if pin.allows(sha256))


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


def _no_replay(lock: Lock | None, usable: _Usable) -> str:
    """Why `lock` cannot be replayed, whatever the store holds; empty when nothing is against it."""
    if lock is None:
        return "no build of this key has left one"
    if lock.reason:
        return lock.reason
    if (lock.index, lock.tag) != (usable.index, usable.tag):
        return "the last one was made with another index configuration or interpreter"
    return ""


def _gone(wanted: Wanted) -> str:
    return f"the store does not hold {wanted.pin.name} {wanted.pin.version} any more"


def _replayable(lock: Lock | None, usable: _Usable, store: WheelStore) -> tuple[StoredWheel, ...] | str:
    """The wheels of `lock`, or why it cannot be replayed."""
    if reason := _no_replay(lock, usable):
        return reason
    assert lock is not None
    wheels = []
    for wanted in lock.wheels:
        wheel = store.find(wanted.sha256, usable.tag)
        if wheel is None:
            return _gone(wanted)
        wheels.append(wheel)
    agreed, disagreeing = agreeing(wheels)
    if disagreeing:
        name, why = next(iter(disagreeing.items()))
        return f"{name} cannot be linked: {why}"
    return agreed

"""Which environments may be deleted, and every reason why the others stay: pure rules.

package-management-posit.txt, "Environment Caching": virtual environments "no longer in use by any deployed content"
are deleted periodically. What counts as use beyond that, the grace period and the pins are our choice (connect.md
§6.5 knows of none).
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from engine.environments.model import Environment

__all__ = ["FOREIGN", "KeepCode", "KeepReason", "ReapVerdict", "changed", "judge_attempt", "judge_reap", "judge_use"]


class KeepCode(StrEnum):
    """Why something is not deleted."""

    USED_BY_CONTENT = "used-by-content"
    IN_USE = "in-use"
    PINNED = "pinned"
    BUILDING = "building"
    GRACE = "grace"
    FOREIGN = "foreign"
    CHANGED = "changed"
    """It is not any more what was planned for: replaced, or gone."""


class KeepReason(Struct, frozen=True):
    """One reason to keep something: its code, one sentence, and the contents or processes it is about."""

    code: KeepCode
    message: str
    names: tuple[str, ...] = ()


class ReapVerdict(Struct, frozen=True):
    """Whether something may be deleted; every reason why not."""

    reasons: tuple[KeepReason, ...] = ()

    @property
    def reapable(self) -> bool:
        return not self.reasons


FOREIGN = KeepReason(KeepCode.FOREIGN, "its directory is a virtual environment that the server made")


def changed(message: str) -> ReapVerdict:
    """The verdict on what is not any more what was planned for."""
    return ReapVerdict((KeepReason(KeepCode.CHANGED, message),))


def judge_reap(
    environment: Environment,
    *,
    used_by: tuple[str, ...],
    in_use_by: tuple[str, ...],
    pinned: bool,
    now: float,
    grace: float,
    building: bool = False,
) -> ReapVerdict:
    """Whether `environment` may be deleted, with every reason why not.

    `used_by` are the contents whose active bundle uses it (inactive bundles do not count: connect.md §6.5),
    `in_use_by` the processes that use anything of it; `now` and `grace` are seconds. Its state does not matter: a
    stale or damaged environment that content still uses tells what has to be rebuilt.
    """
    reasons = []
    if used_by:
        reasons.append(
            KeepReason(KeepCode.USED_BY_CONTENT, f"{_count(len(used_by), 'content item')} would need it again", used_by)
        )
    reasons += judge_use(in_use_by, building)
    if pinned:
        reasons.append(KeepReason(KeepCode.PINNED, "it is pinned"))
    if environment.last_used_at > environment.built_at:
        reasons += _judge_grace("last used", environment.last_used_at, now, grace)
    else:
        reasons += _judge_grace("built", environment.built_at, now, grace)
    return ReapVerdict(tuple(reasons))


def judge_attempt(
    *, in_use_by: tuple[str, ...], superseded_at: float, now: float, grace: float, building: bool = False
) -> ReapVerdict:
    """Whether an attempt that does not count may be deleted: nobody runs in it, and for `grace` seconds it has not."""
    return ReapVerdict((*judge_use(in_use_by, building), *_judge_grace("superseded", superseded_at, now, grace)))


def judge_use(in_use_by: tuple[str, ...], building: bool) -> list[KeepReason]:
    """Why something stays that these processes use, or that a build or a deletion holds."""
    reasons = []
    if in_use_by:
        verb = "uses" if len(in_use_by) == 1 else "use"
        reasons.append(KeepReason(KeepCode.IN_USE, f"{_count(len(in_use_by), 'process')} {verb} it now", in_use_by))
    if building:
        reasons.append(KeepReason(KeepCode.BUILDING, "it is being built or deleted now"))
    return reasons


def _judge_grace(what: str, since: float, now: float, grace: float) -> list[KeepReason]:
    left = since + grace - now
    if left <= 0:
        return []
    message = f"{what} {_duration(now - since)} ago, kept for another {_duration(left)}"
    return [KeepReason(KeepCode.GRACE, message)]


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number} {noun if number == 1 else plural}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"

"""What a change of the configuration does to content, and to the bundles on offer: before it is saved, or after.

The rules compare two resolutions or two plans and are pure; the rest makes them from what there is under either
configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from engine.actions.resolve import Resolution
    from engine.bundles.model import Bundle
    from engine.config.model import ConfigState
    from engine.content.model import Content
    from engine.planning import Found
    from engine.plans import BuildPlan

__all__ = ["Impact", "ImpactItem", "ImpactKind", "Subject", "assess", "compare_plans", "compare_resolutions"]


class ImpactKind(StrEnum):
    """What the change does to one thing, the worst first."""

    BREAKS = "breaks"
    """It ran, or would have been served, and will not any more."""
    MOVES = "moves"
    """It gets another Python."""
    REBUILDS = "rebuilds"
    """Its environment has to be built first."""
    READY = "ready"
    """Its environment had to be built, and is there."""
    MENDS = "mends"
    """It could not run, and can."""


class Subject(StrEnum):
    """What an item is about."""

    CONTENT = "content"
    BUNDLE = "bundle"
    """One on offer: what it would get if it were deployed."""


class ImpactItem(Struct, frozen=True):
    """What the change does to one piece of content, or to one bundle. Sides are the Python, or why there is none."""

    subject: Subject
    name: str
    kind: ImpactKind
    before: str
    after: str
    reason: str
    guid: str = ""
    """Of content."""


class Impact(Struct, frozen=True):
    """What a change does: to each thing that it concerns, the worst first, and how many it does not concern."""

    before: ConfigState
    after: ConfigState
    items: tuple[ImpactItem, ...]
    unchanged: int

    def of(self, *kinds: ImpactKind) -> tuple[ImpactItem, ...]:
        return tuple(item for item in self.items if item.kind in kinds)


def compare_resolutions(before: Resolution, after: Resolution) -> ImpactItem | None:
    """What lies between how content ran `before` and runs `after`; None when nothing does."""
    content = after.content
    kind, reason = _kind(
        before.problem is None,
        after.problem is None,
        before.installation is not None
        and after.installation is not None
        and (before.installation.version, before.installation.target)
        != (after.installation.version, after.installation.target),
        (before.build is not None, after.build is not None),
    )
    if kind is None:
        return None
    if after.problem is not None:
        reason = after.problem.message
    elif after.reasons:
        reason = after.reasons[-1].text if kind is ImpactKind.REBUILDS else after.reasons[0].text
    return ImpactItem(
        Subject.CONTENT, content.name or content.guid, kind, _runs_on(before), _runs_on(after), reason, content.guid
    )


def compare_plans(before: BuildPlan, after: BuildPlan) -> ImpactItem | None:
    """What lies between what a bundle would have got `before` and would get `after`; None when nothing does."""
    one, other = before.match.chosen, after.match.chosen
    served = [plan.problem is None and plan.match.chosen is not None for plan in (before, after)]
    kind, reason = _kind(
        served[0],
        served[1],
        one is not None and other is not None and (one.version, one.target) != (other.version, other.target),
        (before.management.managed and not before.hit, after.management.managed and not after.hit),
    )
    if kind is None:
        return None
    problem = after.problem or after.match.problem
    sides = [f"Python {chosen.version}" if chosen is not None else "no installation" for chosen in (one, other)]
    reason = problem.message if problem is not None else reason or after.match.reason
    return ImpactItem(Subject.BUNDLE, after.bundle.name, kind, sides[0], sides[1], reason)


def _kind(was: bool, will: bool, moves: bool, builds: tuple[bool, bool]) -> tuple[ImpactKind | None, str]:
    """The kind of what lies between, and a reason where nothing else gives one."""
    if not was and not will:
        return None, ""
    if not will:
        return ImpactKind.BREAKS, ""
    if not was:
        return ImpactKind.MENDS, ""
    if moves:
        return ImpactKind.MOVES, ""
    match builds:
        case (False, True):
            return ImpactKind.REBUILDS, "its environment has to be built first"
        case (True, False):
            return ImpactKind.READY, "its environment is there"
    return None, ""


def _runs_on(found: Resolution) -> str:
    if found.problem is not None:
        return "cannot run"
    if found.installation is None:
        return "no installation"
    build = ", after a build" if found.build is not None else ""
    return f"Python {found.installation.version}{build}"


def assess(before: Found, after: Found, contents: Iterable[Content], bundles: Iterable[Bundle]) -> Impact:
    """What going from `before` to `after` does to all of `contents`, and to the `bundles` on offer."""
    items: list[ImpactItem] = []
    unchanged = 0
    for found in (*_contents(before, after, contents), *_bundles(before, after, bundles)):
        if found is None:
            unchanged += 1
        else:
            items.append(found)
    order = list(ImpactKind)
    items.sort(key=lambda item: (order.index(item.kind), item.subject is Subject.BUNDLE, item.name))
    return Impact(before.config, after.config, tuple(items), unchanged)


def _contents(before: Found, after: Found, contents: Iterable[Content]) -> Iterator[ImpactItem | None]:
    one, other = before.config.settings.data_dir, after.config.settings.data_dir
    # Only here: what an impact looks like is known without what it takes to find one.
    from engine.actions.resolve import Resolver

    was, will = Resolver(before), Resolver(after)
    for content in contents:
        if one != other:
            reason = f"it is under {one}, and Server.DataDir becomes {other}"
            name = content.name or content.guid
            yield ImpactItem(
                Subject.CONTENT, name, ImpactKind.BREAKS, "there", "not seen any more", reason, content.guid
            )
        else:
            yield compare_resolutions(was.resolve(content), will.resolve(content))


def _bundles(before: Found, after: Found, bundles: Iterable[Bundle]) -> Iterator[ImpactItem | None]:
    from engine.planning import plan_build

    for bundle in bundles:
        yield compare_plans(plan_build(bundle, before), plan_build(bundle, after))

"""What would happen, as data: anything costly is a plan first, shown before it is executed (DESIGN.md §7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from engine.environments.model import EnvironmentState

if TYPE_CHECKING:
    from engine.builds.model import Build
    from engine.bundles.model import Bundle
    from engine.environments.difference import Change
    from engine.environments.model import Environment
    from engine.errors import Problem
    from engine.executors.accounts import BuildAccount
    from engine.installations.externals import ExternalPackage
    from engine.installations.model import Installation
    from engine.management import ManagementDecision
    from engine.matching import Match
    from engine.offhost.selection import TargetMatch
    from engine.packages.installer import InstallerChoice
    from engine.packages.plan import PackagePlan
    from engine.wheels.deciding import Forecast

__all__ = ["BuildPlan", "CancelPlan", "ContentDefaults", "Nearest", "Outcome", "find_nearest"]


class Nearest(Struct, frozen=True):
    """On a miss: the environment of the same interpreter that differs least, and what differs.

    Where there is none, one of another interpreter that was built from the same lines: what an upgrade left behind.
    """

    environment: Environment
    only_here: tuple[str, ...]
    """Effective lines of this plan that the environment was not built with."""
    only_there: tuple[str, ...]
    """Lines that the environment was built with and this plan does not have."""
    other_ingredients: tuple[str, ...] = ()
    """Names of the other ingredients of the key that differ, such as ``index`` or ``options``."""
    changes: tuple[Change, ...] = ()
    """The same part by part: what that environment has, and what this plan has."""


class ContentDefaults(Struct, frozen=True):
    """What is set for a content item and counts where its bundle says nothing."""

    manage_environment: bool | None = None
    environment_guid: str = ""
    image: str = ""
    guid: str = ""
    """Of the content item; empty for one that is yet to be made."""


class BuildPlan(Struct, frozen=True):
    """What building a bundle would do now. `problem` says why it cannot be done, if so."""

    bundle: Bundle
    match: Match
    installation: Installation | None
    """The chosen installation of this machine; None when there is none, or it is in an image."""
    packages: PackagePlan
    management: ManagementDecision
    """Whether there is an environment at all; without one, content runs on the installation itself."""
    content: ContentDefaults = ContentDefaults()
    """The settings of the content item that it was planned for."""
    key: str = ""
    """Empty when no installation was chosen, or environments are not managed."""
    ingredients: Mapping[str, object] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    """The requirement lines the key covers."""
    environment: Environment | None = None
    """The environment that would be reused: a hit."""
    unusable: Environment | None = None
    """On a miss: the environment of this very key that is there and cannot be used; it tells why itself."""
    running: Build | None = None
    """A build of the same key that is under way."""
    nearest: Nearest | None = None
    installer: InstallerChoice | None = None
    """What would install the packages, and why; None when nothing can be built."""
    builder: BuildAccount | None = None
    """Who the build would run as, and why not as ``Applications.RunAs`` if so."""
    supply: Forecast | None = None
    """What would come from the wheel store; None when nothing is to be built."""
    externals: tuple[ExternalPackage, ...] = ()
    """What the environment sees of the installation's own packages."""
    target_match: TargetMatch | None = None
    """How the execution environment was selected; None when content runs on this machine."""
    problem: Problem | None = None

    @property
    def hit(self) -> bool:
        return self.environment is not None

    def having(self, **changes: object) -> BuildPlan:
        """The plan with these fields set."""
        return replace(self, **changes)


class CancelPlan(Struct, frozen=True):
    """What cancelling a build would do now. `problem` says why it cannot be done, if so."""

    build: Build
    problem: Problem | None = None


class Outcome(Struct, frozen=True):
    """What executing a plan led to: the environment that is there already, or the build that was started or joined."""

    environment: Environment | None = None
    build: Build | None = None


def find_nearest(
    lines: Iterable[str], ingredients: Mapping[str, object], environments: Iterable[Environment]
) -> Nearest | None:
    """The usable environment on the same interpreter whose lines differ least; None when there is none.

    An environment that shares nothing with the plan explains nothing, so it is not named. One on another interpreter
    explains something if its lines are the same: it is what was used before a Python was upgraded.
    """
    wanted = set(lines)
    best: tuple[int, Environment] | None = None
    elsewhere: Environment | None = None
    for environment in environments:
        # The cheapest question first: there may be ten thousand of them.
        if environment.state is EnvironmentState.DAMAGED or (wanted and wanted.isdisjoint(environment.lines)):
            continue
        distance = len(wanted.symmetric_difference(environment.lines))
        if environment.ingredients.get("interpreter") != ingredients.get("interpreter"):
            if distance == 0 and elsewhere is None:
                elsewhere = environment
        elif environment.state is EnvironmentState.READY and (best is None or distance < best[0]):
            best = (distance, environment)
    nearest = best[1] if best is not None else elsewhere
    if nearest is None:
        return None
    there = set(nearest.lines)
    others = sorted({*ingredients, *nearest.ingredients} - {"requirements"})
    from engine.environments.difference import ingredient_changes

    return Nearest(
        nearest,
        tuple(sorted(wanted - there)),
        tuple(sorted(there - wanted)),
        tuple(name for name in others if nearest.ingredients.get(name) != ingredients.get(name)),
        ingredient_changes(nearest.ingredients, ingredients),
    )

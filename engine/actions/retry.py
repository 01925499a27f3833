"""Building once more what a build that has ended was for."""

from __future__ import annotations

from engine.actions.build import find_build
from engine.actions.rebuild import RebuildPlan, plan_rebuild
from engine.errors import Problem, Refused
from engine.plans import BuildPlan
from engine.world import World

__all__ = ["plan_retry"]


def plan_retry(world: World, build_id: str) -> BuildPlan | RebuildPlan:
    """What building once more what the build of that id was for would do now.

    That is its bundle as it is now, so that a corrected requirement is seen, or for a rebuild its environment again.
    Raises `InputError` when there is no such build, bundle or environment any more, `Refused` while it goes on
    (`build-running`) or when nothing says where its bundle is (`retry-no-bundle`).
    """
    build = find_build(world.builds(), build_id)
    if not build.state.final:
        raise Refused(
            Problem(
                "build-running",
                f"the build has not ended yet: it is {build.state.value}",
                hint=f"Wait for it, or cancel it with `envdeck cancel {build.id}`",
            )
        )
    if build.replaces:
        return plan_rebuild(world, build.key)
    if not build.bundle_path:
        raise Refused(
            Problem(
                "retry-no-bundle",
                f"nothing says where the bundle {build.bundle} of this build is",
                hint="Build it by its path: `envdeck build BUNDLE`",
            )
        )
    with world.lock:
        bundle = world.shelf.open(build.bundle_path)
    return world.plan(bundle)

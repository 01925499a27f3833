"""Building once more what a build that has ended was for."""

from __future__ import annotations

from engine.actions.activate import plan_bundle
from engine.actions.build import find_build
from engine.actions.content import content_store, defaults_of
from engine.actions.rebuild import RebuildPlan, plan_rebuild
from engine.actions.resolve import plan_active
from engine.builds.model import Build
from engine.content.model import Content
from engine.errors import Problem, Refused
from engine.plans import BuildPlan
from engine.world import World

__all__ = ["plan_retry"]


def plan_retry(world: World, build_id: str) -> BuildPlan | RebuildPlan:
    """What building once more what the build of that id was for would do now.

    That is its bundle as it is now, so that a corrected requirement is seen, with the settings of its content as they
    are now; or for a rebuild its environment again. Raises `InputError` when there is no such build, bundle or
    environment any more, `Refused` while it goes on (`build-running`) or when nothing says where its bundle is
    (`retry-no-bundle`).
    """
    build = find_build(world, build_id)
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
    content = next((c for c in world.contents() if c.guid == build.content), None)
    if content is not None and content.problem is not None:
        raise Refused(content.problem)
    stored = _stored_plan(world, content, build) if content is not None else None
    if stored is not None:
        return stored
    with world.lock:
        bundle = world.shelf.open(build.bundle_path)
    return world.plan(bundle, defaults_of(content))


def _stored_plan(world: World, content: Content, build: Build) -> BuildPlan | None:
    """The plan of one of the content's own bundles, as running or activating it makes it; None for a bundle elsewhere.

    Raises `InputError`.
    """
    store = content_store(world)
    paths = {str(store.bundle_dir(content.guid, bundle.number)): bundle for bundle in content.bundles}
    bundle = paths.get(build.bundle_path)
    if bundle is None:
        return None
    if bundle.number != content.active:
        return plan_bundle(world, content, bundle)
    if not world.probed:
        world.probe()
    return plan_active(world.found(), content)

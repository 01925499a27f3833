"""Making another bundle of content the active one, such as the one before a deployment that was a mistake.

That is a deployment of files that are here already (connect.md §6.8): it is matched by what is configured now, its
environment is found or built first, and only then the record changes. Nothing is copied and nothing goes.
"""

from __future__ import annotations

from contextlib import nullcontext

from msgspec import Struct
from msgspec.structs import replace

from engine.actions.content import (
    OnBuild,
    build_and_wait,
    content_store,
    defaults_of,
    picked_by,
    plan_changed,
    require_usable,
)
from engine.bundles.reading import read_bundle
from engine.columns import changed
from engine.content.model import Content, ContentBundle, Reason
from engine.content.rules import app_mode_problem, find_bundle
from engine.content.store import hold_shared
from engine.environments.usage import in_use
from engine.errors import InputError, Problem, Refused
from engine.plans import BuildPlan
from engine.world import World

__all__ = ["ActivatePlan", "activate", "plan_activate", "plan_bundle"]


class ActivatePlan(Struct, frozen=True):
    """What making a bundle the active one would do now. `problem` says why it cannot be done, if so."""

    content: Content
    bundle: ContentBundle
    """The one that becomes active, as it was when it last was."""
    build: BuildPlan | None
    """The match, the management decision, the package plan, and the environment: hit or miss. None when the bundle's
    files cannot be read."""
    reasons: tuple[Reason, ...] = ()
    """What is decided, and what is another than when the bundle last was active."""
    running: bool = False
    """Whether the content is running: what runs goes on with the bundle that it began with."""
    problem: Problem | None = None

    @property
    def builds(self) -> bool:
        """Whether an environment has to be built first."""
        return self.build is not None and self.build.management.managed and not self.build.hit


def plan_activate(world: World, reference: str, number: int | None = None) -> ActivatePlan:
    """What making bundle `number` of the content active would do now; by default the one before the active one.

    Raises `InputError` (`content-unknown`, `content-ambiguous`, `content-bundle-unknown`).
    """
    store = content_store(world)
    content = store.find(reference)
    bundle = find_bundle(content, number)
    try:
        build = plan_bundle(world, content, bundle)
    except InputError as error:
        return ActivatePlan(content, bundle, None, problem=error.problem)
    return ActivatePlan(
        content,
        bundle,
        build,
        _reasons(content, bundle, build),
        running=in_use(store.use_path(content.guid)),
        problem=_active_already(content, bundle)
        or app_mode_problem(content, build.bundle.manifest.app_mode)
        or build.problem
        or build.match.problem
        or world.refusal,
    )


def plan_bundle(world: World, content: Content, bundle: ContentBundle) -> BuildPlan:
    """What building a stored bundle would do, were it deployed now. Raises `InputError` when it cannot be read."""
    files = read_bundle(content_store(world).bundle_dir(content.guid, bundle.number))
    return world.plan(replace(files, name=bundle.name), defaults_of(content))


def activate(world: World, plan: ActivatePlan, on_build_started: OnBuild | None = None) -> Content:
    """Build the environment, then make the bundle the active one; returns the content as it is then.

    Waits for the build, of which `on_build_started` is told. Whatever fails leaves the content as it was. Raises
    `Refused` when it cannot be done, the plan no longer holds or the build fails (`build-failed`), `StorageError`.
    """
    now = plan_activate(world, plan.content.guid, plan.bundle.number)
    if now.problem is not None:
        raise Refused(now.problem)
    _require_same(plan, now)
    assert now.build is not None
    store, guid, key = content_store(world), now.content.guid, now.build.key
    picked, managed = picked_by(now.build), now.build.management.managed
    with hold_shared(world.store.use_lock_path(key)) if managed else nullcontext():
        if managed:
            build_and_wait(world, now.build, on_build_started)
        with store.changing(guid):
            current = require_usable(store.read(guid), now.content)
            if current.active != now.content.active:
                raise plan_changed(f"active bundle {now.content.active}", f"active bundle {current.active}")
            if now.bundle not in current.bundles:
                raise plan_changed(f"bundle {now.bundle.number} as it was", "another, or none")
            active = changed(now.bundle, key=key if managed else "", python_version=picked.version)
            bundles = tuple(active if bundle == now.bundle else bundle for bundle in current.bundles)
            store.save(changed(current, bundles=bundles, active=active.number, installation=picked, managed=managed))
        after = store.read(guid)
    assert after is not None
    return after


def _active_already(content: Content, bundle: ContentBundle) -> Problem | None:
    if bundle.number != content.active:
        return None
    return Problem(
        "content-bundle-active",
        f"bundle {bundle.number} of {content.name} is the active one already",
        hint="Rebuild its environment if that is what is wrong",
    )


def _reasons(content: Content, bundle: ContentBundle, build: BuildPlan) -> tuple[Reason, ...]:
    reasons = [Reason("takes-over", f"bundle {bundle.number} takes the place of bundle {content.active}")]
    chosen = build.match.chosen
    if chosen is not None:
        version, where = str(chosen.version), f"Python {chosen.version} at {chosen.path}"
        if version == bundle.python_version:
            reasons.append(Reason("python-same", f"{where}, the version it had ({build.match.reason})"))
        else:
            text = f"matched again: {where} ({build.match.reason}); it had Python {bundle.python_version}"
            reasons.append(Reason("python-other", text))
    if not build.management.managed:
        text = f"it runs on the installation itself: {build.management.reason}"
        reasons.append(Reason("not-managed", f"{text}; it had the environment {bundle.key}" if bundle.key else text))
    elif build.environment is not None:
        reasons.append(Reason("environment-there", f"the environment {build.key} is there and serves it"))
    elif build.key:
        reasons.append(
            Reason("environment-built", f"the environment {build.key} has to be built first{_why(bundle, build)}")
        )
    return tuple(reasons)


def _why(bundle: ContentBundle, build: BuildPlan) -> str:
    """Why there is no environment for it, where it once had one."""
    if not bundle.key:
        return ": it never had one"
    if bundle.key != build.key:
        return f": the one it had, {bundle.key}, was made from something else"
    if build.unusable is not None:
        return f": it is {build.unusable.state.value}: {build.unusable.reason}"
    return ": it is not there any more"


def _require_same(plan: ActivatePlan, now: ActivatePlan) -> None:
    """Raise `Refused` (`plan-changed`) unless `now` does what `plan` said."""
    for what in ("active bundle", "environment management", "installation", "key"):
        expected, found = (_decided(p)[what] for p in (plan, now))
        if expected != found:
            raise plan_changed(f"{what} {expected}", f"{what} {found}")


def _decided(plan: ActivatePlan) -> dict[str, str]:
    build = plan.build
    chosen = build.match.chosen if build else None
    return {
        "active bundle": str(plan.content.active),
        "environment management": str(build.management.managed).lower() if build else "unknown",
        "installation": f"{chosen.path} ({chosen.target})" if chosen else "none",
        "key": build.key if build else "",
    }

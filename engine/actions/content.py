"""What becomes of content that is deployed: its settings and its removal; and what deploying and running it share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from engine.actions import build as builds
from engine.builds.model import Build, BuildState
from engine.bundles.reading import read_bundle
from engine.columns import changed
from engine.content.model import UNCHANGED, Content, PickedInstallation, Unchanged
from engine.content.rules import checked_name
from engine.content.store import ContentStore
from engine.environments.usage import in_use
from engine.errors import InputError, Problem, Refused, Where
from engine.installations.identity import interpreter_identity
from engine.management import ManagementDecision
from engine.offhost.model import image_identity
from engine.planning import ContentDefaults
from engine.plans import BuildPlan
from engine.world import World

__all__ = [
    "OnBuild",
    "RemovePlan",
    "SetPlan",
    "apply_set",
    "build_and_wait",
    "content_store",
    "defaults_of",
    "name_taken",
    "picked_by",
    "plan_changed",
    "plan_remove",
    "plan_set",
    "remove",
    "require_usable",
]

OnBuild = Callable[[Build], None]


_POLL = 0.1
"""Seconds between looks at a build that is waited for."""


# Settings


class SetPlan(Struct, frozen=True):
    """What changing the settings of content would do. `problem` says why it cannot be done, if so."""

    content: Content
    name: str
    management: bool | None
    """The content's own level; None takes it back."""
    default_image: str
    """Empty for none."""
    decision: ManagementDecision | None
    """What would be decided at the next deployment of the active bundle: until then nothing changes. None when the
    bundle cannot be read."""
    problem: Problem | None = None


def plan_set(
    world: World,
    reference: str,
    *,
    name: str | None = None,
    management: bool | Unchanged | None = UNCHANGED,
    default_image: str | None = None,
) -> SetPlan:
    """What changing these settings of the content would do; what is not given stays.

    Raises `InputError` (`content-unknown`, `content-ambiguous`, `content-name-bad`).
    """
    store = content_store(world)
    content = store.find(reference)
    name = content.name if name is None else checked_name(name)
    level = content.management if isinstance(management, Unchanged) else management
    decision = None
    if content.problem is None:
        try:
            bundle = read_bundle(store.bundle_dir(content.guid, content.active))
            decision = world.plan(bundle, replace(defaults_of(content), manage_environment=level)).management
        except InputError:
            pass  # the plan is about the settings, and says that it does not know
    problem = content.problem or name_taken(store.contents(), name, content) or world.refusal
    image = content.default_image if default_image is None else default_image
    return SetPlan(content, name, level, image, decision, problem)


def apply_set(world: World, plan: SetPlan) -> Content:
    """Change the settings; returns the content as it is then. Raises `Refused`, `StorageError`."""
    store, guid = content_store(world), plan.content.guid
    with store.changing("names", guid):
        now = require_usable(store.read(guid), plan.content)
        if taken := name_taken(store.contents(), plan.name, now):
            raise Refused(taken)
        settings = (now.name, now.management, now.default_image)
        planned = (plan.content.name, plan.content.management, plan.content.default_image)
        if settings != planned:
            raise plan_changed("the settings as they were", "other settings")
        now = changed(now, name=plan.name, management=plan.management, default_image=plan.default_image)
        store.save(now)
    return now


# Removing


class RemovePlan(Struct, frozen=True):
    """What removing content would do. `problem` says why it cannot be done, if so."""

    content: Content
    size: int
    """Bytes that its bundles take. Its environment stays until it is reaped."""
    problem: Problem | None = None


def plan_remove(world: World, reference: str) -> RemovePlan:
    """What removing the content would do. Raises `InputError` (`content-unknown`, `content-ambiguous`)."""
    store = content_store(world)
    content = store.find(reference)
    problem = _running(content) if in_use(store.use_path(content.guid)) else world.refusal
    return RemovePlan(content, sum(b.size for b in content.bundles), problem)


def remove(world: World, plan: RemovePlan) -> None:
    """Remove the content with all its bundles. Raises `Refused` (`content-running`, `plan-changed`), `StorageError`."""
    store, guid = content_store(world), plan.content.guid
    with store.changing("names", guid), store.idle(guid) as idle:
        now = store.read(guid)
        if now is None:
            raise Refused(Problem("content-gone", f"the content {plan.content.name or guid} is removed already"))
        if not idle:
            raise Refused(_running(now))
        if now.bundles != plan.content.bundles:
            raise plan_changed("the bundles as they were", "other bundles")
        store.discard(store.root / guid)


def _running(content: Content) -> Problem:
    return Problem("content-running", f"the content {content.name or content.guid} is running", hint="End it first")


# Shared with deploying and running


def content_store(world: World) -> ContentStore:
    return ContentStore(world.config.settings.data_dir)


def defaults_of(content: Content | None) -> ContentDefaults:
    """What the content's own settings add to a plan."""
    if content is None:
        return ContentDefaults()
    return ContentDefaults(content.management, image=content.default_image, guid=content.guid)


def picked_by(plan: BuildPlan) -> PickedInstallation:
    """The installation that `plan` has chosen, as the record keeps it."""
    chosen, target_match = plan.match.chosen, plan.target_match
    assert chosen is not None
    identity: Mapping[str, object] = {}
    if plan.installation is not None and plan.installation.facts is not None:
        identity = interpreter_identity(plan.installation.facts)
    elif target_match is not None and target_match.environment is not None and target_match.installation is not None:
        identity = image_identity(target_match.environment, target_match.installation)
    return PickedInstallation(str(chosen.version), chosen.path, chosen.target, identity)


def build_and_wait(world: World, plan: BuildPlan, on_build_started: OnBuild | None) -> None:
    """Build what `plan` describes unless it is there, and wait. Raises `Refused` (`build-failed` and others)."""
    build = builds.start(world, plan).build
    if build is None:
        return
    if on_build_started is not None:
        on_build_started(build)
    while not build.state.final:
        time.sleep(_POLL)
        with world.lock:
            build = world.jobs.read(build.id) or replace(build, state=BuildState.LOST)
    if build.state is not BuildState.DONE:
        raise Refused(
            Problem(
                "build-failed",
                f"the build {build.id} is {build.state.value}, so the content stays as it was",
                found=str(build.fault or build.message),
                where=Where(str(build.log)),
                hint=build.fault.advice if build.fault else "",
            )
        )


def require_usable(now: Content | None, planned: Content) -> Content:
    """The content as it is now. Raises `Refused` (`content-gone`, `content-record-broken`)."""
    if now is None:
        raise Refused(Problem("content-gone", f"the content {planned.name or planned.guid} was removed meanwhile"))
    if now.problem is not None:
        raise Refused(now.problem)
    return now


def name_taken(contents: Sequence[Content], name: str, content: Content | None) -> Problem | None:
    """Why `content` (None for new content) cannot be called `name`; None when it can."""
    other = next((c for c in contents if c.name == name and not (content and c.guid == content.guid)), None)
    if other is None:
        return None
    return Problem(
        "content-name-taken",
        f"there is other content of the name {name}",
        found=other.guid,
        hint="Choose another name, or deploy to that content",
    )


def plan_changed(expected: str, found: str) -> Refused:
    return Refused(
        Problem(
            "plan-changed",
            "something changed since this was planned, so nothing was done",
            expected=expected,
            found=found,
            hint="Look at the new plan and decide again",
        )
    )

"""Deploying bundles: the environment first, then the bundle, then the record that makes it the active one.

"A compatible version of Python is identified when content is deployed" (python-posit.txt). So deployment picks, and
everything after it asks `engine.actions.resolve`.
"""

from __future__ import annotations

import time
import uuid
from contextlib import nullcontext
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from engine.actions.content import (
    OnBuild,
    build_and_wait,
    content_store,
    defaults_of,
    name_taken,
    picked_by,
    plan_changed,
    require_usable,
)
from engine.bundles.model import Bundle
from engine.bundles.reading import read_bundle
from engine.columns import changed
from engine.content.model import Content, ContentBundle
from engine.content.rules import (
    app_mode_problem,
    beyond_retention,
    checked_name,
    named,
)
from engine.content.store import hold_shared
from engine.environments.store import measure
from engine.environments.usage import in_use
from engine.errors import Problem, Refused
from engine.executors.accounts import build_account
from engine.plans import BuildPlan
from engine.world import World

__all__ = ["DeployPlan", "deploy", "plan_deploy"]


class DeployPlan(Struct, frozen=True):
    """What deploying a bundle would do now. `problem` says why it cannot be done, if so."""

    bundle: Bundle
    build: BuildPlan
    """The match, the management decision, the package plan, and the environment: hit or miss."""
    name: str
    """What the content is called afterwards."""
    content: Content | None
    """The content that gets the bundle; None when new content is made."""
    number: int
    """The number that the bundle gets, unless others are deployed meanwhile."""
    drops: tuple[ContentBundle, ...]
    """Older bundles that go afterwards, by ``Applications.BundleRetentionLimit``."""
    drops_wait: bool = False
    """True when the content is running, so that older bundles stay until a later deployment."""
    problem: Problem | None = None

    @property
    def builds(self) -> bool:
        """Whether an environment has to be built first."""
        return self.build.management.managed and not self.build.hit

    @property
    def renames(self) -> bool:
        return self.content is not None and self.content.name != self.name


def plan_deploy(world: World, bundle: Bundle, *, name: str | None = None, guid: str | None = None) -> DeployPlan:
    """What deploying `bundle` would do now.

    It goes to the content that `guid` refers to (by GUID, name or a part of either), which `name` then renames;
    without `guid` to the content called `name`, by default the bundle's own name; else to new content of that name.
    Raises `InputError` (`content-unknown`, `content-ambiguous`, `content-name-bad`).
    """
    store = content_store(world)
    contents = store.contents()
    if guid is not None:
        content: Content | None = store.find(guid)
        assert content is not None
        name = content.name if name is None or name == content.name else checked_name(name)
    else:
        name = checked_name(bundle.name if name is None else name)
        content = named(contents, name)
    build = world.plan(bundle, defaults_of(content))
    problem = build.problem
    taken = name_taken(contents, name, content)
    number, drops = _next_bundle(world, content)
    if content is not None:
        problem = content.problem or app_mode_problem(content, bundle.manifest.app_mode) or taken or problem
    problem = problem or world.refusal
    return DeployPlan(
        bundle,
        build,
        name,
        content,
        number,
        drops,
        drops_wait=bool(content and drops and in_use(store.use_path(content.guid))),
        problem=problem,
    )


def deploy(world: World, plan: DeployPlan, on_build_started: OnBuild | None = None) -> Content:
    """Build the environment, then store the bundle and make it the active one; returns the content as it is then.

    Waits for the build, of which `on_build_started` is told. Whatever fails leaves the content as it was. Raises
    `Refused` when it cannot be done, the plan no longer holds or the build fails (`build-failed`), `InputError` when
    the bundle cannot be read any more, `StorageError` when the disk fails.
    """
    bundle, store = plan.bundle, content_store(world)
    now = plan_deploy(world, bundle, name=plan.name, guid=plan.content.guid if plan.content else None)
    if now.problem is not None:
        raise Refused(now.problem)
    _require_same(plan, now)
    account = build_account(world.config.settings.run_as, world.environ).account
    # Copied before the build, so that what is stored is what was built for, whoever edits the bundle meanwhile.
    with store.incoming(bundle, account.gid if account else None) as files:
        _require_unchanged(bundle, files)
        if not now.build.management.managed:
            return _commit(world, now, files, "")
        with hold_shared(world.store.use_lock_path(now.build.key)):
            build_and_wait(world, now.build, on_build_started)
            return _commit(world, now, files, now.build.key)


def _commit(world: World, plan: DeployPlan, files: Path, key: str) -> Content:
    """Store the bundle and the record, under the locks; then drop what retention does not keep."""
    store, bundle, at = content_store(world), plan.bundle, time.time()
    picked, managed = picked_by(plan.build), plan.build.management.managed
    new = ContentBundle(1, at, world.user, bundle.name, key, picked.version, measure(files)[0])
    guid = plan.content.guid if plan.content else str(uuid.uuid4())
    dropped: tuple[ContentBundle, ...] = ()
    with store.changing("names", guid):
        before = store.read(guid)
        if taken := name_taken(store.contents(), plan.name, before):
            raise Refused(taken)
        if plan.content is None:
            mode = bundle.manifest.app_mode
            store.create(Content(guid, plan.name, mode, at, world.user, (new,), 1, picked, managed=managed), files)
        else:
            before = require_usable(before, plan.content)
            if problem := app_mode_problem(before, bundle.manifest.app_mode):
                raise Refused(problem)
            number, drops = _next_bundle(world, before)
            # Content that runs has its working directory in a bundle that may be an old one by now.
            with store.idle(guid) if drops else nullcontext(False) as idle:
                dropped = drops if idle else ()
                kept = tuple(b for b in before.bundles if b not in dropped)
                store.add(
                    changed(
                        before,
                        name=plan.name,
                        app_mode=bundle.manifest.app_mode or before.app_mode,
                        bundles=(*kept, changed(new, number=number)),
                        active=number,
                        installation=picked,
                        managed=managed,
                    ),
                    files,
                )
                for old in dropped:
                    store.discard(store.bundle_dir(guid, old.number))
        after = store.read(guid)
    assert after is not None
    return after


def _next_bundle(world: World, content: Content | None) -> tuple[int, tuple[ContentBundle, ...]]:
    """The number of the bundle that is deployed next, and the bundles that retention drops then."""
    bundles = content.bundles if content else ()
    number = max((b.number for b in bundles), default=0) + 1
    coming = ContentBundle(number, 0.0, "", "", "", "", 0)
    return number, beyond_retention((*bundles, coming), number, world.config.settings.bundle_retention)


def _require_same(plan: DeployPlan, now: DeployPlan) -> None:
    """Raise `Refused` (`plan-changed`) unless `now` does what `plan` said."""
    for what in ("content", "environment management", "installation", "key"):
        expected, found = (_decided(p)[what] for p in (plan, now))
        if expected != found:
            raise plan_changed(f"{what} {expected}", f"{what} {found}")


def _decided(plan: DeployPlan) -> dict[str, str]:
    chosen = plan.build.match.chosen
    return {
        "content": plan.content.guid if plan.content else "new",
        "environment management": str(plan.build.management.managed).lower(),
        "installation": f"{chosen.path} ({chosen.target})" if chosen else "none",
        "key": plan.build.key,
    }


def _require_unchanged(bundle: Bundle, files: Path) -> None:
    """Raise `Refused` (`plan-changed`) unless the copy in `files` says what the bundle said when it was read."""
    copy = read_bundle(files)
    manifests = (replace(b.manifest, where=None) for b in (bundle, copy))
    lines = ([line.text for line in b.requirements] for b in (bundle, copy))
    if len(set(manifests)) > 1 or next(lines) != next(lines):
        raise plan_changed("the bundle as it was read", "other requirements in it")

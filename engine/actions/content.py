"""Deploying bundles, and what becomes of the content: its settings, its removal, and how it would run now.

"A compatible version of Python is identified when content is deployed. That Python installation is used any time
Python is needed for that content" (python-posit.txt). So deployment picks, and everything after it asks `resolve`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import Version

from engine.actions import build as builds
from engine.builds.model import Build, BuildState
from engine.bundles.model import Bundle
from engine.bundles.reading import read_bundle
from engine.content.model import UNCHANGED, Content, ContentBundle, PickedInstallation, Reason, Unchanged
from engine.content.rules import (
    Present,
    app_mode_problem,
    beyond_retention,
    checked_name,
    named,
    standing,
)
from engine.content.store import ContentStore, hold_shared
from engine.environments.model import Environment, EnvironmentState
from engine.environments.store import measure
from engine.environments.usage import in_use
from engine.errors import InputError, Problem, Refused, Where
from engine.executors.accounts import build_account
from engine.installations.model import Usability
from engine.management import ManagementDecision
from engine.matching import Match
from engine.offhost.model import image_identity
from engine.packages.key import interpreter_identity
from engine.planning import ContentDefaults, Found
from engine.plans import BuildPlan
from engine.targets import LOCAL
from engine.world import World

__all__ = [
    "DeployPlan",
    "RemovePlan",
    "Resolution",
    "SetPlan",
    "apply_set",
    "deploy",
    "plan_deploy",
    "plan_remove",
    "plan_set",
    "rebuild",
    "remove",
    "resolve",
]

OnBuild = Callable[[Build], None]

_POLL = 0.1
"""Seconds between looks at a build that is waited for."""


# Deploying


@dataclass(frozen=True, slots=True)
class DeployPlan:
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
    store = _store(world)
    contents = store.contents()
    if guid is not None:
        content: Content | None = store.find(guid)
        assert content is not None
        name = content.name if name is None or name == content.name else checked_name(name)
    else:
        name = checked_name(bundle.name if name is None else name)
        content = named(contents, name)
    build = world.plan(bundle, _defaults(content))
    problem = build.problem
    taken = _name_taken(contents, name, content)
    number, drops = _next_bundle(world, content)
    if content is not None:
        problem = content.problem or app_mode_problem(content, bundle.manifest.app_mode) or taken or problem
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
    bundle, store = plan.bundle, _store(world)
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
            _build(world, now.build, on_build_started)
            return _commit(world, now, files, now.build.key)


def _commit(world: World, plan: DeployPlan, files: Path, key: str) -> Content:
    """Store the bundle and the record, under the locks; then drop what retention does not keep."""
    store, bundle, at = _store(world), plan.bundle, time.time()
    picked, managed = _picked(plan.build), plan.build.management.managed
    new = ContentBundle(1, at, world.user, bundle.name, key, picked.version, measure(files)[0])
    guid = plan.content.guid if plan.content else str(uuid.uuid4())
    dropped: tuple[ContentBundle, ...] = ()
    with store.changing("names", guid):
        before = store.read(guid)
        if taken := _name_taken(store.contents(), plan.name, before):
            raise Refused(taken)
        if plan.content is None:
            mode = bundle.manifest.app_mode
            store.create(Content(guid, plan.name, mode, at, world.user, (new,), 1, picked, managed=managed), files)
        else:
            before = _require_usable(before, plan.content)
            if problem := app_mode_problem(before, bundle.manifest.app_mode):
                raise Refused(problem)
            number, drops = _next_bundle(world, before)
            # Content that runs has its working directory in a bundle that may be an old one by now.
            with store.idle(guid) if drops else nullcontext(False) as idle:
                dropped = drops if idle else ()
                kept = tuple(b for b in before.bundles if b not in dropped)
                store.add(
                    replace(
                        before,
                        name=plan.name,
                        app_mode=bundle.manifest.app_mode or before.app_mode,
                        bundles=(*kept, replace(new, number=number)),
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
            raise _changed(f"{what} {expected}", f"{what} {found}")


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
        raise _changed("the bundle as it was read", "other requirements in it")


def _changed(expected: str, found: str) -> Refused:
    return Refused(
        Problem(
            "plan-changed",
            "something changed since this was planned, so nothing was done",
            expected=expected,
            found=found,
            hint="Look at the new plan and decide again",
        )
    )


def _require_usable(now: Content | None, planned: Content) -> Content:
    """The content as it is now. Raises `Refused` (`content-gone`, `content-record-broken`)."""
    if now is None:
        raise Refused(Problem("content-gone", f"the content {planned.name or planned.guid} was removed meanwhile"))
    if now.problem is not None:
        raise Refused(now.problem)
    return now


def _name_taken(contents: Sequence[Content], name: str, content: Content | None) -> Problem | None:
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


def _build(world: World, plan: BuildPlan, on_build_started: OnBuild | None) -> None:
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


# How it would run now


@dataclass(frozen=True, slots=True)
class Resolution:
    """How content would run now, and every reason on the way. `problem` says why it cannot, if so."""

    content: Content
    installation: PickedInstallation | None
    """What it runs on."""
    environment: Environment | None
    """What it runs in; None without management, and when it has to be built first."""
    build: BuildPlan | None
    """The build that has to come first: a rebuild on demand."""
    reasons: tuple[Reason, ...]
    match: Match | None = None
    """The new match, when the installation picked at deployment has vanished."""
    problem: Problem | None = None

    @property
    def key(self) -> str:
        """The key of the environment that it runs in then; empty without management."""
        if self.build is not None:
            return self.build.key
        return self.environment.key if self.environment else ""

    @property
    def changes(self) -> bool:
        """Whether running comes after a build, or on something else than the record says."""
        picked, key = self.content.installation, self.content.key
        return self.problem is None and (self.build is not None or (self.installation, self.key) != (picked, key))


def resolve(world: World, content: Content) -> Resolution:
    """How the active bundle of `content` would run now. Builds nothing; probes if that was not done yet.

    The installation picked at deployment stays until it vanishes; then the bundle is matched again. An environment
    that is missing or stale is rebuilt (python-posit.txt, "Upgrading Python": "rebuilt on-demand").
    """
    if content.problem is not None or content.installation is None or content.active_bundle is None:
        return Resolution(content, None, None, None, (), problem=content.problem)
    if not world.probed:
        world.probe()
    now = world.found()
    found = standing(content.installation, _present(now))
    kept = found.installation
    reasons: tuple[Reason, ...] = (found.reason,)
    environment = next((e for e in now.environments if e.key == content.key), None)
    if kept is not None and now.config.settings.python_enabled:
        if not content.managed:
            return Resolution(content, kept, None, None, (*reasons, _UNMANAGED))
        if environment is not None and environment.state is EnvironmentState.READY:
            there = Reason("environment-there", f"its environment {content.key} is there")
            return Resolution(content, kept, environment, None, (*reasons, there))
    try:
        bundle = read_bundle(_store(world).bundle_dir(content.guid, content.active))
    except InputError as error:
        return Resolution(content, kept, None, None, reasons, problem=error.problem)
    # What was decided about management at deployment stays, whatever the levels say by now.
    manifest = replace(bundle.manifest, manage_environment=content.managed)
    bundle = replace(bundle, name=content.active_bundle.name, manifest=manifest)
    if kept is not None:
        bundle = _asking_for(bundle, kept)
    plan = world.plan(bundle, replace(_defaults(content), manage_environment=content.managed))
    match = None if kept is not None else plan.match
    if plan.problem is not None or plan.match.chosen is None:
        return Resolution(content, kept, None, None, reasons, match, plan.problem or plan.match.problem)
    installation = _picked(plan)
    if match is not None:
        text = f"matched again: Python {installation.version} at {installation.path} ({match.reason})"
        reasons = (*reasons, Reason("matched-again", text))
    elif kept is not None and installation.path != kept.path:
        text = f"{installation.path} is Python {installation.version} too and is configured earlier"
        reasons = (*reasons, Reason("installation-earlier", text))
    if not content.managed:
        return Resolution(content, installation, None, None, (*reasons, _UNMANAGED), match)
    reasons = (*reasons, _why_not(environment, content.key))
    if not plan.management.managed:
        problem = Problem(
            "management-disabled",
            "its environment would have to be built again, and the server does not manage environments any more",
            found=plan.management.reason,
            hint="Deploy it again: it runs on the installation itself then",
        )
        return Resolution(content, installation, None, None, reasons, match, problem)
    if plan.environment is not None:
        reused = Reason("environment-reused", f"the environment {plan.key} serves it as it is")
        return Resolution(content, installation, plan.environment, None, (*reasons, reused), match)
    rebuilt = Reason("rebuild", f"the environment {plan.key} has to be built first")
    return Resolution(content, installation, None, plan, (*reasons, rebuilt), match)


def _present(found: Found) -> list[Present]:
    """The installations there are: of this machine, or of the images that are declared."""
    if found.declarations.off_host:
        return [
            Present(PickedInstallation(str(p.version), p.path, e.name, image_identity(e, p)))
            for e in found.declarations.environments
            for p in e.python
        ]
    return [
        Present(
            PickedInstallation(
                str(i.version or ""), i.executable, i.target, interpreter_identity(i.facts) if i.facts else {}
            ),
            "" if i.usability is Usability.USABLE else i.reason or i.usability.value,
        )
        for i in found.installations
    ]


def _asking_for(bundle: Bundle, picked: PickedInstallation) -> Bundle:
    """`bundle`, asking for exactly what was picked: a rule or an interpreter that came later does not pick again."""
    manifest = replace(bundle.manifest, python_version=Version(picked.version), requires=None)
    if picked.target != LOCAL:
        manifest = replace(manifest, image=picked.target)
    return replace(bundle, manifest=manifest)


_UNMANAGED = Reason("not-managed", "its environment is not managed: it runs on the installation itself")


def _why_not(environment: Environment | None, key: str) -> Reason:
    """Why the environment that the record names is not used."""
    if environment is None:
        if not key:
            return Reason("environment-missing", "it has no environment yet")
        return Reason("environment-missing", f"its environment {key} is not there any more")
    code = f"environment-{environment.state.value}"
    if environment.state is EnvironmentState.READY:
        return Reason("environment-left", f"its environment {key} belongs to another installation")
    return Reason(code, f"its environment {key} is {environment.state.value}: {environment.reason}")


def rebuild(world: World, resolution: Resolution, on_build_started: OnBuild | None = None) -> Content:
    """Build what `resolution` says has to come first, and record what the content runs on from then on.

    Waits for the build; returns the content as it is then. Raises `Refused` (`plan-changed` when it was deployed to
    meanwhile), `StorageError`.
    """
    if resolution.problem is not None:
        raise Refused(resolution.problem)
    if not resolution.changes:
        return resolution.content
    installation, content, store = resolution.installation, resolution.content, _store(world)
    assert installation is not None
    with hold_shared(world.store.use_lock_path(resolution.key)) if resolution.key else nullcontext():
        if resolution.build is not None:
            _build(world, resolution.build, on_build_started)
        with store.changing(content.guid):
            now = _require_usable(store.read(content.guid), content)
            if now.active != content.active:
                raise _changed(f"bundle {content.active}", f"bundle {now.active}")
            bundles = (
                replace(b, key=resolution.key, python_version=installation.version) if b.number == now.active else b
                for b in now.bundles
            )
            now = replace(now, bundles=tuple(bundles), installation=installation)
            store.save(now)
    return now


# Settings


@dataclass(frozen=True, slots=True)
class SetPlan:
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
    store = _store(world)
    content = store.find(reference)
    name = content.name if name is None else checked_name(name)
    level = content.management if isinstance(management, Unchanged) else management
    decision = None
    if content.problem is None:
        try:
            bundle = read_bundle(store.bundle_dir(content.guid, content.active))
            decision = world.plan(bundle, replace(_defaults(content), manage_environment=level)).management
        except InputError:
            pass  # the plan is about the settings, and says that it does not know
    problem = content.problem or _name_taken(store.contents(), name, content)
    image = content.default_image if default_image is None else default_image
    return SetPlan(content, name, level, image, decision, problem)


def apply_set(world: World, plan: SetPlan) -> Content:
    """Change the settings; returns the content as it is then. Raises `Refused`, `StorageError`."""
    store, guid = _store(world), plan.content.guid
    with store.changing("names", guid):
        now = _require_usable(store.read(guid), plan.content)
        if taken := _name_taken(store.contents(), plan.name, now):
            raise Refused(taken)
        settings = (now.name, now.management, now.default_image)
        planned = (plan.content.name, plan.content.management, plan.content.default_image)
        if settings != planned:
            raise _changed("the settings as they were", "other settings")
        now = replace(now, name=plan.name, management=plan.management, default_image=plan.default_image)
        store.save(now)
    return now


# Removing


@dataclass(frozen=True, slots=True)
class RemovePlan:
    """What removing content would do. `problem` says why it cannot be done, if so."""

    content: Content
    size: int
    """Bytes that its bundles take. Its environment stays until it is reaped."""
    problem: Problem | None = None


def plan_remove(world: World, reference: str) -> RemovePlan:
    """What removing the content would do. Raises `InputError` (`content-unknown`, `content-ambiguous`)."""
    store = _store(world)
    content = store.find(reference)
    running = in_use(store.use_path(content.guid))
    return RemovePlan(content, sum(b.size for b in content.bundles), _running(content) if running else None)


def remove(world: World, plan: RemovePlan) -> None:
    """Remove the content with all its bundles. Raises `Refused` (`content-running`, `plan-changed`), `StorageError`."""
    store, guid = _store(world), plan.content.guid
    with store.changing("names", guid), store.idle(guid) as idle:
        now = store.read(guid)
        if now is None:
            raise Refused(Problem("content-gone", f"the content {plan.content.name or guid} is removed already"))
        if not idle:
            raise Refused(_running(now))
        if now.bundles != plan.content.bundles:
            raise _changed("the bundles as they were", "other bundles")
        store.discard(store.root / guid)


def _running(content: Content) -> Problem:
    return Problem("content-running", f"the content {content.name or content.guid} is running", hint="End it first")


# Shared


def _store(world: World) -> ContentStore:
    return ContentStore(world.config.settings.data_dir)


def _defaults(content: Content | None) -> ContentDefaults:
    """What the content's own settings add to a plan."""
    return ContentDefaults(content.management, image=content.default_image) if content else ContentDefaults()


def _picked(plan: BuildPlan) -> PickedInstallation:
    """The installation that `plan` has chosen, as the record keeps it."""
    chosen, target_match = plan.match.chosen, plan.target_match
    assert chosen is not None
    identity: Mapping[str, object] = {}
    if plan.installation is not None and plan.installation.facts is not None:
        identity = interpreter_identity(plan.installation.facts)
    elif target_match is not None and target_match.environment is not None and target_match.installation is not None:
        identity = image_identity(target_match.environment, target_match.installation)
    return PickedInstallation(str(chosen.version), chosen.path, chosen.target, identity)

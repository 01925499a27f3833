"""How content would run now, and rebuilding on demand what that needs.

"That Python installation is used any time Python is needed for that content" (python-posit.txt): until it vanishes.
"""

from __future__ import annotations

from contextlib import nullcontext

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from engine.actions.content import (
    OnBuild,
    build_and_wait,
    content_store,
    defaults_of,
    picked_by,
    plan_changed,
    require_usable,
)
from engine.bundles.model import Bundle
from engine.bundles.reading import read_bundle
from engine.columns import changed
from engine.content.model import Content, PickedInstallation, Reason
from engine.content.rules import (
    Present,
    Standing,
    standing,
)
from engine.content.store import ContentStore, hold_shared
from engine.environments.model import Environment, EnvironmentState
from engine.errors import InputError, Problem, Refused
from engine.installations.identity import interpreter_identity
from engine.installations.model import Usability
from engine.matching import Match
from engine.offhost.model import image_identity
from engine.planning import Found, plan_build
from engine.plans import BuildPlan
from engine.targets import LOCAL
from engine.world import World

__all__ = ["Resolution", "Resolver", "rebuild", "resolve"]


class Resolution(Struct, frozen=True):
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
    if not world.probed:
        world.probe()
    return Resolver(world.found()).resolve(content)


class Resolver:
    """Resolves any number of contents with what there is `now`, which is looked through once."""

    def __init__(self, now: Found) -> None:
        self._now = now
        self._present = _present(now)
        self._environments = {environment.key: environment for environment in reversed(now.environments)}

    def resolve(self, content: Content) -> Resolution:
        """How the active bundle of `content` would run."""
        if content.problem is not None or content.installation is None or content.active_bundle is None:
            return Resolution(content, None, None, None, (), problem=content.problem)
        found = standing(content.installation, self._present)
        environment = self._environments.get(content.key)
        kept = found.installation
        if kept is not None and self._now.config.settings.python_enabled:
            if not content.managed:
                return Resolution(content, kept, None, None, (found.reason, _UNMANAGED))
            if environment is not None and environment.state is EnvironmentState.READY:
                there = Reason("environment-there", f"its environment {content.key} is there")
                return Resolution(content, kept, environment, None, (found.reason, there))
        return _planned(self._now, content, found, environment)


def _planned(now: Found, content: Content, found: Standing, environment: Environment | None) -> Resolution:
    """How it would run where that takes a plan: on another installation, or in another environment."""
    assert content.active_bundle is not None
    kept = found.installation
    reasons: tuple[Reason, ...] = (found.reason,)
    try:
        plan = _plan(now, content, kept)
    except InputError as error:
        return Resolution(content, kept, None, None, reasons, problem=error.problem)
    match = None if kept is not None else plan.match
    if plan.problem is not None or plan.match.chosen is None:
        return Resolution(content, kept, None, None, reasons, match, plan.problem or plan.match.problem)
    installation = picked_by(plan)
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


def plan_active(now: Found, content: Content) -> BuildPlan:
    """What building the environment of the active bundle would do now. Raises `InputError` for a bundle that is gone.

    `content` is without a problem.
    """
    assert content.installation is not None
    return _plan(now, content, standing(content.installation, _present(now)).installation)


def _plan(now: Found, content: Content, kept: PickedInstallation | None) -> BuildPlan:
    """What building the environment of the active bundle would do, on `kept` if there is such an installation."""
    assert content.active_bundle is not None
    bundle = read_bundle(ContentStore(now.config.settings.data_dir).bundle_dir(content.guid, content.active))
    # What was decided about management at deployment stays, whatever the levels say by now.
    manifest = replace(bundle.manifest, manage_environment=content.managed)
    bundle = replace(bundle, name=content.active_bundle.name, manifest=manifest)
    if kept is not None:
        bundle = _asking_for(bundle, kept)
    return plan_build(bundle, now, replace(defaults_of(content), manage_environment=content.managed))


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
    installation, content, store = resolution.installation, resolution.content, content_store(world)
    assert installation is not None
    with hold_shared(world.store.use_lock_path(resolution.key)) if resolution.key else nullcontext():
        if resolution.build is not None:
            build_and_wait(world, resolution.build, on_build_started)
        with store.changing(content.guid):
            now = require_usable(store.read(content.guid), content)
            if now.active != content.active:
                raise plan_changed(f"bundle {content.active}", f"bundle {now.active}")
            bundles = (
                changed(b, key=resolution.key, python_version=installation.version) if b.number == now.active else b
                for b in now.bundles
            )
            now = changed(now, bundles=tuple(bundles), installation=installation)
            store.save(now)
    return now

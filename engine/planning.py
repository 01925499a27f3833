"""From a bundle to what building it would do: match, package plan, key, hit or miss (DESIGN.md §4).

Every step takes what the one before it gave, and none looks back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace
from packaging.version import Version

from engine.builds.model import Build
from engine.builds.pip_config import configuration, index_configuration
from engine.bundles.model import Bundle
from engine.choosing import match_request
from engine.config.model import ConfigState
from engine.environments.model import Environment, EnvironmentState
from engine.errors import InputError, Problem, Where
from engine.executors.accounts import BuildAccount
from engine.executors.registry import cannot_run, choose
from engine.installations.identity import interpreter_identity
from engine.installations.model import Installation
from engine.management import ManagementDecision, decide
from engine.matching import Match, Request
from engine.offhost.model import Declarations, TargetRequest, image_identity
from engine.packages.installer import InstallerChoice, UvTool, choose_installer, place_obstacles
from engine.packages.key import environment_key, key_ingredients, key_lines
from engine.packages.plan import PackagePlan, PackageRules, external_names, plan_packages, prohibited_names
from engine.packages.support import support_packages
from engine.plans import BuildPlan, ContentDefaults, find_nearest
from engine.targets import LOCAL
from engine.wheels.deciding import Asked, Forecast, forecast
from engine.wheels.locks import LockRecords
from engine.wheels.store import WheelStore

__all__ = ["ContentDefaults", "Found", "plan_build"]

if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from engine.installations.externals import ExternalPackage
    from engine.offhost.selection import TargetMatch

    Externals = Mapping[str, Mapping[NormalizedName, ExternalPackage]]
    """The path of an installation to the external packages it has, and what those depend on there."""


def _no_uv_yet() -> UvTool:
    return UvTool(problem=Problem("uv-not-found", "nobody has looked for it yet"))


class Found(Struct, frozen=True):
    """What there is, as far as plans depend on it. Equal values, and an equal uv, give equal plans."""

    config: ConfigState
    installations: tuple[Installation, ...]
    environments: tuple[Environment, ...]
    builds: tuple[Build, ...]
    """Those under way that who wants the same joins."""
    builder: BuildAccount
    """Who builds run as, whose pip configuration applies."""
    declarations: Declarations = field(default_factory=Declarations)
    externals: Externals = field(default_factory=dict)
    uv: Callable[[], UvTool] = _no_uv_yet
    """The uv that builds can use, or why there is none: to ask it takes longer than the whole plan."""
    space: Problem | None = None
    """Why there is too little space to build anything."""


class _Place(Struct, frozen=True):
    """Where the environment would live and what interpreter it would be made with."""

    target: str
    version: str
    path: str
    identity: Mapping[str, object]


def plan_build(bundle: Bundle, found: Found, content: ContentDefaults | None = None) -> BuildPlan:
    """What building `bundle` would do now, as a bundle of a content item with the settings `content`.

    Reads pip's configuration files, and the bundle's own files where a requirement line refers to them.
    """
    content = content or ContentDefaults()
    manifest = bundle.manifest
    management = _management(bundle, found, content)
    asked = TargetRequest(manifest.environment_guid, manifest.image, content.environment_guid, content.image)
    request, settings = Request(manifest.python_version, manifest.requires), found.config.settings
    result, target_match = match_request(request, settings, found.installations, found.declarations, asked=asked)
    installation = _chosen_installation(result, found) if target_match is None else None
    visible = found.externals.get(installation.executable, {}) if installation else {}
    packages = plan_packages(bundle.requirements, _rules(bundle, found.config, visible))
    externals = tuple(visible[name] for name in sorted(visible))
    plan = BuildPlan(
        bundle,
        result,
        installation,
        packages,
        management,
        content=content,
        externals=externals,
        target_match=target_match,
    )
    place = _place(installation, target_match)
    if place is None or not management.managed:
        return plan.having(problem=result.problem)
    if packages.problem is not None:
        return plan.having(problem=_in_bundle(packages.problem, bundle))
    try:
        digest = _source_digest(bundle) if packages.needs_source else ""
    except InputError as error:
        return plan.having(problem=error.problem)
    except OSError as error:
        problem = Problem(
            "bundle-unreadable",
            f"a file of the bundle cannot be read: {error.strerror or error}",
            where=Where(str(error.filename or bundle.path)),
        )
        return plan.having(problem=problem)
    installer = _installer(bundle, found, packages, place, externals)
    plan = plan.having(installer=installer)
    ingredients = key_ingredients(
        packages,
        installer=installer.name,
        target=place.target,
        interpreter=place.identity,
        index=index_configuration(found.builder.home, account=found.builder.account),
        source_digest=digest,
        externals=[(external.name, str(external.version), external.location) for external in externals],
        external_version_matching=found.config.settings.external_version_matching,
    )
    key = environment_key(ingredients)
    lines = key_lines(packages)
    hit = next((e for e in found.environments if e.key == key and e.state is EnvironmentState.READY), None)
    return plan.having(
        problem=_why_not(place.target, found) if hit is None else None,
        supply=_supply(key, ingredients, packages, place, found) if hit is None and lines else None,
        key=key,
        ingredients=ingredients,
        lines=lines,
        environment=hit,
        running=next((b for b in found.builds if b.key == key and not b.state.final), None),
        unusable=None if hit else next((e for e in found.environments if e.key == key), None),
        nearest=None if hit else find_nearest(lines, ingredients, found.environments),
    )


def _source_digest(bundle: Bundle) -> str:
    # Only here: few bundles list a file of their own.
    from engine.bundles.source import source_digest

    return source_digest(bundle)


def _supply(
    key: str, ingredients: Mapping[str, object], packages: PackagePlan, place: _Place, found: Found
) -> Forecast:
    """What a build would get from the wheel store now."""
    settings, who = found.config.settings, found.builder
    externals = ingredients.get("externals")
    visible = externals.get("packages", ()) if isinstance(externals, Mapping) else ()
    pip = next((i.facts.pip for i in found.installations if i.executable == place.path and i.facts), None)
    asked = Asked(
        key=key,
        installer=str(ingredients["installer"]),
        target=place.target,
        executor=choose(settings.executor, place.target),
        pip_version=Version(pip or "0").release,
        interpreter=place.identity,
        requirements=packages.requirements_text,
        constraints=packages.constraints_text,
        settings=configuration(who.home, account=who.account),
        externals=[name for name, *_ in visible],
        replay=settings.replay,
    )
    return forecast(asked, WheelStore(settings.data_dir), LockRecords(settings.data_dir))


def _installer(
    bundle: Bundle, found: Found, packages: PackagePlan, place: _Place, externals: Sequence[ExternalPackage]
) -> InstallerChoice:
    settings, who = found.config.settings, found.builder

    def obstacles() -> tuple[str, ...]:
        # Only here: most are built with pip.
        from engine.builds.uv_asking import uv_obstacles

        local = place.target == LOCAL
        return (
            *place_obstacles(
                target_is_local=local,
                executor=choose(settings.executor, place.target),
                python=Version(place.version) if local else None,
                externals=len(externals),
            ),
            *uv_obstacles(packages.requirements_text, packages.constraints_text, who),
        )

    return choose_installer(
        bundle.manifest.allow_uv,
        allowed=settings.allow_uv,
        default=settings.default_package_manager,
        tool=found.uv,
        obstacles=obstacles,
    )


def _in_bundle(problem: Problem, bundle: Bundle) -> Problem:
    """The problem with a place that says where the bundle is, too."""
    where = problem.where
    inside = where and replace(where, file=f"{bundle.path}{'!' if bundle.is_archive else '/'}{where.file}")
    return replace(problem, where=inside)


def _why_not(target: str, found: Found) -> Problem | None:
    """Why nothing can be built for `target` now."""
    executor = choose(found.config.settings.executor, target)
    return found.builder.problem or cannot_run(executor, target) or found.space


def _management(bundle: Bundle, found: Found, content: ContentDefaults) -> ManagementDecision:
    settings = found.config.settings
    return decide(
        bundle.manifest.manage_environment,
        content.manage_environment,
        settings.manage_environments,
        manifest_allowed=settings.manifest_management_selection,
        content_allowed=settings.content_management_selection,
    )


def _chosen_installation(result: Match, found: Found) -> Installation | None:
    if result.chosen is None:
        return None
    return next((i for i in found.installations if i.executable == result.chosen.path and i.facts), None)


def _place(installation: Installation | None, target_match: TargetMatch | None) -> _Place | None:
    if target_match is not None and target_match.environment is not None and target_match.installation is not None:
        environment, declared = target_match.environment, target_match.installation
        identity = image_identity(environment, declared)
        return _Place(environment.name, str(declared.version), declared.path, identity)
    if installation is not None and installation.facts is not None:
        version = str(installation.facts.version)
        identity = interpreter_identity(installation.facts)
        return _Place(installation.target, version, installation.executable, identity)
    return None


def _rules(bundle: Bundle, config: ConfigState, visible: Mapping[NormalizedName, ExternalPackage]) -> PackageRules:
    return PackageRules(
        prohibited=prohibited_names(_configured(config, "Python.ProhibitedPackage")),
        external=external_names(_configured(config, "Python.External")),
        visible={name: package.version for name, package in visible.items()},
        external_version_matching=config.settings.external_version_matching,
        support=support_packages(bundle.manifest.app_mode, _configured(config, "Envdeck.SupportPackage")),
        allowed_options=_configured(config, "Envdeck.AllowedOption"),
    )


def _configured(config: ConfigState, name: str) -> tuple[tuple[str, str], ...]:
    """The values of a setting that can be repeated, each with its origin."""
    for value in config.values:
        if value.name == name:
            return tuple(zip(value.values, value.origins, strict=False))
    return ()

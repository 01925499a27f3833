"""From a bundle to what building it would do: match, package plan, key, hit or miss (DESIGN.md §4).

Every step takes what the one before it gave, and none looks back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import NormalizedName

from engine.builds.model import Build
from engine.builds.pip_config import index_configuration
from engine.bundles.model import Bundle
from engine.bundles.source import source_digest
from engine.config.model import ConfigState
from engine.environments.model import Environment, EnvironmentState
from engine.errors import Problem, Where
from engine.installations.model import Installation, Usability
from engine.matching import Candidate, Judgement, Match, Request, Rule, Verdict, match
from engine.packages.key import environment_key, interpreter_identity, key_ingredients, key_lines
from engine.packages.plan import plan_packages, prohibited_names
from engine.plans import BuildPlan, find_nearest

__all__ = ["INSTALLER", "identities", "match_installations", "plan_build"]

INSTALLER = "pip"


def match_installations(
    request: Request, installations: Sequence[Installation], config: ConfigState, rule: Rule | None = None
) -> Match:
    """The match among `installations` by `rule`, or by the configured one; none while Python is disabled."""
    candidates = [Candidate(i.version, i.executable, i.target, _why_unusable(i)) for i in installations]
    result = match(request, candidates, rule or config.settings.version_matching)
    if config.settings.python_enabled:
        return result
    problem = Problem(
        "python-disabled",
        "Python support is disabled, so no Python content can be served",
        expected="Enabled = true under [Python]",
        hint="Set it in the configuration; it takes effect at once",
    )
    judgements = tuple(Judgement(c, Verdict.REJECTED, "Python support is disabled") for c in candidates)
    return Match(result.rule, request, judgements, None, problem)


def identities(installations: Sequence[Installation]) -> dict[str, Mapping[str, object]]:
    """The identity of the interpreter at each usable installation's path."""
    return {
        i.executable: interpreter_identity(i.facts)
        for i in installations
        if i.facts and i.usability is Usability.USABLE
    }


def plan_build(
    bundle: Bundle,
    *,
    config: ConfigState,
    installations: Sequence[Installation],
    environments: Sequence[Environment],
    builds: Sequence[Build],
    home: Path,
) -> BuildPlan:
    """What building `bundle` would do now. `home` is that of the account that builds, for its pip configuration.

    Reads pip's configuration files, and the bundle's own files where a requirement line refers to them.
    """
    found = match_installations(
        Request(bundle.manifest.python_version, bundle.manifest.requires), installations, config
    )
    packages = plan_packages(bundle.requirements, _prohibited(config))
    installation = next((i for i in installations if found.chosen and i.executable == found.chosen.path), None)
    if installation is None or installation.facts is None:
        return BuildPlan(bundle, found, None, packages, "", problem=found.problem)
    try:
        digest = source_digest(bundle) if packages.needs_source else ""
    except OSError as error:
        problem = Problem(
            "bundle-unreadable",
            f"a file of the bundle cannot be read: {error.strerror or error}",
            where=Where(str(error.filename or bundle.path)),
        )
        return BuildPlan(bundle, found, installation, packages, "", problem=problem)
    ingredients = key_ingredients(
        packages,
        installer=INSTALLER,
        target=installation.target,
        interpreter=interpreter_identity(installation.facts),
        index=index_configuration(home),
        source_digest=digest,
    )
    key = environment_key(ingredients)
    lines = key_lines(packages)
    hit = next((e for e in environments if e.key == key and e.state is EnvironmentState.READY), None)
    return BuildPlan(
        bundle,
        found,
        installation,
        packages,
        key,
        ingredients,
        lines,
        environment=hit,
        running=next((b for b in builds if b.key == key and not b.state.final), None),
        nearest=None if hit else find_nearest(lines, ingredients, environments),
    )


def _prohibited(config: ConfigState) -> dict[NormalizedName, str]:
    for value in config.values:
        if value.name == "Python.ProhibitedPackage":
            return prohibited_names(zip(value.values, value.origins, strict=False))
    return prohibited_names(())


def _why_unusable(installation: Installation) -> str:
    if installation.usability is Usability.USABLE:
        return ""
    if installation.usability is Usability.PROBING:
        return "it is still being probed"
    return installation.reason

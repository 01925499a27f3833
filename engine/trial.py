"""What a request would get, under each rule side by side, without deploying anything: "what if it asked for 3.9?"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from engine.choosing import match_request
from engine.errors import InputError, Problem
from engine.matching import Match, Request, Rule
from engine.offhost.model import Declarations

if TYPE_CHECKING:
    from engine.bundles.model import Bundle
    from engine.config.model import Settings
    from engine.installations.model import Installation
    from engine.planning import Found
    from engine.plans import BuildPlan

__all__ = ["RuleOutcome", "Trial", "parse_request", "try_match", "try_request"]

_LENGTH = 200
_OPERATORS = "<>=!~"


class RuleOutcome(Struct, frozen=True):
    """What one rule makes of a request."""

    rule: Rule
    """As it would be configured; a constraint supersedes it (see ``match.rule``)."""
    in_force: bool
    match: Match
    plan: BuildPlan | None = None
    """What building the bundle would do, if the trial is about one."""


class Trial(Struct, frozen=True):
    """What a request would get, under the configured rule first."""

    request: Request
    outcomes: tuple[RuleOutcome, ...]
    bundle: Bundle | None = None
    """The bundle as it was tried; None for nobody in particular."""

    @property
    def in_force(self) -> RuleOutcome:
        return self.outcomes[0]

    @property
    def superseded(self) -> bool:
        """Whether a constraint decides, so that the rule makes no difference."""
        return self.request.requires is not None

    def outcome(self, rule: Rule | None) -> RuleOutcome:
        """What `rule` makes of it; None means the configured one."""
        return next((one for one in self.outcomes if one.rule is rule), self.in_force)


def parse_request(text: str) -> Request:
    """What somebody typed, as a request: a version, or a constraint, which has an operator.

    Raises `InputError` (`request-invalid`).
    """
    from engine.bundles.constraint import constraint_fault

    text = text.strip()
    if any(operator in text for operator in _OPERATORS):
        fault = constraint_fault(text)
        if not fault:
            return Request(requires=SpecifierSet(text))
    else:
        fault = "it is neither a version nor a constraint"
        try:
            if len(text) <= _LENGTH:
                return Request(Version(text))
        except InvalidVersion:
            pass
    hint = f"A constraint needs an operator: =={text}" if text.endswith(".*") else ""
    raise InputError(
        Problem(
            "request-invalid",
            fault if text else "nothing is asked for",
            expected="a version such as 3.11.4, or a constraint such as >=3.9,<3.12",
            found=text,
            hint=hint,
        )
    )


def try_request(request: Request | None, found: Found, bundle: Bundle | None = None) -> Trial:
    """What `request` would get under each rule; for `bundle`, as if it asked for that, with None for what it does ask.

    Everything else of the bundle counts as it is, and so does what there is now.
    """
    if bundle is None:
        return try_match(request, found.config.settings, found.installations, found.declarations)
    # Only here: a match alone needs none of it.
    from engine.planning import plan_build

    if request is None:
        request = Request(bundle.manifest.python_version, bundle.manifest.requires)
    else:
        manifest = replace(bundle.manifest, python_version=request.version, requires=request.requires)
        bundle = replace(bundle, manifest=manifest)
    configured = found.config.settings.version_matching
    outcomes = []
    for rule in _rules(configured):
        settings = replace(found.config.settings, version_matching=rule)
        plan = plan_build(bundle, replace(found, config=replace(found.config, settings=settings)))
        outcomes.append(RuleOutcome(rule, rule is configured, plan.match, plan))
    return Trial(request, tuple(outcomes), bundle)


def try_match(
    request: Request | None,
    settings: Settings,
    installations: Sequence[Installation],
    declarations: Declarations,
) -> Trial:
    """The same for no bundle, for which nothing else has to be known."""
    request = request or Request()
    outcomes = []
    for rule in _rules(settings.version_matching):
        decision, _ = match_request(request, settings, installations, declarations, rule=rule)
        outcomes.append(RuleOutcome(rule, rule is settings.version_matching, decision))
    return Trial(request, tuple(outcomes))


def _rules(configured: Rule) -> list[Rule]:
    """The configured one first."""
    return sorted((Rule.MAJOR_MINOR, Rule.EXACT), key=lambda rule: rule is not configured)

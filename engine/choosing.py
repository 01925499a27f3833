"""The match of a request as things are configured: among the installations of this machine, or off-host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.config.model import Settings
from engine.errors import Problem
from engine.installations.model import Installation, Usability
from engine.matching import Candidate, Judgement, Match, Request, Rule, Verdict, match
from engine.offhost.model import Declarations, TargetRequest

if TYPE_CHECKING:
    from engine.offhost.selection import TargetMatch

__all__ = ["match_request"]


def match_request(
    request: Request,
    settings: Settings,
    installations: Sequence[Installation],
    declarations: Declarations,
    *,
    rule: Rule | None = None,
    asked: TargetRequest | None = None,
) -> tuple[Match, TargetMatch | None]:
    """The match by `rule`, or by the configured one: among the installations of this machine, or off-host.

    `asked` is what a bundle and its content ask of the target. None is chosen while Python is disabled.
    """
    candidates = [Candidate(i.version, i.executable, i.target, _why_unusable(i)) for i in installations]
    rule = rule or settings.version_matching
    target_match = None
    if declarations.off_host:
        # Only here: few servers declare anything.
        from engine.offhost.selection import as_match, match_targets

        target_match = match_targets(
            request,
            declarations.environments,
            asked or TargetRequest(),
            rule,
            minimum_version=settings.minimum_version,
        )
        result = as_match(target_match, candidates, str(declarations.files[0].path))
    else:
        result = match(request, candidates, rule)
    if settings.python_enabled:
        return result, target_match
    problem = Problem(
        "python-disabled",
        "Python support is disabled, so no Python content can be served",
        expected="Enabled = true under [Python]",
        hint="Set it in the configuration; it takes effect at once",
    )
    judgements = tuple(
        Judgement(j.candidate, Verdict.REJECTED, "Python support is disabled") for j in result.judgements
    )
    return Match(result.rule, request, judgements, None, problem), None


def _why_unusable(installation: Installation) -> str:
    if installation.usability is Usability.USABLE:
        return ""
    if installation.usability is Usability.PROBING:
        return "it is still being probed"
    return installation.reason

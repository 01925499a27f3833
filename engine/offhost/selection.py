"""Which execution environment, and which Python in it, serves a bundle: with a verdict and a reason for each. Pure.

The order is connect.md §7.3: what the manifest asks for, else what the content asks for, else automatic. What the
manifest or the content asks for is binding: when it does not fit, nothing else is taken. The Python in an image is
chosen by the rules of `engine.matching`, on the versions that are declared.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace
from packaging.version import Version

from engine.errors import Problem
from engine.matching import Candidate, Judgement, Match, Request, Rule, Verdict, match
from engine.offhost.model import RUNTIMES, DeclaredInstallation, ExecutionEnvironment, Matching, TargetRequest

__all__ = ["Basis", "EnvironmentJudgement", "TargetMatch", "as_match", "match_targets"]


class Basis(StrEnum):
    """What the choice among execution environments went by."""

    IDENTIFIER = "the manifest's environment.identifier"
    IMAGE = "the manifest's environment.image"
    DEFAULT_GUID = "the content's default environment"
    DEFAULT_IMAGE = "the content's default image"
    AUTOMATIC = "automatic"


class EnvironmentJudgement(Struct, frozen=True):
    """The verdict on one execution environment, the reason for it, and those on each Python in it."""

    environment: ExecutionEnvironment
    verdict: Verdict
    reason: str
    installations: tuple[Judgement, ...]


class TargetMatch(Struct, frozen=True):
    """The decision: every environment in the order it was given, what was chosen, or the problem that none fits."""

    rule: Rule
    request: Request
    asked: TargetRequest
    basis: Basis
    judgements: tuple[EnvironmentJudgement, ...]
    environment: ExecutionEnvironment | None
    installation: DeclaredInstallation | None
    problem: Problem | None

    @property
    def reason(self) -> str:
        """Why the chosen environment was chosen, or why there is none."""
        for judgement in self.judgements:
            if judgement.verdict is Verdict.CHOSEN:
                return judgement.reason
        return self.problem.message if self.problem else ""


class _Scope(Struct, frozen=True):
    """What an environment has to be."""

    basis: Basis
    guid: str = ""
    image: str = ""


def match_targets(
    request: Request,
    environments: Sequence[ExecutionEnvironment],
    asked: TargetRequest,
    rule: Rule,
    *,
    minimum_version: Version | None = None,
) -> TargetMatch:
    """Judge every environment for `request` and `asked`, and choose at most one.

    `rule` is the configured ``Python.VersionMatching``. A Python older than `minimum_version` is unusable, as a local
    one is. Of several environments that fit, the one with the best Python by the rule is chosen, then the one with the
    fewest runtimes that were not asked for, then the one listed first. The server's own tie-break is not known
    (connect.md §7.3), so this order is ours.
    """
    scope = _scope(asked)
    obstacles = [_obstacle(environment, asked, scope) for environment in environments]
    # `match` takes the first of equals, so the order it sees breaks ties.
    eligible = sorted(
        (index for index, obstacle in enumerate(obstacles) if not obstacle),
        key=lambda index: (len(_extra(environments[index], asked)), index),
    )
    offers = [(index, python) for index in eligible for python in environments[index].python]
    candidates = [_candidate(environments[index], python, minimum_version) for index, python in offers]
    decision = match(request, candidates, rule)
    by_environment: dict[int, list[Judgement]] = {}
    chosen: tuple[int, DeclaredInstallation] | None = None
    for offer, judgement in zip(offers, decision.judgements, strict=True):
        by_environment.setdefault(offer[0], []).append(judgement)
        if judgement.verdict is Verdict.CHOSEN:
            chosen = offer
    if chosen is not None:
        _explain_ties(chosen[0], environments, asked, by_environment)
    judgements = tuple(
        _rejected(environment, obstacles[index], minimum_version)
        if obstacles[index]
        else _judged(environment, by_environment[index], request, rule)
        for index, environment in enumerate(environments)
    )
    return TargetMatch(
        rule=decision.rule,
        request=request,
        asked=asked,
        basis=scope.basis,
        judgements=judgements,
        environment=environments[chosen[0]] if chosen else None,
        installation=chosen[1] if chosen else None,
        problem=None if chosen else _no_target(decision, asked, scope, judgements),
    )


def as_match(found: TargetMatch, local: Iterable[Candidate] = (), where: str = "") -> Match:
    """The decision as `engine.matching.match` gives it, for whoever shows that: one judgement per declared Python.

    The image is the candidate's target. An environment without Python is a candidate without version and path.
    `local` are the installations of this machine: they follow, rejected, since ``Python.Executable`` is ignored
    off-host (connect.md §7.6); `where` says what made execution off-host, such as the file.
    """
    judgements: list[Judgement] = []
    for judged in found.judgements:
        nothing = Judgement(Candidate(None, "", judged.environment.name), judged.verdict, judged.reason)
        judgements.extend(judged.installations or (nothing,))
    reason = "content runs off-host, in the execution environments" + (f" of {where}" if where else "")
    judgements.extend(Judgement(candidate, Verdict.REJECTED, reason) for candidate in local)
    chosen = next((j.candidate for j in judgements if j.verdict is Verdict.CHOSEN), None)
    return Match(found.rule, found.request, tuple(judgements), chosen, found.problem)


def _scope(asked: TargetRequest) -> _Scope:
    """What decides, highest first. Once the manifest asks for anything the content's defaults do not count, so that an
    old bundle that is activated again behaves as before (connect.md §7.3).

    Ours: an identifier and an image in one manifest must both hold, and the content's environment goes before its
    image.
    """
    if asked.identifier:
        return _Scope(Basis.IDENTIFIER, asked.identifier.lower(), asked.image)
    if asked.image:
        return _Scope(Basis.IMAGE, image=asked.image)
    if asked.default_guid:
        return _Scope(Basis.DEFAULT_GUID, asked.default_guid.lower())
    if asked.default_image:
        return _Scope(Basis.DEFAULT_IMAGE, image=asked.default_image)
    return _Scope(Basis.AUTOMATIC)


def _obstacle(environment: ExecutionEnvironment, asked: TargetRequest, scope: _Scope) -> str:
    """Why an environment is out of the question, whichever Pythons it has; empty when it is not."""
    return (
        _not_asked_for(environment, scope)
        or _closed(environment, scope)
        or ("" if environment.python else "it declares no Python")
        or next(_lacking(environment, asked), "")
    )


def _not_asked_for(environment: ExecutionEnvironment, scope: _Scope) -> str:
    if scope.guid and environment.guid != scope.guid:
        unknown = "" if environment.guid else "; the file gives no guid for this one"
        return f"it is not {scope.guid}, which {scope.basis} asks for{unknown}"
    if scope.image and environment.name != scope.image:
        # With an identifier the image is one more criterion of the manifest.
        by = Basis.IMAGE if scope.basis is Basis.IDENTIFIER else scope.basis
        return f"its image is not {scope.image}, which {by} asks for"
    return ""


def _closed(environment: ExecutionEnvironment, scope: _Scope) -> str:
    if environment.matching is Matching.NONE:
        return "its matching is none: it is parked, and never selected even when asked for"
    if environment.matching is Matching.EXACT and scope.basis is Basis.AUTOMATIC:
        return "its matching is exact: it is selected only when the manifest or the content asks for it"
    return ""


def _lacking(environment: ExecutionEnvironment, asked: TargetRequest) -> Iterator[str]:
    """Which of the other runtimes a bundle needs are not there: all must be in the same environment (connect.md §3.5).

    Only a constraint is compared: how the server compares the bare version of another runtime is not known.
    """
    for key, constraint in asked.runtimes.items():
        name = RUNTIMES.get(key, key)
        versions = environment.runtimes.get(key, ())
        if not versions:
            yield f"it declares no {name}, which the bundle needs too"
        elif constraint is not None and not any(constraint.contains(v, prereleases=False) for v in versions):
            declared = ", ".join(map(str, versions))
            yield f"the bundle needs {name} {constraint} too, and it declares {declared}"


def _extra(environment: ExecutionEnvironment, asked: TargetRequest) -> list[str]:
    """The names of the runtimes that an environment brings and nobody asked for."""
    return [name for key, name in RUNTIMES.items() if environment.runtimes.get(key) and key not in asked.runtimes]


def _candidate(environment: ExecutionEnvironment, python: DeclaredInstallation, minimum: Version | None) -> Candidate:
    too_old = minimum is not None and python.version < minimum
    unusable = f"{python.version} is older than the minimum, {minimum}" if too_old else ""
    return Candidate(python.version, python.path, environment.name, unusable)


def _explain_ties(
    chosen: int,
    environments: Sequence[ExecutionEnvironment],
    asked: TargetRequest,
    by_environment: dict[int, list[Judgement]],
) -> None:
    """Say in the reasons what decided between environments that have the chosen version."""
    winner, fewest = environments[chosen], len(_extra(environments[chosen], asked))
    version = next(j.candidate.version for j in by_environment[chosen] if j.verdict is Verdict.CHOSEN)
    others = [
        index
        for index, judgements in by_environment.items()
        if index != chosen and any(j.candidate.version == version and not j.candidate.unusable for j in judgements)
    ]
    for index in others:
        extra = _extra(environments[index], asked)
        if len(extra) > fewest:
            reason = f"has {version} too, but brings {_words(extra)} unasked: {winner.label} brings less"
        else:
            reason = f"has {version} too, but {winner.label} is listed earlier"
        by_environment[index] = [
            replace(j, reason=reason) if j.candidate.version == version and j.verdict is Verdict.PASSED_OVER else j
            for j in by_environment[index]
        ]
    if others:
        equal = any(len(_extra(environments[index], asked)) == fewest for index in others)
        why = f"{'the first' if equal else 'the fewest other runtimes'} of {len(others) + 1} environments with it"
        by_environment[chosen] = [
            replace(j, reason=f"{j.reason}, {why}") if j.verdict is Verdict.CHOSEN else j
            for j in by_environment[chosen]
        ]


def _words(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _rejected(environment: ExecutionEnvironment, reason: str, minimum: Version | None) -> EnvironmentJudgement:
    installations = tuple(
        Judgement(_candidate(environment, python, minimum), Verdict.REJECTED, reason) for python in environment.python
    )
    return EnvironmentJudgement(environment, Verdict.REJECTED, reason, installations)


def _judged(
    environment: ExecutionEnvironment, judgements: Sequence[Judgement], request: Request, rule: Rule
) -> EnvironmentJudgement:
    """The verdict on an environment: that on the Python in it that serves best."""
    best = match(request, [j.candidate for j in judgements], rule).chosen
    decisive = next((j for j in judgements if j.verdict is Verdict.CHOSEN), None)
    decisive = decisive or next((j for j in judgements if j.candidate is best), None)
    if decisive is not None:
        return EnvironmentJudgement(environment, decisive.verdict, decisive.reason, tuple(judgements))
    unusable = all(j.verdict is Verdict.UNUSABLE for j in judgements)
    reason = "; ".join(dict.fromkeys(j.reason for j in judgements))
    return EnvironmentJudgement(
        environment, Verdict.UNUSABLE if unusable else Verdict.REJECTED, reason, tuple(judgements)
    )


def _no_target(
    decision: Match, asked: TargetRequest, scope: _Scope, judgements: Sequence[EnvironmentJudgement]
) -> Problem:
    """Say what is missing, what there is, and the nearest remedy."""
    if decision.problem is not None and decision.problem.code == "request-empty":
        return decision.problem
    needs = [f"Python {decision.request}"]
    needs += [f"{RUNTIMES.get(key, key)} {constraint or ''}".rstrip() for key, constraint in asked.runtimes.items()]
    target = " and ".join(filter(None, (scope.guid, scope.image)))
    asked_for = [judged for judged in judgements if not _not_asked_for(judged.environment, scope)]
    under = f"under the {decision.rule.value} rule"
    if not target:
        message = f"no execution environment serves {_words(needs)} {under}"
    elif asked_for:
        message = f"{target}, which {scope.basis} asks for, does not serve {_words(needs)} {under}"
    else:
        message = f"no execution environment is {target}, which {scope.basis} asks for"
    offered = [judged.environment for judged in judgements]
    return Problem(
        "no-matching-target",
        message,
        expected=_words(needs) + (f" in {target}" if target else ""),
        found="; ".join(f"{environment.label}: {_pythons(environment)}" for environment in offered)
        or "no execution environment",
        hint=_remedy(decision, scope, offered, asked_for),
    )


def _remedy(
    decision: Match,
    scope: _Scope,
    offered: Sequence[ExecutionEnvironment],
    asked_for: Sequence[EnvironmentJudgement],
) -> str:
    if not offered:
        return "Declare an execution environment in the file of ExecutionEnvironments.ConfigFilePath"
    if not asked_for:
        if scope.guid and not any(environment.guid == scope.guid for environment in offered):
            return "Give the environment this `guid` in the file, or correct it where it is asked for"
        close = difflib.get_close_matches(scope.image, [environment.name for environment in offered], n=1)
        return f"Did you mean {close[0]}?" if close else f"Declare an environment with `name: {scope.image}`"
    for judged in asked_for:
        # What stands in the way of an environment whose Python would do is the thing to change.
        candidates = [replace(judgement.candidate, unusable="") for judgement in judged.installations]
        fitting = match(decision.request, candidates, decision.rule).chosen
        if fitting is not None:
            return f"{judged.environment.label} has {fitting.version}, but {judged.reason}"
    version = decision.request.version
    wanted = str(decision.request)
    if decision.rule is Rule.MAJOR_MINOR and version is not None:
        wanted = f"{version.major}.{version.minor}"
    return f"Declare an environment whose image has Python {wanted}"


def _pythons(environment: ExecutionEnvironment) -> str:
    return ", ".join(str(python.version) for python in environment.python) or "no Python"

"""Which installation serves a bundle: the matching rules, with a verdict and a reason for every candidate.

The rules are those of python-posit.txt and python-rstudio.txt, "Python Version Matching"; a version constraint is
honoured as connect.md §3.3 tells. Pure: plain values in, plain values out.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.contradiction import contradiction
from engine.errors import Problem
from engine.targets import LOCAL

__all__ = ["Candidate", "Judgement", "Match", "Request", "Rule", "Verdict", "match"]


class Rule(StrEnum):
    """How a request is compared with installations.

    `MAJOR_MINOR` and `EXACT` are the values of ``Python.VersionMatching``; `REQUIRES` applies whenever the bundle
    brings a version constraint, which supersedes both.
    """

    MAJOR_MINOR = "major-minor"
    EXACT = "exact"
    REQUIRES = "requires"


class Verdict(StrEnum):
    """What became of one candidate."""

    CHOSEN = "chosen"
    PASSED_OVER = "passed over"
    REJECTED = "rejected"
    UNUSABLE = "unusable"


class Request(Struct, frozen=True):
    """What a bundle asks for: a version, a constraint, or both (the constraint then decides)."""

    version: Version | None = None
    requires: SpecifierSet | None = None

    def __str__(self) -> str:
        parts = [str(self.version)] if self.version else []
        if self.requires is not None:
            parts.append(f"({self.requires})" if parts else str(self.requires))
        return " ".join(parts) or "any"


class Candidate(Struct, frozen=True):
    """One installation as the rule sees it. `version` is None when it is not known."""

    version: Version | None
    path: str
    target: str = LOCAL
    unusable: str = ""
    """Why it cannot be used; empty when it can."""


class Judgement(Struct, frozen=True):
    """The verdict on one candidate and the reason for it, in one sentence."""

    candidate: Candidate
    verdict: Verdict
    reason: str


class Match(Struct, frozen=True):
    """The decision: every candidate in the order it was given, the chosen one, or the problem that none fits."""

    rule: Rule
    request: Request
    judgements: tuple[Judgement, ...]
    chosen: Candidate | None
    problem: Problem | None

    @property
    def reason(self) -> str:
        """Why the chosen candidate was chosen, or why there is none."""
        for judgement in self.judgements:
            if judgement.verdict is Verdict.CHOSEN:
                return judgement.reason
        return self.problem.message if self.problem else ""


def match(request: Request, candidates: Sequence[Candidate], rule: Rule) -> Match:
    """Judge every candidate for `request` and choose at most one.

    `rule` is the configured ``Python.VersionMatching``; a request with a constraint is judged by `Rule.REQUIRES`
    instead. Among candidates of the same version the one listed first wins.
    """
    if request.requires is not None:
        rule = Rule.REQUIRES
    fitting = [c for c in candidates if c.version is not None and not c.unusable and _misfit(request, c, rule) is None]
    chosen, why = _choose(request, fitting, rule)
    judgements = tuple(_judge(request, c, rule, chosen, why) for c in candidates)
    problem = None if chosen else _no_match(request, candidates, rule)
    return Match(rule, request, judgements, chosen, problem)


def _minor(version: Version) -> str:
    return f"{version.major}.{version.minor}"


def _misfit(request: Request, candidate: Candidate, rule: Rule) -> str | None:
    """Why the rule rejects a candidate of known version; None when it is eligible."""
    version = candidate.version
    assert version is not None
    if rule is Rule.REQUIRES:
        assert request.requires is not None
        if request.requires.contains(version, prereleases=False):
            return None
        if version.is_prerelease and request.requires.contains(version, prereleases=True):
            return f"{version} is a pre-release, which a constraint never selects"
        return f"{version} does not satisfy {request.requires}"
    wanted = request.version
    if wanted is None:
        return "the request names no version"
    if rule is Rule.EXACT:
        return None if version == wanted else f"{version} is not {wanted}, and the exact rule accepts nothing else"
    if (version.major, version.minor) == (wanted.major, wanted.minor):
        return None
    return f"{_minor(version)} is not {_minor(wanted)}: the major-minor rule needs the same MAJOR.MINOR"


def _choose(request: Request, fitting: Sequence[Candidate], rule: Rule) -> tuple[Candidate | None, str]:
    """The winner among eligible candidates and the reason, in the words of python-posit.txt, "Examples"."""
    if not fitting:
        return None, ""

    def version_of(candidate: Candidate) -> Version:
        assert candidate.version is not None
        return candidate.version

    # min and max return the first of equals, so the order of the configuration breaks ties.
    newest = max(fitting, key=version_of)
    if rule is Rule.REQUIRES:
        return newest, f"newest usable version that satisfies {request.requires}"
    wanted = request.version
    assert wanted is not None
    for candidate in fitting:
        if candidate.version == wanted:
            return candidate, "exact match"
    later = [c for c in fitting if version_of(c) > wanted]
    if later:
        return min(later, key=version_of), f"lowest {_minor(wanted)}.X release after {wanted}"
    return newest, f"latest {_minor(wanted)}.X release, since all are before {wanted}"


def _judge(request: Request, candidate: Candidate, rule: Rule, chosen: Candidate | None, why: str) -> Judgement:
    if candidate.unusable or candidate.version is None:
        return Judgement(candidate, Verdict.UNUSABLE, candidate.unusable or "its version is not known")
    if candidate is chosen:
        return Judgement(candidate, Verdict.CHOSEN, why)
    misfit = _misfit(request, candidate, rule)
    if misfit is not None:
        return Judgement(candidate, Verdict.REJECTED, misfit)
    assert chosen is not None
    assert chosen.version is not None
    if candidate.version == chosen.version:
        return Judgement(
            candidate, Verdict.PASSED_OVER, f"{candidate.version} is also at {chosen.path}, listed earlier"
        )
    if rule is Rule.REQUIRES:
        return Judgement(candidate, Verdict.PASSED_OVER, f"satisfies {request.requires}, but {chosen.version} is newer")
    if chosen.version == request.version:
        return Judgement(candidate, Verdict.PASSED_OVER, f"{chosen.version} is an exact match")
    if request.version is not None and chosen.version > request.version:
        if candidate.version > chosen.version:
            reason = f"{chosen.version} is closer to {request.version}"
        else:
            reason = f"before {request.version}, while {chosen.version} is after it"
    else:
        reason = f"{chosen.version} is closer to {request.version}"
    return Judgement(candidate, Verdict.PASSED_OVER, reason)


def _no_match(request: Request, candidates: Sequence[Candidate], rule: Rule) -> Problem:
    """Say what is missing, what there is, and the nearest remedy."""
    if request.version is None and request.requires is None:
        return Problem("request-empty", "the bundle names neither a Python version nor a constraint", expected="X.Y.Z")
    impossible = contradiction(request.requires) if rule is Rule.REQUIRES and request.requires is not None else ()
    if impossible:
        why = "which contradict each other" if len(impossible) > 1 else "which no release of Python satisfies"
        return Problem(
            "no-matching-installation",
            f"no Python can satisfy {request.requires}",
            expected="a constraint that some version satisfies",
            found=f"{' and '.join(impossible)}, {why}",
            hint="Correct environment.python.requires in the manifest, or the project file that it was taken from",
        )
    usable = [str(c.version) for c in candidates if c.version and not c.unusable]
    would_fit = [c for c in candidates if c.version and c.unusable and _misfit(request, c, rule) is None]
    if would_fit:
        hint = f"{would_fit[0].version} at {would_fit[0].path} would fit, but {would_fit[0].unusable}"
    elif rule is Rule.MAJOR_MINOR and request.version is not None:
        hint = f"Install any Python {_minor(request.version)} and name it with Executable under [Python]"
    else:
        hint = f"Install Python {request.requires or request.version} and name it with Executable under [Python]"
    return Problem(
        "no-matching-installation",
        f"no usable installation serves Python {request} under the {rule.value} rule",
        expected=f"Python {request}",
        found=", ".join(usable) or "no usable installation",
        hint=hint,
    )

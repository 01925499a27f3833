"""The matching rules: python-posit.txt and python-rstudio.txt, "Python Version Matching"; connect.md §3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine import Candidate, Match, Request, Rule, Verdict
from engine.contradiction import contradiction
from engine.matching import match


def candidates(*versions: str) -> list[Candidate]:
    return [Candidate(Version(v), f"/opt/python/{v}/bin/python3") for v in versions]


def chosen_version(result: Match) -> str | None:
    return str(result.chosen.version) if result.chosen else None


# connect.md §3.2, rows 1 to 15, by row number: rule, version asked for, versions installed, version used, reason.
PUBLISHED = [
    (1, "major-minor", "3.9.6", ["3.9.4", "3.9.6", "3.9.9"], "3.9.6", "exact match"),
    (2, "major-minor", "3.9.3", ["3.9.1", "3.9.5", "3.9.6"], "3.9.5", "lowest 3.9.X release after 3.9.3"),
    (
        3,
        "major-minor",
        "3.8.10",
        ["3.8.4", "3.8.9", "3.9.2"],
        "3.8.9",
        "latest 3.8.X release, since all are before 3.8.10",
    ),
    (4, "exact", "3.9.6", ["3.9.6", "3.9.7"], "3.9.6", "exact match"),
    (5, "exact", "3.9.6", ["3.9.4", "3.9.7"], None, "no usable installation"),
    (6, "major-minor", "3.10.0", ["3.10.1"], "3.10.1", "lowest 3.10.X release after 3.10.0"),
    (7, "major-minor", "3.10.0", ["3.9.7"], None, "no usable installation"),
    (8, "major-minor", "2.7.10", ["2.7.9", "2.7.10", "2.7.15"], "2.7.10", "exact match"),
    (9, "major-minor", "2.7.9", ["2.7.10", "2.7.15"], "2.7.10", "lowest 2.7.X release after 2.7.9"),
    (10, "major-minor", "2.7.15", ["2.7.9", "2.7.10"], "2.7.10", "latest 2.7.X release"),
    (11, "major-minor", "3.4.0", ["3.4.3"], "3.4.3", "lowest 3.4.X release after 3.4.0"),
    (12, "major-minor", "3.4.0", ["3.5.6"], None, "no usable installation"),
    (13, "major-minor", "3.6.10", ["3.6.7"], "3.6.7", "latest 3.6.X release"),
    (14, "major-minor", "3.8.3", ["3.8.1"], "3.8.1", "latest 3.8.X release"),
    (15, "major-minor", "3.8.13", ["3.8.12", "3.8.8"], "3.8.12", "latest 3.8.X release"),
]


@pytest.mark.parametrize(("row", "rule", "asked", "installed", "used", "reason"), PUBLISHED)
def test_every_published_example_is_decided_as_published(
    row: int, rule: str, asked: str, installed: list[str], used: str | None, reason: str
) -> None:
    result = match(Request(Version(asked)), candidates(*installed), Rule(rule))
    assert chosen_version(result) == used
    assert result.reason.startswith(reason)


def test_a_constraint_supersedes_the_version_and_picks_the_newest_that_satisfies_it() -> None:
    """connect.md §3.2 row 16 and §3.3: a bundle of 3.11.7 with ~=3.11 ran on 3.13.3."""
    request = Request(Version("3.11.7"), SpecifierSet("~=3.11"))
    result = match(request, candidates("3.10.9", "3.11.7", "3.13.3"), Rule.EXACT)
    assert chosen_version(result) == "3.13.3"
    assert result.rule is Rule.REQUIRES
    assert [j.verdict for j in result.judgements] == [Verdict.REJECTED, Verdict.PASSED_OVER, Verdict.CHOSEN]


@pytest.mark.parametrize(
    ("requires", "installed", "used"),
    [
        ("<4.0", ["3.11.3"], "3.11.3"),  # connect.md §3.3: asked from 3.9.3, served by 3.11.3
        ("~=3.8.0", ["3.8.18", "3.9.1"], "3.8.18"),
        ("==3.8.*", ["3.8.1", "3.9.1"], "3.8.1"),
        (">=3.9,<3.12", ["3.8.1", "3.11.4", "3.12.0"], "3.11.4"),
        (">=3.14", ["3.13.0"], None),
        (">=3.13", ["3.13.1", "3.14.0rc1"], "3.13.1"),
        (">=3.14.0a1", ["3.14.0rc1"], None),
    ],
)
def test_constraints_follow_pep_440_without_pre_releases(requires: str, installed: list[str], used: str | None) -> None:
    result = match(Request(None, SpecifierSet(requires)), candidates(*installed), Rule.MAJOR_MINOR)
    assert chosen_version(result) == used


def test_an_unusable_installation_is_never_chosen_and_says_why() -> None:
    broken = Candidate(Version("3.9.6"), "/broken", unusable="pip is missing")
    result = match(Request(Version("3.9.6")), [broken, *candidates("3.9.9")], Rule.MAJOR_MINOR)
    assert chosen_version(result) == "3.9.9"
    assert (result.judgements[0].verdict, result.judgements[0].reason) == (Verdict.UNUSABLE, "pip is missing")


def test_when_only_an_unusable_installation_would_fit_the_hint_names_it() -> None:
    broken = Candidate(Version("3.9.6"), "/broken", unusable="pip is missing")
    result = match(Request(Version("3.9.6")), [broken], Rule.EXACT)
    assert result.problem is not None
    assert result.problem.code == "no-matching-installation"
    assert "3.9.6 at /broken would fit, but pip is missing" in result.problem.hint


def test_of_two_installations_of_one_version_the_first_listed_is_used() -> None:
    first, second = Candidate(Version("3.9.6"), "/first"), Candidate(Version("3.9.6"), "/second")
    result = match(Request(Version("3.9.6")), [first, second], Rule.EXACT)
    assert result.chosen is first
    assert result.judgements[1].reason == "3.9.6 is also at /first, listed earlier"


@pytest.mark.parametrize(
    ("requires", "parts"),
    [
        ("<3.8,>=3.8", "<3.8 and >=3.8"),
        (">=3.8,<3.12,!=3.9.*,<3.7", "<3.7 and >=3.8"),
        ("==3.9.*,!=3.9.*", "!=3.9.* and ==3.9.*"),
        ("~=3.9,<3.9", "<3.9 and ~=3.9"),
        (">3.9.0,<3.9.2,!=3.9.1", "!=3.9.1 and <3.9.2 and >3.9.0"),
        ("==3.9.1.5", "==3.9.1.5"),
        ("<0", "<0"),
        ("===three", "===three"),
    ],
)
def test_what_no_python_can_satisfy_is_said_with_the_parts_that_contradict(requires: str, parts: str) -> None:
    problem = match(Request(None, SpecifierSet(requires)), candidates("3.9.6"), Rule.EXACT).problem
    assert problem is not None
    assert problem.code == "no-matching-installation"
    assert problem.message == f"no Python can satisfy {SpecifierSet(requires)}"
    assert problem.found.rpartition(", which")[0] == parts
    assert "Install" not in problem.hint


@pytest.mark.parametrize(
    "requires", [">=3.14", "<3", ">3.9.6,<3.9.8", "~=3.8.5,!=3.8.5,!=3.8.6", "==3.4.*", ">=3.9,!=3.9.*"]
)
def test_what_some_python_can_satisfy_leads_to_installing_it(requires: str) -> None:
    problem = match(Request(None, SpecifierSet(requires)), candidates("3.9.6"), Rule.EXACT).problem
    assert problem is not None
    assert problem.hint.startswith(f"Install Python {SpecifierSet(requires)} ")


NUMBERS = st.integers(0, 3)
PARTS = st.builds(
    lambda operator, numbers, more: f"{operator}{'.'.join(map(str, numbers))}{more * (operator in ('==', '!='))}",
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.lists(NUMBERS, min_size=1, max_size=3),
    st.sampled_from(["", ".*"]),
)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_a_contradiction_is_one_and_no_part_of_it_is_superfluous(parts: list[str]) -> None:
    every = [Version(f"{a}.{b}.{c}") for a in range(6) for b in range(6) for c in range(6)]

    def possible(some: list[str]) -> bool:
        return any(SpecifierSet(",".join(some)).contains(version) for version in every)

    found = list(contradiction(SpecifierSet(",".join(parts))))
    assert bool(found) is not possible(parts)
    assert not found or not possible(found)
    assert all(possible([other for other in found if other != part]) for part in found)


def test_a_request_for_nothing_is_a_problem_of_its_own() -> None:
    result = match(Request(), candidates("3.9.6"), Rule.MAJOR_MINOR)
    assert result.problem is not None
    assert result.problem.code == "request-empty"


versions = st.builds(lambda minor, patch: Version(f"3.{minor}.{patch}"), st.integers(0, 15), st.integers(0, 20))
lists = st.lists(
    st.builds(lambda v, bad: Candidate(v, f"/{v}", unusable="broken" if bad else ""), versions, st.booleans()),
    max_size=12,
)


@given(versions, lists, st.sampled_from([Rule.MAJOR_MINOR, Rule.EXACT]))
def test_the_choice_is_the_one_the_documents_define(wanted: Version, installed: list[Candidate], rule: Rule) -> None:
    """An independent statement of python-posit.txt: exact, else least-greater, else latest of the same MAJOR.MINOR."""
    usable = sorted({c.version for c in installed if c.version and not c.unusable})
    same = [v for v in usable if v.release[:2] == wanted.release[:2]]
    if rule is Rule.EXACT:
        expected = wanted if wanted in usable else None
    else:
        expected = next((v for v in same if v >= wanted), same[-1] if same else None)
    result = match(Request(wanted), installed, rule)
    assert (result.chosen.version if result.chosen else None) == expected
    assert (result.problem is None) == (expected is not None)


@given(versions, lists, st.sampled_from([Rule.MAJOR_MINOR, Rule.EXACT]))
def test_every_candidate_has_one_verdict_and_a_reason_in_the_order_given(
    wanted: Version, installed: list[Candidate], rule: Rule
) -> None:
    result = match(Request(wanted), installed, rule)
    assert [j.candidate for j in result.judgements] == installed
    assert all(j.reason for j in result.judgements)
    assert sum(j.verdict is Verdict.CHOSEN for j in result.judgements) == (1 if result.chosen else 0)

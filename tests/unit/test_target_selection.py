"""Which execution environment serves a bundle: connect.md §7.3; the Python in it by the rules of connect.md §3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine import Candidate, Request, Rule, Verdict, Where
from engine.matching import match
from engine.offhost.model import (
    DeclaredInstallation,
    ExecutionEnvironment,
    Matching,
    TargetRequest,
    image_identity,
)
from engine.offhost.selection import Basis, TargetMatch, as_match, match_targets
from tests.records import replace

AUTOMATIC = TargetRequest()


def environment(
    name: str, *pythons: str, matching: str = "any", guid: str = "", title: str = "", **runtimes: str
) -> ExecutionEnvironment:
    """An environment with the given Pythons; each keyword is another runtime with its versions, blank-separated."""
    where = Where("e.yaml", 1, 1)
    return ExecutionEnvironment(
        name=name,
        where=where,
        title=title,
        matching=Matching(matching),
        python=tuple(DeclaredInstallation(Version(v), f"/opt/python/{v}/bin/python3", where) for v in pythons),
        runtimes={key: tuple(Version(v) for v in versions.split()) for key, versions in runtimes.items()},
        guid=guid,
    )


def select(
    environments: list[ExecutionEnvironment],
    version: str = "3.11.3",
    asked: TargetRequest = AUTOMATIC,
    rule: str = "major-minor",
    requires: str = "",
) -> TargetMatch:
    request = Request(Version(version) if version else None, SpecifierSet(requires) if requires else None)
    return match_targets(request, environments, asked, Rule(rule))


def chosen(result: TargetMatch) -> tuple[str, str] | None:
    """Label of the environment and version of its Python."""
    if result.environment is None or result.installation is None:
        return None
    return result.environment.label, str(result.installation.version)


SERVER = [
    environment("a", "3.11.3", guid="g-a"),
    environment("b", "3.11.4", guid="g-b", matching="exact"),
    environment("c", "3.11.3", guid="g-c", matching="none"),
    environment("b", "3.11.2", guid="g-d", title="second b"),
]

# connect.md §7.3: what is asked for, what decides, what is chosen.
ORDER = [
    (TargetRequest(), Basis.AUTOMATIC, ("a", "3.11.3")),
    # 1, 2: the manifest.
    (TargetRequest(identifier="g-d"), Basis.IDENTIFIER, ("second b", "3.11.2")),
    (TargetRequest(identifier="G-D"), Basis.IDENTIFIER, ("second b", "3.11.2")),
    (TargetRequest(image="b"), Basis.IMAGE, ("b", "3.11.4")),
    (TargetRequest(identifier="g-a", default_guid="g-d", default_image="b"), Basis.IDENTIFIER, ("a", "3.11.3")),
    (TargetRequest(image="a", default_guid="g-d", default_image="b"), Basis.IMAGE, ("a", "3.11.3")),
    # An identifier and an image must both hold.
    (TargetRequest(identifier="g-d", image="b"), Basis.IDENTIFIER, ("second b", "3.11.2")),
    (TargetRequest(identifier="g-d", image="a"), Basis.IDENTIFIER, None),
    # 3: the content's defaults; the environment before the image is our choice.
    (TargetRequest(default_guid="g-d"), Basis.DEFAULT_GUID, ("second b", "3.11.2")),
    (TargetRequest(default_image="b"), Basis.DEFAULT_IMAGE, ("b", "3.11.4")),
    (TargetRequest(default_guid="g-a", default_image="b"), Basis.DEFAULT_GUID, ("a", "3.11.3")),
    # `exact` only when it is asked for, by the manifest or the content; `none` never.
    (TargetRequest(identifier="g-b"), Basis.IDENTIFIER, ("b", "3.11.4")),
    (TargetRequest(default_guid="g-b"), Basis.DEFAULT_GUID, ("b", "3.11.4")),
    (TargetRequest(identifier="g-c"), Basis.IDENTIFIER, None),
    (TargetRequest(image="c"), Basis.IMAGE, None),
    (TargetRequest(default_guid="g-c"), Basis.DEFAULT_GUID, None),
    # What is asked for is binding: nothing else is taken.
    (TargetRequest(identifier="g-x"), Basis.IDENTIFIER, None),
    (TargetRequest(image="x"), Basis.IMAGE, None),
    (TargetRequest(default_guid="g-x", default_image="a"), Basis.DEFAULT_GUID, None),
]


@pytest.mark.parametrize(("asked", "basis", "expected"), ORDER)
def test_the_manifest_decides_before_the_content_and_the_content_before_the_server(
    asked: TargetRequest, basis: Basis, expected: tuple[str, str] | None
) -> None:
    result = select(SERVER, asked=asked)
    assert (result.basis, chosen(result)) == (basis, expected)
    assert (result.problem is None) == (expected is not None)


# connect.md §3.2, rows 1 to 7 and 16, with every installation in an image of its own: the rules are those of §3.
# rule, asked, constraint, declared, chosen
PUBLISHED = [
    ("major-minor", "3.9.6", "", ["3.9.4", "3.9.6", "3.9.9"], "3.9.6"),
    ("major-minor", "3.9.3", "", ["3.9.1", "3.9.5", "3.9.6"], "3.9.5"),
    ("major-minor", "3.8.10", "", ["3.8.4", "3.8.9", "3.9.2"], "3.8.9"),
    ("exact", "3.9.6", "", ["3.9.6", "3.9.7"], "3.9.6"),
    ("exact", "3.9.6", "", ["3.9.4", "3.9.7"], None),
    ("major-minor", "3.10.0", "", ["3.10.1"], "3.10.1"),
    ("major-minor", "3.10.0", "", ["3.9.7"], None),
    ("exact", "3.11.7", "~=3.11", ["3.11.7", "3.13.3"], "3.13.3"),
]


@pytest.mark.parametrize(("rule", "asked", "requires", "declared", "used"), PUBLISHED)
@pytest.mark.parametrize("one_image", [False, True])
def test_the_python_in_an_image_is_chosen_by_the_published_rules(
    rule: str, asked: str, requires: str, declared: list[str], used: str | None, one_image: bool
) -> None:
    images = [environment("all", *declared)] if one_image else [environment(f"py{v}", v) for v in declared]
    result = select(images, asked, rule=rule, requires=requires)
    assert (chosen(result) or (None, None))[1] == used


# The tie-break, our choice (connect.md §7.3, 5): best Python, then fewest other runtimes, then the order of the list.
TIES = [
    ([environment("far", "3.11.9"), environment("near", "3.11.4", r="4.1.0")], {}, "near"),
    ([environment("much", "3.11.3", r="4.1.0", quarto="1.3.1"), environment("little", "3.11.3")], {}, "little"),
    ([environment("first", "3.11.3", r="4.1.0"), environment("second", "3.11.3", quarto="1.3.1")], {}, "first"),
    ([environment("first", "3.11.3"), environment("second", "3.11.3")], {}, "first"),
    # A runtime that is asked for is not one too many.
    (
        [environment("other", "3.11.3", quarto="1.3.1", r="4.1.0"), environment("wanted", "3.11.3", r="4.1.0")],
        {"r": None},
        "wanted",
    ),
    ([environment("first", "3.11.3", r="4.1.0"), environment("second", "3.11.3", r="4.2.0")], {"r": None}, "first"),
]


@pytest.mark.parametrize(("environments", "runtimes", "expected"), TIES)
def test_of_several_that_fit_one_is_chosen_by_a_fixed_order(
    environments: list[ExecutionEnvironment], runtimes: dict[str, SpecifierSet | None], expected: str
) -> None:
    result = select(environments, asked=TargetRequest(runtimes=runtimes))
    assert (chosen(result) or ("",))[0] == expected


# connect.md §3.5: a bundle with several runtimes is matched jointly.
JOINT = [
    ({"r": None}, "with both"),
    ({"r": None, "quarto": None}, None),
    ({"r": SpecifierSet(">=4.2")}, "with both"),
    ({"r": SpecifierSet("~=4.1.0")}, None),
    ({"unheard-of": None}, None),
]


@pytest.mark.parametrize(("runtimes", "expected"), JOINT)
def test_all_runtimes_must_be_in_the_same_environment(
    runtimes: dict[str, SpecifierSet | None], expected: str | None
) -> None:
    environments = [
        environment("python only", "3.11.3"),
        environment("r only", r="4.1.0"),
        environment("with both", "3.11.9", r="4.0.0 4.2.0"),
        environment("with quarto", "3.11.3", quarto="1.3.1"),
    ]
    result = select(environments, asked=TargetRequest(runtimes=runtimes))
    assert (chosen(result) or (None,))[0] == expected


def test_every_environment_has_a_verdict_and_tells_why() -> None:
    environments = [
        environment("far", "3.11.9"),
        environment("parked", "3.11.3", matching="none"),
        environment("special", "3.11.3", matching="exact"),
        environment("winner", "3.11.4", "3.11.1"),
        environment("twin", "3.11.4", r="4.1.0"),
        environment("old", "3.9.1", "3.10.1"),
        environment("r only", r="4.1.0"),
    ]
    result = select(environments)
    assert [(j.environment.name, j.verdict, j.reason) for j in result.judgements] == [
        ("far", Verdict.PASSED_OVER, "3.11.4 is closer to 3.11.3"),
        ("parked", Verdict.REJECTED, "its matching is none: it is parked, and never selected even when asked for"),
        (
            "special",
            Verdict.REJECTED,
            "its matching is exact: it is selected only when the manifest or the content asks for it",
        ),
        (
            "winner",
            Verdict.CHOSEN,
            "lowest 3.11.X release after 3.11.3, the fewest other runtimes of 2 environments with it",
        ),
        ("twin", Verdict.PASSED_OVER, "has 3.11.4 too, but brings R unasked: winner brings less"),
        (
            "old",
            Verdict.REJECTED,
            "3.9 is not 3.11: the major-minor rule needs the same MAJOR.MINOR; "
            "3.10 is not 3.11: the major-minor rule needs the same MAJOR.MINOR",
        ),
        ("r only", Verdict.REJECTED, "it declares no Python"),
    ]
    assert result.reason == result.judgements[3].reason
    assert [(j.verdict, j.candidate.target) for j in result.judgements[3].installations] == [
        (Verdict.CHOSEN, "winner"),
        (Verdict.PASSED_OVER, "winner"),
    ]


def test_what_was_asked_for_is_named_by_the_environments_that_are_not_it() -> None:
    result = select([environment("a", "3.11.3"), environment("b", "3.11.3")], asked=TargetRequest(image="b"))
    assert result.judgements[0].reason == "its image is not b, which the manifest's environment.image asks for"
    result = select([*SERVER, environment("no guid", "3.11.3")], asked=TargetRequest(default_guid="g-a"))
    assert result.judgements[1].reason == "it is not g-a, which the content's default environment asks for"
    assert result.judgements[-1].reason.endswith("asks for; the file gives no guid for this one")


def test_of_two_equal_environments_the_reasons_tell_that_the_order_decided() -> None:
    result = select([environment("one", "3.11.3"), environment("two", "3.11.3")])
    assert [j.reason for j in result.judgements] == [
        "exact match, the first of 2 environments with it",
        "has 3.11.3 too, but one is listed earlier",
    ]


def test_only_runtimes_that_nobody_asked_for_are_called_unasked() -> None:
    environments = [environment("two", "3.11.3", r="4.1.0", quarto="1.3.1"), environment("one", "3.11.3", r="4.1.0")]
    result = select(environments, asked=TargetRequest(runtimes={"r": None}))
    assert result.judgements[0].reason == "has 3.11.3 too, but brings Quarto unasked: one brings less"


def test_a_python_below_the_minimum_is_unusable() -> None:
    """connect.md §4: the minimum holds for every Python that builds an environment."""
    environments = [environment("old", "3.7.9"), environment("new", "3.9.1")]
    result = match_targets(
        Request(Version("3.7.9")), environments, AUTOMATIC, Rule.EXACT, minimum_version=Version("3.8.0")
    )
    assert [j.verdict for j in result.judgements] == [Verdict.UNUSABLE, Verdict.REJECTED]
    assert result.problem is not None
    assert result.problem.hint == "old has 3.7.9, but 3.7.9 is older than the minimum, 3.8.0"


# What the problem says: environments, asked, version, message, hint.
PROBLEMS = [
    (
        [],
        AUTOMATIC,
        "no execution environment serves Python 3.11.3 under the major-minor rule",
        "Declare an execution environment in the file of ExecutionEnvironments.ConfigFilePath",
    ),
    (
        [environment("a", "3.9.1")],
        AUTOMATIC,
        "no execution environment serves Python 3.11.3 under the major-minor rule",
        "Declare an environment whose image has Python 3.11",
    ),
    (
        [environment("a", "3.11.4", matching="exact")],
        AUTOMATIC,
        "no execution environment serves Python 3.11.3 under the major-minor rule",
        "a has 3.11.4, but its matching is exact: it is selected only when the manifest or the content asks for it",
    ),
    (
        [environment("a", "3.11.4")],
        TargetRequest(runtimes={"r": None, "quarto": SpecifierSet(">=1.4")}),
        "no execution environment serves Python 3.11.3, R and Quarto >=1.4 under the major-minor rule",
        "a has 3.11.4, but it declares no R, which the bundle needs too",
    ),
    (
        [environment("repo/image:1", "3.11.4")],
        TargetRequest(image="repo/imaeg:1"),
        "no execution environment is repo/imaeg:1, which the manifest's environment.image asks for",
        "Did you mean repo/image:1?",
    ),
    (
        [environment("repo/image:1", "3.11.4")],
        TargetRequest(default_image="x"),
        "no execution environment is x, which the content's default image asks for",
        "Declare an environment with `name: x`",
    ),
    (
        [environment("a", "3.11.4")],
        TargetRequest(identifier="G-1"),
        "no execution environment is g-1, which the manifest's environment.identifier asks for",
        "Give the environment this `guid` in the file, or correct it where it is asked for",
    ),
    (
        [environment("a", "3.9.1"), environment("b", "3.11.3")],
        TargetRequest(image="a"),
        "a, which the manifest's environment.image asks for, does not serve Python 3.11.3 under the major-minor rule",
        "Declare an environment whose image has Python 3.11",
    ),
]


@pytest.mark.parametrize(("environments", "asked", "message", "hint"), PROBLEMS)
def test_without_a_match_the_problem_says_what_is_missing_and_what_would_help(
    environments: list[ExecutionEnvironment], asked: TargetRequest, message: str, hint: str
) -> None:
    problem = select(environments, asked=asked).problem
    assert problem is not None
    assert (problem.code, problem.message, problem.hint) == ("no-matching-target", message, hint)


def test_the_problem_lists_what_there_is() -> None:
    problem = select([environment("a", "3.9.1", "3.9.2"), environment("b", title="B", r="4.1.0")]).problem
    assert problem is not None
    assert (problem.expected, problem.found) == ("Python 3.11.3", "a: 3.9.1, 3.9.2; B: no Python")


def test_a_request_for_nothing_is_a_problem_of_its_own() -> None:
    problem = select([environment("a", "3.9.1")], version="").problem
    assert problem is not None
    assert problem.code == "request-empty"


def test_the_identity_of_an_image_s_python_is_what_is_declared_of_it() -> None:
    """connect.md §7.1: caches are tied to the image, so two environments of one image share them."""
    one = environment("image:1", "3.11.3", title="One")
    other = environment("image:1", "3.11.3", title="Two", r="4.1.0")
    identity = image_identity(one, one.python[0])
    assert identity == {"version": "3.11.3", "image": "image:1", "path": "/opt/python/3.11.3/bin/python3"}
    assert image_identity(other, other.python[0]) == identity
    elsewhere = replace(one, name="image:2")
    assert image_identity(elsewhere, elsewhere.python[0]) != identity


def test_as_a_match_each_declared_python_is_a_candidate_and_the_local_ones_are_rejected() -> None:
    """connect.md §7.6: the values of Python.Executable are ignored off-host."""
    found = select([environment("a", "3.11.4", "3.9.1"), environment("b", r="4.1.0"), environment("c", "3.11.3")])
    local = Candidate(Version("3.11.3"), "/usr/bin/python3")
    result = as_match(found, [local], "/etc/e.yaml")
    assert [(j.candidate.target, str(j.candidate.version), j.verdict) for j in result.judgements] == [
        ("a", "3.11.4", Verdict.PASSED_OVER),
        ("a", "3.9.1", Verdict.REJECTED),
        ("b", "None", Verdict.REJECTED),
        ("c", "3.11.3", Verdict.CHOSEN),
        ("Local", "3.11.3", Verdict.REJECTED),
    ]
    assert result.judgements[-1].reason == "content runs off-host, in the execution environments of /etc/e.yaml"
    assert result.chosen == Candidate(Version("3.11.3"), "/opt/python/3.11.3/bin/python3", "c")
    assert (result.reason, result.rule, result.problem) == ("exact match", Rule.MAJOR_MINOR, None)


def test_as_a_match_the_problem_stays() -> None:
    found = select([environment("a", "3.9.1")])
    assert as_match(found).problem is found.problem
    assert as_match(found).chosen is None


versions = st.builds("3.{}.{}".format, st.integers(9, 11), st.integers(0, 4))
guids = st.sampled_from(["", "g-1", "g-2", "g-3"])
images = st.sampled_from(["a", "b", "c"])
environments = st.lists(
    st.builds(
        lambda name, pythons, matching, guid, runtimes: environment(
            name, *pythons, matching=matching, guid=guid, **dict.fromkeys(runtimes, "1.0.0")
        ),
        images,
        st.lists(versions, max_size=3),
        st.sampled_from(["any", "any", "exact", "none"]),
        guids,
        st.sets(st.sampled_from(["r", "quarto"])),
    ),
    max_size=6,
)
requests = st.builds(
    TargetRequest,
    identifier=guids,
    image=st.one_of(st.just(""), images),
    default_guid=guids,
    default_image=st.one_of(st.just(""), images),
    runtimes=st.sets(st.sampled_from(["r", "quarto"])).map(lambda names: dict.fromkeys(names)),
)


@given(environments, requests, versions, st.sampled_from(["major-minor", "exact"]))
def test_the_choice_is_the_one_the_documents_define(
    declared: list[ExecutionEnvironment], asked: TargetRequest, version: str, rule: str
) -> None:
    """An independent statement of connect.md §7.3 with our tie-break."""
    if asked.identifier or asked.image:
        guid, image = asked.identifier, asked.image
    elif asked.default_guid:
        guid, image = asked.default_guid, ""
    else:
        guid, image = "", asked.default_image
    targeted = bool(guid or image)
    open_to_it = [
        e
        for e in declared
        if guid in ("", e.guid)
        and image in ("", e.name)
        and (e.matching is Matching.ANY or (targeted and e.matching is Matching.EXACT))
        and set(asked.runtimes) <= set(e.runtimes)
    ]
    pythons = [Candidate(p.version, p.path) for e in open_to_it for p in e.python]
    best = match(Request(Version(version)), pythons, Rule(rule)).chosen
    expected = None
    if best is not None:
        holding = [e for e in open_to_it if best.version in [p.version for p in e.python]]
        expected = min(holding, key=lambda e: len(set(e.runtimes) - set(asked.runtimes)))

    result = select(declared, version, asked, rule)
    assert result.environment is expected or (expected is not None and result.environment == expected)
    assert (result.installation.version if result.installation else None) == (best.version if best else None)
    assert (result.problem is None) == (expected is not None)


@given(environments, requests, versions, st.sampled_from(["major-minor", "exact"]))
def test_every_environment_and_every_python_has_one_verdict_and_a_reason_in_the_order_given(
    declared: list[ExecutionEnvironment], asked: TargetRequest, version: str, rule: str
) -> None:
    result = select(declared, version, asked, rule)
    assert [j.environment for j in result.judgements] == declared
    for judged in result.judgements:
        assert judged.reason
        assert [(j.candidate.version, j.candidate.path) for j in judged.installations] == [
            (p.version, p.path) for p in judged.environment.python
        ]
        assert all(j.reason for j in judged.installations)
        assert (judged.verdict is Verdict.CHOSEN) == any(j.verdict is Verdict.CHOSEN for j in judged.installations)
    assert sum(j.verdict is Verdict.CHOSEN for j in result.judgements) == (1 if result.environment else 0)
    shown = as_match(result)
    assert sum(j.verdict is Verdict.CHOSEN for j in shown.judgements) == (1 if result.environment else 0)

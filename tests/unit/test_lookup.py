"""What somebody types for a build or an environment names exactly one of them, or it is said why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cli_fakes import build, environment

from engine import InputError
from engine.builds.lookup import find_build
from engine.environments.lookup import find_environment
from tests.records import replace

BUILDS = tuple(
    replace(build(), id=name) for name in ("20260102-120000-ab12cd", "20260101-120000-ab12ef", "20260101-110000-000001")
)
ENVIRONMENTS = tuple(replace(environment(), key=key) for key in ("abc", "abcd", "abef", "xyab"))


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("20260101-110000-000001", BUILDS[2]),
        ("ab12cd", BUILDS[0]),
        ("-110000-", BUILDS[2]),
        ("last", BUILDS[0]),
    ],
)
def test_a_build_is_named_by_its_id_a_part_of_it_or_as_the_last(reference: str, found: object) -> None:
    assert find_build(BUILDS, reference) is found


@pytest.mark.parametrize(
    ("reference", "found"), [("abc", ENVIRONMENTS[0]), ("abcd", ENVIRONMENTS[1]), ("abe", ENVIRONMENTS[2])]
)
def test_an_environment_is_named_by_its_key_or_how_that_begins(reference: str, found: object) -> None:
    assert find_environment(ENVIRONMENTS, reference) is found


@pytest.mark.parametrize(
    ("find", "code"),
    [
        (lambda: find_build(BUILDS, "ab12"), "build-ambiguous"),
        (lambda: find_build(BUILDS, "ffff"), "build-unknown"),
        (lambda: find_build((), "last"), "build-unknown"),
        (lambda: find_environment(ENVIRONMENTS, "ab"), "environment-ambiguous"),
        (lambda: find_environment(ENVIRONMENTS, "y"), "environment-unknown"),
        # A variable of a script that was not set must not come to mean the only one there is.
        (lambda: find_build(BUILDS[:1], ""), "build-unknown"),
        (lambda: find_environment(ENVIRONMENTS[:1], ""), "environment-unknown"),
    ],
)
def test_whatever_else_is_typed_names_none_and_it_is_said_why(find: Callable[[], object], code: str) -> None:
    with pytest.raises(InputError) as caught:
        find()
    assert caught.value.problem.code == code
    assert caught.value.problem.hint


def test_those_that_are_meant_by_too_short_a_part_are_listed() -> None:
    with pytest.raises(InputError) as caught:
        find_build(BUILDS, "20260101")
    assert caught.value.problem.found == "20260101-120000-ab12ef, 20260101-110000-000001"

"""Environment management: package-management-posit.txt, "Environment management"; the gates are connect.md §5.5."""

from __future__ import annotations

import itertools

import pytest

from engine.management import Level, Standing, decide

# package-management-posit.txt, "Environment management": bundle over content over server; None leaves it open.
# bundle, content, server, managed, level that decides
PRECEDENCE = [
    (None, None, True, True, Level.SERVER),
    (None, None, False, False, Level.SERVER),
    (None, True, False, True, Level.CONTENT),
    (None, False, True, False, Level.CONTENT),
    (None, True, True, True, Level.CONTENT),
    (True, None, False, True, Level.BUNDLE),
    (False, None, True, False, Level.BUNDLE),
    (True, False, False, True, Level.BUNDLE),
    (False, True, True, False, Level.BUNDLE),
    (False, False, True, False, Level.BUNDLE),
]

# connect.md §5.5: with its gate closed a level does not count, whatever it says.
# bundle, content, server, manifest allowed, content allowed, managed, level that decides
GATES = [
    (False, None, True, False, True, True, Level.SERVER),
    (False, True, False, False, True, True, Level.CONTENT),
    (None, False, True, True, False, True, Level.SERVER),
    (True, False, False, True, False, True, Level.BUNDLE),
    (False, False, True, False, False, True, Level.SERVER),
    (True, True, False, False, False, False, Level.SERVER),
    (None, None, True, False, False, True, Level.SERVER),
]


@pytest.mark.parametrize(("bundle", "content", "server", "managed", "level"), PRECEDENCE)
def test_the_highest_level_that_is_set_decides(
    bundle: bool | None, content: bool | None, server: bool, managed: bool, level: Level
) -> None:
    decision = decide(bundle, content, server, manifest_allowed=True, content_allowed=True)
    assert (decision.managed, decision.level) == (managed, level)


@pytest.mark.parametrize(
    ("bundle", "content", "server", "manifest_allowed", "content_allowed", "managed", "level"), GATES
)
def test_a_level_that_is_not_allowed_does_not_count(
    bundle: bool | None,
    content: bool | None,
    server: bool,
    manifest_allowed: bool,
    content_allowed: bool,
    managed: bool,
    level: Level,
) -> None:
    decision = decide(bundle, content, server, manifest_allowed=manifest_allowed, content_allowed=content_allowed)
    assert (decision.managed, decision.level) == (managed, level)


def test_every_level_tells_its_value_and_why_it_counted_or_not() -> None:
    decision = decide(False, True, True, manifest_allowed=False, content_allowed=True)
    assert [(one.level, one.value, one.standing) for one in decision.levels] == [
        (Level.BUNDLE, False, Standing.NOT_ALLOWED),
        (Level.CONTENT, True, Standing.DECIDES),
        (Level.SERVER, True, Standing.OVERRIDDEN),
    ]
    assert [one.reason for one in decision.levels] == [
        "environment.environment_management.python is ignored, because "
        "Applications.ManifestEnvironmentManagementSelection is false",
        "the content's own setting is true",
        "the content level has precedence",
    ]
    assert decision.reason == "the content's own setting is true"


def test_a_level_that_is_not_set_says_so_even_when_it_is_not_allowed() -> None:
    decision = decide(None, None, False, manifest_allowed=False, content_allowed=False)
    assert [one.standing for one in decision.levels] == [Standing.UNSET, Standing.UNSET, Standing.DECIDES]
    assert decision.reason == "Python.EnvironmentManagement is false"


def test_exactly_one_level_counts_and_its_value_is_the_decision() -> None:
    choices = (None, False, True)
    for bundle, content, server, manifest_allowed, content_allowed in itertools.product(
        choices, choices, (False, True), (False, True), (False, True)
    ):
        decision = decide(bundle, content, server, manifest_allowed=manifest_allowed, content_allowed=content_allowed)
        counted = [one for one in decision.levels if one.counted]
        assert [(one.level, one.value) for one in counted] == [(decision.level, decision.managed)]
        # The document again, said another way: the first of the values that count.
        given = [bundle if manifest_allowed else None, content if content_allowed else None, server]
        assert decision.managed is next(value for value in given if value is not None)

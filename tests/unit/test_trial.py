"""What if it asked for something else: typed requests, and both rules side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from app.tui.describe.trial import describe_trial
from app.tui.document import plain
from engine import Declarations, InputError, Installation, InterpreterFacts, Request, Rule, Usability, parse_request
from engine.config.load import load
from engine.config.lookup import Sources
from engine.executors.accounts import BuildAccount
from engine.offhost.file import load_environments
from engine.planning import Found
from engine.trial import try_request
from tests.records import replace


def installation(version: str) -> Installation:
    path = f"/opt/python/{version}/bin/python3"
    facts = InterpreterFacts(Version(version), "CPython", path, "/o", "/o", "abi", "l", "m", 64, "", "24.0", "/l")
    return Installation(path, "a.gcfg:3", path, Usability.USABLE, (), facts)


def found(*versions: str, rule: Rule = Rule.MAJOR_MINOR) -> Found:
    state = load(Sources((), by_name=False, watch=()), {}, None, 0.0, "[Python]\nEnabled = true\n")
    state = replace(state, settings=replace(state.settings, version_matching=rule))
    return Found(state, tuple(map(installation, versions)), (), (), BuildAccount("me", Path("/nonexistent")))


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("3.9.3", Request(Version("3.9.3"))),
        (" 3.11 ", Request(Version("3.11"))),
        (">=3.9,<3.12", Request(requires=SpecifierSet(">=3.9,<3.12"))),
        ("~=3.11.0", Request(requires=SpecifierSet("~=3.11.0"))),
        ("==3.11.*", Request(requires=SpecifierSet("==3.11.*"))),
    ],
)
def test_a_version_or_a_constraint_can_be_typed(text: str, request_: Request) -> None:
    assert parse_request(text) == request_


@pytest.mark.parametrize("text", ["", "  ", "three", "3.11.*", ">=", ">=three", "=3.9", "3.9 or newer", "9" * 300])
def test_anything_else_says_what_can_be_typed(text: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_request(text)
    assert raised.value.problem.code == "request-invalid"
    assert "3.11.4" in raised.value.problem.expected


def test_a_wildcard_without_an_operator_is_told_how_to_write_it() -> None:
    with pytest.raises(InputError) as raised:
        parse_request("3.11.*")
    assert "==3.11.*" in raised.value.problem.hint


@given(st.text(max_size=30))
def test_no_text_is_too_strange_to_be_typed(text: str) -> None:
    try:
        request = parse_request(text)
    except InputError:
        return
    assert (request.version is None) != (request.requires is None)


def test_both_rules_are_told_the_configured_one_first() -> None:
    there = found("3.9.5", "3.10.1", rule=Rule.EXACT)
    trial = try_request(Request(Version("3.9.3")), there)
    assert [(one.rule, one.in_force) for one in trial.outcomes] == [(Rule.EXACT, True), (Rule.MAJOR_MINOR, False)]
    assert trial.in_force.match.chosen is None
    other = trial.outcome(Rule.MAJOR_MINOR).match.chosen
    assert other is not None
    assert str(other.version) == "3.9.5"
    assert trial.outcome(None) is trial.in_force


def test_a_constraint_makes_both_rules_the_same() -> None:
    trial = try_request(parse_request(">=3.9"), found("3.9.5", "3.10.1"))
    assert trial.superseded
    assert {str(one.match.chosen and one.match.chosen.version) for one in trial.outcomes} == {"3.10.1"}


def test_off_host_the_images_are_tried_and_told_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "environments.yaml"
    python = "{path: /opt/python/bin/python3, version: %s}"
    file.write_text(
        f"- name: example/one:1\n  matching: exact\n  python: {{installations: [{python % '3.9.5'}]}}\n"
        f"- name: example/two:1\n  python: {{installations: [{python % '3.9.7'}, {python % '3.12.1'}]}}\n"
    )
    there = replace(found("3.11.7"), declarations=load_environments([file], Declarations()))
    trial = try_request(parse_request("3.9.3"), there)
    text = plain(describe_trial(trial, 0.0))
    assert "/opt/python/bin/python3 on example/two:1" in text
    assert "content runs off-host" in text

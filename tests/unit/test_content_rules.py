"""The rules about content: who it is, what it may become, what stays of it, and what has become of its Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import InputError
from engine.actions.run import run_variables
from engine.content.model import Content, ContentBundle, PickedInstallation
from engine.content.rules import (
    Present,
    app_mode_problem,
    beyond_retention,
    checked_name,
    find_content,
    named,
    standing,
)
from engine.executors.accounts import Account


def content(guid: str, name: str = "", app_mode: str = "python-api") -> Content:
    return Content(guid, name, app_mode, 0.0, "alice", (), 1, None, managed=True)


ALL = (content("1a2b-3c", "sales"), content("1a9f-00", "sales-report"), content("77aa-00", "churn"))


@pytest.mark.parametrize(
    ("reference", "guid"),
    [
        ("1a2b-3c", "1a2b-3c"),
        ("sales", "1a2b-3c"),  # the whole name goes before a part of another
        ("report", "1a9f-00"),
        ("77", "77aa-00"),
        ("churn", "77aa-00"),
    ],
)
def test_content_is_found_by_guid_name_or_a_part_that_is_unique(reference: str, guid: str) -> None:
    assert find_content(ALL, reference).guid == guid


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("1a", "content-ambiguous"),
        ("-00", "content-ambiguous"),
        ("nothing", "content-unknown"),
        ("", "content-unknown"),
    ],
)
def test_a_reference_to_none_or_several_is_refused(reference: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        find_content(ALL, reference)
    assert caught.value.problem.code == code


def test_only_the_whole_name_makes_a_bundle_one_of_existing_content() -> None:
    assert named(ALL, "sales") is ALL[0]
    assert named(ALL, "sale") is None
    with pytest.raises(InputError) as caught:
        named((*ALL, content("x", "sales")), "sales")
    assert caught.value.problem.code == "content-ambiguous"


@pytest.mark.parametrize("name", ["", " a", "a\nb", "a\x1b[2Jb", "a\u202eb", "x" * 101])
def test_a_name_that_cannot_be_shown_as_it_is_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        checked_name(name)
    assert caught.value.problem.code == "content-name-bad"


@pytest.mark.parametrize("name", ["a", "Sales report 2026", "Übersicht", "x" * 100])
def test_a_name_that_can_be_shown_is_kept(name: str) -> None:
    assert checked_name(name) == name


# connect.md §5.2: the app mode cannot change on redeployment, except from `unknown`.
@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("python-api", "python-api", True),
        ("python-api", "python-dash", False),
        ("python-api", "", False),
        ("python-api", "unknown", False),
        ("unknown", "python-dash", True),
        ("", "python-dash", True),
    ],
)
def test_the_app_mode_changes_only_from_unknown(before: str, after: str, allowed: bool) -> None:
    problem = app_mode_problem(content("g", "sales", before), after)
    assert (problem is None) is allowed
    assert problem is None or (problem.code, problem.expected) == ("app-mode-changed", before)


def bundles(*numbers: int) -> tuple[ContentBundle, ...]:
    return tuple(ContentBundle(n, 0.0, "alice", "app", "k", "3.11.7", 1) for n in numbers)


# Applications.BundleRetentionLimit (connect.md §2.2): the active bundle counts, 0 keeps all.
@pytest.mark.parametrize(
    ("numbers", "active", "limit", "gone"),
    [
        ((1, 2, 3), 3, 0, ()),
        ((1, 2, 3), 3, 1, (1, 2)),
        ((1, 2, 3), 3, 2, (1,)),
        ((1, 2, 3), 3, 3, ()),
        ((1, 2, 3), 3, 9, ()),
        ((3, 1, 2), 3, 2, (1,)),
        ((1, 2, 3), 1, 1, (2, 3)),
        ((1, 2, 3), 1, 2, (2,)),
        ((1,), 1, 1, ()),
    ],
)
def test_retention_keeps_the_active_bundle_and_the_newest(
    numbers: tuple[int, ...], active: int, limit: int, gone: tuple[int, ...]
) -> None:
    assert tuple(b.number for b in beyond_retention(bundles(*numbers), active, limit)) == gone


@given(st.sets(st.integers(1, 50), min_size=1), st.integers(1, 60), st.data())
def test_retention_never_drops_the_active_bundle_and_keeps_as_many_as_it_may(
    numbers: set[int], limit: int, data: st.DataObject
) -> None:
    active = data.draw(st.sampled_from(sorted(numbers)))
    gone = {b.number for b in beyond_retention(bundles(*numbers), active, limit)}
    assert active not in gone
    assert len(numbers - gone) == min(limit, len(numbers))


PATH = "/opt/3.11/bin/python3"
ELSEWHERE = "/usr/local/bin/python3.11"


def python(path: str, version: str, prefix: str = "/opt/3.11", target: str = "Local") -> PickedInstallation:
    return PickedInstallation(version, path, target, {"version": version, "base_prefix": prefix})


PICKED = python(PATH, "3.11.7")


# python-posit.txt: the installation identified at deployment "is used any time Python is needed for that content";
# connect.md §3.1: when it disappears or changes, the content is rebuilt on demand.
@pytest.mark.parametrize(
    ("present", "path", "code"),
    [
        ([Present(PICKED)], PATH, "installation-kept"),
        ([Present(python("/new", "3.12.1", "/opt/3.12")), Present(PICKED)], PATH, "installation-kept"),
        ([Present(python(ELSEWHERE, "3.11.7")), Present(PICKED)], PATH, "installation-kept"),
        ([Present(python(ELSEWHERE, "3.11.7"))], ELSEWHERE, "installation-moved"),
        ([Present(PICKED, "no pip"), Present(python(ELSEWHERE, "3.11.7"))], ELSEWHERE, "installation-moved"),
        ([Present(python(PATH, "3.11.7", "/opt/other"))], PATH, "installation-rebuilt"),
        ([Present(python(PATH, "3.11.8"))], None, "installation-replaced"),
        ([Present(PICKED, "no pip")], None, "installation-unusable"),
        ([Present(python(ELSEWHERE, "3.11.7", "/opt/other"))], None, "installation-gone"),
        ([Present(python(PATH, "3.11.7", target="some/image"))], None, "installation-gone"),
        ([], None, "installation-gone"),
    ],
)
def test_the_picked_installation_stays_until_it_vanishes(present: list[Present], path: str | None, code: str) -> None:
    found = standing(PICKED, present)
    assert found.reason.code == code
    assert (found.installation.path if found.installation else None) == path
    assert PATH in found.reason.text


def test_an_environment_comes_first_on_the_path_as_if_it_were_activated() -> None:
    variables = run_variables("/usr/bin", environment=Path("/d/e"), python="/d/e/bin/python", cwd=Path("/d/b"))
    assert variables == {"PATH": "/d/e/bin:/usr/bin", "PWD": "/d/b", "VIRTUAL_ENV": "/d/e"}


def test_without_an_environment_the_installation_comes_first_and_none_is_claimed() -> None:
    account = Account("connect", 990, 990, (990,), Path("/home/connect"))
    variables = run_variables(None, environment=None, python=PATH, cwd=Path("/d/b"), account=account)
    assert variables["PATH"].startswith("/opt/3.11/bin:/")
    assert "VIRTUAL_ENV" not in variables
    assert (variables["HOME"], variables["USER"]) == ("/home/connect", "connect")

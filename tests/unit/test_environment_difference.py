"""How two environments differ, and what is noted of their verification."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Change, Environment, EnvironmentState, LockedPackage, compare_environments, read_verification
from tests.records import replace

BASE = Environment(
    key="k" * 22,
    attempt="20260131-120000-abcdef",
    place="/data/python-environments/pip/3.11.7",
    installer="pip",
    python_version="3.11.7",
    python_path="/opt/python/3.11.7/bin/python3",
    target="Local",
    state=EnvironmentState.READY,
    reason="",
    lines=("flask==3.0.0", "rich"),
    packages=(LockedPackage("Flask", "3.0.0"), LockedPackage("rich", "13.0.0")),
    size=1,
    files=1,
    built_at=0.0,
    built_by="anna",
    seconds=1.0,
    bundle="api",
    ingredients={"interpreter": {"version": "3.11.7", "libc": "glibc 2.36"}, "options": [], "requirements": ["rich"]},
)


def test_an_environment_does_not_differ_from_itself() -> None:
    found = compare_environments(BASE, BASE)
    assert found.none
    assert found.same_packages == 2


def test_packages_are_told_by_name_however_it_is_spelt() -> None:
    other = replace(BASE, packages=(LockedPackage("flask", "3.0.1"), LockedPackage("click", "8.1")))
    found = compare_environments(BASE, other)
    assert found.packages == (
        Change("click", "", "8.1"),
        Change("flask", "3.0.0", "3.0.1"),
        Change("rich", "13.0.0", ""),
    )
    assert found.same_packages == 0


def test_lines_and_the_parts_of_ingredients_are_told_apart() -> None:
    ingredients = {"interpreter": {"version": "3.11.9", "libc": "glibc 2.36"}, "options": ["--pre"], "requirements": []}
    found = compare_environments(BASE, replace(BASE, lines=("rich", "dash"), ingredients=ingredients))
    assert (found.only_one, found.only_other) == (("flask==3.0.0",), ("dash",))
    assert found.ingredients == (
        Change("interpreter.version", "3.11.7", "3.11.9"),
        Change("options", "[]", '["--pre"]'),
    )


NAMES = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("1", "2"))), unique_by=lambda pair: pair[0])


@given(NAMES, NAMES)
def test_the_other_way_round_everything_is_reversed(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    first, second = (replace(BASE, packages=tuple(LockedPackage(*p) for p in packages)) for packages in (one, other))
    there, back = compare_environments(first, second), compare_environments(second, first)
    assert [(c.name, c.other, c.one) for c in there.packages] == [(c.name, c.one, c.other) for c in back.packages]
    assert there.same_packages + len(there.packages) == len({*dict(one), *dict(other)})
    assert there.none == (sorted(one) == sorted(other))


def note(tmp_path: Path, name: str, **record: object) -> Environment:
    environment = replace(BASE, place=str(tmp_path.parent), key=tmp_path.name)
    (tmp_path / name).write_text(json.dumps({"attempt": BASE.attempt, **record}))
    return environment


def test_a_verification_that_found_nothing_is_told(tmp_path: Path) -> None:
    last = read_verification(note(tmp_path, "verified.json", at=12.5, by="anna", findings=[], count=0))
    assert last is not None
    assert (last.ok, last.at, last.by) == (True, 12.5, "anna")


def test_a_mark_counts_more_than_an_older_note(tmp_path: Path) -> None:
    note(tmp_path, "verified.json", at=12.5, by="anna", findings=[], count=0)
    finding = {"kind": "changed", "file": "lib/a.py", "package": "a"}
    last = read_verification(note(tmp_path, "damaged.json", at=13.0, by="bob", findings=[finding], count=7))
    assert last is not None
    assert not last.ok
    assert last.count == 7
    assert last.findings == ("a: lib/a.py is changed",)


def test_what_is_noted_of_another_attempt_tells_nothing(tmp_path: Path) -> None:
    environment = note(tmp_path, "verified.json", at=1.0)
    assert read_verification(replace(environment, attempt="20260131-130000-abcdef")) is None
    assert read_verification(replace(BASE, place=str(tmp_path / "nowhere"))) is None


@pytest.mark.parametrize(
    "record",
    [
        {"at": "x", "by": ["\x1b[31m"], "findings": "x", "count": "x"},
        {"findings": [1, {"kind": "odd"}, {"kind": "changed", "file": "\x1b]52;c;x\x07"}]},
        {"at": True},
    ],
)
def test_a_mark_that_makes_no_sense_still_means_damage_and_is_safe_to_show(tmp_path: Path, record: dict) -> None:
    last = read_verification(note(tmp_path, "damaged.json", **record))
    assert last is not None
    assert not last.ok
    assert all(text.isprintable() for text in (last.by, *last.findings))

"""Which environments may be deleted, and every reason why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Environment, EnvironmentState
from engine.reaping.rules import KeepCode, judge_attempt, judge_reap

DAY = 86400.0
NOW = 100 * DAY


def environment(**changes: object) -> Environment:
    fields: dict[str, object] = {
        "key": "k" * 22,
        "attempt": "20260101-000000-abcdef",
        "place": "/data",
        "installer": "pip",
        "python_version": "3.11.7",
        "python_path": "/opt/python/3.11.7/bin/python3",
        "target": "Local",
        "state": EnvironmentState.READY,
        "reason": "",
        "lines": (),
        "packages": (),
        "size": 1,
        "files": 1,
        "built_at": NOW - 10 * DAY,
        "built_by": "alice",
        "seconds": 1.0,
        "bundle": "demo",
    }
    return Environment(**(fields | changes))  # type: ignore[arg-type]


def codes(changes: dict[str, object] | None = None, **facts: object) -> list[str]:
    given_facts = {"used_by": (), "in_use_by": (), "pinned": False, "now": NOW, "grace": DAY} | facts
    verdict = judge_reap(environment(**(changes or {})), **given_facts)  # type: ignore[arg-type]
    assert verdict.reapable is (not verdict.reasons)
    return [reason.code.value for reason in verdict.reasons]


# package-management-posit.txt, "Environment Caching": environments "no longer in use by any deployed content" go.
# The other reasons to keep one, and the grace period, are our choice (connect.md §6.5).
@pytest.mark.parametrize(
    ("changes", "facts", "expected"),
    [
        ({}, {}, []),
        ({}, {"used_by": ("sales",)}, ["used-by-content"]),
        ({}, {"in_use_by": ("process 7",)}, ["in-use"]),
        ({}, {"building": True}, ["building"]),
        ({}, {"pinned": True}, ["pinned"]),
        ({"built_at": NOW - DAY + 1}, {}, ["grace"]),
        ({"built_at": NOW - DAY}, {}, []),
        ({"last_used_at": NOW - DAY + 1}, {}, ["grace"]),
        ({"last_used_at": NOW - DAY}, {}, []),
        ({"built_at": NOW - 1, "last_used_at": NOW - 9 * DAY}, {}, ["grace"]),
        ({"built_at": NOW}, {"grace": 0.0}, []),
        ({"state": EnvironmentState.STALE}, {}, []),
        ({"state": EnvironmentState.DAMAGED, "built_at": 0.0}, {}, []),
        ({"state": EnvironmentState.STALE}, {"used_by": ("sales",)}, ["used-by-content"]),
        ({"state": EnvironmentState.DAMAGED}, {"in_use_by": ("process 7",)}, ["in-use"]),
        (
            {"built_at": NOW},
            {"used_by": ("a", "b"), "in_use_by": ("p",), "pinned": True, "building": True},
            ["used-by-content", "in-use", "building", "pinned", "grace"],
        ),
    ],
)
def test_only_what_nobody_needs_may_go_and_every_reason_is_named(
    changes: dict[str, object], facts: dict[str, object], expected: list[str]
) -> None:
    assert codes(changes, **facts) == expected


def test_a_reason_names_who_and_says_how_long() -> None:
    verdict = judge_reap(
        environment(built_at=NOW - 3 * 3600),
        used_by=("sales", "stock"),
        in_use_by=("process 7 of bob: python app.py (command line)",),
        pinned=False,
        now=NOW,
        grace=DAY,
    )
    assert [(r.message, r.names) for r in verdict.reasons] == [
        ("2 content items would need it again", ("sales", "stock")),
        ("1 process uses it now", ("process 7 of bob: python app.py (command line)",)),
        ("built 3 h ago, kept for another 21 h", ()),
    ]


# [OURS]: a rebuild leaves the old attempt to whoever runs in it (DESIGN.md §5).
@pytest.mark.parametrize(
    ("in_use_by", "building", "age", "expected"),
    [
        ((), False, 2 * DAY, []),
        (("process 7",), False, 2 * DAY, [KeepCode.IN_USE]),
        ((), True, 2 * DAY, [KeepCode.BUILDING]),
        ((), False, DAY / 2, [KeepCode.GRACE]),
        (("process 7",), True, 0.0, [KeepCode.IN_USE, KeepCode.BUILDING, KeepCode.GRACE]),
    ],
)
def test_an_old_attempt_goes_when_nobody_runs_in_it_any_more(
    in_use_by: tuple[str, ...], building: bool, age: float, expected: list[KeepCode]
) -> None:
    verdict = judge_attempt(in_use_by=in_use_by, superseded_at=NOW - age, now=NOW, grace=DAY, building=building)
    assert [reason.code for reason in verdict.reasons] == expected


@given(
    used=st.booleans(),
    running=st.booleans(),
    pinned=st.booleans(),
    building=st.booleans(),
    built=st.floats(0, 2 * NOW),
    last_used=st.floats(0, 2 * NOW),
    grace=st.floats(0, 10 * DAY),
    state=st.sampled_from(EnvironmentState),
)
def test_each_fact_gives_its_own_reason_whatever_the_others_are(
    used, running, pinned, building, built, last_used, grace, state
) -> None:
    changes = {"built_at": built, "last_used_at": last_used, "state": state}
    found = codes(
        changes,
        used_by=("c",) * used,
        in_use_by=("p",) * running,
        pinned=pinned,
        building=building,
        grace=grace,
    )
    expected = {"used-by-content": used, "in-use": running, "pinned": pinned, "building": building}
    expected["grace"] = max(built, last_used) + grace > NOW
    assert set(found) == {code for code, holds in expected.items() if holds}
    assert len(found) == len(set(found))

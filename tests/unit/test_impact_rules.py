"""What lies between how content ran before a change of the configuration and how it runs after it."""

from __future__ import annotations

import cli_fakes as fakes
import pytest

from engine import ImpactKind, PickedInstallation, Problem, Reason, Resolution
from engine.impact import compare_plans, compare_resolutions

PROBLEM = Problem("no-matching-installation", "no usable installation serves Python 3.9.3")


def runs(version: str = "3.11.7", *, build: bool = False, problem: bool = False) -> Resolution:
    """Content as it runs on that version, after a build if so told, or not at all."""
    return Resolution(
        fakes.content(),
        PickedInstallation(version, f"/opt/python/{version}/bin/python3"),
        None,
        fakes.plan() if build else None,
        (Reason("first", "the first reason"), Reason("last", "the last reason")),
        problem=PROBLEM if problem else None,
    )


@pytest.mark.parametrize(
    ("before", "after", "kind", "reason"),
    [
        (runs(), runs(problem=True), ImpactKind.BREAKS, "no usable installation"),
        (runs(build=True), runs(problem=True), ImpactKind.BREAKS, "no usable installation"),
        (runs(problem=True), runs(), ImpactKind.MENDS, "the first reason"),
        (runs("3.9.5"), runs("3.9.18"), ImpactKind.MOVES, "the first reason"),
        (runs("3.9.5"), runs("3.9.18", build=True), ImpactKind.MOVES, "the first reason"),
        (runs(), runs(build=True), ImpactKind.REBUILDS, "the last reason"),
        (runs(build=True), runs(), ImpactKind.READY, "the first reason"),
    ],
)
def test_content_tells_what_happens_to_it_and_why(
    before: Resolution, after: Resolution, kind: ImpactKind, reason: str
) -> None:
    item = compare_resolutions(before, after)
    assert item is not None
    assert item.kind is kind
    assert reason in item.reason
    assert item.before != item.after


@pytest.mark.parametrize("same", [runs(), runs(build=True), runs(problem=True)])
def test_what_stays_as_it_is_is_not_told(same: Resolution) -> None:
    assert compare_resolutions(same, same) is None


def test_content_that_could_not_run_before_is_not_told_to_break() -> None:
    assert compare_resolutions(runs("3.9.5", problem=True), runs("3.9.18", problem=True)) is None


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (fakes.plan(), fakes.plan(chosen=False, problem=PROBLEM), ImpactKind.BREAKS),
        (fakes.plan(chosen=False, problem=PROBLEM), fakes.plan(), ImpactKind.MENDS),
        (fakes.plan(hit=True), fakes.plan(), ImpactKind.REBUILDS),
        (fakes.plan(), fakes.plan(hit=True), ImpactKind.READY),
        (fakes.plan(), fakes.plan(), None),
    ],
)
def test_a_bundle_on_offer_tells_what_it_would_get(before, after, kind: ImpactKind | None) -> None:
    item = compare_plans(before, after)
    assert (item.kind if item else None) is kind

"""What rebuilding will take: how each environment is made, how long, how much space."""

from __future__ import annotations

import pytest
from cli_fakes import build, environment
from hypothesis import given
from hypothesis import strategies as st

from engine import BuildState, Forecast, ItemForecast, Phase, RebuildForecast, Way
from engine.rebuilds.forecast import forecast_item
from tests.records import replace

ENVIRONMENT = replace(environment(), size=100, shared=80, seconds=31.0, lines=("flask",))
ALL, SOME, NONE = Forecast(4, 4, replayed=True), Forecast(1, 4, reason="no lock"), Forecast(0, 4, reason="no lock")


@pytest.mark.parametrize(
    ("supply", "way", "space"),
    [
        (ALL, Way.REPLAYED, 20),
        (SOME, Way.SEEDED, 80),
        (NONE, Way.INSTALLED, 100),
        (Forecast(unusable="uv has a store of its own"), Way.INSTALLED, 100),
    ],
)
def test_what_the_store_holds_decides_how_it_is_made_and_what_it_takes(supply: Forecast, way: Way, space: int) -> None:
    item = forecast_item(ENVIRONMENT, supply, [])
    assert (item.way, item.space, item.kept) == (way, space, 20)
    assert (item.seconds, item.basis) == (31.0, "its last build took that")


def test_only_builds_that_were_made_in_that_way_judge_how_long() -> None:
    done = replace(
        build(BuildState.DONE), key=ENVIRONMENT.key, reused=False, started_at=100.0, finished_at=130.0, requested=1,
        phases={Phase.VENV: 100.0, Phase.RESOLVE: 101.0, Phase.PUBLISH: 129.0},
    )  # fmt: skip
    replayed = replace(done, finished_at=101.0, phases={Phase.VENV: 100.0, Phase.PUBLISH: 100.5})
    history = [done, replayed]
    assert forecast_item(ENVIRONMENT, ALL, history).seconds == 1.0
    assert forecast_item(ENVIRONMENT, NONE, history).seconds == 30.0
    assert forecast_item(ENVIRONMENT, replace(ALL, replayed=False, reason="fresh"), history, fresh=True).seconds == 30.0
    other = replace(ENVIRONMENT, key="another")
    assert forecast_item(other, ALL, history).basis == "one build of similar size"
    assert forecast_item(other, ALL, [done]).basis == "its last build took that"


def item(seconds: float, supply: Forecast = ALL, space: int = 10) -> ItemForecast:
    return ItemForecast("k", supply, seconds, "", space, 3)


def test_several_are_told_together() -> None:
    told = RebuildForecast((item(10.0), item(2.0), item(3.0, SOME), item(5.0, NONE)), at_once=2, free=40)
    assert told.ways == "2 replayed, 1 seeded, 1 installed"
    assert (told.seconds, told.seconds_with(1), told.space, told.kept, told.fits) == (10.0, 20.0, 40, 12, True)
    assert not replace(told, free=39).fits
    many = replace(told, unseen=4)
    assert (many.seconds_with(1), many.space, many.kept) == (40.0, 80, 24)
    assert many.ways.endswith("and 4 more that are taken to be like these")
    nothing = RebuildForecast()
    assert (nothing.seconds, nothing.space, nothing.ways, nothing.fits) == (0.0, 0, "", True)


@given(st.lists(st.floats(0, 1000), max_size=9), st.integers(1, 9))
def test_more_at_once_never_takes_longer_and_never_less_than_the_longest(each: list[float], at_once: int) -> None:
    told = RebuildForecast(tuple(item(seconds) for seconds in each))
    assert max(each, default=0.0) <= told.seconds_with(at_once + 1) <= told.seconds_with(at_once)

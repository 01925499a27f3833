"""Starting, watching and cancelling builds: nothing happens without the one right key."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import build, environment

from engine import BuildPlan, CancelPlan, Problem
from tests.records import replace


async def test_building_asks_what_would_happen_and_starts_on_y(desk) -> None:
    async with desk() as d:
        await d.press("3", "b")
        assert d.status.startswith("Build flask-api on 3.11.7: 2 lines to pip, 1 left out")
        assert d.status.endswith("y=build  d=plan  n=no")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "Collecting flask==3.0.0" in d.text, "the live log")
        (plan,) = d.engine.executed
        assert isinstance(plan, BuildPlan)
        assert plan.bundle.name == "flask-api"
        assert "↻ running  flask-api" in d.text
        assert "following" in d.lines[1]
        await d.press("q")
        assert d.app.current_mode == "match", "back where it was begun"
        assert d.app.page.table.current.name == "flask-api"


@pytest.mark.parametrize("key", ["enter", "b", "n", "escape", "q", "space", "Y", "x", "1", "ctrl+c", "colon"])
async def test_no_other_key_confirms(desk, key: str) -> None:
    async with desk() as d:
        await d.press("3", "b")
        d.wait_guard()
        await d.press(key)
        assert d.engine.executed == []
        await d.press("n")
        d.wait_guard()
        await d.press("escape", "y", "escape")
        assert d.engine.executed == []


async def test_a_key_that_is_held_does_not_confirm(desk) -> None:
    async with desk() as d:
        await d.press("3", "b")
        for _ in range(30):
            d.now += 0.1
            await d.press("y")
        assert d.engine.executed == []
        d.wait_guard()
        await d.press("y")
        assert len(d.engine.executed) == 1


async def test_nothing_moves_while_a_question_is_open(desk) -> None:
    async with desk() as d:
        await d.press("3", "b")
        d.engine.publish(bundles=tuple(reversed(d.engine.current.bundles)))
        await d.settle()
        assert d.lines[3].strip().startswith("flask-api")
        d.wait_guard()
        await d.press("n")
        await d.until(lambda: d.lines[3].strip().startswith("torn"), "the newer snapshot")
        assert d.engine.executed == []


async def test_a_hit_says_so_and_starts_nothing(desk) -> None:
    async with desk() as d:
        await d.press("3", "j", "b")
        assert "HIT: dash-sales reuses 9f3ac1d2, built 2h ago" in d.status
        assert not d.app.page.prompt.busy
        assert d.engine.executed == []


async def test_a_build_under_way_is_joined(desk) -> None:
    async with desk() as d:
        await d.press("3", "j", "j", "b")
        await d.until(lambda: "↻ running  etl-nightly" in d.text, "the log of the running build")
        assert d.engine.executed == []


@pytest.mark.parametrize(
    ("row", "why"), [(3, "no installation of Python 2.7.18 is usable"), (4, "the bundle cannot be read")]
)
async def test_what_cannot_be_built_says_why(desk, row: int, why: str) -> None:
    async with desk() as d:
        await d.press("3", *"j" * row, "b")
        assert f"build: {why}" in d.status
        assert d.engine.executed == []


async def test_read_only_disables_and_says_why(desk) -> None:
    async with desk(FakeEngine(snapshot(read_only="/var/lib/envdeck is not writable by uid 1001"))) as d:
        assert "RO" in d.lines[0]
        await d.press("3", "b")
        assert "read-only: /var/lib/envdeck is not writable by uid 1001" in d.status
        await d.press("4", "c")
        assert "read-only:" in d.status
        await d.press("colon", *"build flask-api", "enter")
        assert "read-only:" in d.status
        assert not [name for name, _ in d.engine.calls if name == "plan"]


async def test_what_the_engine_refuses_is_told(desk) -> None:
    async with desk() as d:
        d.engine.refuse = Problem(
            "plan-changed", "the installation was removed meanwhile", hint="look at the match again"
        )
        await d.press("3", "b")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "the installation was removed meanwhile" in d.status, "the refusal")
        await d.press("!")
        assert "look at the match again" in d.text


async def test_a_defect_of_the_engine_does_not_take_the_ui_down(desk) -> None:
    async with desk() as d:
        d.engine.plan_build = lambda bundle: 1 / 0
        await d.press("3", "b")
        assert "internal error: ZeroDivisionError" in d.status


async def test_cancelling_asks_first(desk) -> None:
    async with desk() as d:
        await d.press("4", "c")
        assert d.status.startswith("Cancel the build of etl-nightly (0:41, 3 packages")
        d.wait_guard()
        await d.press("enter")
        assert d.engine.executed == []
        await d.press("c")
        d.wait_guard()
        await d.press("y")
        assert [type(plan) for plan in d.engine.executed] == [CancelPlan]


async def test_cancelling_several_takes_the_word_and_one_refusal_keeps_no_other(desk) -> None:
    base = snapshot()
    two = (build("b1", "etl-one"), build("b2", "etl-two"))
    async with desk(FakeEngine(replace(base, builds=(*two, *base.builds[1:])))) as d:
        await d.press("4", "*")
        assert "2 marked" in d.lines[1], "what has ended cannot be marked"
        await d.press("c")
        await d.until(lambda: "Cancel 2 builds? Type cancel:" in d.status, "the question")
        assert "Would be cancelled  2 builds" in d.text
        await d.press("y", "enter")
        assert d.engine.executed == []
        await d.press("q", "c")
        await d.until(lambda: "Type cancel:" in d.status, "the question again")
        await d.press(*"cancel", "enter")
        await d.until(lambda: "cancelling 2 builds" in d.status, "the outcome")
        assert sorted(plan.build.id for plan in d.engine.executed) == ["b1", "b2"]


async def test_a_build_that_has_ended_cannot_be_cancelled(desk) -> None:
    async with desk() as d:
        await d.press("4", "j", "c")
        assert "cancel: the build has ended: done" in d.status


async def test_a_failed_build_shows_its_fault_above_the_log(desk) -> None:
    async with desk() as d:
        d.engine.write("20250615-100000-a7b8", "ERROR: No matching distribution found for nump==9.9")
        await d.press("4", "j", "j", "enter")
        await d.until(lambda: "ERROR: No matching" in d.text, "the log")
        assert "✗ failed  broken-app" in d.text
        assert "resolve: nump: no version matches" in d.text
        assert "check the spelling" in d.text


async def test_opening_a_bundle_puts_the_cursor_on_it(desk) -> None:
    async with desk() as d:
        await d.press("a", *"/srv/new-app", "enter")
        await d.until(lambda: d.app.current_mode == "match" and "╌╌ new-app" in d.text, "the new bundle")
        assert d.app.page.table.current.name == "new-app"


async def test_a_bundle_that_is_not_there_is_told(desk) -> None:
    async with desk() as d:
        await d.press("colon", *"open /nowhere", "enter")
        await d.until(lambda: "there is nothing at this path (/nowhere)" in d.status, "the error")


async def test_building_by_name_from_anywhere(desk) -> None:
    async with desk() as d:
        await d.press("colon", *"build flask-api", "enter")
        await d.until(lambda: d.status.startswith("Build flask-api on 3.11.7"), "the question")
        assert d.app.current_mode == "match"


async def test_an_environment_that_appears_turns_a_miss_into_a_hit(desk) -> None:
    async with desk() as d:
        await d.press("3")
        first, *others = d.engine.current.bundles
        ready = environment(first.plan.key, "flask-api")
        d.engine.publish(bundles=(replace(first, plan=replace(first.plan, environment=ready)), *others))
        await d.until(lambda: "✓ HIT  Python 3.11.7  reuses" in d.text, "the hit")

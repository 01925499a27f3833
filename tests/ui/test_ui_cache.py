"""Reaping, rebuilding, pinning and marking environments: nothing happens without the one right answer."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import NOW, content, environment, foreign

from app.tui.describe.reaping import reaped
from engine import (
    EnvironmentState,
    Finding,
    FindingKind,
    PinPlan,
    Problem,
    ReapItem,
    ReapKind,
    ReapPlan,
    ReapResult,
    ReapVerdict,
    RebuildPlan,
    Where,
)
from engine.reaping.rules import KeepCode, KeepReason
from tests.records import replace

FIRST, SECOND, THIRD = "9f3ac1d2Wq7rT5yUa7bXc9", "51b0aa7eHq7rT5yUa7bXc9", "0c77de19Jq7rT5yUa7bXc9"
KEPT = (
    KeepReason(KeepCode.USED_BY_CONTENT, "1 content item would need it again", ("sales",)),
    KeepReason(KeepCode.PINNED, "it is pinned"),
)


def keys(d) -> list[str]:
    return [env.key for env in d.engine.current.environments]


def asked(d, name: str) -> list[object]:
    return [what for called, what in d.engine.calls if called == name]


async def test_reaping_one_environment_asks_what_it_frees_and_deletes_on_y(desk) -> None:
    async with desk(size=(120, 40)) as d:
        await d.press("2", "x")
        assert d.status.startswith("Delete 9f3ac1d2 (dash-sales) and free 432M? (2 processes could not be seen into)")
        assert d.status.endswith("y=delete it  d=plan  n=no")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "deleted 1 item, 432M" in d.status, "the outcome")
        assert asked(d, "plan-reap") == [[FIRST]]
        assert FIRST not in keys(d)
        assert "9f3ac1d2" not in d.text


@pytest.mark.parametrize("action", ["x", "r"])
@pytest.mark.parametrize("key", ["enter", "x", "X", "r", "n", "escape", "q", "space", "Y", "p", "1", "ctrl+c", "colon"])
async def test_no_other_key_confirms(desk, action: str, key: str) -> None:
    async with desk() as d:
        await d.press("2", action)
        assert d.app.page.prompt.asking
        d.wait_guard()
        await d.press(key)
        assert d.engine.executed == []


@pytest.mark.parametrize(("action", "title"), [("x", "Would be deleted"), ("r", "Would be built again")])
async def test_the_whole_plan_is_shown_from_the_question_and_leads_back_to_it(desk, action: str, title: str) -> None:
    async with desk() as d:
        await d.press("2", action)
        assert "d=plan" in d.status
        d.wait_guard()
        await d.press("d")
        await d.until(lambda: title in d.text, "the plan")
        assert f"envdeck {'reap' if action == 'x' else 'rebuild'} {FIRST}" in d.text, "the same by hand"
        d.engine.publish(environments=())
        await d.settle()
        await d.press("y", "enter", "q")
        assert "d=plan" in d.status, "still asked, and nothing moved beneath it"
        await d.press("y")
        assert d.engine.executed == [], "a key that is still held does not answer"
        d.wait_guard()
        await d.press("y")
        assert len(d.engine.executed) == 1


async def test_going_elsewhere_from_a_plan_drops_the_question(desk) -> None:
    async with desk() as d:
        await d.press("2", "x")
        d.wait_guard()
        await d.press("question_mark")
        d.engine.publish(environments=())
        await d.settle()
        await d.press("3", "2")
        await d.until(lambda: not d.app.snapshot.environments, "what waited for the answer")
        d.wait_guard()
        await d.press("y", "escape")
        assert d.engine.executed == []
        assert not d.app.page.prompt.asking


async def test_what_is_kept_says_every_reason(desk) -> None:
    engine = FakeEngine()
    engine.kept = {FIRST: KEPT}
    async with desk(engine, size=(120, 24)) as d:
        await d.press("2", "x")
        assert "9f3ac1d2 (dash-sales) stays: 1 content item would need it again: sales; it is pinned" in d.status
        assert not d.app.page.prompt.busy


async def test_more_than_one_takes_the_typed_word_beneath_the_plan(desk) -> None:
    engine = FakeEngine()
    engine.kept = {SECOND: KEPT}
    async with desk(engine) as d:
        await d.press("2", "space", "space", "space")
        assert "3 marked" in d.lines[1]
        await d.press("x")
        await d.until(lambda: "Type reap:" in d.status, "the question")
        assert asked(d, "plan-reap") == [[FIRST, SECOND, THIRD]]
        assert "Would be deleted  2 items" in d.text
        assert "it is pinned" in d.text
        await d.press(*"reap", "enter")
        await d.until(lambda: "deleted 2 items" in d.status, "the outcome")
        (plan,) = d.engine.executed
        assert isinstance(plan, ReapPlan)
        assert keys(d)[0] == SECOND
        assert d.lines[-1].rstrip().endswith("q quit")


@pytest.mark.parametrize("typed", [[], ["y"], [*"rea"], [*"REAP"], [*"yes"], [*"reapp"]])
async def test_another_word_deletes_nothing(desk, typed: list[str]) -> None:
    async with desk() as d:
        await d.press("2", "X")
        await d.until(lambda: "Type reap:" in d.status, "the question")
        await d.press(*typed, "enter")
        assert "nothing done" in d.status
        assert d.engine.executed == []
        await d.press("escape")
        assert d.lines[-1].rstrip().endswith("q quit")


async def test_pasting_the_word_does_not_count(desk) -> None:
    from textual.events import Paste

    async with desk() as d:
        await d.press("2", "X")
        await d.until(lambda: "Type reap:" in d.status, "the question")
        d.app.screen.post_message(Paste("reap"))
        await d.settle()
        await d.press("enter")
        assert d.engine.executed == []


async def test_nothing_moves_under_the_typed_word(desk) -> None:
    async with desk() as d:
        await d.press("2", "X")
        await d.until(lambda: "Type reap:" in d.status, "the question")
        d.engine.publish(environments=())
        await d.settle()
        assert len(d.app.snapshot.environments) == 4
        await d.press("escape", "escape")
        await d.until(lambda: not d.app.snapshot.environments, "the newer snapshot")


async def test_a_large_one_takes_the_typed_word_too(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=(environment(FIRST, "torch", size=3 * 10**9),)))) as d:
        await d.press("2", "x")
        await d.until(lambda: "Delete 1 item, 3.0G? Type reap:" in d.status, "the question")


async def test_reaping_everything_includes_what_old_attempts_take(desk) -> None:
    engine = FakeEngine(snapshot(environments=(environment(FIRST, "dash-sales"),)))
    engine.kept, engine.old_attempts = {FIRST: KEPT}, {FIRST: "20250101-000000-abcdef"}
    async with desk(engine) as d:
        await d.press("2", "X")
        await d.until(lambda: "Type reap:" in d.status, "the question")
        assert "old attempt 20250101-000000-abcdef of 9f3ac1d2" in d.text
        await d.press(*"reap", "enter")
        assert len(d.engine.executed) == 1


async def test_nothing_to_reap_shows_why_each_stays(desk) -> None:
    engine = FakeEngine()
    engine.kept = dict.fromkeys(keys := [env.key for env in engine.current.environments], KEPT)
    async with desk(engine, size=(100, 40)) as d:
        await d.press("2", "X")
        await d.until(lambda: "Stays  4 items" in d.text, "the plan")
        assert d.text.count("it is pinned") == len(keys)
        assert "nothing of it can be reaped" in d.status
        assert not d.app.page.prompt.busy


async def test_rebuilding_one_asks_and_follows_the_build(desk) -> None:
    async with desk(size=(120, 24)) as d:
        await d.press("2", "r")
        asked = "Rebuild 9f3ac1d2 (dash-sales)? Replayed, about 0:02, "
        await d.until(lambda: d.status.startswith(asked), "the question")
        d.wait_guard()
        await d.press("d")
        for words in (
            "about 0:02; the last builds took 0:31",
            "of 10G that are free",
            "about 0:40 and",
            "12 of 12 packages from the wheel store, without pip and index",
            "time: one build of similar",
        ):
            assert words in d.text, d.text
        await d.press("q")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "↻ running  dash-sales" in d.text, "the log")
        assert [type(plan) for plan in d.engine.executed] == [RebuildPlan]


async def test_rebuilding_fresh_takes_nothing_from_the_wheel_store(desk) -> None:
    async with desk() as d:
        await d.press("2", "r")
        await d.until(lambda: "f=fresh" in d.status, "the question")
        d.wait_guard()
        await d.press("f")
        await d.until(lambda: "↻ running  dash-sales" in d.text, "the log")
        assert [plan.fresh for plan in d.engine.executed] == [True]


async def test_what_cannot_be_rebuilt_says_why(desk) -> None:
    engine = FakeEngine()
    engine.cannot_rebuild = {FIRST: (Problem("a", "the interpreter is gone"), Problem("b", "pip looks elsewhere"))}
    async with desk(engine, size=(120, 24)) as d:
        await d.press("2", "r")
        await d.until(lambda: "cannot be rebuilt" in d.status, "the reason")
        assert "cannot be rebuilt: the interpreter is gone; pip looks elsewhere" in d.status
        assert not d.app.page.prompt.busy


async def test_of_several_those_that_can_be_are_rebuilt(desk) -> None:
    engine = FakeEngine()
    engine.cannot_rebuild = {SECOND: (Problem("a", "the interpreter is gone", hint="build the content again"),)}
    async with desk(engine) as d:
        await d.press("2", "space", "space", "space", "r")
        await d.until(lambda: "Rebuild 2 environments at once? about 0:02" in d.status, "the question")
        assert "2 replayed" in d.text
        assert "the interpreter is gone" in d.text
        await d.press(*"rebuild", "enter")
        await d.until(lambda: d.app.current_mode == "builds", "the builds")
        (plan,) = d.engine.executed
        assert [item.environment.key for item in plan.items] == [FIRST, THIRD]


async def test_many_rebuilds_are_worked_off_as_a_list_while_envdeck_is_open(desk) -> None:
    many = tuple(environment(f"{i:08d}Kq7rT5yUa7bXc9", f"bundle-{i}") for i in range(9))
    engine = FakeEngine(snapshot(environments=many))
    async with desk(engine, size=(120, 40)) as d:
        await d.press("2", *["space"] * 9, "r")
        await d.until(lambda: "Rebuild 9 environments 2 at a time, while envdeck is open?" in d.status, "the question")
        assert "worked off while envdeck is open" in d.text
        await d.press(*"fresh")
        await d.press_and_go_on("enter")
        await d.until(lambda: d.app.current_mode == "builds", "the builds")
        await d.until(lambda: "Pending = 9" in d.status, "how far it is")
        ((name, keys, parallelism),) = engine.lists
        assert (keys, parallelism) == ([each.key for each in many], 2)
        assert d.app.owed == [f"the list {name} is not done: envdeck rebuild --list {name} --fresh goes on with it"]
        engine.list_ended.set()
        await d.until(lambda: f"list {name}: 8/9 environment builds completed" in d.status, "the end")
        assert any("00000000 is not rebuilt: pip failed" in str(event.text) for event in d.app.events)
        assert not d.app.owed


async def test_pinning_and_unpinning(desk) -> None:
    async with desk() as d:
        await d.press("2", "p")
        await d.until(lambda: " P  9f3ac1d2" in d.text, "the mark")
        assert "9f3ac1d2 (dash-sales) is pinned" in d.status
        await d.press("p")
        await d.until(lambda: " P  9f3ac1d2" not in d.text, "that the mark goes")
        assert [plan.pin is not None for plan in d.engine.executed if isinstance(plan, PinPlan)] == [True, False]


async def test_marks_survive_a_refresh_and_go_with_what_they_mark(desk) -> None:
    async with desk() as d:
        await d.press("2", "space", "space")
        new = environment("aaaaaaaaNq7rT5yUa7bXc9", "brand-new")
        d.engine.publish(environments=(new, *d.engine.current.environments[1:]))
        await d.until(lambda: "brand-new" in d.text, "the newer snapshot")
        assert "1 marked  4" in d.lines[1]
        assert "*   51b0aa7e" in d.text
        await d.press("u")
        assert "marked" not in d.lines[1]
        await d.press("u")
        assert "unmark: nothing is marked" in d.status


@pytest.mark.parametrize("key", ["x", "X", "r", "p"])
async def test_read_only_disables_and_says_why(desk, key: str) -> None:
    async with desk(FakeEngine(snapshot(read_only="not writable by uid 1001"))) as d:
        await d.press("2", key)
        assert "read-only: not writable by uid 1001" in d.status
        assert d.engine.executed == []
        assert not asked(d, "plan-reap")
        assert not asked(d, "plan-rebuild")


@pytest.mark.parametrize("key", ["x", "r", "p", "space"])
async def test_a_foreign_environment_is_only_looked_at(desk, key: str) -> None:
    engine = FakeEngine()
    engine.foreigners = (foreign("deadbeef0123"),)
    async with desk(engine) as d:
        await d.press("2", "G")
        await d.until(lambda: "- foreign" in d.text, "the foreign environment")
        assert "deadbeef" in d.lines[7]
        await d.press("G", key)
        assert "the server itself made it; envdeck only looks at it" in d.status
        assert d.engine.executed == []
        await d.press("d")
        assert "/opt/python/3.11.7/bin" in d.text
        assert "_packages_cache" in d.text


async def test_a_long_path_does_not_push_what_failed_out_of_the_line(desk) -> None:
    async with desk(size=(80, 24)) as d:
        d.engine.refuse = Problem(
            "storage-write",
            "cannot write pinned.json: No space left on device",
            where=Where("/srv/data/python-environments/pip/3.11.7/eyY3vE9Tr97crIFhiNIreQ/pinned.json"),
        )
        await d.press("2", "p")
        await d.until(lambda: "cannot write pinned.json: No space left on device" in d.text, "the reason")


async def test_what_the_engine_refuses_is_told(desk) -> None:
    async with desk() as d:
        d.engine.refuse = Problem("plan-changed", "it was rebuilt meanwhile")
        await d.press("2", "x")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "it was rebuilt meanwhile" in d.status, "the refusal")


async def test_the_description_tells_who_uses_it_and_whether_it_can_go(desk) -> None:
    base = snapshot()
    first = replace(base.environments[0], last_used_at=NOW - 600)
    engine = FakeEngine(
        replace(base, environments=(first, *base.environments[1:]), contents=(content("sales", FIRST),))
    )
    engine.kept, engine.old_attempts = {FIRST: KEPT}, {FIRST: "20250101-000000-abcdef"}
    async with desk(engine, size=(110, 40)) as d:
        await d.press("2")
        assert "sales" in d.lines[3]
        assert "10m" in d.lines[3]
        await d.press("d")
        await d.until(lambda: "Can be reaped   no" in d.text, "the examination")
        for words in (
            "Content         sales",
            "2 processes of this machine could not be seen into",
            "it is pinned",
            "20250101-000000-abcdef",
        ):
            assert words in d.text


async def test_an_environment_is_verified_without_a_question_and_what_is_damaged_is_named(desk) -> None:
    async with desk(size=(120, 40)) as d:
        await d.press("2", "t")
        await d.until(lambda: "1 environment intact" in d.status, "what was found")
        assert asked(d, "plan-verify") == [[FIRST]]
        d.engine.differences = (Finding(FindingKind.CHANGED, file="lib/flask/app.py", package="flask"),)
        await d.press("space", "space", "t")
        await d.until(lambda: "1 difference, the first: flask: lib/flask/app.py is changed" in d.status, "the damage")
        await d.until(lambda: len(d.engine.executed) == 2, "the marks")
        assert [v.name for v in d.engine.executed[-1].to_mark] == [FIRST, SECOND]


async def test_a_read_only_session_verifies_and_marks_nothing(desk) -> None:
    async with desk(FakeEngine(snapshot(read_only="--read-only"))) as d:
        await d.press("2", "t")
        await d.until(lambda: "intact" in d.status, "what was found")
        assert d.engine.executed == []


async def test_nothing_is_claimed_of_an_environment_whose_record_tells_nothing(desk) -> None:
    """Not that it is from 1970, nor that it takes no space."""
    lost = environment(
        FIRST,
        "",
        attempt="",
        state=EnvironmentState.DAMAGED,
        reason="its record current.json does not parse",
        lines=(),
        packages=(),
        size=0,
        files=0,
        built_at=0.0,
        built_by="",
        seconds=0.0,
        python_path="",
        ingredients={},
    )
    async with desk(FakeEngine(snapshot(environments=(lost,))), size=(120, 40)) as d:
        await d.press("2")
        assert d.lines[3].split()[:7] == [FIRST[:8], "3.11.7", "✗", "damaged", "?", "?", "?"]
        await d.press("p")
        await d.until(lambda: f"{FIRST[:8]} is pinned" in d.status, "the pin")
        await d.press("slash", *"built>1d", "enter")
        assert d.app.page.table.count == 0, "it is not older than a day, as far as anybody knows"
        await d.press("escape", "d")
        await d.until(lambda: "Can be reaped" in d.text, "the examination")
        assert "its record current.json does not parse" in d.text
        assert f"Path            {lost.key_dir}" in d.text
        assert "Not known       which attempt counts, its size, lines and packages, when it was built" in d.text
        for untrue in ("1970", "0B in", "0 packages", "0 lines", "the log of  are"):
            assert untrue not in d.text


def test_what_was_deleted_by_somebody_else_is_not_said_to_stay() -> None:
    env = environment(FIRST, "dash-sales")
    gone = ReapVerdict((KeepReason(KeepCode.CHANGED, "it is gone already"),))
    item = ReapItem(ReapKind.ENVIRONMENT, FIRST, env.key_dir, 1000, gone, env)
    assert reaped(ReapResult((), (item,), ())) == "nothing deleted; 9f3ac1d2 (dash-sales): it is gone already"

"""The Builds view: what runs, who waits, what came of the others, and building once more."""

from __future__ import annotations

from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import NOW, build

from app.tui.describe.build import build_headline, cancel_question, remaining
from engine import BuildState, CancelPlan, Expectation, Phase, RebuildPlan
from tests.records import replace

WAITING = "waits for a free slot: 2 of 2 builds run on this machine"


def queued(number: int, place: int, **changes):
    return build(
        f"20250615-1159{number:02}-qqqq",
        f"app-{number}",
        BuildState.QUEUED,
        phase=Phase.QUEUE,
        started_at=None,
        packages_done=0,
        packages_total=0,
        place=place,
        message=WAITING,
        **changes,
    )


async def test_what_runs_comes_first_then_the_waiting_line_in_its_order(desk) -> None:
    base = snapshot()
    builds = (queued(3, 0), queued(2, 2), queued(1, 1), *base.builds)
    async with desk(FakeEngine(replace(base, builds=builds)), size=(120, 40)) as d:
        await d.press("4")
        rows = [line.split() for line in d.lines[3:8]]
        assert [row[2] for row in rows] == ["etl-nightly", "app-1", "app-2", "app-3", "dash-sales"]
        assert "◌ queued" in d.lines[4]
        assert "line #1" in d.lines[4]
        await d.press("j")
        await d.until(lambda: WAITING in d.text, "the description of the build that waits")
        await d.press("d")
        assert "place 1 on" in d.text


async def test_the_log_of_a_queued_build_says_its_place(desk) -> None:
    base = snapshot()
    async with desk(FakeEngine(replace(base, builds=(queued(1, 2, submitted_at=NOW - 75), *base.builds)))) as d:
        await d.press("4", "j", "l")
        assert "◌ queued  app-1  line #2  waiting 1:15  Python 3.11.7" in d.lines[2]


async def test_history_can_be_filtered(desk) -> None:
    async with desk() as d:
        await d.press("4", "slash", *"state:failed", "enter")
        assert d.app.page.table.count == 1
        assert "✗ failed     broken-app" in d.lines[3]
        assert "try check the spelling of the name in requirements.txt line 3" in d.text


async def test_what_goes_on_cannot_be_retried(desk) -> None:
    async with desk() as d:
        await d.press("4", "r")
        assert "retry: the build has not ended: it is running" in d.status


async def test_a_retry_without_a_bundle_says_so(desk) -> None:
    async with desk() as d:
        await d.press("4", "j", "j", "r")
        await d.until(lambda: "nothing says where the bundle broken-app" in d.status, "the refusal")


async def test_a_rebuild_is_rebuilt(desk) -> None:
    base = snapshot()
    key = base.environments[0].key
    failed = replace(base.builds[2], key=key, replaces="20250601-000000-abcd", bundle="dash-sales")
    async with desk(FakeEngine(replace(base, builds=(failed,)))) as d:
        await d.press("4", "r")
        await d.until(lambda: d.status.startswith("Rebuild 9f3ac1d2 (dash-sales)"), "the question")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: d.engine.executed, "the rebuild")
        assert isinstance(d.engine.executed[0], RebuildPlan)


async def test_a_hit_needs_no_retry(desk) -> None:
    async with desk() as d:
        await d.press("4", "j", "r")
        await d.until(lambda: "HIT: dash-sales reuses 9f3ac1d2" in d.status, "the hit")
        assert d.engine.executed == []


def test_the_question_before_cancelling_counts_what_is_installed_and_not_what_was_collected() -> None:
    collected = build("20250615-120000-aaaa", "slow", packages_done=3, packages_total=0)
    assert "installed" not in cancel_question(CancelPlan(collected), NOW)
    installing = replace(collected, packages_total=12)
    assert "3 packages installed)?" in cancel_question(CancelPlan(installing), NOW)


def test_a_build_that_takes_longer_than_expected_is_said_to() -> None:
    slow = build("20250615-120000-aaaa", "slow", phase=Phase.RESOLVE, packages_done=0, packages_total=0)
    slow = replace(slow, expected=Expectation({Phase.RESOLVE: 60.0, Phase.VERIFY: 1.0}, 0, "the last build"))
    assert "about 1:01 left" in build_headline(slow, NOW).plain
    assert "longer than the 1:01 expected" in build_headline(slow, NOW + 60).plain
    assert remaining(slow, NOW + 60) == "late"

"""Going back to an earlier bundle of content: chosen, shown as a plan, asked about, done, and told."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import bundle, content, entry, environment

from engine import ContentBundle, Problem
from tests.records import replace

READY = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")


def engine(*, hit: bool) -> FakeEngine:
    sales = content("sales", READY.key)
    third = ContentBundle(3, sales.created_at, "bob", "sales", READY.key, "3.9.5", 30_000)
    first = entry(bundle("sales", "3.11.2", ("numpy",)))
    assert first.plan is not None
    planned = replace(first.plan, environment=READY if hit else None, running=None)
    items = (replace(sales, bundles=(*sales.bundles, third), active=3), content("single", bundles=sales.bundles[1:]))
    return FakeEngine(snapshot(contents=items, bundles=(replace(first, plan=planned),)))


async def open_content(d) -> None:
    await d.press("colon", *"content", "enter")


async def test_the_bundle_before_is_suggested_planned_and_made_active(desk) -> None:
    fake = engine(hit=True)
    fake.runs = True
    async with desk(fake, size=(120, 30)) as d:
        await open_content(d)
        assert "b bundle" in d.lines[-1]
        await d.press("b")
        assert d.status == "sales has bundles 1, 2, 3 (active). Activate bundle: 2"
        await d.press("enter")
        await d.until(lambda: d.status.startswith("Activate bundle 2 of sales: its environment is there."), d.status)
        d.wait_guard()
        await d.press("d")
        for words in ("Would become active", "bundle 2 takes the place of bundle 3", "goes on with bundle 3", "Match"):
            assert words in d.text, d.text
        await d.press("G")
        assert "envdeck content activate guid-of-sales 2" in d.text
        await d.press("q")
        d.wait_guard()
        await d.press("enter")
        assert fake.executed == [], "Enter is never a yes"
        await d.press("b", "enter")
        await d.until(lambda: d.status.startswith("Activate bundle 2"), "the question")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "bundle 2 of sales is active; what runs goes on with bundle 3" in d.status, d.status)
        assert "#2" in d.text
        assert len(fake.executed) == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("activate 9", "not a bundle that could become active: 9; there is 1, 2"),
        ("activate 3", "not a bundle that could become active: 3"),
        ("activate ²", "not a bundle that could become active"),
        ("activate 1", "Activate bundle 1 of sales"),
    ],
)
async def test_the_number_can_be_given_with_the_command(desk, typed: str, said: str) -> None:
    async with desk(engine(hit=True), size=(120, 30)) as d:
        await open_content(d)
        await d.press("colon", *typed, "enter")
        await d.until(lambda: said in d.status, said)


async def test_what_stands_in_the_way_is_told(desk) -> None:
    fake = engine(hit=True)
    fake.cannot_activate = Problem("no-match", "no installation fits", hint="install Python 3.9")
    async with desk(fake, size=(120, 30)) as d:
        await open_content(d)
        await d.press("b", "enter")
        await d.until(lambda: "no installation fits" in d.status, "the reason")
        assert fake.executed == []
        await d.press("j", "b")
        assert "it has no other bundle" in d.status
        await d.press("colon", *"activate ", "tab")
        assert fake.executed == []


async def test_a_build_that_comes_first_is_shown_and_leaving_meanwhile_says_what_is_owed(desk) -> None:
    fake = engine(hit=False)
    async with desk(fake, size=(120, 30)) as d:
        await open_content(d)
        await d.press("b", "enter")
        await d.until(lambda: "builds its environment first" in d.status, "the question")
        d.wait_guard()
        await d.press_and_go_on("y")
        await d.until(lambda: "20250615-120002-ffff" in d.text or "running  sales" in d.text, "the log of the build")
        assert any("becomes active when its environment is built" in str(one.text) for one in d.app.events)
        (owed,) = d.app.owed
        assert owed == "bundle 2 of sales is not active yet: envdeck content activate guid-of-sales 2"
        fake.activating.set()
        await d.until(lambda: "bundle 2 of sales is active" in d.status, "the end")
        assert d.app.owed == []
        fake.refuse = Problem("build-failed", "the build is failed, so the content stays as it was")
        await d.press("q")
        await open_content(d)
        await d.press("b", "enter")
        await d.until(lambda: "builds its environment first" in d.status, "the question")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "the content stays as it was" in d.status, "the failure")
        assert d.app.owed == []


async def test_what_is_owed_is_told_on_leaving_and_is_no_markup(desk, capsys: pytest.CaptureFixture[str]) -> None:
    fake = engine(hit=False)
    items = fake.current.contents
    fake.current = replace(fake.current, contents=(replace(items[0], name="sal[/x][bold]es"), *items[1:]))
    async with desk(fake, size=(120, 30)) as d:
        await open_content(d)
        await d.press("b", "enter")
        await d.until(lambda: "builds its environment first" in d.status, "the question")
        d.wait_guard()
        await d.press_and_go_on("y")
        await d.until(lambda: d.app.owed, "the build")
        d.app.actions.do_quit("")
        fake.activating.set()
    said = " ".join(capsys.readouterr().err.split())
    assert "bundle 2 of sal[/x][bold]es is not active yet: envdeck content activate guid-of-sales 2" in said

"""Marks, orders, columns out of sight, and a picture that stands still."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import environment, foreign

from tests.records import replace

NAMES = [f"{i:08d}Kq7rT5yUa7bXc9" for i in range(30)]
MANY = tuple(environment(name, f"bundle-{i % 3}", size=(i + 1) * 10**8) for i, name in enumerate(NAMES))


def marked(d) -> list[int]:
    return sorted(int(identity[:8]) for identity in d.app.page.table.marks.marked)


async def test_fields_and_amounts_narrow_the_list(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "slash", *"size>2.5G !bundle-0", "enter")
        assert "4/30  /size>2.5G !bundle-0" in d.lines[1]
        await d.press("escape", "slash", *"package:flask")
        assert "30/30" in d.lines[1]
        await d.press("escape", "slash", *"size>lots")
        assert "expected something like size>1.5G" in d.app.status.plain
        assert "30/30" in d.lines[1]


@pytest.mark.parametrize(
    ("view", "text"),
    [
        ("1", "python>=3 state:usable"),
        ("2", "python>=3 state:ready user: key:0 pinned=no"),
        ("3", "python>=3 state:hit key: path:/"),
        ("4", "state:running user:alice key:"),
    ],
)
async def test_every_view_knows_the_fields_that_admins_look_for(desk, view: str, text: str) -> None:
    base = snapshot()
    hit = replace(base.bundles[0], plan=replace(base.bundles[0].plan, environment=environment(NAMES[0], "x")))
    async with desk(FakeEngine(replace(base, environments=MANY, bundles=(hit, *base.bundles[1:])))) as d:
        await d.press(view)
        for term in text.split():
            await d.press("colon", *f"filter {term}", "enter")
            assert d.app.page.table.count, term
            assert not d.app.page.table.filter.problem
            (one,) = d.app.page.table.filter.terms or (None,)
            assert one is None or one.field, f"{term} is looked for literally"


async def test_an_expression_that_would_run_for_ever_does_not(desk) -> None:
    evil = environment("a" * 22, "a" * 60 + "!")
    async with desk(FakeEngine(snapshot(environments=(evil, *MANY)))) as d:
        await d.press("2", "slash", *"/(a+)+$/", "enter")
        assert "/31" in d.lines[1]


async def test_an_empty_filter_line_offers_the_last_one(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "slash", *"bundle-1", "enter", "escape", "3", "2", "slash")
        assert "Up bundle-1" in d.status
        await d.press("up")
        assert "10/30  /bundle-1" in d.lines[1]


async def test_a_range_is_marked_from_one_end_to_the_other(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "j", "V", "j", "j")
        assert [line[0] for line in d.lines[3:7]] == [" ", "+", "+", "+"]
        assert marked(d) == []
        await d.press("V")
        assert marked(d) == [1, 2, 3]
        assert "3 marked" in d.lines[1]


async def test_escape_gives_a_range_up_before_the_filter(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "slash", *"bundle-1", "enter", "V", "j", "escape")
        assert "+" not in "".join(line[0] for line in d.lines[3:8])
        assert "/bundle-1" in d.lines[1]
        assert marked(d) == []


async def test_all_that_the_filter_shows_is_marked_and_hidden_marks_are_told(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "slash", *"bundle-1", "enter", "*")
        assert "10 marked  10/30" in d.lines[1]
        await d.press("slash", "ctrl+a", "ctrl+k", *"bundle-2", "enter")
        assert "10 marked (10 hidden)  10/30" in d.lines[1]
        await d.press("backslash")
        assert marked(d) == []


async def test_what_cannot_be_marked_is_passed_over(desk) -> None:
    engine = FakeEngine(snapshot(environments=MANY[:2]))
    engine.foreigners = (foreign("deadbeef0123"),)
    async with desk(engine) as d:
        await d.press("2")
        await d.until(lambda: "foreign" in d.text, "the foreign environment")
        await d.press("*")
        assert marked(d) == [0, 1]
        await d.press("G", "space")
        assert "envdeck only looks at it" in d.status


async def test_marks_stay_with_their_rows_over_orders_and_refreshes(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "space", "space", "o", "z", "O")
        assert marked(d) == [0, 1]
        d.engine.publish(environments=MANY[1:])
        await d.until(lambda: "29" in d.lines[1], "the newer snapshot")
        assert marked(d) == [1]


async def test_the_list_can_be_ordered_by_columns_that_are_not_shown(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "o")
        assert "Tab more" in d.status
        await d.press("tab")
        assert "w why" in d.status
        await d.press("y")
        assert "by by" in d.lines[1]
        await d.press("colon", *"sort size", "enter", "colon", *"sort size", "enter")
        assert "SIZE▾" in d.lines[2]
        await d.press("g")
        assert "00000029" in d.lines[3]
        await d.press("colon", *"sort wibble", "enter")
        assert "no column wibble; there are" in d.status


async def test_nothing_moves_while_an_order_is_chosen_or_a_command_typed(desk) -> None:
    for key in ("o", "colon"):
        async with desk(FakeEngine(snapshot(environments=MANY))) as d:
            await d.press("2", key)
            d.engine.publish(environments=MANY[1:])
            await d.settle()
            assert len(d.app.snapshot.environments) == 30
            await d.press("escape")
            await d.until(lambda d=d: len(d.app.snapshot.environments) == 29, "the newer snapshot")


async def test_every_column_can_be_reached_in_eighty_columns(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "right")
        assert "w shows them all" in d.status
        await d.press("w")
        seen = set(d.lines[2].split())
        for _ in range(12):
            assert "KEY" in d.lines[2], "what names the row stays"
            assert "00000000" in d.lines[3]
            await d.press("right")
            seen |= set(d.lines[2].split())
        assert {column.title.upper() for column in d.app.page.table.columns} <= seen
        assert "<" in d.lines[2]
        await d.press(*["left"] * 12)
        assert "PYTHON" in d.lines[2]
        await d.press("w")
        assert "<" not in d.lines[2]
        assert ">" not in d.lines[2]


async def test_a_frozen_picture_stands_still_and_says_so(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY))) as d:
        await d.press("2", "F")
        assert "FROZEN" in d.lines[0]
        d.engine.publish(environments=MANY[1:])
        await d.settle()
        assert "00000000" in d.lines[3]
        await d.press("F")
        assert "FROZEN" not in d.lines[0]
        assert "00000000" not in d.text


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
async def test_the_cursor_stays_on_its_row_while_rows_come_and_go(desk, size: tuple[int, int]) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY)), size=size) as d:
        await d.press("2", *["j"] * 8)
        d.engine.publish(environments=MANY[5:])
        await d.until(lambda: "00000004" not in d.text and d.app.page.table.total == 25, "the newer snapshot")
        assert d.app.page.table.current.key == NAMES[8]


async def test_what_comes_on_top_of_a_list_that_shows_its_beginning_is_seen(desk) -> None:
    async with desk(FakeEngine(snapshot(environments=MANY[1:]))) as d:
        await d.press("2")
        d.engine.publish(environments=MANY)
        await d.until(lambda: d.app.page.table.total == 30, "the newer snapshot")
        assert "00000000" in d.lines[3]
        assert d.app.page.table.current.key == NAMES[1], "the cursor stays on its row"
        await d.press("G")
        top = d.app.page.table.top
        d.engine.publish(environments=MANY[1:])
        await d.until(lambda: d.app.page.table.total == 29, "the newer snapshot")
        assert d.app.page.table.top == top - 1, "further down nothing moves"

"""The live log: follows, never steals the place, searches."""

from __future__ import annotations

from engine import LogLine

RUNNING = "20250615-115900-c3d4"


async def open_log(d, lines: int = 200) -> None:
    d.engine.write(RUNNING, *(f"line {i} of pip" for i in range(lines)))
    await d.press("4", "enter")
    await d.until(lambda: f"line {lines - 1} of pip" in d.text, "the end of the log")


async def test_the_end_is_followed_until_one_moves_up(desk) -> None:
    async with desk() as d:
        await open_log(d)
        d.engine.write(RUNNING, "the newest line")
        await d.until(lambda: "the newest line" in d.text, "the newest line")
        await d.press("k")
        assert "following" not in d.lines[1]
        before = d.text
        d.engine.write(RUNNING, *(f"more {i}" for i in range(50)))
        await d.pilot.pause(0.3)
        assert d.text.splitlines()[4:20] == before.splitlines()[4:20], "the place is not stolen"
        await d.press("G")
        assert "more 49" in d.text
        assert "following" in d.lines[1]


async def test_f_turns_following_off_and_on(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("f")
        assert "following" not in d.lines[1]
        d.engine.write(RUNNING, "unseen")
        await d.pilot.pause(0.3)
        assert "unseen" not in d.text
        await d.press("f")
        assert "unseen" in d.text


async def test_searching_counts_and_goes_round(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("g", "slash", *"line 4", "enter")
        assert "1/11 /line 4" in d.lines[1]
        await d.press("n")
        assert "2/11" in d.lines[1]
        assert "line 40 of pip" in d.text
        await d.press("N", "N")
        assert "11/11" in d.lines[1]
        assert "line 49 of pip" in d.text


async def test_a_search_without_a_match_says_so(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("slash", *"zebra", "enter")
        assert "zebra is not in the log" in d.status


async def test_times_can_be_shown(desk) -> None:
    async with desk() as d:
        await open_log(d, 3)
        plain = d.lines[4]
        await d.press("t")
        assert d.lines[4].strip().endswith(plain.strip())
        assert d.lines[4].strip()[2] == ":"


async def test_long_lines_can_be_scrolled_sideways(desk) -> None:
    async with desk() as d:
        d.engine.write(RUNNING, "x" * 70 + "the far end" + "y" * 40)
        await d.press("4", "enter")
        await d.until(lambda: "xxx" in d.text, "the line")
        assert "the far end" not in d.text
        await d.press("right", "right")
        assert "the far end" in d.text


async def test_a_flood_is_bounded(desk) -> None:
    async with desk() as d:
        await open_log(d, 5)
        ring = d.engine.ring(RUNNING)
        for start in range(0, 120_000, 20_000):
            ring.extend([LogLine(0.0, f"flood {start + i}") for i in range(20_000)])
            await d.pilot.pause(0.15)
        await d.until(lambda: "flood 119999" in d.text, "the end of the flood")
        assert d.app.page.log_view.count <= 60_000
        await d.press("g")
        assert "flood" in d.text

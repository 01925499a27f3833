"""Moving, filtering, sorting, copying."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import environment

MANY = snapshot(
    environments=tuple(environment(f"{i:08d}Kq7rT5yUa7bXc9", f"bundle-{i % 7}", size=i * 10**6) for i in range(100))
)


def current(d) -> str:
    return d.app.page.table.current.key[:8]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("j", 1),
        ("jjk", 1),
        ("G", 99),
        ("Gg", 0),
        (["ctrl+d"], 9),
        (["ctrl+d", "ctrl+u"], 0),
        (["pagedown"], 17),
        (["end", "home"], 0),
        (["down", "down", "up"], 1),
        ("k", 0),
    ],
)
async def test_the_moving_keys(desk, keys, expected: int) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", *keys)
        assert current(d) == f"{expected:08d}"
        assert f"{expected:08d}" in d.text


async def test_the_edge_is_crossed_half_a_page_at_a_time(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2")
        tops = set()
        for _ in range(40):
            await d.press("j")
            tops.add(d.app.page.table.top)
        assert len(tops) <= 4


async def test_the_filter_narrows_while_typing_and_shows_how_far(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", "slash")
        await d.type("bundle-3")
        assert "14/100  /bundle-3" in d.lines[1]
        await d.press("enter")
        assert "14/100  /bundle-3" in d.lines[1]
        await d.press("1", "2")
        assert "14/100  /bundle-3" in d.lines[1], "it survives a change of view"
        await d.press("escape")
        assert d.lines[1].rstrip().endswith("100")


async def test_escape_while_typing_shows_everything_again(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", "slash", "x", "y", "escape")
        assert d.lines[1].rstrip().endswith("100")


async def test_the_row_under_the_cursor_stays_when_the_filter_goes(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", "slash", *"00000042", "enter", "escape")
        assert current(d) == "00000042"
        assert "00000042" in d.text


async def test_a_filter_without_a_match_says_so(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", "slash", *"nothing", "enter")
        assert "No row matches nothing" in d.text
        assert "Esc clears the filter" in d.text


async def test_keys_are_text_while_one_types(desk) -> None:
    async with desk() as d:
        await d.press("2", "slash", "q", "3", "question_mark", "b")
        assert d.app.is_running
        assert d.status == "/q3?b"
        assert d.app.current_mode == "environments"


async def test_sorting_by_a_letter_and_reversing(desk) -> None:
    async with desk(FakeEngine(MANY)) as d:
        await d.press("2", "o")
        assert "z size" in d.status
        await d.press("z")
        assert d.app.page.table.sort.title == "size"
        await d.press("O", "g")
        assert current(d) == "00000099"
        await d.press("o", "0")
        await d.press("g")
        assert current(d) == "00000000"


async def test_copying_says_honestly_where_it_went(desk, tmp_path: Path) -> None:
    async with desk() as d:
        await d.press("2", "y")
        assert "p path" in d.status
        await d.press("k")
        await d.until(lambda: "written to" in d.app.status.plain, "the message")
        assert "may ignore it" in d.app.status.plain
        assert (tmp_path / "cache/envdeck/clip.txt").read_text() == "9f3ac1d2Wq7rT5yUa7bXc9"
        assert (tmp_path / "cache/envdeck/clip.txt").stat().st_mode & 0o777 == 0o600


async def test_the_json_of_a_row_is_that_of_the_command_line(desk, tmp_path: Path) -> None:
    async with desk() as d:
        await d.press("3", "y", "j")
        await d.until(lambda: "written to" in d.app.status.plain, "the message")
        assert '"bundle": "flask-api"' in (tmp_path / "cache/envdeck/clip.txt").read_text()


@pytest.mark.parametrize(
    ("command", "mode"),
    [("builds", "builds"), ("m", "match"), ("cfg", "config"), ("env", "environments"), ("inst", "installations")],
)
async def test_commands_go_to_views(desk, command: str, mode: str) -> None:
    async with desk() as d:
        await d.press("colon", *command, "enter")
        assert d.app.current_mode == mode


async def test_a_command_completes_with_tab(desk) -> None:
    async with desk() as d:
        await d.press("colon", *"conf", "tab")
        assert d.status == ":config"
        await d.press("enter")
        assert d.app.current_mode == "config"


async def test_an_unknown_command_is_told(desk) -> None:
    async with desk() as d:
        await d.press("colon", *"frobnicate", "enter")
        assert "no command frobnicate" in d.status


async def test_the_palette_finds_an_action_and_does_it(desk) -> None:
    async with desk() as d:
        await d.press("ctrl+p", *"go to conf")
        await d.press("enter")
        assert d.app.current_mode == "config"


async def test_the_palette_can_be_left(desk) -> None:
    async with desk() as d:
        await d.press("ctrl+p", "z", "escape")
        assert d.lines[-1].rstrip().endswith("q quit")


async def test_q_quits_from_a_view_and_says_that_builds_go_on(desk) -> None:
    async with desk() as d:
        await d.press("q")
        assert d.app._exit
        assert "1 build still running" in str(d.app._exit_renderables)


async def test_testing_again_runs_every_interpreter(desk) -> None:
    async with desk() as d:
        await d.press("t")
        assert ("refresh", True) in d.engine.calls
        await d.press("ctrl+r")
        assert ("refresh", False) in d.engine.calls


async def test_keys_that_arrive_together_are_taken_one_after_the_other(desk) -> None:
    async with desk() as d:
        await d.press("2")
        await d.hurry("/", "x", "x", "enter")
        await d.until(lambda: d.app.page.table.filter.text == "xx", "the filter")
        assert not d.app.page.prompt.busy
        await d.hurry("4", "j", "l", "t")
        await d.until(lambda: "dash-sales" in d.lines[2], "the log of the second build")
        assert d.app.page.log_view.times


async def test_what_arrives_when_the_last_page_is_gone_is_too_late_and_no_error(desk) -> None:
    """A timer that had been set, an answer of a worker: both may come while envdeck ends."""
    async with desk() as d:
        app = d.app
    app.take_snapshot()
    app.redraw()
    app.say("done")
    assert app.events[-1].text == "done"


async def test_a_page_that_is_left_before_it_is_there_does_no_harm(desk) -> None:
    async with desk() as d:
        for _ in range(5):
            await d.hurry("4", "l", "escape", "d", "escape", "!", "escape", "1", "d", "escape")
        await d.until(lambda: d.app.current_mode == "installations", "the view that was asked for last")
        await d.until(lambda: len(d.app.screen_stack) == 1, "no page above it")

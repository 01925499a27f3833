"""Ages and elapsed times go on where nothing happens, unless the picture is to stand still."""

from __future__ import annotations

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot

from app.tui.screens import log_page, table_page
from app.tui.screens.builds import BuildsPage
from tests.records import replace
from tests.ui.test_ui_builds import queued


@pytest.fixture(autouse=True)
def quickly(monkeypatch) -> None:
    """Let time be looked at more often than a person would notice."""
    monkeypatch.setattr(table_page, "_AGES", 0.05)
    monkeypatch.setattr(table_page.TablePage, "ages", 0.05)
    monkeypatch.setattr(BuildsPage, "ages", 0.05)
    monkeypatch.setattr(log_page, "_AGES", 0.05)


@pytest.mark.parametrize(
    ("keys", "before", "after"),
    [
        (["2"], "   2h  ", "   3h  "),
        (["2", "d"], "2h ago", "3h ago"),
        (["3", "j"], "built 2h ago", "built 3h ago"),
        (["4"], " 0:41 ", " 1:00:41 "),
        (["4", "d"], "  0:41", "  1:00:41"),
        (["4", "l", "d"], "  0:41", "  1:00:41"),
        (["4", "l"], "  0:41", "  1:00:41"),
    ],
)
async def test_ages_go_on_where_nothing_happens(desk, keys, before: str, after: str) -> None:
    async with desk() as d:
        await d.press(*keys)
        await d.until(lambda: before in d.text, "how it is now")
        d.later = 3600.0
        await d.until(lambda: after in d.text, "how it is an hour later")


async def test_who_waits_is_told_for_how_long(desk) -> None:
    base = snapshot()
    async with desk(FakeEngine(replace(base, builds=(queued(1, 2), *base.builds)))) as d:
        await d.press("4", "j", "l")
        d.later = 3600.0
        await d.until(lambda: "waiting 1:00:45" in d.text, "an hour more")


async def test_a_frozen_picture_grows_no_older(desk) -> None:
    async with desk() as d:
        await d.press("4", "F")
        d.later = 3600.0
        d.app.page._tick()
        await d.settle()
        assert "1:00:41" not in d.text
        await d.press("F")
        await d.until(lambda: " 1:00:41 " in d.text, "the time as it is")

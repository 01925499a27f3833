"""What every view and page looks like in 80x24 and 120x40, in good and in bad times, compared with files.

    .venv/bin/pytest tests/ui/test_ui_snapshots.py --update-snapshots

writes the files anew; their differences are what there is to review. One file holds one page in one state: its text,
and where colours matter its looks. One run of the app goes through all pages of a state: starting it takes longest.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import config, installation
from screen_text import screen_text

from app.tui.profile import Profile
from app.tui.screens.builds import BuildsPage
from app.tui.screens.log_page import LogPage
from app.tui.screens.match import MatchPage
from app.tui.screens.page import Page
from engine import BuildState, Problem, Severity, Where
from tests.records import replace

SNAPSHOTS = Path(__file__).with_name("snapshots")
FAILED = "20250615-100000-a7b8"
LOG = (
    "Looking in indexes: https://packages.example.org/simple",
    "Collecting flask==3.0.0 (from -r requirements.txt (line 1))",
    "  Downloading flask-3.0.0-py3-none-any.whl.metadata (3.6 kB)",
    "WARNING: Retrying after connection broken by 'NewConnectionError', which is a line that is longer than the screen",
    "ERROR: Could not find a version that satisfies the requirement nump==9.9 (from versions: none)",
    "ERROR: No matching distribution found for nump==9.9",
    "failed: resolve: nump: no version matches nump==9.9 for Python 3.11",
)

PAGES = {
    "installations": ("1", "j", "j", "j"),
    "installation": ("1", "d"),
    "environments": ("2",),
    "environment": ("2", "d"),
    "reap-plan": ("2", "X"),
    "match": ("3",),
    "match-build-question": ("3", "b"),
    "builds": ("4", "j", "j"),
    "build": ("4", "d"),
    "log": ("4", "l"),
    "log-errors": ("4", "l", "t", "w"),
    "cancel-question": ("4", "g", "c"),
    "config": ("5",),
    "content": ("2", ":", *"content", "enter"),
    "events": ("2", "!"),
    "help": ("3", "?"),
    "palette": ("3", "ctrl+p"),
    "raw": ("2", "v"),
    "filter": ("2", "/", *"py:3.11"),
}
"""By name the keys that lead to a page from wherever one is."""
LEAVE = ("escape",) * 4
"""Leaves whatever is open above a view and what narrows it."""
NEEDS_ROWS = {
    "installation",
    "environment",
    "reap-plan",
    "match-build-question",
    "build",
    "log",
    "log-errors",
    "cancel-question",
    "raw",
}

CONFIG_ERROR = Problem(
    "key-unknown",
    "there is no setting Exectuable in [Python]",
    "Executable",
    "Exectuable",
    Where("/etc/envdeck/envdeck.gcfg", 5, 1),
    "Correct the name",
)


def normal() -> FakeEngine:
    engine = FakeEngine()
    engine.write(FAILED, *LOG)
    engine.ring(FAILED).finish()
    return engine


def empty() -> FakeEngine:
    nothing = dict.fromkeys(("installations", "environments", "builds", "bundles", "contents"), ())
    return FakeEngine(snapshot(config=config(is_default=True), **nothing))


def bad() -> FakeEngine:
    engine = normal()
    one = engine.current
    engine.current = replace(
        one,
        config=config(CONFIG_ERROR, replace(CONFIG_ERROR, code="key-repeated", severity=Severity.WARNING)),
        installations=(installation("3.11.9", "No module named 'ensurepip'"), one.installations[-1]),
        environments=one.environments[2:],
        builds=tuple(replace(b, state=BuildState.LOST) if b.state is BuildState.DONE else b for b in one.builds),
        bundles=one.bundles[3:],
    )
    return engine


def read_only() -> FakeEngine:
    engine = normal()
    engine.current = replace(engine.current, read_only="/var/lib/envdeck is not writable by uid 1001")
    return engine


STATES = {
    "normal": (normal, {}, True),
    "empty": (empty, {}, False),
    "error": (bad, {}, False),
    "read-only": (read_only, {}, True),
    "no-colour": (normal, {"NO_COLOR": "1"}, True),
    "ascii": (normal, {}, False),
}


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day as everybody's files have them."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.usefixtures("utc")
async def test_every_page_looks_as_it_did(
    desk, request: pytest.FixtureRequest, state: str, size: tuple[int, int]
) -> None:
    make, environ, looks = STATES[state]
    asked = () if state in ("error", "read-only") else ("match-build-question", "cancel-question")
    update, problems = request.config.getoption("--update-snapshots"), []
    async with desk(make(), size=size, profile=Profile({}, ascii=state == "ascii"), environ=environ) as d:
        for name, keys in PAGES.items():
            if state == "empty" and name in NEEDS_ROWS:
                continue
            await d.hurry(*LEAVE, *keys)
            await d.until(lambda name=name: is_complete(name, d.app.page, asked), name)
            if name == "log-errors":
                await d.hurry("e")
            await d.settle()
            path = SNAPSHOTS / state / f"{name}-{size[0]}x{size[1]}.txt"
            now = screen_text(d.app.screen._compositor.render_strips(), looks=looks)
            if update:
                path.parent.mkdir(exist_ok=True)
                path.write_text(now)
            elif (before := path.read_text() if path.exists() else "") != now:
                problems += [f"--- {path.relative_to(SNAPSHOTS)} is not what it was", *differences(before, now)]
    assert not problems, "\n".join([*problems, "if this is how it shall be: --update-snapshots"])


def is_complete(name: str, page: Page, asked: Collection[str]) -> bool:
    """Whether the page shows all that it shows a moment after it was opened; on those `asked` about, a question."""
    match page:
        case LogPage():
            return page.log_view.ended and len(page.log_view.log_text.errors) == 3
        case BuildsPage() | MatchPage() if page.table.current is not None:
            told = page._told if isinstance(page, BuildsPage) else page._explained
            return told == page.identity(page.table.current) and (page.prompt.busy or name not in asked)
        case _:
            return not name.startswith("log")


def differences(before: str, now: str) -> list[str]:
    """The lines that differ, with their numbers: `-` as they were, `+` as they are."""
    found = []
    old, new = before.splitlines(), now.splitlines()
    for number in range(max(len(old), len(new))):
        was, is_ = ("".join(lines[number : number + 1]) for lines in (old, new))
        if was != is_:
            found += [f"{number + 1:>3} - {was}", f"{number + 1:>3} + {is_}"]
    return found


def test_no_file_is_left_of_a_page_that_is_gone() -> None:
    wanted = {
        f"{state}/{name}-{size}.txt"
        for state in STATES
        for name in PAGES
        for size in ("80x24", "120x40")
        if state != "empty" or name not in NEEDS_ROWS
    }
    there = {str(path.relative_to(SNAPSHOTS)) for path in SNAPSHOTS.rglob("*.txt")}
    assert there == wanted

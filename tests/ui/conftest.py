"""What every test of the UI needs: a frozen clock, a private cache directory, and the screen as text."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

# Textual reads these while it is imported.
os.environ.update(TEXTUAL_THEME="ansi-dark", TEXTUAL_ANIMATIONS="none", TEXTUAL_SMOOTH_SCROLL="0")
for name in ("NO_COLOR", "TMUX", "SSH_CONNECTION", "TEXTUAL_COLOR_SYSTEM"):
    os.environ.pop(name, None)

from fake_engine import NOW, FakeEngine  # noqa: E402
from textual.events import Key  # noqa: E402
from textual.keys import _character_to_key  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from app.tui.app import EnvdeckApp  # noqa: E402


class Desk:
    """The app under test and the hands on it."""

    def __init__(self, app: EnvdeckApp, pilot: Pilot[None], engine: FakeEngine) -> None:
        self.app = app
        self.pilot = pilot
        self.engine = engine
        self.now = 1000.0
        """The app's monotonic clock."""

    @property
    def lines(self) -> list[str]:
        """The screen as it is, line by line."""
        return ["".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def status(self) -> str:
        """The prompt line."""
        return self.lines[-2].strip()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*text)

    async def hurry(self, *keys: str) -> None:
        """As `press`, but all keys at once, as they arrive over a slow line."""
        for key in keys:
            name = _character_to_key(key) if len(key) == 1 else key
            self.app.post_message(Key(name, key if len(key) == 1 else None))
        await self.pilot.pause()
        await self.settle()

    async def settle(self) -> None:
        """Let work that left the UI loop come back and be drawn."""
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        for _ in range(100):
            if condition():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"{what} did not come about:\n{self.text}")

    def wait_guard(self) -> None:
        """Let the time pass during which a question ignores keys."""
        self.now += 1.0


Opener = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def desk(tmp_path: Path) -> Opener:
    """Opens the app: ``async with desk(engine, size=(80, 24)) as d``."""

    @asynccontextmanager
    async def opened(
        engine: FakeEngine | None = None, size: tuple[int, int] = (80, 24), **options: Any
    ) -> AsyncIterator[Desk]:
        engine = engine or FakeEngine()
        holder: list[Desk] = []
        app = EnvdeckApp(
            engine,
            "0.1.0",
            environ={"XDG_CACHE_HOME": str(tmp_path / "cache"), **options.pop("environ", {})},
            clock=lambda: NOW,
            monotonic=lambda: holder[0].now if holder else 0.0,
            **options,
        )
        async with app.run_test(size=size) as pilot:
            holder.append(Desk(app, pilot, engine))
            await holder[0].settle()
            yield holder[0]

    return opened

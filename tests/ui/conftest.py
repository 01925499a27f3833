"""What every test of the UI needs: a frozen clock, a private cache directory, and the screen as text."""

from __future__ import annotations

import asyncio
import os
import time
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

# Textual reads these while it is imported.
os.environ.update(TEXTUAL_THEME="ansi-dark", TEXTUAL_ANIMATIONS="none", TEXTUAL_SMOOTH_SCROLL="0")
for name in ("NO_COLOR", "TMUX", "SSH_CONNECTION", "TEXTUAL_COLOR_SYSTEM"):
    os.environ.pop(name, None)

from fake_engine import FakeEngine  # noqa: E402
from fake_values import NOW  # noqa: E402
from textual._context import message_hook  # noqa: E402
from textual.events import Callback as CallbackEvent  # noqa: E402
from textual.events import Key  # noqa: E402
from textual.keys import REPLACED_KEYS, _character_to_key, _get_unicode_name_from_key  # noqa: E402
from textual.message import Message  # noqa: E402
from textual.message_pump import MessagePump  # noqa: E402
from textual.pilot import Pilot  # noqa: E402
from textual.timer import Timer  # noqa: E402

from app.tui.app import EnvdeckApp  # noqa: E402

_LONGEST = 60.0
_MOMENT = 0.005
_TURNS = 4
"""Of the event loop, for tasks that go on without a message, as those do that wait until something is mounted."""


class _Ask(CallbackEvent, bubble=False):
    """A message by which one sees that those before it have been taken."""

    def __init__(self, pump: MessagePump) -> None:
        super().__init__(_nothing)
        self.pump = pump


def _nothing() -> None:
    pass


class Desk:
    """The app under test and the hands on it."""

    pilot: Pilot[None]

    def __init__(self, app: EnvdeckApp, engine: FakeEngine) -> None:
        self.app = app
        self.engine = engine
        self.now = 1000.0
        """The app's monotonic clock."""
        self.later = 0.0
        """Seconds that have passed since the snapshot was taken."""
        self._taken = 0
        self._asked: set[MessagePump] = set()

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
        """Type the keys, each when all that came of the one before is there."""
        for key in keys:
            self._send(key)
            await self._rest()
        await self.settle()

    async def type(self, text: str) -> None:
        await self.press(*text)

    async def hurry(self, *keys: str) -> None:
        """As `press`, but all keys at once, as they arrive over a slow line."""
        for key in keys:
            self._send(key)
        await self.settle()

    async def press_and_go_on(self, key: str) -> None:
        """As `press`, without waiting for the work that the key begins."""
        self._send(key)
        await self._drain()

    def _send(self, key: str) -> None:
        """Press a key, known by its name or by the character that it types."""
        name = _character_to_key(key) if len(key) == 1 else key
        character = key if len(key) == 1 else None
        if character is None:
            with suppress(KeyError):
                character = unicodedata.lookup(_get_unicode_name_from_key(REPLACED_KEYS.get(name, name)))
        self.app.post_message(Key(name, character))

    async def settle(self) -> None:
        """Let all that is under way end and be drawn: messages, work that left the UI loop, and what is put off."""
        await self._rest()
        async with asyncio.timeout(_LONGEST):
            while any(self._put_off()):
                await asyncio.sleep(_MOMENT)
                await self._rest()

    async def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + _LONGEST
        while not condition():
            assert time.monotonic() < end, f"{what} did not come about:\n{self.text}"
            await asyncio.sleep(_MOMENT)
            await self._drain()

    async def _rest(self) -> None:
        """Return once there is nothing to do now, neither for the UI loop nor for those who work for it."""
        await self._drain()
        while working := [worker for worker in self.app.workers if not worker.is_finished]:
            await self.app.workers.wait_for_complete(working)
            await self._drain()

    async def _drain(self) -> None:
        """Return once every message has been taken, with all that came of it, and the screen is drawn.

        Textual's own waiting takes a process that gets no time for one that has nothing to do.
        """
        quiet, before = False, self._taken
        try:
            async with asyncio.timeout(_LONGEST):
                while not quiet and not self.app._exit and self.app._exception is None:
                    before = self._taken
                    await self._round()
                    self.app.screen._on_timer_update()
                    for _ in range(_TURNS):
                        await asyncio.sleep(0)
                    quiet = self._taken == before and not self._busy()
        except TimeoutError:
            waiting = [str(pump) for pump in self._asked]
            pytest.fail(f"{self._taken - before} more messages, busy: {self._busy()}, not answering: {waiting}")

    async def _round(self) -> None:
        """Return once everything on the screen has taken what was there for it."""
        self._asked = {p for p in self.app.screen.walk_children(with_self=True) if p.post_message(_Ask(p))}
        if self.app.post_message(_Ask(self.app)):
            self._asked.add(self.app)
        while any(not pump._closing and not pump._closed for pump in self._asked):
            await asyncio.sleep(0)

    def takes(self, message: Message) -> None:
        """Told of every message that is taken."""
        if isinstance(message, _Ask):
            self._asked.discard(message.pump)
        else:
            self._taken += 1

    def _busy(self) -> list[str]:
        """Who has something to do still. Who is closed takes nothing any more, whatever is left for it."""
        pumps = (pump for pump in self._pumps() if not pump._closing and not pump._closed)
        return [
            *(str(pump) for pump in pumps if pump._message_queue.qsize() or pump._next_callbacks),
            *(f"{screen} when drawn" for screen in self.app.screen_stack if screen._callbacks),
        ]

    def _pumps(self) -> Iterator[MessagePump]:
        """Everything that takes messages, on covered pages too."""
        yield self.app
        for stack in self.app._screen_stacks.values():
            for screen in stack:
                yield from screen.walk_children(with_self=True)

    def _put_off(self) -> Iterator[Timer]:
        """What is to be done once, after a time."""
        for pump in self._pumps():
            for timer in list(pump._timers):
                if timer._repeat == 0 and timer._task is not None and not timer._task.done():
                    yield timer

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
        app = EnvdeckApp(
            engine,
            "0.1.0",
            environ={"XDG_CACHE_HOME": str(tmp_path / "cache"), **options.pop("environ", {})},
            clock=lambda: NOW + desk.later,
            monotonic=lambda: desk.now,
            **options,
        )
        desk = Desk(app, engine)
        # For the pages that a test itself opens; the hook below is for the others.
        message_hook.set(desk.takes)
        async with app.run_test(size=size, message_hook=desk.takes) as pilot:
            desk.pilot = pilot
            await desk.settle()
            yield desk

    return opened

"""The app: its life, the pages on the screen, the engine's picture that they show, and what is said to the admin."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from rich.console import RenderableType
from rich.text import Text
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.events import Event as TextualEvent
from textual.events import Key, Resize
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen

from app.keys.actions import View
from app.keys.keymap import read_key_map
from app.tui import clipboard
from app.tui.actions import AppActions
from app.tui.events import Event, Level, changes
from app.tui.frames import Frames, ReadyUpdate
from app.tui.line_filters import AsciiOnly, NoColor, StripControl
from app.tui.lookups import Lookups
from app.tui.memory import give_back
from app.tui.messages import EngineChanged
from app.tui.offload import offload
from app.tui.outside import pager, run_outside
from app.tui.profile import PLAIN, Profile
from app.tui.screens.installations import InstallationsPage
from app.tui.screens.page import Page
from app.tui.steering import Steering
from app.tui.terminal import erases_in_colour
from engine import Engine, EnvdeckError

if TYPE_CHECKING:
    from app.tui.paths import PathCompletion

__all__ = ["EnvdeckApp"]

T = TypeVar("T")
_EVENTS_KEPT = 500
_OVERDUE = 2.0
"""Seconds after which a timer is not waited for any more."""


# The first view is on the screen before the others are loaded: they are more than half of all there is to load.


def _environments() -> Screen[Any]:
    from app.tui.screens.environments import EnvironmentsPage

    return EnvironmentsPage()


def _match() -> Screen[Any]:
    from app.tui.screens.match import MatchPage

    return MatchPage()


def _builds() -> Screen[Any]:
    from app.tui.screens.builds import BuildsPage

    return BuildsPage()


def _config() -> Screen[Any]:
    from app.tui.screens.config import ConfigPage

    return ConfigPage()


def _load_the_rest() -> None:
    """Load what is not on the screen yet, so that the first look at another view does not have to wait for it."""
    for name in ("environments", "match", "builds", "config", "log_page", "palette", "content", "events"):
        import_module(f"app.tui.screens.{name}")
    give_back()


class EnvdeckApp(App[None], inherit_bindings=False):
    """envdeck's terminal UI."""

    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[dict[str, Callable[[], Screen[Any]]]] = {  # type: ignore[assignment]  # wider in Textual
        View.INSTALLATIONS.value: InstallationsPage,
        View.ENVIRONMENTS.value: _environments,
        View.MATCH.value: _match,
        View.BUILDS.value: _builds,
        View.CONFIG.value: _config,
    }
    DEFAULT_MODE = View.INSTALLATIONS.value

    def __init__(
        self,
        engine: Engine,
        version: str,
        profile: Profile = PLAIN,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.version = version
        self.profile = profile
        self.clock = clock
        self.monotonic = monotonic
        self.snapshot = engine.snapshot()
        self.status = Text("")
        self.key_map, self.key_problems = read_key_map(self.snapshot.config.settings.keys)
        self.frozen = False
        """Whether the picture stands still although the engine has newer ones."""
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        if profile.manners:
            self.events.append(Event(clock(), Level.INFO, str(profile)))
        self.filters: list[str] = []
        self.searches: list[str] = []
        self.only_lines: list[str] = []
        self.owed: list[str] = []
        """What was begun here and ends with this session, unless it is done before."""
        self.steering = Steering(self)
        self.actions = AppActions(self)
        self.lookups = Lookups(self)
        self.environ = environ
        self._frames = Frames(erases_in_colour=erases_in_colour(environ))
        self._line_filters: list[LineFilter] = [StripControl()]
        if profile.ascii:
            self._line_filters.append(AsciiOnly())
        if environ.get("NO_COLOR"):
            self._line_filters.append(NoColor())
        self._taken = 0.0
        self._waiting = False
        self._due = 0.0
        self._arrived = False
        self._unsubscribe: Callable[[], object] = bool

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        """Send what a screen has drawn, as far as the terminal does not show it already."""
        if not isinstance(renderable, CompositorUpdate) or self.is_headless:
            super()._display(screen, renderable)
        elif not self._batch_count and self._running and not self._closed:
            frame = self._frames.reduce(renderable, self.console, self.size)
            if frame:
                super()._display(screen, ReadyUpdate(frame))

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._line_filters]

    # Life

    def on_mount(self) -> None:
        if not self.is_headless:
            self.end_on(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # The screen is empty after `fg` until something asks for a repaint (textual.md §3.8).
        self.app_resume_signal.subscribe(self, lambda _signal: self.repaint())
        self._unsubscribe = self.engine.subscribe(self._engine_changed)
        self._complain_of_keys()
        self.take_snapshot()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Start what would only hold up the first picture."""
        self.engine.start()
        threading.Thread(target=_load_the_rest, name="load", daemon=True).start()

    def end_on(self, *numbers: signal.Signals) -> None:
        """Leave the terminal as it was, and the engine closed, when one of these signals comes."""
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, partial(self.exit, return_code=128 + number))

    def on_resize(self, event: Resize) -> None:
        # Terminals rearrange what they show when their size changes.
        self._frames.forget()
        # Of two signals in quick succession the second is handled within the first, whose older size is then told last.
        if not self.is_headless and (size := Size(*shutil.get_terminal_size())) != event.size:
            self.post_message(Resize(size, size))

    def on_unmount(self) -> None:
        self._unsubscribe()

    @property
    def page(self) -> Page:
        """The page on top."""
        page = self.screen
        assert isinstance(page, Page)
        return page

    def repaint(self) -> None:
        """Send the whole screen again."""
        self._frames.forget()
        self.refresh(layout=True)

    # The engine's picture

    def _engine_changed(self) -> None:
        # In an engine thread: posting a message is all that is safe here.
        self.post_message(EngineChanged())

    def on_engine_changed(self) -> None:
        now = self.monotonic()
        # A timer of Textual that is late before it has begun never comes, as where the process gets no processor.
        if self._waiting and now < self._due + _OVERDUE:
            return
        self._waiting = True
        delay = max(0.01, self.profile.refresh - (now - self._taken))
        self._due = now + delay
        self.set_timer(delay, self.take_snapshot)

    def take_snapshot(self) -> None:
        """Show the latest snapshot, unless the picture is frozen or a question is open: nothing may change under it."""
        if self.frozen or self._asking or not self.screen_stack:
            return
        page = self.page
        self._waiting = False
        self._taken = self.monotonic()
        new = self.engine.snapshot()
        if new is self.snapshot:
            return
        old, self.snapshot = self.snapshot, new
        if new.looked and not old.looked:
            # The first look takes more memory than any other, and than what it leaves.
            self.perform(give_back, bool)
        for event in changes(old, new):
            self._tell(event)
        if new.config.settings.keys != old.config.settings.keys:
            self.key_map, self.key_problems = read_key_map(new.config.settings.keys)
            self._complain_of_keys()
        if page.is_mounted:
            page.show()

    def freeze(self) -> None:
        """Let the picture stand still."""
        self.frozen = True
        self.page.refresh_chrome()

    def thaw(self) -> None:
        """Let the picture go on."""
        if self.frozen:
            self.frozen = False
            self.take_snapshot()
            self.page.refresh_chrome()

    @property
    def _asking(self) -> bool:
        """Whether something is being decided, on the page on top or on one that shows its plan above itself."""
        return any(isinstance(page, Page) and page.is_mounted and page.prompt.asking for page in self.screen_stack)

    def _complain_of_keys(self) -> None:
        for problem in self.key_problems:
            self._tell(Event(self.clock(), Level.WARNING, str(problem)))

    def catch_up(self) -> None:
        """Show what waited for an answer."""
        if self._waiting:
            self.take_snapshot()
        if self._arrived:
            self.redraw()

    def redraw(self) -> None:
        """Show what was looked up, unless a question is open."""
        self._arrived = self._asking
        # The pages go one by one when envdeck ends, and what was under way may still arrive.
        if not self._arrived and self.screen_stack and self.page.is_mounted:
            self.page.show()

    # Talking

    def say(self, text: str, level: Level = Level.INFO) -> None:
        """Put a message on the status line and into the history."""
        self._tell(Event(self.clock(), level, text))

    def be_quiet(self) -> None:
        """Take what was said off the status line."""
        self.status = Text("")
        self._show_status()

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self.status = event.line()
        self._show_status()
        if self.screen_stack and self.page.shows_events:
            self.redraw()

    def _show_status(self) -> None:
        # A page that is just being opened shows it when it is there.
        if self.screen_stack and self.page.is_mounted:
            self.page.prompt.say(self.status)

    def perform(self, work: Callable[[], T], then: Callable[[T], object]) -> None:
        """Run `work` away from the UI loop, then `then` with its result; what goes wrong is said."""

        async def run() -> None:
            try:
                result = await offload(work)
            except EnvdeckError as error:
                self.say(error.problem.what_first, Level.ERROR)
            except Exception as error:
                # A defect in work that left the loop: the admin is told of it, and the UI goes on.
                self.say(f"internal error: {type(error).__name__}: {error}", Level.ERROR)
            else:
                then(result)

        self.run_worker(run(), exit_on_error=False)

    # Keys and pages

    async def on_event(self, event: TextualEvent) -> None:
        """Keys are taken here, one after the other, each by what the one before has led to.

        By Textual's own way a key reaches the prompt before the key that opens it has opened it, when both arrive
        together as they do over a slow line: `/x` would reap.
        """
        if isinstance(event, Key) and not event.is_forwarded:
            self.steering.take(event)
        else:
            await super().on_event(event)

    def go(self, view: View) -> None:
        """Show a view; when it is the one shown already, leave the pages above it. What was being asked is dropped."""
        for page in self.screen_stack:
            if isinstance(page, Page) and page.prompt.busy:
                page.prompt.cancel()
        if self.current_mode == view.value:
            while len(self.screen_stack) > 1:
                self.pop_screen()
        self.switch_mode(view.value)
        self.call_after_refresh(self.catch_up)

    def open_log(self, build_id: str) -> None:
        """Show the live log of a build above the page that is there, or instead of another log.

        Keys that are typed meanwhile are for the log.
        """
        # A frozen picture would not know the build.
        self.thaw()
        from app.tui.screens.log_page import LogPage

        below = self.page
        if below.is_mounted and below.prompt.busy:
            below.prompt.cancel()
        page = LogPage(build_id, below.view)
        self.steering.wait_for(page)
        if isinstance(below, LogPage):
            self.switch_screen(page)
        else:
            self.push_screen(page)
        self.call_after_refresh(self.catch_up)

    def path_completion(self, suffixes: tuple[str, ...] = ("",)) -> PathCompletion:
        """Completes paths on the prompt line that is shown now, to directories and files with these endings."""
        from app.tui.paths import PathCompletion

        return PathCompletion(self.perform, self.page.prompt.complete_again, suffixes)

    def read_outside(self, text: str) -> None:
        """Show `text` in the admin's pager."""
        argv = pager(self.environ)
        problem = run_outside(self, argv, text.encode("utf-8", "replace")) if argv else "no pager is set: see $PAGER"
        if problem:
            self.say(problem, Level.WARNING)

    def copy(self, name: str, text: str) -> None:
        """Copy `text` and say where it went."""

        def send(held: str) -> None:
            self.call_later(self.copy_to_clipboard, held)

        self.perform(lambda: clipboard.copy(text, self.environ, send), lambda where: self.say(f"{name}: {where}"))

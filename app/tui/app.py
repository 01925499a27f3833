"""The app: holds the engine, takes its snapshots, and does what the keys say through the one registry."""

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

from app.keys.actions import HOMES, ROWS, Action, Scope, View
from app.keys.context import complete, find_command, resolve, why_not
from app.keys.keymap import read_key_map
from app.tui import clipboard
from app.tui.describe.help import help_lines
from app.tui.events import Event, Level, changes
from app.tui.frames import Frames, ReadyUpdate
from app.tui.line_filters import AsciiOnly, NoColor, StripControl
from app.tui.lookups import Lookups
from app.tui.messages import EngineChanged
from app.tui.offload import offload
from app.tui.outside import pager, run_outside
from app.tui.profile import PLAIN, Profile
from app.tui.screens.installations import InstallationsPage
from app.tui.screens.page import Page, key_of
from app.tui.screens.table_page import TablePage
from app.tui.screens.text_page import TextPage
from app.tui.terminal import erases_in_colour
from app.tui.text import count, safe
from app.tui.widgets.prompt import Editing
from engine import BuildState, Engine, EnvdeckError

if TYPE_CHECKING:
    from app.tui.paths import PathCompletion
    from app.tui.screens.content import ContentPage
    from app.tui.screens.events import EventsPage

__all__ = ["EnvdeckApp"]

T = TypeVar("T")
_EVENTS_KEPT = 500
_KEYS_AHEAD = 100
"""Keys that are kept while a page is being put up."""
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
    from app.tui.memory import give_back

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
        self.started_by = ""
        """The key that started what is being done."""
        self.key_map, self.key_problems = read_key_map(self.snapshot.config.settings.keys)
        self.frozen = False
        """Whether the picture stands still although the engine has newer ones."""
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        if profile.manners:
            self.events.append(Event(clock(), Level.INFO, str(profile)))
        self.filters: list[str] = []
        self.searches: list[str] = []
        self.only_lines: list[str] = []
        self._keys: deque[Key] = deque(maxlen=_KEYS_AHEAD)
        self._awaited: Page | None = None
        """The page that keys wait for."""
        self.commands: list[str] = []
        self.owed: list[str] = []
        """What was begun here and ends with this session, unless it is done before."""
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
        for event in changes(old, new):
            self._tell(event)
        if new.config.settings.keys != old.config.settings.keys:
            self.key_map, self.key_problems = read_key_map(new.config.settings.keys)
            self._complain_of_keys()
        if page.is_mounted:
            page.show()

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

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self.status = event.line()
        if not self.screen_stack:
            return
        self.page.prompt.say(self.status)
        if self.page.shows_events:
            self.redraw()

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

    # Actions

    async def on_event(self, event: TextualEvent) -> None:
        """Keys are taken here, one after the other, each by what the one before has led to.

        By Textual's own way a key reaches the prompt before the key that opens it has opened it, when both arrive
        together as they do over a slow line: `/x` would reap.
        """
        if isinstance(event, Key) and not event.is_forwarded:
            self._keys.append(event)
            self.take_keys()
        else:
            await super().on_event(event)

    def take_keys(self) -> None:
        """Do what was typed, as far as there is a page that shows what it is about."""
        while self._keys and self.is_running and self.page.ready and self._awaited in (None, self.page):
            event, page, self._awaited = self._keys.popleft(), self.page, None
            if page.prompt.busy:
                page.take_prompt_key(event)
                continue
            key = key_of(event)
            action = resolve(page.context(), key)
            if action is not None:
                self.started_by = key
                self.perform_action(action)

    def perform_action(self, action: Action, argument: str = "") -> None:
        """Do it if it can be done here and now, else say why not."""
        page = self.page
        if action.scope in HOMES and (
            action.scope not in page.context().scopes or (argument and action.argument in ROWS)
        ):
            self._perform_at_home(action, argument)
            return
        if action.scope is Scope.MOVE:
            page.mover.move(action.id)
            return
        self.status = Text("")
        page.prompt.say(self.status)
        why = why_not(action, page.context())
        if why:
            self.say(f"{action.label}: {why}", Level.WARNING)
            return
        if action.view is not None:
            self.go(action.view)
            return
        handler: Callable[[str], None] = getattr(page, action.method, None) or getattr(self, action.method)
        handler(argument)

    def _perform_at_home(self, action: Action, argument: str) -> None:
        """Go to the view of the action and do it there, on the row that is named."""
        if action.argument in ROWS and not argument:
            self.say(f"which one? :{action.commands[0]} {action.argument}", Level.WARNING)
            return
        self.go(HOMES[action.scope])

        def perform() -> None:
            page = self.page
            if not isinstance(page, TablePage) or action.scope not in page.context().scopes:
                return
            if action.argument in ROWS and (problem := page.point_at(argument)):
                self.say(f"{action.label}: {problem}", Level.WARNING)
            elif why := why_not(action, page.context()):
                self.say(f"{action.label}: {why}", Level.WARNING)
            else:
                getattr(page, action.method)(argument)

        self.call_after_refresh(perform)

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
        """Show the live log of a build, above the Builds view. Keys that are typed meanwhile are for the log."""
        # A frozen picture would not know the build.
        self._thaw()
        from app.tui.screens.log_page import LogPage

        self._awaited = LogPage(build_id)
        self.go(View.BUILDS)
        self.call_after_refresh(self.push_screen, self._awaited)

    def do_command(self, argument: str) -> None:
        from app.tui.paths import BUNDLES, shown_name

        context, paths = self.page.context(), self.path_completion(BUNDLES)

        def values(kind: str, start: str) -> Sequence[str] | None:
            return paths(start) if kind == "PATH" else self._values(kind)

        def candidates(text: str) -> Sequence[str] | None:
            return complete(context, text, values) if text else ()

        self.page.edit(
            Editing(
                ":",
                done=self._run_command,
                complete=candidates,
                name=lambda text: shown_name(text.partition(" ")[2] or text),
                history=self.commands,
                still=True,
                text=f"{argument} " if argument else "",
            )
        )

    def path_completion(self, suffixes: tuple[str, ...] = ("",)) -> PathCompletion:
        """Completes paths on the prompt line that is shown now, to directories and files with these endings."""
        from app.tui.paths import PathCompletion

        return PathCompletion(self.perform, self.page.prompt.complete_again, suffixes)

    def _values(self, argument: str) -> Sequence[str]:
        """What an argument of a command can be."""
        now = self.snapshot
        match argument:
            case "BUNDLE":
                return [entry.name for entry in now.bundles]
            case "KEY":
                return [env.key for env in now.environments]
            case "BUILD":
                return [build.id for build in now.builds]
            case "FILE":
                return [str(file) for file in now.config.files]
            case "PYTHON":
                return [str(each.version) for each in now.installations if each.version is not None]
            case "THEME":
                return list(self.available_themes)
        return self.page.argument_values(argument)

    def _run_command(self, text: str) -> None:
        word, _space, argument = text.strip().partition(" ")
        if not word:
            return
        self.commands.append(text)
        action = find_command(self.page.context(), word)
        if action is None:
            self.say(f"no command {word} here; ? lists them", Level.WARNING)
        else:
            self.perform_action(action, argument.strip())

    def do_help(self, _argument: str) -> None:
        lines = help_lines(self.page.context())
        self.push_screen(TextPage(self.page.view, "Help", lambda _snapshot: lines))

    def do_events(self, _argument: str) -> None:
        from app.tui.screens.events import EventsPage

        self._show_above(EventsPage)

    def do_palette(self, _argument: str) -> None:
        from app.tui.screens.palette import PalettePage

        self.push_screen(PalettePage(self.page.view, self.page.context()))

    def do_refresh(self, _argument: str) -> None:
        self._thaw()
        self.lookups.forget_all()
        self.engine.request_refresh()
        self.say("looking at everything again")

    def do_freeze(self, _argument: str) -> None:
        if self.frozen:
            self.say("the picture goes on")
            self._thaw()
        else:
            self.frozen = True
            self.page.refresh_chrome()
            self.say("the picture stands still; the same key lets it go on, and builds go on meanwhile")

    def _thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.take_snapshot()
            self.page.refresh_chrome()

    def do_redraw(self, _argument: str) -> None:
        self.repaint()

    def do_theme(self, argument: str) -> None:
        if argument in self.available_themes:
            self.theme = argument
        else:
            self.say(f"themes: {', '.join(sorted(self.available_themes))}", Level.WARNING)

    def do_content(self, _argument: str) -> None:
        from app.tui.screens.content import ContentPage

        self._show_above(ContentPage)

    def _show_above(self, kind: type[ContentPage] | type[EventsPage]) -> None:
        """Show a page of this kind above the view, or go back to the one that is there."""
        if not any(isinstance(page, kind) for page in self.screen_stack):
            self.push_screen(kind(self.page.view))
            return
        while not isinstance(self.page, kind):
            self.pop_screen()

    def do_open(self, argument: str) -> None:
        from app.tui.paths import BUNDLES, shown_name
        from app.tui.screens.opening import open_bundle

        if argument:
            open_bundle(self, argument)
        else:
            paths = self.path_completion(BUNDLES)
            self.page.edit(Editing("open bundle: ", done=partial(open_bundle, self), complete=paths, name=shown_name))

    def do_build_bundle(self, argument: str) -> None:
        from app.tui.screens.opening import build_by_name

        build_by_name(self, argument)

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

    def do_back(self, _argument: str) -> None:
        if not self.page.step_back() and len(self.screen_stack) > 1:
            self.pop_screen()

    def do_leave(self, argument: str) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()
        else:
            self.do_quit(argument)

    def do_quit(self, _argument: str) -> None:
        running = sum(build.state is BuildState.RUNNING for build in self.snapshot.builds)
        remarks = [f"{count(running, 'build')} still running; `envdeck builds` shows them"] if running else []
        told = Text("\n").join(safe(remark) for remark in (*remarks, *self.owed))
        self.exit(message=told or None)

    def do_suspend(self, _argument: str) -> None:
        self.action_suspend_process()

    def do_interrupt(self, _argument: str) -> None:
        self.say("q quits")

"""What the app itself does on every page: the actions of no view."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from app.tui.command_line import CommandLine
from app.tui.describe.help import help_lines
from app.tui.events import Level
from app.tui.screens.text_page import TextPage
from app.tui.text import count, safe
from app.tui.widgets.prompt import Editing
from engine import BuildState

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp
    from app.tui.screens.content import ContentPage
    from app.tui.screens.events import EventsPage

__all__ = ["AppActions"]


class AppActions:
    """A method for each, with the argument of the command that it was called by."""

    def __init__(self, deck: EnvdeckApp) -> None:
        self._deck = deck
        self._command_line = CommandLine(deck)

    def do_command(self, argument: str) -> None:
        self._command_line.ask(argument)

    def do_help(self, _argument: str) -> None:
        lines = help_lines(self._deck.page.context())
        self._deck.push_screen(TextPage(self._deck.page.view, "Help", lambda _snapshot: lines))

    def do_events(self, _argument: str) -> None:
        from app.tui.screens.events import EventsPage

        self._show_above(EventsPage)

    def do_palette(self, _argument: str) -> None:
        from app.tui.screens.palette import PalettePage

        self._deck.push_screen(PalettePage(self._deck.page.view, self._deck.page.context()))

    def do_refresh(self, _argument: str) -> None:
        self._deck.thaw()
        self._deck.lookups.forget_all()
        self._deck.engine.request_refresh()
        self._deck.say("looking at everything again")

    def do_freeze(self, _argument: str) -> None:
        if self._deck.frozen:
            self._deck.say("the picture goes on")
            self._deck.thaw()
        else:
            self._deck.freeze()
            self._deck.say("the picture stands still; the same key lets it go on, and builds go on meanwhile")

    def do_redraw(self, _argument: str) -> None:
        self._deck.repaint()

    def do_theme(self, argument: str) -> None:
        if argument in self._deck.available_themes:
            self._deck.theme = argument
        else:
            self._deck.say(f"themes: {', '.join(sorted(self._deck.available_themes))}", Level.WARNING)

    def do_content(self, _argument: str) -> None:
        from app.tui.screens.content import ContentPage

        self._show_above(ContentPage)

    def _show_above(self, kind: type[ContentPage] | type[EventsPage]) -> None:
        """Show a page of this kind above the view, or go back to the one that is there."""
        if not any(isinstance(page, kind) for page in self._deck.screen_stack):
            self._deck.push_screen(kind(self._deck.page.view))
            return
        while not isinstance(self._deck.page, kind):
            self._deck.pop_screen()

    def do_open(self, argument: str) -> None:
        from app.tui.paths import BUNDLES, shown_name
        from app.tui.screens.opening import open_bundle

        if argument:
            open_bundle(self._deck, argument)
        else:
            paths = self._deck.path_completion(BUNDLES)
            self._deck.page.edit(
                Editing("open bundle: ", done=partial(open_bundle, self._deck), complete=paths, name=shown_name)
            )

    def do_build_bundle(self, argument: str) -> None:
        from app.tui.screens.opening import build_by_name

        build_by_name(self._deck, argument)

    def do_back(self, _argument: str) -> None:
        if not self._deck.page.step_back() and len(self._deck.screen_stack) > 1:
            self._deck.pop_screen()

    def do_leave(self, argument: str) -> None:
        if len(self._deck.screen_stack) > 1:
            self._deck.pop_screen()
        else:
            self.do_quit(argument)

    def do_quit(self, _argument: str) -> None:
        running = sum(build.state is BuildState.RUNNING for build in self._deck.snapshot.builds)
        remarks = [f"{count(running, 'build')} still running; `envdeck builds` shows them"] if running else []
        told = Text("\n").join(safe(remark) for remark in (*remarks, *self._deck.owed))
        self._deck.exit(message=told or None)

    def do_suspend(self, _argument: str) -> None:
        self._deck.action_suspend_process()

    def do_interrupt(self, _argument: str) -> None:
        self._deck.say("q quits")

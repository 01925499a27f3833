"""The live log of one build, full screen."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual.app import ComposeResult

from app.tui.actions import Scope, View
from app.tui.context import InputContext
from app.tui.describe.build import build_headline, remark
from app.tui.screens.cancelling import ask_to_cancel, why_no_cancel
from app.tui.screens.page import Page
from app.tui.text import safe
from app.tui.widgets.build_log import BuildLog
from app.tui.widgets.chrome import rule
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing
from engine import Build, BuildState, LogRing

__all__ = ["LogPage"]

_POLL = 1 / 10


class LogPage(Page):
    """Where the build stands, for a failed one what to do, and the log below."""

    view = View.BUILDS
    scopes = (Scope.LOG, Scope.TEXT)
    top = False

    def __init__(self, build_id: str) -> None:
        super().__init__()
        self.build_id = build_id

    def body(self) -> ComposeResult:
        self.log_view = BuildLog(id="log")
        yield OneLine(id="title")
        yield OneLine(id="subtitle")
        yield OneLine(id="advice")
        yield self.log_view

    @property
    def mover(self) -> BuildLog:
        return self.log_view

    @property
    def build(self) -> Build | None:
        return next((build for build in self.snapshot.builds if build.id == self.build_id), None)

    def on_mount(self) -> None:
        self.deck.perform(lambda: self.deck.engine.follow(self.build_id), self._take_ring)
        self.set_interval(_POLL, self._poll)
        self.set_interval(1.0, self._tick)

    def _take_ring(self, ring: LogRing) -> None:
        self.log_view.ring = ring
        self._poll()

    def _poll(self) -> None:
        if self.is_current:
            self.log_view.poll()

    def _tick(self) -> None:
        build = self.build
        if self.is_current and build is not None and build.state is BuildState.RUNNING:
            self._draw_title()

    def show(self) -> None:
        self._draw_title()
        self.refresh_chrome()

    def _draw_title(self) -> None:
        build = self.build
        title, subtitle, advice = safe(f" Log of {self.build_id}", "bold"), safe(""), safe("")
        if build is not None:
            title = safe(" ")
            title.append_text(build_headline(build, self.deck.clock()))
            subtitle = remark(build)
            if build.fault is not None and build.fault.advice:
                advice = safe(f"try {build.fault.advice}")
        # The last of these lines sets the log apart.
        if advice.plain:
            subtitle, advice = Text.assemble("   ", subtitle), rule(advice, self.app.size.width)
        else:
            subtitle = rule(subtitle, self.app.size.width)
        self.query_one("#title", OneLine).show(title)
        self.query_one("#subtitle", OneLine).show(subtitle)
        self.query_one("#advice", OneLine).show(advice)
        self.query_one("#advice", OneLine).display = bool(advice.plain)

    def on_build_log_changed(self) -> None:
        self.refresh_chrome()

    def tally(self) -> str:
        log = self.log_view
        parts = []
        if log.needle:
            place = f"{log.place + 1}/{len(log.found)}" if log.found else "0 found"
            parts.append(f"{place} /{log.needle}")
        ended = log.ring is not None and log.ring.finished
        place = f"line {log.top + 1}/{log.count}" if log.count else "empty"
        parts.append("following" if log.following and not ended else place)
        return "  ".join(parts)

    def context(self) -> InputContext:
        return replace(super().context(), selected=True, cannot_cancel=why_no_cancel(self.build))

    # Actions

    def do_follow(self, _argument: str) -> None:
        self.log_view.toggle_follow()

    def do_search(self, _argument: str) -> None:
        log = self.log_view
        self.edit(Editing("/", done=self._searched, cancelled=lambda: log.search(""), history=self.deck.searches))

    def _searched(self, text: str) -> None:
        self.deck.searches.append(text)
        self.log_view.search(text)
        if text and not self.log_view.found:
            self.deck.say(f"{text} is not in the log")

    def do_search_next(self, _argument: str) -> None:
        self.log_view.next_match(1)

    def do_search_previous(self, _argument: str) -> None:
        self.log_view.next_match(-1)

    def do_times(self, _argument: str) -> None:
        self.log_view.toggle_times()

    def do_left(self, _argument: str) -> None:
        self.log_view.shift(-1)

    def do_right(self, _argument: str) -> None:
        self.log_view.shift(1)

    def do_cancel_log(self, _argument: str) -> None:
        ask_to_cancel(self, self.build_id)

    def do_copy_text(self, _argument: str) -> None:
        copies = {"t": ("log", self.log_view.text), "i": ("id", self.build_id)}
        if self.build is not None:
            copies["p"] = ("path", str(self.build.log))
        self.offer_copies(copies)

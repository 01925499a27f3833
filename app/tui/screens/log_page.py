"""The live log of one build, full screen."""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult

from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.tui.describe.build import advice, build_headline, log_ending, remark
from app.tui.document import Line
from app.tui.events import Level
from app.tui.filters import Filter, line_test, parse_filter
from app.tui.screens.build_text import build_text
from app.tui.screens.cancelling import ask_to_cancel, why_no_cancel
from app.tui.screens.page import Page
from app.tui.screens.retrying import ask_to_retry, why_no_retry
from app.tui.screens.saving import ask_to_save
from app.tui.screens.text_page import TextPage
from app.tui.text import count, safe
from app.tui.widgets.build_log import BuildLog
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing
from engine import Build, LogRing, Snapshot

__all__ = ["LogPage"]

_POLL = 1 / 10
_AGES = 1.0
"""Seconds after which the time that a build has taken is shown anew."""


class LogPage(Page):
    """Where the build stands, for a failed one what to do, and the log below."""

    scopes = (Scope.LOG, Scope.TEXT)
    top = False

    def __init__(self, build_id: str, view: View) -> None:
        super().__init__()
        self.view = view
        self.build_id = build_id
        self._known: Build | None = None
        """The build as it was seen last."""
        self.filter = Filter()

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
        return _build_of(self.snapshot, self.build_id)

    def on_mount(self) -> None:
        self.deck.perform(lambda: self.deck.engine.follow(self.build_id), self._take_ring)
        self.set_interval(_POLL, self._poll)
        self.set_interval(_AGES, self._tick)

    def _take_ring(self, ring: LogRing) -> None:
        self.log_view.ring = ring
        self._poll()

    def _poll(self) -> None:
        if self.is_current:
            self.log_view.poll()
            self._tell_end()

    def _tick(self) -> None:
        build = self.build
        if self.may_change and build is not None and not build.state.final:
            self._draw_title()

    def _tell_end(self) -> None:
        build, errors = self.build, self.log_view.log_text.errors
        if build is not None and build.state.final and self.log_view.ended:
            first = errors[0] + 1 if errors else 0
            self.log_view.end(log_ending(build, self.deck.clock(), first))

    def show(self) -> None:
        self._draw_title()
        self.refresh_chrome()

    def _draw_title(self) -> None:
        there = self.build
        build = self._known = there or self._known
        title, subtitle, hint = safe(f" Log of {self.build_id}", "bold"), safe(""), safe("")
        if build is not None:
            title = Text.assemble(" ", build_headline(build, self.deck.clock()), end="")
            subtitle, hint = remark(build), advice(build)
        if build is not None and there is None:
            title.append("  no longer there", "yellow not bold")
            subtitle = safe("its record and its log were deleted; this is what was read before", "yellow")
        # The last of these lines sets the log apart.
        last = not hint.plain
        self.query_one("#title", OneLine).show(title)
        self.query_one("#subtitle", OneLine).show(subtitle if last else Text.assemble("   ", subtitle), ruled=last)
        self.query_one("#advice", OneLine).show(hint, ruled=not last)
        self.query_one("#advice", OneLine).display = bool(hint.plain)

    def on_build_log_changed(self) -> None:
        self.refresh_chrome()

    def tally(self) -> str:
        log = self.log_view
        text = log.log_text
        parts = []
        if log.sought.terms:
            parts.append(_count(text.found, log.place, f"/{log.sought.text}"))
        elif log.place in text.errors:
            parts.append(_count(text.errors, log.place, "errors"))
        if text.filtered:
            parts.append(f"{text.count} of {text.total} &{self.filter.text}")
        place = f"line {log.line_number}/{text.total}" if text.total else "empty"
        parts.append("following" if log.following and not log.ended else place)
        return "  ".join(parts)

    def context(self) -> InputContext:
        return replace(
            super().context(),
            selected=self.build is not None,
            cannot_cancel=why_no_cancel(self.build),
            cannot_retry=why_no_retry(self.build),
        )

    def step_back(self) -> bool:
        if self.log_view.sought.terms:
            self.log_view.search(Filter())
        elif self.filter.text:
            self._show_only("")
        else:
            return False
        return True

    # Actions

    def do_follow(self, _argument: str) -> None:
        self.log_view.toggle_follow()

    def do_search(self, _argument: str) -> None:
        log = self.log_view
        self.edit(Editing("/", done=self._searched, cancelled=lambda: log.search(Filter()), history=self.deck.searches))

    def _searched(self, text: str) -> None:
        sought = parse_filter(text, ())
        if sought.problem:
            self.deck.say(sought.problem, Level.WARNING)
            return
        if sought.terms:
            self.deck.searches.append(text)
        self.log_view.search(sought)
        held = self.log_view.log_text
        if not sought.terms or (held.found and not held.dropped):
            return
        where = "what is shown of the log" if self.filter.text or held.dropped else "the log"
        found = f"{len(held.found)} found" if held.found else f"{text} is not in {where}"
        self.deck.say(f"{found}{self._unsearched}", Level.INFO if held.found else Level.WARNING)

    @property
    def _unsearched(self) -> str:
        """What to add to any answer about the lines that are held, when there were more."""
        dropped = self.log_view.log_text.dropped
        return f"; {count(dropped, 'older line')} not searched, `envdeck log --grep` does" if dropped else ""

    def do_search_next(self, _argument: str) -> None:
        self._next_match(1)

    def do_search_previous(self, _argument: str) -> None:
        self._next_match(-1)

    def _next_match(self, direction: int) -> None:
        if self.log_view.sought.terms:
            self.log_view.next_match(direction)
        else:
            self.deck.say("/ searches for something first")

    def do_show_only(self, argument: str) -> None:
        if argument:
            self._show_only(argument)
            return
        self.edit(
            Editing("only lines with: ", done=self._show_only, history=self.deck.only_lines, text=self.filter.text)
        )

    def _show_only(self, text: str) -> None:
        chosen = parse_filter(text, ())
        if chosen.problem:
            self.deck.say(chosen.problem, Level.WARNING)
            return
        if text.strip():
            self.deck.only_lines.append(text)
        self.filter = chosen if chosen.terms else Filter()
        self.log_view.filter(line_test(chosen))
        if chosen.terms and not self.log_view.log_text.count:
            self.deck.say(f"no line is {text}; Esc shows all again{self._unsearched}", Level.WARNING)

    def do_error_next(self, _argument: str) -> None:
        self._next_error(1)

    def do_error_previous(self, _argument: str) -> None:
        self._next_error(-1)

    def _next_error(self, direction: int) -> None:
        if not self.log_view.next_error(direction):
            dropped = self.log_view.log_text.dropped
            elsewhere = f"; `envdeck log {self.build_id} --errors` looks at all lines" if dropped else ""
            self.deck.say(f"no line that is shown tells of an error{elsewhere}")

    def do_wrap(self, _argument: str) -> None:
        self.log_view.toggle_wrap()

    def do_times(self, _argument: str) -> None:
        self.log_view.toggle_times()

    def do_left(self, _argument: str) -> None:
        self.log_view.shift(-1)

    def do_right(self, _argument: str) -> None:
        self.log_view.shift(1)

    def do_save(self, _argument: str) -> None:
        what = "these lines" if self.filter.text else "the log"
        ask_to_save(self, what, f"envdeck-{self.build_id}.log", self._saved_lines)

    def _saved_lines(self) -> Iterator[str]:
        """What is shown, but all of it, read from the disk. Runs off the loop."""
        wanted, times = line_test(self.filter), self.log_view.times
        for line in self.deck.engine.read_log(self.build_id):
            if wanted is None or wanted(line.text):
                stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime(line.at)) if times else ""
                yield stamp + line.text

    def do_describe_build(self, _argument: str) -> None:
        build_id = self.build_id

        def write(snapshot: Snapshot) -> list[Line] | None:
            build = _build_of(snapshot, build_id)
            return build_text(self.deck, build) if build is not None else None

        self.app.push_screen(TextPage(self.view, f"Build {build_id}", write, ages=_AGES))

    def do_retry_log(self, _argument: str) -> None:
        if self.build is not None:
            ask_to_retry(self, self.build)

    def do_cancel_log(self, _argument: str) -> None:
        ask_to_cancel(self, self.build_id)

    def do_pager(self, _argument: str) -> None:
        self.deck.perform(lambda: "".join(f"{line}\n" for line in self._saved_lines()), self.deck.read_outside)

    def do_copy_text(self, _argument: str) -> None:
        copies = {"t": ("log", self.log_view.log_text.text), "i": ("id", self.build_id)}
        if self.build is not None:
            copies["p"] = ("path", str(self.build.log))
        self.offer_copies(copies)


def _build_of(snapshot: Snapshot, build_id: str) -> Build | None:
    return next((build for build in snapshot.builds if build.id == build_id), None)


def _count(numbers: list[int], place: int, what: str) -> str:
    """``3/17 what`` for the third of the numbers."""
    if not numbers:
        return f"0 found {what}"
    return f"{numbers.index(place) + 1 if place in numbers else '-'}/{len(numbers)} {what}"

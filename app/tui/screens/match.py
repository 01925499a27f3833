"""View 3: what each bundle gets and why."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer

from app.cli import json_output
from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.tui.amounts import Unit, version_amount
from app.tui.describe.bundle import answer, explain, why_no_environment
from app.tui.describe.trial import describe_trial, hint
from app.tui.document import Line, empty_note
from app.tui.events import Level
from app.tui.screens.building import ask_to_build
from app.tui.screens.table_page import TablePage
from app.tui.screens.text_page import TextPage
from app.tui.symbols import plan_mark
from app.tui.text import safe
from app.tui.widgets.columns import Column, Facet
from app.tui.widgets.detail import Detail
from app.tui.widgets.lines import LineWidget
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Editing
from engine import Bundle, BundleEntry, Problem, ProvenanceStep, Trial, parse_request

__all__ = ["MatchPage"]

_SETTLE = 0.08
"""Seconds the cursor rests before its bundle is explained, so that a held key does not send an explanation per row."""


def _asks(entry: BundleEntry) -> str:
    """What decides the match: the constraint where there is one, else the version."""
    if entry.plan is None:
        return ""
    request = entry.plan.match.request
    return str(request.requires or request.version or request)


def _chosen(entry: BundleEntry) -> str:
    chosen = entry.plan.match.chosen if entry.plan else None
    return str(chosen.version) if chosen else "-"


class MatchPage(TablePage[BundleEntry]):
    view = View.MATCH
    scopes = (Scope.MATCH,)
    columns = (
        Column[BundleEntry]("bundle", lambda entry, _now: safe(entry.name), 16, "b", lambda entry: entry.name, grow=1),
        Column[BundleEntry]("asks for", lambda entry, _now: safe(_asks(entry)), 8, "a", _asks, priority=1, grow=1),
        Column[BundleEntry]("gets", lambda entry, _now: safe(_chosen(entry)), 8, "g", _chosen),
        Column[BundleEntry](
            "environment",
            lambda entry, _now: plan_mark(entry.plan).text(),
            11,
            "e",
            lambda entry: plan_mark(entry.plan).word,
        ),
        Column[BundleEntry](
            "because", lambda entry, _now: answer(entry), 24, "w", lambda entry: answer(entry).plain, priority=2, grow=3
        ),
    )
    facets = (
        Facet[BundleEntry](
            "python", _chosen, Unit.VERSION, lambda entry, _now: version_amount(_chosen(entry).removeprefix("-"))
        ),
        Facet[BundleEntry]("state", lambda entry: plan_mark(entry.plan).word),
        Facet[BundleEntry]("key", lambda entry: entry.plan.key if entry.plan is not None else ""),
        Facet[BundleEntry]("path", lambda entry: str(entry.path)),
    )
    wanted: str = ""
    """The bundle to put the cursor on as soon as it is listed."""
    _explained = ""
    _timer: Timer | None = None
    _tried: str | None = None
    """What is typed into the trial; None while there is none."""

    def body(self) -> ComposeResult:
        self.detail = Detail(id="explanation")
        with Container(id="match"):
            yield self.make_table()
            with Container(id="why"):
                yield OneLine(id="title")
                yield self.detail

    @property
    def mover(self) -> LineWidget:  # type: ignore[override]  # either pane moves
        return self.detail if self.detail.has_focus else self.table

    def identity(self, row: BundleEntry) -> str:
        return str(row.path)

    def rows(self) -> tuple[BundleEntry, ...]:
        return self.snapshot.bundles

    def empty(self) -> list[Line]:
        return empty_note(
            self.snapshot.obstacles,
            "No bundle is open.",
            "a opens one by its path: a directory or .tar.gz with a manifest.json.",
            "t tries what a Python version or constraint would get, without any bundle.",
            "BundleDir = /a/directory under [Envdeck] offers all bundles in it.",
        )

    def heading(self, row: BundleEntry) -> str:
        return f"Match of {row.name}"

    def describe(self, row: BundleEntry) -> list[Line]:
        return explain(row, self.deck.clock(), self._request_source(row))

    def _request_source(self, row: BundleEntry) -> tuple[ProvenanceStep, ...] | Problem | None:
        if row.plan is None:
            return None
        bundle, engine = row.plan.bundle, self.deck.engine
        return self.deck.lookups.get(("request", row.path), bundle, lambda: engine.explain_request(bundle))

    def document(self, row: BundleEntry) -> Mapping[str, object]:
        return json_output.bundle(row) if row.plan is None else json_output.plan(row.plan, self._steps(row))

    def _steps(self, row: BundleEntry) -> tuple[ProvenanceStep, ...]:
        known = self._request_source(row)
        return known if isinstance(known, tuple) else ()

    def copies(self, row: BundleEntry) -> dict[str, tuple[str, str]]:
        key = {"k": ("key", row.plan.key)} if row.plan is not None and row.plan.key else {}
        return {"p": ("path", str(row.path)), **key}

    def context(self) -> InputContext:
        return replace(super().context(), cannot_build=self._why_no_build())

    def _why_no_build(self) -> str:
        row = self.table.current
        if row is None or row.plan is None:
            return "the bundle cannot be read"
        problem = row.plan.problem or row.plan.match.problem
        return problem.message if problem is not None else why_no_environment(row.plan)

    # Trials

    def _trial(self, text: str, bundle: Bundle | None) -> Trial | Problem | None:
        """What the request `text` would get; for "" what the bundle does ask for. None while it is worked out."""
        engine, now = self.deck.engine, self.snapshot
        running = [build.id for build in now.builds if not build.state.final]
        basis = (text, bundle, now.config.settings, now.installations, now.environments, now.declarations, running)
        # One answer per bundle: while the next one is worked out the last one stays, and typing does not flicker.
        return self.deck.lookups.get(
            ("trial", bundle and bundle.path, bool(text)),
            basis,
            lambda: engine.try_request(parse_request(text) if text else None, bundle),
        )

    def _tried_bundle(self) -> Bundle | None:
        row = self.table.current
        return row.plan.bundle if row is not None and row.plan is not None else None

    def do_try(self, argument: str) -> None:
        if argument:
            self._open_trial(argument)
            return
        self._type_trial("")
        self.edit(
            Editing(
                "try Python: ",
                done=self._typed_trial,
                changed=self._type_trial,
                cancelled=self._leave_trial,
                moved=lambda key: self.detail.move(key),
                still=False,
            )
        )

    def _type_trial(self, text: str) -> None:
        self._tried = text
        self._explain()

    def _leave_trial(self) -> None:
        self._tried = None
        self._explain()

    def _typed_trial(self, text: str) -> None:
        self._leave_trial()
        if text.strip():
            self._open_trial(text.strip())

    def _open_trial(self, text: str) -> None:
        bundle = self._tried_bundle()
        self.app.push_screen(
            TextPage(
                self.view,
                f"What if {bundle.name} asked for {text}" if bundle else f"What would Python {text} get",
                lambda snapshot: describe_trial(self._trial(text, bundle), snapshot.taken_at),
            )
        )

    def do_rules(self, _argument: str) -> None:
        bundle = self._tried_bundle()
        if bundle is None:
            self.deck.say("the bundle cannot be read", Level.WARNING)
            return
        self.app.push_screen(
            TextPage(
                self.view,
                f"Both rules for {bundle.name}",
                lambda snapshot: describe_trial(self._trial("", bundle), snapshot.taken_at),
            )
        )

    # The explanation follows the cursor

    def show(self) -> None:
        super().show()
        if self.wanted and self.table.select(self.wanted):
            self.wanted = ""
        self._explain()

    def _age(self) -> None:
        super()._age()
        if self.may_change:
            self._explain()

    def on_resource_table_changed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_SETTLE, self._explain)

    def _explain(self) -> None:
        row = self.table.current
        identity = self.identity(row) if row is not None else ""
        title = safe(row.name, "bold") if row is not None else Text("")
        if row is not None and row.plan is not None and row.plan.bundle.title:
            title.append_text(safe(f"  {row.plan.bundle.title}", "not bold"))
        elif row is not None:
            title.append_text(safe(f"  {row.path}", "not bold"))
        if self._tried is not None:
            title = safe(f"Trial{f' for {row.name}' if row is not None else ''}", "bold")
            identity = "a trial"
        self.query_one("#title", OneLine).show(title, ruled=True)
        lines = self._explanation(row)
        self.detail.show(lines, keep_place=identity == self._explained)
        self._explained = identity

    def _explanation(self, row: BundleEntry | None) -> list[Line]:
        if self._tried is None:
            return self.describe(row) if row is not None else []
        if not self._tried.strip():
            return hint()
        return describe_trial(self._trial(self._tried.strip(), self._tried_bundle()), self.snapshot.taken_at)

    # Actions

    def do_pane(self, _argument: str) -> None:
        (self.table if self.detail.has_focus else self.detail).focus()

    def do_build(self, _argument: str) -> None:
        row = self.table.current
        if row is not None and row.plan is not None:
            bundle = row.plan.bundle
            self.deck.perform(lambda: self.deck.engine.plan_build(bundle), partial(ask_to_build, self))

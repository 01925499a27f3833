"""View 4: what is being built now, and what came of earlier builds."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.events import Resize
from textual.timer import Timer

from app.cli import json_output
from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.tui.amounts import Unit
from app.tui.describe.build import advice, fetched, progress, remaining, remark, stage, where
from app.tui.document import Line, empty_note
from app.tui.screens.build_text import build_text
from app.tui.screens.cancelling import ask_to_cancel, why_no_cancel
from app.tui.screens.retrying import ask_to_retry, why_no_retry
from app.tui.screens.table_page import TablePage
from app.tui.symbols import BUILD
from app.tui.text import age, duration, safe
from app.tui.widgets.chrome import rule
from app.tui.widgets.columns import Column, Facet
from app.tui.widgets.detail import Detail
from engine import Build, BuildState

__all__ = ["BuildsPage"]

_SETTLE = 0.08
"""Seconds the cursor rests before its build is described, so that a held key does not send a description per row."""
_LAST = 1 << 30
"""A place behind everyone in the waiting line: builds that are just starting have none yet."""


class BuildsPage(TablePage[Build]):
    view = View.BUILDS
    scopes = (Scope.BUILDS, Scope.MARKS)
    ages = 1.0
    columns = (
        Column[Build](
            "state",
            lambda build, _now: BUILD[build.state].text(),
            11,
            "s",
            lambda build: build.state.value,
            text=lambda build: build.state.value,
        ),
        Column[Build]("bundle", lambda build, _now: safe(build.bundle), 14, "b", lambda build: build.bundle, grow=1),
        Column[Build]("phase", lambda build, _now: safe(stage(build)), 7, "f", stage),
        Column[Build](
            "pkgs", lambda build, _now: safe(progress(build)), 7, "n", lambda build: build.packages_total, right=True
        ),
        Column[Build](
            "bytes",
            lambda build, _now: safe(fetched(build)),
            9,
            "z",
            lambda build: build.bytes_total,
            priority=6,
            right=True,
        ),
        Column[Build](
            "time",
            lambda build, now: safe(duration(build.seconds(now))),
            7,
            "t",
            lambda build: build.submitted_at,
            right=True,
            unit=Unit.AGE,
            amount=lambda build, now: build.seconds(now),
        ),
        Column[Build](
            "left",
            lambda build, now: safe(remaining(build, now)),
            7,
            "l",
            lambda build: build.bytes_total,
            priority=1,
            right=True,
            unit=Unit.AGE,
            amount=lambda build, now: build.left(now),
        ),
        Column[Build](
            "started",
            lambda build, now: safe(age(now - build.submitted_at)),
            7,
            "a",
            lambda build: -build.submitted_at,
            priority=3,
            right=True,
            unit=Unit.AGE,
            amount=lambda build, now: now - build.submitted_at,
        ),
        Column[Build](
            "python",
            lambda build, _now: safe(build.python_version),
            7,
            "p",
            lambda build: build.python_version,
            priority=2,
        ),
        Column[Build]("by", lambda build, _now: safe(build.by, "dim"), 8, "y", lambda build: build.by, priority=4),
        Column[Build]("where", lambda build, _now: safe(where(build), "dim"), 10, "w", where, priority=5),
        Column[Build]("message", lambda build, _now: remark(build), 20, "m", lambda build: build.message, grow=3),
    )

    facets = (
        Facet[Build]("user", lambda build: build.by),
        Facet[Build]("key", lambda build: build.key),
        Facet[Build]("id", lambda build: build.id),
    )

    def __init__(self) -> None:
        super().__init__()
        self._timer: Timer | None = None
        self._told = ""
        """The identity of the build that is described below the list."""

    def on_mount(self) -> None:
        self.set_interval(self.ages, self._tick)

    def _tick(self) -> None:
        if self.may_change:
            self.table.refresh_rows(lambda build: not build.state.final)
            if self.table.current is not None and not self.table.current.state.final:
                self._tell()

    def identity(self, row: Build) -> str:
        return row.id

    def rows(self) -> list[Build]:
        """What runs, then the waiting line in its order, then what has ended, the newest first."""
        return sorted(self.snapshot.builds, key=_turn)

    def empty(self) -> list[Line]:
        lines = ["3 shows the bundles; b builds the environment of one."]
        if self.snapshot.read_only:
            lines.append(f"Not in this session, which is read-only: {self.snapshot.read_only}.")
        return empty_note(self.snapshot.obstacles, "Nothing has been built yet.", *lines)

    def heading(self, row: Build) -> str:
        return f"Build {row.id}"

    def describe(self, row: Build) -> list[Line]:
        return build_text(self.deck, row)

    def body(self) -> ComposeResult:
        self.told = Detail(id="told")
        yield self.make_table()
        yield self.told

    def show(self) -> None:
        super().show()
        self._tell()

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self.call_after_refresh(self._tell)

    def on_resource_table_changed(self) -> None:
        super().on_resource_table_changed()
        if not self.has_class("-wide"):
            self._tell()
            return
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_SETTLE, self._tell)

    def _tell(self) -> None:
        """Say below the list what is to be said of the selected build: everything where there is room for it."""
        row = self.table.current
        lines: list[Line] = []
        if row is not None and self.has_class("-wide"):
            lines = [Line(rule(safe(self.heading(row), "bold"), self.app.size.width - 3)), *self.describe(row)]
        elif row is not None:
            lines = [Line(remark(row)), Line(advice(row), 4)]
        identity = self.identity(row) if row is not None else ""
        self.told.show(lines, keep_place=identity == self._told)
        self._told = identity

    def document(self, row: Build) -> Mapping[str, object]:
        return json_output.build(row, self.deck.clock())

    def copies(self, row: Build) -> dict[str, tuple[str, str]]:
        return {"i": ("id", row.id), "k": ("key", row.key), "p": ("log path", str(row.log))}

    def context(self) -> InputContext:
        row = self.table.current
        return replace(
            super().context(),
            cannot_cancel="" if self.table.marks else why_no_cancel(row),
            cannot_retry=why_no_retry(row),
        )

    def do_log(self, _argument: str) -> None:
        if self.table.current is not None:
            self.deck.open_log(self.table.current.id)

    def do_cancel(self, argument: str) -> None:
        ask_to_cancel(self, *(build.id for build in self.meant(argument)))

    def why_no_mark(self, row: Build) -> str:
        return why_no_cancel(row)

    def do_retry(self, _argument: str) -> None:
        if self.table.current is not None:
            ask_to_retry(self, self.table.current)


def _turn(build: Build) -> tuple[bool, bool, int]:
    """The order of the list, as far as it is not that of the snapshot."""
    return build.state.final, build.state is BuildState.QUEUED, build.place or _LAST

"""``!``: what everybody did here, by the audit, and the messages of this session, the newest last."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from app.cli import json_audit
from app.cli.units import iso
from app.keys.actions import View
from app.tui.describe.event import describe_event
from app.tui.document import Line, note
from app.tui.events import EventRow, event_rows
from app.tui.screens.table_page import TablePage
from app.tui.text import clock, safe
from app.tui.widgets.columns import Column

__all__ = ["EventsPage"]


class EventsPage(TablePage[EventRow]):
    """Follows the end as long as the cursor is there."""

    top = False
    shows_events = True
    columns = (
        Column[EventRow](
            "when", lambda row, now: safe(clock(row.at, now), "dim"), 5, "t", lambda row: row.at, grow=100
        ),
        Column[EventRow]("who", lambda row, _now: safe(row.who), 8, "w", lambda row: row.who, grow=1),
        Column[EventRow]("result", lambda row, _now: row.mark.text(), 9, "r", lambda row: row.mark.word),
        Column[EventRow]("action", lambda row, _now: safe(row.action), 14, "a", lambda row: row.action, grow=1),
        Column[EventRow]("what", lambda row, _now: safe(row.what), 16, "d", lambda row: row.what, grow=6),
    )

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def identity(self, row: EventRow) -> str:
        return f"{row.at} {row.who} {row.action} {row.what}"

    def rows(self) -> list[EventRow]:
        return event_rows(self.snapshot.audit, self.deck.events)

    def empty(self) -> list[Line]:
        return note("Nothing has happened yet.", "What is built, deleted or deployed here is told from now on.")

    def heading(self, row: EventRow) -> str:
        return f"Event {row.action}"

    def describe(self, row: EventRow) -> list[Line]:
        return describe_event(row)

    def remark(self, row: EventRow) -> Text:
        return safe(row.why or row.what, "dim")

    def document(self, row: EventRow) -> Mapping[str, object]:
        if row.record is None:
            return {"at": iso(row.at), "level": row.mark.word, "message": row.what}
        return json_audit.record(row.record)

    def copies(self, row: EventRow) -> dict[str, tuple[str, str]]:
        return {"c": ("command", row.command)} if row.command else {}

    def tally(self) -> str:
        audit = self.snapshot.audit
        older = "" if audit.complete else ", older ones: envdeck audit"
        broken = f", {audit.broken} broken" if audit.broken else ""
        return f"events {super().tally()}{older}{broken}"

    def show(self) -> None:
        following = self.table.at_end
        super().show()
        if following:
            self.table.move("last")

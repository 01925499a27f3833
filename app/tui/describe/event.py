"""One event: who did what to what, from where, how it ended, and the command line that does the same."""

from __future__ import annotations

import time

from rich.text import Text

from app.tui.document import Document, Line
from app.tui.events import EventRow
from app.tui.text import safe
from engine import Actor, AuditRecord

__all__ = ["describe_event"]


def describe_event(row: EventRow) -> list[Line]:
    """Everything about `row`."""
    document = Document()
    document.add(row.mark.text(), "  ", safe(row.action, "bold"), "  ", _moment(row.at), hang=2)
    if row.record is None:
        document.blank()
        document.add("  ", row.what, hang=4)
    else:
        _describe(document, row.record)
    return document.lines


def _describe(document: Document, record: AuditRecord) -> None:
    event, who = record.event, record.who
    if event.why:
        document.heading("Why", event.code)
        document.add("  ", safe(event.why), hang=4)
    if event.what:
        document.heading("What")
        for name, value in event.what.items():
            document.field(name.capitalize(), str(value))
    document.heading("Who")
    document.field("User", Text.assemble(safe(who.user, "bold"), safe(_rights(who), "dim"), end=""))
    if who.login and who.login != who.user:
        document.field("Logged in as", safe(who.login, "yellow"))
    for label, value in (("Terminal", who.tty), ("SSH client", who.ssh), ("Host", f"{who.host}, process {who.pid}")):
        if value:
            document.field(label, value)
    if event.command:
        document.heading("The same by hand", "y c copies it")
        document.add("  ", safe(event.command, "bold"), hang=4)


def _moment(at: float) -> str:
    """Local time to the second, with its zone: two hosts' records are compared by it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def _rights(who: Actor) -> str:
    return f"  with the rights of {who.effective}" if who.effective and who.effective != who.user else ""

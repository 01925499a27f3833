"""The JSON documents about the audit. Promises as in `json_output`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.units import iso

if TYPE_CHECKING:
    from app.cli.json_output import Document
    from engine import AuditPage, AuditRecord

__all__ = ["page", "record"]


def page(item: AuditPage) -> Document:
    return {
        "records": [record(found) for found in item.records],
        "complete": item.complete,
        "broken_lines": item.broken,
    }


def record(item: AuditRecord) -> Document:
    who, event = item.who, item.event
    return {
        "at": iso(item.at),
        "action": event.action,
        "result": event.result.value,
        "what": dict(event.what),
        "who": {
            "user": who.user,
            "login": who.login,
            "effective": who.effective,
            "tty": who.tty,
            "ssh": who.ssh,
            "host": who.host,
            "pid": who.pid,
        },
        "code": event.code,
        "why": event.why,
        "command": event.command,
    }

"""What people see of the audit. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from app.cli.blocks import grid, mark, safe, stack
from app.cli.units import moment
from engine import AuditRecord

__all__ = ["records"]

_WIDTHS = (16, 8, 9)
"""Cells of the first columns at least, so that what is shown in several goes is one table."""


def records(items: Sequence[AuditRecord], *, header: bool = True) -> RenderableType:
    """Who did what when, and how it ended; the newest last."""
    table = grid("WHEN", "WHO", "RESULT", "WHAT", folded=("WHO",))
    table.show_header = header
    for column, width in zip(table.columns, _WIDTHS, strict=False):
        column.min_width = width
    for item in items:
        event = item.event
        table.add_row(
            safe(moment(item.at)),
            safe(item.who.user),
            mark(event.result),
            stack(
                Text.assemble(safe(event.action, "bold"), " ", safe(event.subject)),
                safe(event.details, "dim"),
                safe(event.why, "dim"),
            ),
        )
    return table

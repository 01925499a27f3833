"""The help page: the keys that mean something where the admin is, from the registry."""

from __future__ import annotations

from app.tui.context import InputContext, commands, help_groups
from app.tui.document import Document, Line
from app.tui.text import safe

__all__ = ["help_lines"]


def help_lines(context: InputContext) -> list[Line]:
    """Every key of `context` by scope; what cannot be done now says why."""
    document = Document()
    for group in help_groups(context):
        document.heading(group.title)
        for keys, tooltip, why in group.rows:
            document.add(
                "  ", safe(keys.ljust(16), "dim" if why else "bold"), safe(tooltip, "dim" if why else ""), hang=18
            )
            if why:
                document.add(" " * 18, safe(f"not now: {why}", "yellow"), hang=18)
    document.heading("Commands", "after : the beginning is enough, Tab completes")
    for command, tooltip in commands(context):
        document.add("  ", safe(command.ljust(16), "bold"), tooltip, hang=18)
    return document.lines

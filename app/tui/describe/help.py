"""The help page: the keys that mean something where the admin is, then all others, from the registry."""

from __future__ import annotations

from app.keys.context import HelpGroup, InputContext, commands, elsewhere, help_groups
from app.tui.document import Document, Line
from app.tui.text import safe

__all__ = ["help_lines"]

_KEYS = 16


def help_lines(context: InputContext) -> list[Line]:
    """Every key of `context` by scope, the innermost first; what cannot be done now says why."""
    document = Document()
    for group in help_groups(context):
        _add_group(document, group, "")
    document.heading("Commands", "after : the beginning is enough, Tab completes")
    for command, tooltip in commands(context):
        document.add("  ", safe(command.ljust(_KEYS), "bold"), safe(tooltip), hang=_KEYS + 2)
    document.heading("Filters", "after / in a list; all that is typed must fit")
    for example, meaning in _FILTERS:
        document.add("  ", safe(example.ljust(_KEYS), "bold"), meaning, hang=_KEYS + 2)
    for group in elsewhere(context):
        _add_group(document, group, "elsewhere")
    return document.lines


_FILTERS = (
    ("word", "rows that have it in any column, in any case"),
    ("!word", "rows that have it in none"),
    ("/3\\.1[12]/", "a regular expression (RE2)"),
    ("state:stale", "in one column or field; its name may be shortened"),
    ("state=stale", "the whole of it"),
    ("size>1G", "sizes, numbers, ages (used>30d) and versions (python<3.11) are compared"),
)


def _add_group(document: Document, group: HelpGroup, remark: str) -> None:
    document.heading(group.title, remark)
    for keys, tooltip, why in group.rows:
        document.add(
            "  ", safe(keys.ljust(_KEYS), "dim" if why else "bold"), safe(tooltip, "dim" if why else ""), hang=_KEYS + 2
        )
        if why:
            document.add(" " * (_KEYS + 2), safe(f"not now: {why}", "yellow"), hang=_KEYS + 2)

"""An edited configuration file before it is put in place."""

from __future__ import annotations

import difflib

from app.tui.document import Document, Line
from app.tui.text import count, safe
from engine import ConfigDraft, ConfigState, Severity

__all__ = ["describe_draft"]

_MOST = 2000
"""Lines of a difference that are shown."""


def describe_draft(draft: ConfigDraft, text: bytes, state: ConfigState) -> list[Line]:
    """What `text` in place of the draft's file would mean: `state`, as the engine reads it."""
    document = Document()
    errors = len(state.errors)
    if errors:
        document.add(safe(f"It would not be taken over: {count(errors, 'error')}.", "bold red"), "  e edits again.")
    else:
        document.add(safe("It can be put in place: y.", "bold green"), "  Nothing has changed yet; Esc gives it up.")
    if state.problems:
        document.heading("Problems")
    for problem in sorted(state.problems, key=lambda problem: problem.severity is not Severity.ERROR):
        document.problem(problem)
    if not errors:
        document.heading("Settings that change", "" if state.changed else "none")
        for name, (before, after) in sorted(state.changed.items()):
            document.add("  ", safe(name, "bold"), f"  {before or 'none'} -> {after or 'none'}", hang=4)
    document.heading("Difference", str(draft.path) if draft.exists else f"{draft.path} is new")
    old = draft.text.decode("utf-8", "replace").splitlines() if draft.exists else []
    found = list(difflib.unified_diff(old, text.decode("utf-8", "replace").splitlines(), lineterm="", n=2))
    for line in found[2:_MOST]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
        document.add("  ", safe(line, style), hang=4)
    if len(found) > _MOST:
        document.add(safe(f"  and {count(len(found) - _MOST, 'more line')}", "dim"))
    return document.lines

"""An edited configuration file before it is put in place."""

from __future__ import annotations

import difflib

from app.tui.describe.impact import items, summary
from app.tui.describe.setting import changes
from app.tui.document import Document, Line
from app.tui.text import count, safe
from engine import ConfigDraft, ConfigState, Impact, Problem, Severity, excerpt

__all__ = ["describe_draft"]

_MOST = 2000
"""Lines of a difference that are shown."""


def describe_draft(
    draft: ConfigDraft, text: bytes, state: ConfigState, found: Impact | Problem | None = None
) -> list[Line]:
    """What `text` in place of the draft's file would mean: `state`, as the engine reads it, and what `found` says.

    `found` is what it would do to content; None while that is worked out.
    """
    document = Document()
    errors = len(state.errors)
    if errors:
        document.add(safe(f"It would not be taken over: {count(errors, 'error')}.", "bold red"), "  e edits again.")
    else:
        document.add(safe("It can be put in place: y.", "bold green"), "  Nothing has changed yet; Esc gives it up.")
    if state.problems:
        document.heading("Problems")
    for problem in sorted(state.problems, key=lambda problem: problem.severity is not Severity.ERROR):
        document.problem(problem, excerpt(problem, state.texts))
    if not errors:
        document.heading("Settings that change", "" if state.changed else "none")
        changes(document, state)
        if state.changed:
            _impact(document, found)
    document.heading("Difference", str(draft.path) if draft.exists else f"{draft.path} is new")
    old = draft.text.decode("utf-8", "replace").splitlines() if draft.exists else []
    lines = list(difflib.unified_diff(old, text.decode("utf-8", "replace").splitlines(), lineterm="", n=2))
    for line in lines[2:_MOST]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
        document.add("  ", safe(line, style), hang=4)
    if len(lines) > _MOST:
        document.add(safe(f"  and {count(len(lines) - _MOST, 'more line')}", "dim"))
    return document.lines


def _impact(document: Document, found: Impact | Problem | None) -> None:
    document.heading("What it would do")
    if found is None:
        document.add("  ", safe("looking at content, and at interpreters that are not known yet...", "dim"), hang=4)
    elif isinstance(found, Problem):
        document.problem(found)
    else:
        document.add("  ", summary(found), hang=4)
        items(document, found)

"""What the last load of the configuration did to content and bundles."""

from __future__ import annotations

from rich.text import Text

from app.tui.describe.setting import changes
from app.tui.document import Document, Line
from app.tui.symbols import IMPACT
from app.tui.text import clock, count, safe
from engine import Impact, ImpactKind, Problem, Subject

__all__ = ["describe_impact", "impact_note", "items", "summary"]


def impact_note(found: Impact | Problem | None) -> list[Line]:
    """One line for the notes above the settings; nothing while no load has changed any."""
    document = Document()
    if isinstance(found, Problem):
        document.problem(found)
    elif found is not None:
        document.remark("Impact", summary(found), safe("  i shows it", "dim"))
    return document.lines


def summary(found: Impact) -> Text:
    """``✗ breaks 1  ▸ another Python 2  unchanged 5``, or that nothing changes."""
    if not found.items:
        return safe("✓ none: nothing runs otherwise than before", "green")
    text = Text("", end="")
    for kind in ImpactKind:
        if concerned := found.of(kind):
            mark = IMPACT[kind]
            text.append_text(Text.assemble(mark.text(), safe(f" {len(concerned)}  ", mark.style)))
    text.append_text(safe(f"unchanged {found.unchanged}", "default not bold"))
    return text


def describe_impact(found: Impact | Problem | None, now: float, *, changed: bool) -> list[Line]:
    """What changed, and what that does to each thing; None while that is worked out, or no load has `changed` any."""
    document = Document()
    if found is None and changed:
        document.add(safe("looking at content, and at the interpreters first...", "dim"))
        return document.lines
    if found is None:
        document.add(safe("No setting has changed since envdeck was started.", "bold"))
        document.add(safe("`envdeck config impact FILE` tells what another file would do.", "dim"), hang=2)
        return document.lines
    if isinstance(found, Problem):
        document.problem(found)
        return document.lines
    document.add(summary(found), hang=2)
    document.heading("Settings", f"loaded {clock(found.after.loaded_at, now)}")
    changes(document, found.after)
    items(document, found)
    if found.unchanged:
        document.blank()
        document.add(safe(f"{found.unchanged} more are not concerned.", "dim"))
    return document.lines


def items(document: Document, found: Impact) -> None:
    """What becomes of each thing that the change concerns: content, then bundles."""
    for subject, title in ((Subject.CONTENT, "Content"), (Subject.BUNDLE, "Bundles, if they were deployed now")):
        concerned = [item for item in found.items if item.subject is subject]
        if not concerned:
            continue
        document.heading(title, count(len(concerned), "change"))
        document.table(
            [
                (IMPACT[item.kind].text(), safe(item.name, "bold"), safe(f"{item.before} -> {item.after}"))
                for item in concerned
            ],
            notes=[[safe(item.reason, "dim")] for item in concerned],
        )

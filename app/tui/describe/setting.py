"""The configuration: one setting in full, and the notes above the list: problems, changes, files."""

from __future__ import annotations

from app.tui.document import Document, Line
from app.tui.text import clock, safe
from engine import ConfigState, EffectiveValue, Severity

__all__ = ["config_notes", "describe_setting"]


def describe_setting(value: EffectiveValue, config: ConfigState) -> list[Line]:
    """Everything about one setting."""
    document = Document()
    document.add(safe(value.name, "bold"), "  ", safe("default" if value.is_default else "set here", "dim"))
    document.blank()
    document.add("  ", value.meaning, hang=2)
    document.heading("In force" if len(value.values) == 1 else f"In force, {len(value.values)} values")
    for index, text in enumerate(value.values):
        origin = value.origins[index] if index < len(value.origins) else ""
        document.add("  ", safe(text, "bold"), "  ", safe(origin, "dim"), hang=4)
    if not value.values:
        document.add("  ", safe("no value", "dim"), "  ", safe(", ".join(value.origins), "dim"), hang=4)
    if value.name in config.changed:
        before, after = config.changed[value.name]
        document.heading("Changed by the last load")
        document.field("Before", before or "no value")
        document.field("After", after or "no value")
    document.heading("Defined in")
    document.add("  ", value.document, hang=4)
    return document.lines


def config_notes(config: ConfigState, now: float) -> list[Line]:
    """What to know before reading the values: problems first, then what changed, then the files."""
    document = Document()
    if config.errors:
        document.add(safe("The text on disk has errors; the last good values stay in force.", "bold red"), hang=2)
    for problem in sorted(config.problems, key=lambda problem: problem.severity is not Severity.ERROR):
        document.problem(problem)
    if config.problems:
        document.blank()
    if config.is_default:
        document.add(safe("DEFAULTS ", "bold yellow"), "no configuration file was found, the embedded one is in force")
    for index, file in enumerate(config.files):
        document.remark("From" if index == 0 else "", str(file))
    document.remark("Read", clock(config.loaded_at, now))
    for index, (name, (before, after)) in enumerate(sorted(config.changed.items())):
        document.remark("New" if index == 0 else "", safe(name, "bold"), f"  {before or 'none'} -> {after or 'none'}")
    return document.lines

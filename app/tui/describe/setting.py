"""The configuration: one setting in full, and the notes above the list: problems, changes, files."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.document import Document, Line
from app.tui.text import clock, safe
from engine import ConfigState, EffectiveValue, Problem, Severity, excerpt

__all__ = ["changes", "config_notes", "describe_setting", "obstacle_notes"]


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
        document.heading("Changed by the last load", clock(config.loaded_at))
        document.field("Before", before or "no value")
        document.field("After", after or "no value")
    document.heading("Defined in")
    document.add("  ", value.document, hang=4)
    return document.lines


def obstacle_notes(obstacles: Sequence[Problem]) -> list[Line]:
    """What stands in the way, but for errors of the file, which are told one by one."""
    document = Document()
    for problem in obstacles:
        if problem.code != "config-errors":
            document.problem(problem)
    document.blank()
    return document.lines


def config_notes(config: ConfigState, now: float, impact: Sequence[Line] = ()) -> list[Line]:
    """What to know before reading the values: problems first, then the files, the `impact` of the load, its changes."""
    document = Document()
    if config.errors:
        kept = "the last good values stay in force" if config.good else "what could be understood is in force"
        document.add(safe(f"The text on disk has errors; {kept}.", "bold red"), hang=2)
    for problem in sorted(config.problems, key=lambda problem: problem.severity is not Severity.ERROR):
        document.problem(problem, excerpt(problem, config.texts))
    if config.problems:
        document.blank()
    if config.is_default:
        document.add(safe("DEFAULTS ", "bold yellow"), "no configuration file was found, the embedded one is in force")
        document.add("  ", safe("`envdeck config init` writes it as a file to edit; it takes effect when saved", "dim"))
    for index, file in enumerate(config.files):
        document.remark("From" if index == 0 else "", str(file))
    document.remark("Read", clock(config.loaded_at, now))
    document.lines += impact
    if config.changed:
        document.remark("Changed", f"{len(config.changed)} by that load, - before, + after")
        changes(document, config)
    return document.lines


def changes(document: Document, config: ConfigState) -> None:
    """What the last load changed, name by name; of a setting that can be repeated the values that came and went."""
    repeated = {value.name for value in config.values if len(value.values) > 1}
    for name, (before, after) in sorted(config.changed.items()):
        lists = name in repeated or ", " in before
        gone, come = (text.split(", ") if lists and text else [text] for text in (before, after))
        if not lists:
            document.add("  ", safe(name, "bold"), f"  {before or 'none'} -> {after or 'none'}", hang=4)
            continue
        document.add("  ", safe(name, "bold"), hang=4)
        for sign, style, values, others in (("-", "red", gone, come), ("+", "green", come, gone)):
            for value in values:
                if value and value not in others:
                    document.add("    ", safe(f"{sign} {value}", style), hang=6)

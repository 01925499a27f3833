"""How two environments differ."""

from __future__ import annotations

from rich.text import Text

from app.tui.document import Document, Line
from app.tui.text import ago, count, safe
from engine import Change, Difference, Environment

__all__ = ["describe_difference"]


def describe_difference(found: Difference, now: float) -> list[Line]:
    """Everything that differs, the first environment as ``-``, the second as ``+``."""
    document = Document()
    for sign, style, env in (("-", "red", found.one), ("+", "green", found.other)):
        document.add(safe(sign, style), " ", _title(env, now), hang=2)
    if found.none:
        document.blank()
        document.add("  ", safe("Nothing differs: the same packages, lines and ingredients.", "bold"), hang=2)
        return document.lines
    document.heading("Packages", f"{len(found.packages)} differ, {found.same_packages} are the same")
    _changes(document, found.packages)
    document.heading("Lines", f"{len(found.only_one) + len(found.only_other)} differ")
    for sign, style, lines in (("-", "red", found.only_one), ("+", "green", found.only_other)):
        for line in lines:
            document.add("  ", safe(f"{sign} {line}", style), hang=4)
    document.heading("Interpreter, index and other ingredients", f"{len(found.ingredients)} differ")
    for change in found.ingredients:
        document.add("  ", safe(change.name), hang=4)
        document.add("    ", safe(f"- {change.one or 'none'}", "red"), hang=6)
        document.add("    ", safe(f"+ {change.other or 'none'}", "green"), hang=6)
    return document.lines


def _title(env: Environment, now: float) -> Text:
    title = safe(env.key, "bold")
    packages = count(len(env.packages), "package")
    about = f"  {env.bundle or 'unknown'}, Python {env.python_version}, {packages}, built {ago(now - env.built_at)}"
    title.append_text(safe(about, "not bold"))
    return title


def _changes(document: Document, changes: tuple[Change, ...]) -> None:
    document.table(
        [
            (
                safe(change.name),
                safe(change.one or "-", "red" if change.one else "dim"),
                Text.assemble(safe("-> ", "dim"), safe(change.other or "-", "green" if change.other else "dim")),
            )
            for change in changes
        ]
    )

"""Content: what is deployed, how it was decided, and how it would run now."""

from __future__ import annotations

from rich.text import Text

from app.tui.document import Document, Line
from app.tui.text import ago, clock, count, safe, size
from app.tui.usage import content_name
from engine import LOCAL, Content, PickedInstallation, Problem, Resolution

__all__ = ["describe_content"]


def describe_content(item: Content, resolution: Resolution | Problem | None, now: float) -> list[Line]:
    """Everything about `item`; `resolution` is None while it is worked out."""
    document = Document()
    document.add(safe(content_name(item), "bold"), "  ", safe(item.app_mode, "dim"), hang=2)
    if item.problem is not None:
        document.problem(item.problem)
    _resolution(document, resolution)
    document.heading("Content")
    document.field("GUID", item.guid)
    document.field("Created", f"{clock(item.created_at, now)}" + (f", by {item.created_by}" if item.created_by else ""))
    document.field("Last used", ago(now - item.last_used_at) if item.last_used_at else safe("never", "dim"))
    document.field("Deployed on", _picked(item.installation))
    document.field("Management", "managed" if item.managed else "not managed: it runs on the installation itself")
    own = {None: "not set", True: "true", False: "false"}[item.management]
    document.field("Its own setting", own)
    if item.default_image:
        document.field("Default image", item.default_image)
    document.field("Key", item.key or safe("none", "dim"))
    document.heading("Bundles", f"{count(len(item.bundles), 'bundle')}, the newest first")
    rows = []
    for bundle in reversed(item.bundles):
        active = bundle.number == item.active
        rows.append(
            (
                safe("▸ active" if active else "-", "bold green" if active else "dim"),
                safe(f"#{bundle.number}", "bold" if active else ""),
                safe(f"{clock(bundle.deployed_at, now)} by {bundle.deployed_by}"),
                safe(f"Python {bundle.python_version}, {size(bundle.size)}, {bundle.key[:8] or 'no environment'}"),
                safe(bundle.name, "dim"),
            )
        )
    document.table(rows)
    return document.lines


def _picked(picked: PickedInstallation | None) -> Text | str:
    if picked is None:
        return safe("nothing", "dim")
    place = "" if picked.target == LOCAL else f" in {picked.target}"
    return f"Python {picked.version}  {picked.path}{place}"


def _resolution(document: Document, found: Resolution | Problem | None) -> None:
    document.heading("How it would run now")
    if found is None:
        document.add("  ", safe("working it out...", "dim"), hang=4)
        return
    if isinstance(found, Problem):
        document.problem(found)
        return
    if found.problem is not None:
        document.problem(found.problem)
    if found.installation is not None:
        document.field("Python", _picked(found.installation))
    if found.build is not None:
        document.field("Environment", safe("is built first, on demand", "bold yellow"))
    elif found.environment is not None:
        document.field("Environment", str(found.environment.path))
    elif found.problem is None:
        document.field("Environment", "none: the installation itself")
    if found.changes:
        document.field("Changes", safe("running is not what the last deployment led to", "yellow"))
    document.field("Because", *(reason.text for reason in found.reasons))

"""An environment: what is in it, what it was built from, by whom, and what its key covers."""

from __future__ import annotations

import json

from app.tui.document import Document, Line
from app.tui.symbols import ENVIRONMENT
from app.tui.text import ago, clock, count, duration, safe, size
from engine import LOCAL, Environment

__all__ = ["describe_environment"]


def describe_environment(env: Environment, now: float) -> list[Line]:
    """Everything about `env` at the time `now`."""
    document = Document()
    mark = ENVIRONMENT[env.state]
    document.add(mark.text(), "  ", safe(env.key, "bold"), hang=2)
    if env.reason:
        document.add("  ", safe(env.reason, mark.style), hang=2)
    document.blank()
    document.field("Path", str(env.path))
    document.field("Python", f"{env.python_version}  {env.python_path}")
    if env.target != LOCAL:
        document.field("Target", env.target)
    document.field("Size", f"{size(env.size)} in {count(env.files, 'file')}")
    built = f"{clock(env.built_at, now)}, {ago(now - env.built_at)}, in {duration(env.seconds)}"
    document.field("Built", built + (f", by {env.built_by}" if env.built_by else ""))
    document.field("First for", env.bundle or "unknown")
    document.field("Attempt", env.attempt)

    document.heading("Lines", f"{count(len(env.lines), 'line')} given to {env.installer}")
    for line in env.lines:
        document.add("  ", line, hang=4)
    document.heading("Packages", count(len(env.packages), "package"))
    document.table([(package.name, safe(package.version, "dim")) for package in env.packages])
    if env.ingredients:
        document.heading("Ingredients", "the key is a digest of these")
        document.table(
            [
                (
                    safe(name, "dim"),
                    value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False),
                )
                for name, value in env.ingredients.items()
            ]
        )
    return document.lines

"""What a key is a digest of."""

from __future__ import annotations

import json
from collections.abc import Mapping

from app.tui.document import Document
from app.tui.text import safe

__all__ = ["ingredients"]


def ingredients(document: Document, values: Mapping[str, object]) -> None:
    """A line per ingredient; what has parts has a line for each."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            document.field(name, *(safe(f"{part} = {_text(inner)}") for part, inner in value.items()))
        elif isinstance(value, list | tuple) and value:
            document.field(name, *(safe(_text(item)) for item in value))
        else:
            document.field(name, safe(_text(value) if value not in ("", [], {}, ()) else "none", "dim"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)

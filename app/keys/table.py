"""The key table of the README, from the registry: ``python -m app.keys.table README.md`` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path

from app.keys.actions import ACTIONS, Scope
from app.keys.keymap import key_name

__all__ = ["key_table", "with_key_table"]

_BEGIN = "<!-- keys: written by `python -m app.keys.table README.md` -->\n\n"
_END = "\n<!-- end of keys -->\n"


def key_table() -> str:
    """Every action with its keys, its command and its name for a key map, by where it means something."""
    lines = ["| where | keys | command | does | name |", "|---|---|---|---|---|"]
    for scope in Scope:
        where = f"**{scope.value}**"
        for action in ACTIONS:
            if action.scope is scope:
                keys = " ".join(_code(key_name(key)) for key in action.keys)
                command = f"`:{f'{action.commands[0]} {action.argument}'.rstrip()}`" if action.commands else ""
                lines.append(f"| {where} | {keys} | {command} | {_cell(action.tooltip)} | `{action.name}` |")
                where = ""
    return "\n".join(lines) + "\n"


def with_key_table(text: str) -> str:
    """`text` with the table between the marks that it has for it. Raises `ValueError` when it has none."""
    before, begin, rest = text.partition(_BEGIN)
    _old, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("there is no place for the key table")
    return f"{before}{_BEGIN}{key_table()}{_END}{after}"


def _code(key: str) -> str:
    return f"`{_cell(key)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(with_key_table(file.read_text(encoding="utf-8")), encoding="utf-8")

"""Which keys do what: the registry's own, changed by what the configuration says under ``[Envdeck] Key``.

Nothing here imports Textual: the command line checks key maps too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from app.keys.actions import ACTIONS, Action, Scope
from engine import KeyLine, Problem, Severity, Where

__all__ = ["DEFAULT_KEYS", "KeyMap", "key_name", "read_key", "read_key_map"]

_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "insert": "Ins",
    "delete": "Del",
    "backspace": "Backspace",
    "space": "Space",
    **{f"f{number}": f"F{number}" for number in range(1, 25)},
}
_SPELLINGS = {
    "esc": "escape",
    "return": "enter",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "ins": "insert",
    "del": "delete",
    "comma": ",",
    "semicolon": ";",
    "hash": "#",
    "equals": "=",
}
_CONTROL = re.compile(r"(?:ctrl[+-]|c-|\^)([a-z\\\]^_])", re.IGNORECASE)
_META = re.compile(r"(?:alt[+-]|m-)([a-z0-9])", re.IGNORECASE)
_TAKEN_BY_TERMINALS = {"ctrl+h", "ctrl+i", "ctrl+j", "ctrl+m", "ctrl+q", "ctrl+s"}
"""Backspace, Tab and Enter by other names, and what stops and resumes output."""
_EVERYWHERE = {Scope.MOVE, Scope.GLOBAL}
_PAGES = {Scope.DRAFT, Scope.LOG, Scope.TEXT, Scope.FIND}
"""Those of pages without a list: texts, of which each kind has one more scope."""


class KeyMap(Struct, frozen=True):
    """The keys of every action."""

    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By action id, for the actions whose keys are not those of the registry."""

    def of(self, action: Action) -> tuple[str, ...]:
        return self.changed.get(action.id, action.keys)


DEFAULT_KEYS = KeyMap()


def key_name(key: str) -> str:
    """A key as people write it: ``Esc``, ``^d``, ``G``."""
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return _NAMES.get(key, key)


def read_key(text: str) -> str | None:
    """The key that `text` names, as the terminal UI is told of it; None when it names none."""
    if len(text) == 1:
        return text if text.isprintable() and text != " " else None
    if found := _CONTROL.fullmatch(text):
        return f"ctrl+{found[1].lower()}"
    if found := _META.fullmatch(text):
        return f"alt+{found[1].lower()}"
    name = _SPELLINGS.get(text.lower(), text.lower())
    return name if name in _NAMES or len(name) == 1 else None


def read_key_map(lines: Sequence[KeyLine]) -> tuple[KeyMap, tuple[Problem, ...]]:
    """What ``NAME=KEY,KEY`` lines make of the keys, and what is wrong with them.

    Lines for the same action add up. What is wrong is left out: a key that another action here has as well goes to the
    line that comes first, and a key that was another action's by default is taken from it.
    """
    problems: list[Problem] = []
    given: dict[str, list[tuple[str, Where]]] = {}
    for line in lines:
        action, keys = _read_line(line, problems)
        if action is None:
            continue
        accepted = [(key, where) for key, where in keys if _accepts(key, action, where, given, problems)]
        if accepted or not keys:
            wanted = given.setdefault(action.id, [])
            had = {key for key, _where in wanted}
            wanted += [(key, where) for key, where in dict(accepted).items() if key not in had]
    changed = {name: tuple(key for key, _where in keys) for name, keys in given.items()}
    for name, keys in given.items():
        for key, where in keys:
            _take_from_others(key, _ACTIONS[name], where, changed, problems)
    return KeyMap(changed), tuple(problems)


_ACTIONS = {action.id: action for action in ACTIONS}
_BY_NAME = {action.name: action for action in ACTIONS}


def _read_line(line: KeyLine, problems: list[Problem]) -> tuple[Action | None, list[tuple[str, Where]]]:
    """The action a line is about, and its keys with their places."""
    name, equals, rest = line.text.partition("=")
    if not equals or not name.strip() or not rest.strip():
        problems.append(
            Problem(
                "key-map-syntax",
                "a line of the key map is not understood",
                expected="NAME=KEY,KEY such as env.rebuild=f5,b, or NAME=none",
                found=line.text,
                where=line.where,
                severity=Severity.WARNING,
            )
        )
        return None, []
    action = _BY_NAME.get(name.strip())
    if action is None:
        close = difflib.get_close_matches(name.strip(), _BY_NAME, n=1)
        hint = f"Did you mean {close[0]}?" if close else "The key table of the README lists the names"
        problems.append(
            Problem(
                "key-map-unknown",
                f"there is no action {name.strip()}",
                found=name.strip(),
                where=line.where,
                hint=hint,
                severity=Severity.WARNING,
            )
        )
        return None, []
    start = len(name) + 1
    if rest.strip().lower() == "none":
        return action, []
    keys: list[tuple[str, Where]] = []
    for found in re.finditer(r"[^\s,]+", rest):
        where = _at(line.where, start + found.start())
        key = read_key(found.group())
        if key is None:
            problems.append(
                Problem(
                    "key-map-bad-key",
                    f"{action.name} is given something that is no key",
                    expected="a character, a name such as f5, space or pageup, or ctrl+r",
                    found=found.group(),
                    where=where,
                    severity=Severity.WARNING,
                )
            )
        else:
            keys.append((key, where))
    # With nothing that is a key the line says nothing: the action keeps those it has.
    return (action if keys else None), keys


def _at(where: Where, offset: int) -> Where:
    return replace(where, column=where.column + offset) if where.column is not None else where


def _accepts(
    key: str,
    action: Action,
    where: Where,
    given: Mapping[str, Iterable[tuple[str, Where]]],
    problems: list[Problem],
) -> bool:
    """Whether `key` may be the action's; says why not."""

    def refuse(code: str, message: str, hint: str = "") -> bool:
        problems.append(Problem(code, message, found=key_name(key), where=where, hint=hint, severity=Severity.WARNING))
        return False

    if key in _TAKEN_BY_TERMINALS:
        return refuse("key-map-reserved", f"{key_name(key)} never arrives as a key of its own")
    if key == "ctrl+c" and action.id != "interrupt":
        return refuse("key-map-reserved", "^c leaves whatever is open")
    if key == "escape" and action.id != "back":
        return refuse("key-map-reserved", "Esc goes back")
    if action.needs_write and key in ("enter", "y"):
        return refuse("key-map-reserved", f"{action.name} asks first, and {key_name(key)} may not both ask and answer")
    for name, keys in given.items():
        other = _ACTIONS[name]
        if other is not action and other.scope is action.scope and key in (had for had, _where in keys):
            return refuse("key-map-conflict", f"{key_name(key)} is given to {other.name} already", "Take another key")
    return True


def _take_from_others(
    key: str, action: Action, where: Where, changed: dict[str, tuple[str, ...]], problems: list[Problem]
) -> None:
    """Leave `key` to the action: what had it in the same place loses it, what has it nearby is hidden or hides it."""
    for other in ACTIONS:
        keys = changed.get(other.id, other.keys)
        if other is action or key not in keys or not _meet(action.scope, other.scope):
            continue
        if other.scope is action.scope:
            changed[other.id] = tuple(had for had in keys if had != key)
            left = " ".join(map(key_name, changed[other.id])) or "none"
            message = f"{key_name(key)} is taken from {other.name}, which keeps: {left}"
        else:
            inner, outer = sorted((action, other), key=lambda one: _DEPTH[one.scope])
            message = f"{key_name(key)} means {inner.name} where there is that, and hides {outer.name}"
        problems.append(
            Problem(
                "key-map-conflict",
                message,
                where=where,
                hint=f"Give {other.name} a key of its own, or take another one here",
                severity=Severity.WARNING,
            )
        )


_DEPTH = {scope: depth for depth, scope in enumerate(Scope)}
"""The innermost first, as a page lists its scopes."""


def _meet(one: Scope, other: Scope) -> bool:
    """Whether a page can have both scopes."""
    if one is other or {one, other} & _EVERYWHERE:
        return True
    shared = {Scope.LIST, Scope.MARKS}
    if {one, other} <= _PAGES:
        return Scope.TEXT in (one, other)
    return bool({one, other} & shared) and not {one, other} & _PAGES

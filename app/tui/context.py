"""What the keys mean right now: pure functions over a frozen picture of where the admin is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.tui.actions import ACTIONS, Action, Scope

__all__ = [
    "FooterItem",
    "HelpGroup",
    "InputContext",
    "allowed",
    "commands",
    "complete",
    "find_command",
    "footer",
    "help_groups",
    "key_name",
    "resolve",
    "why_not",
]

_KEY_NAMES = {
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "space": "Space",
    "f1": "F1",
}


@dataclass(frozen=True, slots=True)
class InputContext:
    """Where the admin is and what is selected: all that decides what a key means."""

    scopes: tuple[Scope, ...]
    """Innermost first."""
    top: bool = True
    """False on a page above a view: `q` then goes back."""
    read_only: str = ""
    selected: bool = False
    rows: bool = False
    filtered: bool = False
    cannot_build: str = ""
    """Why the selected bundle cannot be built, if so."""
    cannot_cancel: str = ""
    cannot_retry: str = ""
    cannot_accept: str = ""
    """Why the edited configuration cannot be put in place, if so."""
    cannot_change: str = ""
    """Why nothing can be done with the selected environment, if so."""
    marked: int = 0
    """How many rows are marked."""
    cannot_mark: str = ""
    """Why the row under the cursor cannot be marked, if so."""
    wide: bool = False
    """Whether the list shows every column in full and scrolls sideways."""


@dataclass(frozen=True, slots=True)
class FooterItem:
    """One entry of the footer; a disabled one is shown dim."""

    key: str
    label: str
    enabled: bool = True

    @property
    def width(self) -> int:
        return len(self.key) + 1 + len(self.label)


@dataclass(frozen=True, slots=True)
class HelpGroup:
    """The keys of one scope: per row the keys, what they do, and why they do nothing now ("" when they do)."""

    title: str
    rows: tuple[tuple[str, str, str], ...]


def key_name(key: str) -> str:
    """A key as people write it: ``Esc``, ``^d``, ``G``."""
    if key.startswith("ctrl+"):
        return "^" + key.removeprefix("ctrl+")
    return _KEY_NAMES.get(key, key)


def why_not(action: Action, context: InputContext) -> str:
    """Why the action cannot be done now, in a few words; "" when it can."""
    if action.needs_write and context.read_only:
        return f"read-only: {context.read_only}"
    return action.why_disabled(context)


def allowed(context: InputContext) -> tuple[Action, ...]:
    """The actions that exist here, the innermost scope first. A disabled one is among them: it can say why."""
    return tuple(action for scope in context.scopes for action in ACTIONS if action.scope is scope)


def resolve(context: InputContext, key: str) -> Action | None:
    """The action that `key` stands for here; an inner scope's meaning hides an outer one's."""
    return next((action for action in allowed(context) if key in action.keys), None)


def footer(context: InputContext, width: int) -> tuple[FooterItem, ...]:
    """The footer for `width` columns: the most useful keys that fit, in a steady order.

    ``? help`` and ``q back`` (``q quit`` at the top) are there whatever the width.
    """
    last = (FooterItem("?", "help"), FooterItem("q", "quit" if context.top else "back"))
    room = width - 2 - sum(item.width + 2 for item in last)
    ranked = sorted((action for action in allowed(context) if action.rank), key=lambda action: action.rank)
    items: list[FooterItem] = []
    for action in ranked:
        item = FooterItem(key_name(action.keys[0]), action.label, not why_not(action, context))
        if item.width + 2 > room:
            break
        items.append(item)
        room -= item.width + 2
    return (*items, *last)


def help_groups(context: InputContext) -> tuple[HelpGroup, ...]:
    """Every key that means something here, by scope, innermost first; keys that are hidden are left out."""
    taken: set[str] = set()
    groups: list[HelpGroup] = []
    for scope in context.scopes:
        rows: list[tuple[str, str, str]] = []
        for action in ACTIONS:
            keys = [key for key in action.keys if key not in taken]
            if action.scope is not scope or not keys:
                continue
            rows.append((" ".join(map(key_name, keys)), action.tooltip, why_not(action, context)))
        taken.update(key for action in ACTIONS if action.scope is scope for key in action.keys)
        if rows:
            groups.append(HelpGroup(scope.value, tuple(rows)))
    return tuple(groups)


def find_command(context: InputContext, word: str) -> Action | None:
    """The action that ``:word`` names here: its command, an alias, or the only command that begins so."""
    commands = [action for action in allowed(context) if action.commands]
    for action in commands:
        if word in action.commands:
            return action
    found = [action for action in commands if action.commands[0].startswith(word)]
    return found[0] if len(found) == 1 else None


def commands(context: InputContext) -> tuple[tuple[str, str], ...]:
    """What can be typed after ``:`` here, by name: the command with its argument, and what it does."""
    found = {action.commands[0]: action for action in reversed(allowed(context)) if action.commands}
    return tuple((f"{name} {found[name].argument}".rstrip(), found[name].tooltip) for name in sorted(found))


def complete(context: InputContext, text: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The whole command lines that `text` could become. `arguments` are known first arguments such as bundles."""
    word, space, argument = text.partition(" ")
    if not space:
        names = [action.commands[0] for action in allowed(context) if action.commands]
        return tuple(sorted({name for name in names if name.startswith(word)}))
    action = find_command(context, word)
    if action is None or not action.argument:
        return ()
    return tuple(f"{word} {value}" for value in sorted(arguments) if value.startswith(argument))

"""What the keys mean right now: pure functions over a frozen picture of where the admin is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from app.keys.actions import ACTIONS, Action, Scope
from app.keys.keymap import DEFAULT_KEYS, KeyMap, key_name

__all__ = [
    "FooterItem",
    "HelpGroup",
    "InputContext",
    "allowed",
    "commands",
    "complete",
    "elsewhere",
    "find_command",
    "footer",
    "help_groups",
    "offered",
    "resolve",
    "why_not",
]


class InputContext(Struct, frozen=True):
    """Where the admin is and what is selected: all that decides what a key means."""

    scopes: tuple[Scope, ...]
    """Innermost first."""
    keys: KeyMap = DEFAULT_KEYS
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
    cannot_activate: str = ""
    """Why no other bundle of the selected content can become active, if so."""
    cannot_accept: str = ""
    """Why the edited configuration cannot be put in place, if so."""
    cannot_change: str = ""
    """Why nothing can be done with the selected environment, if so."""
    marked: int = 0
    """How many rows are marked."""
    cannot_mark: str = ""
    """Why the row under the cursor cannot be marked, if so."""
    finding: bool = False
    """Whether something is being looked for in the text."""
    wide: bool = False
    """Whether the list shows every column in full and scrolls sideways."""


class FooterItem(Struct, frozen=True):
    """One entry of the footer; a disabled one is shown dim."""

    key: str
    label: str
    enabled: bool = True

    @property
    def width(self) -> int:
        return len(self.key) + 1 + len(self.label)


class HelpGroup(Struct, frozen=True):
    """The keys of one scope: per row the keys, what they do, and why they do nothing now ("" when they do)."""

    title: str
    rows: tuple[tuple[str, str, str], ...]


def why_not(action: Action, context: InputContext) -> str:
    """Why the action cannot be done now, in a few words; "" when it can."""
    if action.needs_write and context.read_only:
        return f"read-only: {context.read_only}"
    return action.why_disabled(context)


def allowed(context: InputContext) -> tuple[Action, ...]:
    """The actions that exist here, the innermost scope first. A disabled one is among them: it can say why."""
    return tuple(action for scope in context.scopes for action in ACTIONS if action.scope is scope)


def offered(context: InputContext) -> tuple[Action, ...]:
    """What the palette lists: all that can be done here or commanded from here, but for moving about."""
    here = [action for action in allowed(context) if action.scope is not Scope.MOVE and action.id != "palette"]
    away = [action for action in ACTIONS if action.travels and action.scope not in context.scopes]
    return (*here, *(action for action in away if not action.argument))


def resolve(context: InputContext, key: str) -> Action | None:
    """The action that `key` stands for here; an inner scope's meaning hides an outer one's."""
    return next((action for action in allowed(context) if key in context.keys.of(action)), None)


def footer(context: InputContext, width: int) -> tuple[FooterItem, ...]:
    """The footer for `width` columns: the most useful keys that fit, in a steady order.

    ``? help`` and ``q back`` (``q quit`` at the top) are there whatever the width. An action that a key map left
    without a key is not shown.
    """
    names = {action.id: _first_key(action, context) for action in ACTIONS}
    last = (FooterItem(names["help"], "help"), FooterItem(names["leave"], "quit" if context.top else "back"))
    room = width - 2 - sum(item.width + 2 for item in last)
    ranked = sorted((action for action in allowed(context) if action.rank), key=lambda action: action.rank)
    items: list[FooterItem] = []
    for action in ranked:
        if not context.keys.of(action):
            continue
        item = FooterItem(names[action.id], action.label, not why_not(action, context))
        if item.width + 2 > room:
            break
        items.append(item)
        room -= item.width + 2
    return (*items, *last)


def _first_key(action: Action, context: InputContext) -> str:
    """The key to show for an action; where it has none, its command."""
    keys = context.keys.of(action)
    return key_name(keys[0]) if keys else f":{action.commands[0]}" if action.commands else ""


def help_groups(context: InputContext) -> tuple[HelpGroup, ...]:
    """Every key that means something here, by scope, innermost first; keys that are hidden are left out."""
    taken: set[str] = set()
    groups: list[HelpGroup] = []
    for scope in context.scopes:
        rows: list[tuple[str, str, str]] = []
        for action in ACTIONS:
            keys = [key for key in context.keys.of(action) if key not in taken]
            if action.scope is not scope or not keys:
                continue
            rows.append((" ".join(map(key_name, keys)), action.tooltip, why_not(action, context)))
        taken.update(key for action in ACTIONS if action.scope is scope for key in context.keys.of(action))
        if rows:
            groups.append(HelpGroup(scope.value, tuple(rows)))
    return tuple(groups)


def elsewhere(context: InputContext) -> tuple[HelpGroup, ...]:
    """The keys of the scopes that this page does not have, so that one can read about them from anywhere."""
    return tuple(
        HelpGroup(
            scope.value,
            tuple(
                (" ".join(map(key_name, keys)), action.tooltip, "")
                for action in ACTIONS
                if action.scope is scope and (keys := context.keys.of(action))
            ),
        )
        for scope in Scope
        if scope not in context.scopes
    )


def find_command(context: InputContext, word: str) -> Action | None:
    """The action that ``:word`` names: its command, an alias, or the only command that begins so.

    What is meant here comes before what can be commanded from afar (`Action.travels`).
    """
    reach = _commanded(context)
    for nearby in reach:
        for action in nearby:
            if word in action.commands:
                return action
    for nearby in reach:
        found = [action for action in nearby if action.commands[0].startswith(word)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _commanded(context: InputContext) -> tuple[list[Action], list[Action]]:
    """What has a command here, and what has one elsewhere that works from here too."""
    here = [action for action in allowed(context) if action.commands]
    away = [action for action in ACTIONS if action.travels and action.scope not in context.scopes]
    return here, away


def commands(context: InputContext) -> tuple[tuple[str, str], ...]:
    """What can be typed after ``:`` here, by name: the command with its argument, and what it does."""
    here, away = _commanded(context)
    found = {action.commands[0]: action for action in [*reversed(away), *reversed(here)]}
    return tuple((f"{name} {found[name].argument}".rstrip(), found[name].tooltip) for name in sorted(found))


def complete(
    context: InputContext, text: str, values: Callable[[str, str], Sequence[str] | None]
) -> tuple[str, ...] | None:
    """The whole command lines that `text` could become.

    `values` knows what an argument such as ``KEY`` can be, given how it begins; where it does not yet, this is None.
    """
    word, space, argument = text.partition(" ")
    if not space:
        names = {action.commands[0] for nearby in _commanded(context) for action in nearby}
        return tuple(sorted(name for name in names if name.startswith(word)))
    action = find_command(context, word)
    if action is None or not action.argument:
        return ()
    found = values(action.argument, argument)
    if found is None:
        return None
    return tuple(f"{word} {value}" for value in sorted(found) if value.startswith(argument))

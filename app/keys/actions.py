"""The one registry of everything a key, the footer, the help, the palette or a ``:`` command can do."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from app.keys.context import InputContext

__all__ = ["ACTIONS", "HOMES", "ROWS", "VIEWS", "Action", "Scope", "View"]


class Scope(StrEnum):
    """Where an action means something; the value is its title in the help."""

    INSTALLATIONS = "Installations"
    ENVIRONMENTS = "Environments"
    MATCH = "Match"
    BUILDS = "Builds"
    CONFIG = "Config"
    CONTENT = "Content"
    DRAFT = "Edited configuration"
    LOG = "Build log"
    TEXT = "Text"
    FIND = "Find"
    MARKS = "Marks"
    LIST = "List"
    MOVE = "Move"
    GLOBAL = "Everywhere"

    @property
    def prefix(self) -> str:
        """What the names of its actions begin with."""
        return _PREFIXES.get(self, self.name.lower())


_PREFIXES = {Scope.INSTALLATIONS: "inst", Scope.ENVIRONMENTS: "env", Scope.GLOBAL: "app"}


class View(StrEnum):
    """The five views, in the order of their number keys; the value is the mode's name."""

    INSTALLATIONS = "installations"
    ENVIRONMENTS = "environments"
    MATCH = "match"
    BUILDS = "builds"
    CONFIG = "config"


VIEWS = tuple(View)
HOMES = {scope: View(scope.value.lower()) for scope in Scope if scope.value.lower() in set(VIEWS)}
"""The view that a scope belongs to, for those that have one."""
ROWS = frozenset({"KEY", "BUILD"})
"""The arguments that name a row of the command's view."""


def _always(_context: InputContext) -> str:
    return ""


def _needs_row(context: InputContext) -> str:
    return "" if context.selected else "nothing is selected"


def _needs_rows(context: InputContext) -> str:
    return "" if context.rows or context.filtered else "the list is empty"


def _can_build(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_build


def _can_cancel(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_cancel


def _can_retry(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_retry


def _can_activate(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_activate


def _can_change(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_change


def _can_change_marked(context: InputContext) -> str:
    return "" if context.marked else _can_change(context)


def _can_mark(context: InputContext) -> str:
    return _needs_row(context) or context.cannot_mark


def _needs_filter(context: InputContext) -> str:
    return "" if context.filtered else "there is no filter; / begins one"


def _needs_wide(context: InputContext) -> str:
    return "" if context.wide else "every column that fits is shown; w shows them all"


def _needs_finding(context: InputContext) -> str:
    return "" if context.finding else "nothing is being looked for; / begins"


def _needs_marks(context: InputContext) -> str:
    return "" if context.marked else "nothing is marked"


class Action(Struct, frozen=True):
    """One thing that can be done."""

    id: str
    keys: tuple[str, ...]
    label: str
    """One or two words for the footer."""
    tooltip: str
    """One sentence for help and palette."""
    scope: Scope
    rank: int = 0
    """Place in the footer, the lowest first; 0 keeps it out."""
    commands: tuple[str, ...] = ()
    """Names after ``:``, the full one first."""
    argument: str = ""
    """What the command takes, such as ``PATH``."""
    needs_write: bool = False
    why_disabled: Callable[[InputContext], str] = _always
    view: View | None = None
    """The view to go to, for the actions that do that."""

    @property
    def method(self) -> str:
        """Of the page or the app: does it, given the argument of the command ("" for none)."""
        return "do_" + self.id.replace("-", "_")

    @property
    def travels(self) -> bool:
        """Whether its command can be given away from its view, since it does not need a row under the cursor."""
        return self.scope in HOMES and bool(self.commands) and (bool(self.argument) or self.why_disabled is _always)

    @property
    def name(self) -> str:
        """What a key map calls it: ``env.rebuild``."""
        prefix = self.scope.prefix
        return f"{prefix}.{self.id.removeprefix(f'{prefix}-').removesuffix(f'-{prefix}')}"


def _view(number: int, view: View, *aliases: str) -> Action:
    name = view.value
    tooltip = f"Go to {name.title()}"
    return Action(f"view-{name}", (str(number),), name, tooltip, Scope.GLOBAL, commands=(name, *aliases), view=view)


ACTIONS: tuple[Action, ...] = (
    # Installations
    Action("probe", ("t",), "test again", "Run every interpreter again", Scope.INSTALLATIONS, 1, ("probe",)),
    # Environments
    Action(
        "reap",
        ("x",),
        "reap",
        "Delete the marked environments, or the selected one (asks first)",
        Scope.ENVIRONMENTS,
        1,
        ("reap",),
        "KEY",
        needs_write=True,
        why_disabled=_can_change_marked,
    ),
    Action(
        "environment-log",
        ("l",),
        "log",
        "The log of the build that made the selected environment",
        Scope.ENVIRONMENTS,
        5,
        ("log",),
        why_disabled=_can_change,
    ),
    Action(
        "difference",
        ("=",),
        "diff",
        "How the two marked environments differ, or the marked one and the selected one",
        Scope.ENVIRONMENTS,
        7,
        ("diff",),
    ),
    Action(
        "reap-all",
        ("X",),
        "reap all",
        "Delete everything that nobody needs (asks first)",
        Scope.ENVIRONMENTS,
        commands=("reap-all",),
        needs_write=True,
    ),
    Action(
        "rebuild",
        ("r",),
        "rebuild",
        "Build the marked environments again, or the selected one (asks first)",
        Scope.ENVIRONMENTS,
        2,
        ("rebuild",),
        "KEY",
        needs_write=True,
        why_disabled=_can_change_marked,
    ),
    Action(
        "pin",
        ("p",),
        "pin",
        "Keep the selected environment whether or not content uses it, or stop keeping it",
        Scope.ENVIRONMENTS,
        4,
        ("pin",),
        "KEY",
        needs_write=True,
        why_disabled=_can_change,
    ),
    Action(
        "verify",
        ("t",),
        "verify",
        "Prove that the marked environments, or the selected one, are what was built",
        Scope.ENVIRONMENTS,
        commands=("verify",),
        argument="KEY",
        why_disabled=_can_change_marked,
    ),
    # Match
    Action(
        "build",
        ("b",),
        "build",
        "Build the environment of this bundle (asks first)",
        Scope.MATCH,
        1,
        needs_write=True,
        why_disabled=_can_build,
    ),
    Action(
        "try",
        ("t",),
        "try",
        "Type a version or constraint and see what it would get",
        Scope.MATCH,
        2,
        ("try",),
        "PYTHON",
    ),
    Action(
        "rules",
        ("=",),
        "compare",
        "What each matching rule makes of the bundle, side by side",
        Scope.MATCH,
        6,
        ("rules",),
        why_disabled=_needs_row,
    ),
    Action("pane", ("tab",), "text", "Move between the list and the text beside it", Scope.MATCH, 4),
    Action(
        "edit-config",
        ("e",),
        "edit",
        "Edit a copy of the configuration file in $EDITOR; it is checked before it is put in place",
        Scope.CONFIG,
        1,
        ("edit",),
        "FILE",
        needs_write=True,
    ),
    Action("pane-config", ("tab",), "notes", "Move between the notes and the values", Scope.CONFIG, 3),
    Action(
        "impact",
        ("i",),
        "impact",
        "What the last load of the configuration does to content and bundles",
        Scope.CONFIG,
        2,
        ("impact",),
    ),
    Action(
        "executors",
        ("x",),
        "executors",
        "Where builds can run, and why not elsewhere",
        Scope.CONFIG,
        4,
        ("executors",),
    ),
    # Builds
    Action(
        "log", ("l", "enter"), "log", "Show the log, live", Scope.BUILDS, 1, ("log",), "BUILD", why_disabled=_needs_row
    ),
    Action(
        "cancel",
        ("c",),
        "cancel",
        "Cancel the marked builds, or the selected one (asks first)",
        Scope.BUILDS,
        2,
        ("cancel",),
        "BUILD",
        needs_write=True,
        why_disabled=_can_cancel,
    ),
    Action(
        "retry",
        ("r",),
        "retry",
        "Build once more what an ended build was for, its bundle as it is now (asks first)",
        Scope.BUILDS,
        2,
        ("retry",),
        "BUILD",
        needs_write=True,
        why_disabled=_can_retry,
    ),
    # Content
    Action(
        "activate",
        ("b",),
        "bundle",
        "Make another bundle of the selected content the active one, such as the one before (asks first)",
        Scope.CONTENT,
        1,
        ("activate",),
        "NUMBER",
        needs_write=True,
        why_disabled=_can_activate,
    ),
    # Build log
    Action("follow", ("f",), "follow", "Follow the end of the log, or stop following", Scope.LOG, 1, ("follow",)),
    Action(
        "search", ("/",), "search", "Find lines with a word, without one (!word), or that match /regex/", Scope.LOG, 2
    ),
    Action("search-next", ("n",), "next", "Next match", Scope.LOG, 10),
    Action("search-previous", ("N",), "previous", "Previous match", Scope.LOG),
    Action(
        "show-only",
        ("&",),
        "only",
        "Show only lines with a word, without one (!word), or that match /regex/; empty shows all again",
        Scope.LOG,
        5,
        ("only",),
        "TEXT",
    ),
    Action("error-next", ("e",), "error", "Next line that tells of an error", Scope.LOG, 3, ("error",)),
    Action("error-previous", ("E",), "error before", "Previous line that tells of an error", Scope.LOG),
    Action("wrap", ("w",), "wrap", "Break long lines, or cut them off", Scope.LOG, 6, ("wrap",)),
    Action("times", ("t",), "times", "Show or hide the time of each line", Scope.LOG, 7, ("times",)),
    Action(
        "save", ("s",), "save", "Save what is shown, and what is only on the disk, to a file", Scope.LOG, 8, ("save",)
    ),
    Action(
        "describe-build",
        ("d",),
        "describe",
        "Everything about the build",
        Scope.LOG,
        9,
        ("describe",),
        why_disabled=_needs_row,
    ),
    Action(
        "retry-log",
        ("r",),
        "retry",
        "Build it once more when it has ended, its bundle as it is now (asks first)",
        Scope.LOG,
        4,
        ("retry",),
        needs_write=True,
        why_disabled=lambda context: context.cannot_retry,
    ),
    Action("left", ("left", "h"), "left", "Scroll to the left", Scope.LOG),
    Action("right", ("right", "l"), "right", "Scroll to the right", Scope.LOG),
    Action(
        "cancel-log",
        ("c",),
        "cancel",
        "Cancel the build (asks first)",
        Scope.LOG,
        4,
        ("cancel",),
        needs_write=True,
        why_disabled=lambda context: context.cannot_cancel,
    ),
    # An edited configuration
    Action(
        "accept-draft",
        ("y",),
        "put in place",
        "Make it the configuration",
        Scope.DRAFT,
        1,
        ("accept",),
        needs_write=True,
        why_disabled=lambda context: context.cannot_accept,
    ),
    Action("edit-again", ("e",), "edit again", "Go on editing it", Scope.DRAFT, 2, ("edit",)),
    # Text pages and the log
    Action("pager", ("P",), "pager", "Read it in $PAGER", Scope.TEXT, 6, ("pager",)),
    Action("copy-text", ("y",), "copy", "Copy the text, a path or JSON", Scope.TEXT, 2, ("copy",)),
    # Text pages
    Action("find", ("/",), "find", "Find a word or /regex/", Scope.FIND, 1, ("find",), "TEXT"),
    Action("find-next", ("n",), "next", "Next place", Scope.FIND, 3, why_disabled=_needs_finding),
    Action("find-previous", ("N",), "previous", "Previous place", Scope.FIND, why_disabled=_needs_finding),
    # Marks
    Action(
        "mark",
        ("space",),
        "mark",
        "Mark the selected row, or take its mark off",
        Scope.MARKS,
        6,
        ("mark",),
        why_disabled=_can_mark,
    ),
    Action(
        "mark-range",
        ("V",),
        "range",
        "Mark a range: begin it here, move, and the same key ends it",
        Scope.MARKS,
        why_disabled=_needs_row,
    ),
    Action("mark-all", ("*",), "all", "Mark every row that the filter shows", Scope.MARKS, why_disabled=_needs_row),
    Action(
        "unmark",
        ("\\", "u"),
        "unmark",
        "Take all marks off",
        Scope.MARKS,
        commands=("unmark",),
        why_disabled=_needs_marks,
    ),
    # Lists
    Action(
        "describe",
        ("d", "enter"),
        "describe",
        "Everything about the selected row",
        Scope.LIST,
        3,
        ("describe",),
        why_disabled=_needs_row,
    ),
    Action(
        "filter",
        ("/",),
        "filter",
        "Show only some rows: word, !word, /regex/, field:word, size>1G",
        Scope.LIST,
        5,
        ("filter",),
        "TEXT",
        why_disabled=_needs_rows,
    ),
    Action("sort", ("o",), "sort", "Sort by a column, chosen by its letter", Scope.LIST, 7, ("sort",), "COLUMN"),
    Action("next-row", ("n",), "next", "The next row that the filter shows", Scope.LIST, why_disabled=_needs_filter),
    Action("previous-row", ("N",), "previous", "The row before", Scope.LIST, why_disabled=_needs_filter),
    Action("reverse", ("O",), "reverse", "Reverse the order", Scope.LIST, commands=("reverse",)),
    Action(
        "wide",
        ("w",),
        "wide",
        "Every column in full, or only those that fit",
        Scope.LIST,
        13,
        ("wide",),
    ),
    Action("list-left", ("left", "h"), "left", "Back to the columns on the left", Scope.LIST, why_disabled=_needs_wide),
    Action(
        "list-right", ("right", "l"), "right", "On to the columns on the right", Scope.LIST, why_disabled=_needs_wide
    ),
    Action(
        "copy",
        ("y",),
        "copy",
        "Copy the path, the key or JSON of the row",
        Scope.LIST,
        8,
        ("copy",),
        why_disabled=_needs_row,
    ),
    Action("raw", ("v",), "raw", "The selected row as JSON", Scope.LIST, 9, ("raw",), why_disabled=_needs_row),
    # Moving
    Action("down", ("j", "down"), "down", "One line down", Scope.MOVE),
    Action("up", ("k", "up"), "up", "One line up", Scope.MOVE),
    Action("half-down", ("ctrl+d",), "half down", "Half a page down", Scope.MOVE),
    Action("half-up", ("ctrl+u",), "half up", "Half a page up", Scope.MOVE),
    Action("page-down", ("pagedown", "space", "ctrl+f"), "page down", "A page down", Scope.MOVE),
    Action("page-up", ("pageup", "ctrl+b"), "page up", "A page up", Scope.MOVE),
    Action("first", ("g", "home"), "top", "To the top", Scope.MOVE),
    Action("last", ("G", "end"), "end", "To the end", Scope.MOVE),
    # Everywhere
    _view(1, View.INSTALLATIONS, "i"),
    _view(2, View.ENVIRONMENTS, "e", "env", "envs"),
    _view(3, View.MATCH, "m"),
    _view(4, View.BUILDS, "b"),
    _view(5, View.CONFIG, "cfg", "c"),
    Action("content", (), "content", "List what is deployed", Scope.GLOBAL, commands=("content",)),
    Action("open", ("a",), "open", "Open a bundle by its path", Scope.GLOBAL, 11, commands=("open",), argument="PATH"),
    Action(
        "build-bundle",
        (),
        "build",
        "Build the environment of a bundle by its name",
        Scope.GLOBAL,
        commands=("build",),
        argument="BUNDLE",
        needs_write=True,
    ),
    Action("refresh", ("ctrl+r",), "refresh", "Look at everything again", Scope.GLOBAL, commands=("refresh",)),
    Action(
        "redraw",
        ("ctrl+l",),
        "redraw",
        "Send the screen again, after something else wrote on it",
        Scope.GLOBAL,
        commands=("redraw",),
    ),
    Action("freeze", ("F",), "freeze", "Let the picture stand still, or go on", Scope.GLOBAL, commands=("freeze",)),
    Action("command", (":",), "command", "Type a command; Tab completes", Scope.GLOBAL, 10),
    Action("palette", ("ctrl+p", "f1"), "palette", "Find an action by name", Scope.GLOBAL),
    Action(
        "events",
        ("!",),
        "events",
        "What everybody did here, and the messages of this session",
        Scope.GLOBAL,
        12,
        ("events",),
    ),
    Action("help", ("?",), "help", "The keys that work here", Scope.GLOBAL, commands=("help",)),
    Action("theme", (), "theme", "Change the colours", Scope.GLOBAL, commands=("theme",), argument="THEME"),
    Action("suspend", ("ctrl+z",), "suspend", "Suspend; fg brings envdeck back", Scope.GLOBAL),
    Action("back", ("escape",), "back", "Leave a page, or clear the filter", Scope.GLOBAL, commands=("back",)),
    Action("leave", ("q",), "quit", "Go back, from a view quit; builds go on", Scope.GLOBAL),
    Action("quit", ("Q",), "quit", "Quit; builds go on", Scope.GLOBAL, commands=("quit", "q")),
    Action("interrupt", ("ctrl+c",), "cancel", "Leave the prompt line", Scope.GLOBAL),
)

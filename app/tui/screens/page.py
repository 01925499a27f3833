"""What every page has in common: the lines around the body, the keys, the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.containers import Vertical
from textual.screen import Screen

from app.keys.actions import Scope
from app.keys.context import InputContext, footer
from app.tui.widgets.chrome import cramped_line, footer_line, status_line, views_line
from app.tui.widgets.one_line import OneLine
from app.tui.widgets.prompt import Prompt, Question

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.events import Key, Paste, Resize

    from app.keys.actions import View
    from app.tui.app import EnvdeckApp
    from app.tui.widgets.lines import LineWidget
    from app.tui.widgets.prompt import Editing
    from engine import Snapshot

__all__ = ["Copies", "Page", "key_of"]


def key_of(event: Key) -> str:
    """A key by the name that the registry has for it: what it types, else what it is called."""
    typed = event.character or ""
    types = len(typed) == 1 and typed.isprintable() and typed != " "
    return typed if types and not event.key.startswith(("ctrl+", "alt+")) else event.key


Copies = Mapping[str, tuple[str, str]]
"""What `y` offers: key to (name, text)."""


class Page(Screen[None], inherit_bindings=False):
    """A full screen: two lines of header, the body, the prompt, the footer."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [  # type: ignore[misc]  # so in Textual's own documentation
        (0, "-too-narrow"),
        (60, "-narrow"),
        (110, "-wide"),
    ]
    VERTICAL_BREAKPOINTS: ClassVar[list[tuple[int, str]]] = [  # type: ignore[misc]  # as above
        (0, "-too-low"),
        (16, "-short"),
        (20, "-tall"),
    ]
    view: View
    scopes: ClassVar[tuple[Scope, ...]] = ()
    """The scopes of this page, innermost first, without those that every page has."""
    top = True
    """False for a page that `q` leaves for the one below."""
    shows_events: ClassVar[bool] = False
    """Whether what is said is to be shown at once."""
    ready = False
    """Whether it shows what keys are about; until then they wait."""

    @property
    def deck(self) -> EnvdeckApp:
        return cast("EnvdeckApp", self.app)

    @property
    def snapshot(self) -> Snapshot:
        """The engine's picture that the app shows now."""
        return self.deck.snapshot

    def compose(self) -> ComposeResult:
        self.prompt = Prompt(self.deck.monotonic)
        yield OneLine(id="status")
        yield OneLine(id="views")
        yield OneLine(id="notice")
        with Vertical(id="body"):
            yield from self.body()
        yield self.prompt
        yield OneLine(id="footer")
        yield OneLine(id="cramped")

    # For subclasses

    def body(self) -> ComposeResult:
        """The widgets of the page."""
        raise NotImplementedError

    def show(self) -> None:
        """Bring the page up to date with the snapshot."""
        raise NotImplementedError

    @property
    def mover(self) -> LineWidget:
        """The widget that the moving keys move."""
        raise NotImplementedError

    def tally(self) -> str:
        """What the header says at the right of the views."""
        return ""

    def argument_values(self, argument: str) -> Sequence[str]:  # noqa: ARG002 - for subclasses
        """What an argument of a command can be that only this page knows, such as ``COLUMN``."""
        return ()

    def context(self) -> InputContext:
        """Where the admin is."""
        scopes = (*self.scopes, Scope.MOVE, Scope.GLOBAL)
        return InputContext(scopes, self.deck.key_map, self.top, self.snapshot.read_only)

    def step_back(self) -> bool:
        """Give up what Esc gives up on this page before it leaves it; False when there is nothing of the kind."""
        return False

    @property
    def may_change(self) -> bool:
        """Whether it may change by itself now: it is seen, not frozen, and nothing is being decided on it."""
        return self.is_current and not self.deck.frozen and not self.prompt.asking

    # Life

    def on_mount(self) -> None:
        self.mover.focus()

    def on_screen_resume(self) -> None:
        if not self.is_current or not self.children:
            return  # left again before it was shown, or envdeck is being left, which makes no widgets any more
        self.show()
        self.prompt.say(self.deck.status)
        self.prompt.hold()
        self.refresh_chrome()
        self.ready = True
        self.deck.steering.take_keys()

    def on_screen_suspend(self) -> None:
        self.ready = False
        # Lines as they were drawn are a quarter of a megabyte of each page, and drawn again when it comes back.
        for widget in self.query("*"):
            widget._styles_cache.clear()

    def on_resize(self, event: Resize) -> None:
        size = event.size
        self.query_one("#cramped", OneLine).show(cramped_line(size.width, size.height))
        self.call_after_refresh(self.refresh_chrome)

    def refresh_chrome(self) -> None:
        """Redraw header and footer where they differ; a page below another one does when it comes back."""
        if not self.is_current:
            return
        width = self.app.size.width
        self.query_one("#status", OneLine).show(
            status_line(self.snapshot, self.deck.version, width, frozen=self.deck.frozen)
        )
        self.query_one("#views", OneLine).show(views_line(self.view, self.tally(), width))
        self.query_one("#footer", OneLine).show(footer_line(footer(self.context(), width), width))

    def take_prompt_key(self, event: Key) -> None:
        """Give a key to the prompt, whose every key is while it is open."""
        self.prompt.take_key(event)
        if not self.prompt.busy:
            self.deck.catch_up()

    def on_paste(self, event: Paste) -> None:
        if self.prompt.busy:
            event.stop()
            self.prompt.take_paste(event)

    # What pages share

    def offer_copies(self, copies: Copies) -> None:
        """Ask which of `copies` is wanted; a single one needs no question."""
        if len(copies) == 1:
            self.deck.copy(*next(iter(copies.values())))
            return
        answers = {
            key: (name, lambda name=name, text=text: self.deck.copy(name, text)) for key, (name, text) in copies.items()
        }
        self.prompt.ask(Question("Copy", answers, dangerous=False))

    def edit(self, editing: Editing) -> None:
        self.prompt.edit(editing)

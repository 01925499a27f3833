"""Changing the configuration in the admin's editor: a copy is edited, checked, and put in place or given up."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.keys.keymap import read_key_map
from app.tui import outside
from app.tui.describe.draft import describe_draft
from app.tui.document import Line
from app.tui.events import Level
from app.tui.keeping import keep
from app.tui.screens.page import Page
from app.tui.screens.text_page import TextPage
from app.tui.text import count
from app.tui.widgets.prompt import Question
from engine import ConfigDraft, ConfigState, Impact, Problem, Refused, Snapshot

__all__ = ["DraftPage", "edit_config"]


def edit_config(page: Page, argument: str = "") -> None:
    """Open the configuration file of that name, or the one in force; asks which, where there are several."""
    files = page.snapshot.config.files
    chosen = [file for file in files if argument in (str(file), file.name)] if argument else list(files)
    if argument and not chosen:
        page.deck.say(f"no configuration file {argument} is in force; 5 tells which are", Level.WARNING)
    elif len(chosen) > 1:
        answers = {
            str(number): (str(file), partial(_take, page, file)) for number, file in enumerate(chosen[-9:], start=1)
        }
        page.prompt.ask(Question("Edit", answers, dangerous=False))
    else:
        _take(page, chosen[0] if chosen else None)


def _take(page: Page, file: Path | None) -> None:
    deck = page.deck
    deck.perform(lambda: deck.engine.draft_config(file), lambda draft: _edit(page, draft, draft.text))


def _edit(page: Page, draft: ConfigDraft, text: bytes) -> None:
    """Have `text` edited in a copy; then show what it would mean."""
    deck = page.deck
    argv = outside.editor(deck.environ)
    if not argv:
        deck.say("no editor is set: put its name into $EDITOR", Level.WARNING)
        return
    # By the name of the real one, so that the editor knows the syntax.
    directory = Path(tempfile.mkdtemp(prefix="envdeck-"))
    copy = directory / draft.path.name
    try:
        copy.write_bytes(text)
        problem = outside.run_outside(deck, [*argv, str(copy)])
        written = copy.read_bytes()
    except OSError as error:
        deck.say(f"cannot edit a copy in {directory}: {error.strerror or error}", Level.ERROR)
        return
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if problem:
        deck.say(f"{problem}; the configuration is as it was{_kept(page, draft, written)}", Level.WARNING)
    elif written == draft.text and draft.exists:
        deck.say("nothing changed")
    else:
        deck.perform(lambda: deck.engine.check_draft(draft, written), lambda state: _show(page, draft, written, state))


def _show(page: Page, draft: ConfigDraft, text: bytes, state: ConfigState) -> None:
    # What keys mean only the fronts can tell.
    state = replace(state, problems=(*state.problems, *read_key_map(state.settings.keys)[1]))
    page.app.push_screen(DraftPage(draft, text, state))


def _kept(page: Page, draft: ConfigDraft, text: bytes) -> str:
    """Keep what was written, if it is worth it, and say where."""
    if text == draft.text:
        return ""
    file = keep(f"draft-{draft.path.name}", text, page.deck.environ)
    return f"; what you wrote is in {file}" if file else ""


class DraftPage(TextPage):
    """What an edited configuration would mean: its problems, what changes, the difference. Nothing is done yet."""

    scopes = (Scope.DRAFT, Scope.TEXT)

    def __init__(self, draft: ConfigDraft, text: bytes, state: ConfigState) -> None:
        super().__init__(View.CONFIG, f"Edited {draft.path}", self._describe)
        self._draft, self._text, self._state = draft, text, state

    def _describe(self, _snapshot: Snapshot) -> Sequence[Line]:
        return describe_draft(self._draft, self._text, self._state, self._impact())

    def _impact(self) -> Impact | Problem | None:
        """What it would do; None while that is worked out, and where there is nothing to work out."""
        state, engine = self._state, self.deck.engine
        if state.errors or not state.changed:
            return None
        return self.deck.lookups.get("draft impact", (self._draft.path, self._text), lambda: engine.impact_of(state))

    def context(self) -> InputContext:
        errors = len(self._state.errors)
        cannot = f"there {'is' if errors == 1 else 'are'} {count(errors, 'error')} in it; e edits again"
        return replace(super().context(), cannot_accept=cannot if errors else "")

    def do_accept_draft(self, _argument: str) -> None:
        deck = self.deck

        def put() -> ConfigDraft | None:
            """None when it is in place; else the file as somebody else left it meanwhile."""
            try:
                deck.engine.put_draft(self._draft, self._text)
            except Refused as refused:
                if refused.problem.code != "config-changed":
                    raise
                return deck.engine.draft_config(self._draft.path)
            return None

        deck.perform(put, self._put)

    def _put(self, changed: ConfigDraft | None) -> None:
        deck = self.deck
        self._leave()
        if changed is None:
            deck.say(f"{self._draft.path} is written; it takes effect within a second", Level.GOOD)
            return
        deck.say("somebody else changed the file meanwhile: below is what you would undo, too", Level.WARNING)
        deck.perform(
            lambda: deck.engine.check_draft(changed, self._text),
            lambda state: _show(deck.page, changed, self._text, state),
        )

    def do_edit_again(self, _argument: str) -> None:
        self._leave()
        _edit(self.deck.page, self._draft, self._text)

    def do_back(self, _argument: str) -> None:
        self._leave()
        self.deck.say(f"the configuration is as it was{_kept(self, self._draft, self._text)}")

    do_leave = do_back

    def _leave(self) -> None:
        if self.is_current:
            self.app.pop_screen()

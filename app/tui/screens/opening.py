"""Getting a bundle onto the Match view, by its path or by its name, from wherever the admin is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.keys.actions import View
from app.tui.events import Level
from app.tui.screens.match import MatchPage
from engine import Bundle

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["build_by_name", "open_bundle", "show_bundle"]


def open_bundle(deck: EnvdeckApp, reference: str) -> None:
    """Read the bundle at that path (or the sample of that name) off the loop, then show what it gets."""
    path = os.path.expanduser(reference.strip())  # noqa: PTH111 - a sample's name is not a path

    def opened(bundle: Bundle) -> None:
        deck.say(f"opened {bundle.name}", Level.GOOD)
        show_bundle(deck, str(bundle.path))

    if path:
        deck.perform(lambda: deck.engine.open_bundle(path), opened)


def build_by_name(deck: EnvdeckApp, name: str) -> None:
    """Ask to build the bundle of that name or path; without one, the bundle under the cursor."""
    page = deck.page
    if not name and isinstance(page, MatchPage):
        page.do_build("")
        return
    found = [entry for entry in deck.snapshot.bundles if name in (entry.name, str(entry.path))]
    if len(found) == 1:
        show_bundle(deck, str(found[0].path), build=True)
    else:
        how_many = "more than one bundle is called" if found else "no bundle is called"
        deck.say(f"{how_many} {name or '(nothing)'}; 3 lists them", Level.WARNING)


def show_bundle(deck: EnvdeckApp, path: str, *, build: bool = False) -> None:
    """Go to the Match view with the cursor on that bundle, and ask to build it if so told."""
    deck.go(View.MATCH)

    def select() -> None:
        page = deck.page
        if isinstance(page, MatchPage):
            page.wanted = path
            page.show()
            if build:
                page.do_build("")

    deck.call_after_refresh(select)

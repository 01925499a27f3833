"""Proving from the Environments view that environments are what was built."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.text import count
from engine import VerifyPlan

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["verify"]


def verify(page: Page, keys: Sequence[str]) -> None:
    """Compare these environments with what was built, off the loop, say what was found and mark what is damaged.

    Marked without a question, as on the command line: what is damaged must serve nobody, and the mark goes with the
    next comparison that finds nothing.
    """
    deck = page.deck
    deck.say(f"comparing {count(len(keys), 'environment')} with what was built, file by file...")
    deck.perform(lambda: deck.engine.plan_verify(keys), partial(_found, deck))


def _found(deck: EnvdeckApp, plan: VerifyPlan) -> None:
    for damaged in plan.damaged:
        what = f"{count(len(damaged.findings), 'difference')}, the first: {damaged.findings[0]}"
        deck.say(f"{damaged.name[:8]} is not what was built: {what}", Level.ERROR)
    sound = len(plan.verifications) - len(plan.damaged)
    if sound and not plan.damaged:
        deck.say(f"{count(sound, 'environment')} intact: every file is what was built", Level.GOOD)
    if plan.verifications and not deck.snapshot.read_only:
        deck.perform(lambda: deck.engine.execute(plan), lambda _result: deck.lookups.forget_all())

"""Reaping from the list of environments: plan, question, execution."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.describe.reaping import blind, kept_reasons, reap_lines, reap_name, reap_question, reap_summary, reaped
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import show_plan, typed_word, yes
from app.tui.widgets.prompt import Question
from engine import ReapPlan, ReapResult

__all__ = ["ask_to_reap"]

_MUCH = 1_000_000_000
"""Bytes from which on a single key is not enough."""


def ask_to_reap(page: Page, keys: Sequence[str] | None) -> None:
    """Plan reaping these environments (None: everything) off the loop, ask on `page` or above it, and do it."""
    deck = page.deck

    def ask(plan: ReapPlan) -> None:
        if not page.is_current or page.prompt.busy:
            return
        single = len(plan.items) == 1
        if not plan.items:
            deck.say("there is nothing to reap")
        elif single and not plan.reapable:
            item = plan.items[0]
            deck.say(f"{reap_name(item)} stays: {'; '.join(kept_reasons(item))}", Level.WARNING)
        elif not plan.reapable:
            deck.say("nothing of it can be reaped", Level.WARNING)
            show_plan(page, "Reaping", reap_lines(plan))
        elif len(plan.reapable) > 1 or plan.bytes > _MUCH:
            question = f"Delete {reap_summary(plan)}?"
            show_plan(page, "Reaping", reap_lines(plan), typed_word(question, "reap", lambda: execute(plan)))
        elif single:
            page.prompt.ask(Question(reap_question(plan) + blind(plan), {"y": ("delete it", lambda: execute(plan))}))
        else:
            show_plan(page, "Reaping", reap_lines(plan), yes(reap_question(plan), "delete it", lambda: execute(plan)))

    def execute(plan: ReapPlan) -> None:
        deck.say(f"deleting {reap_summary(plan)}...")
        deck.perform(lambda: deck.engine.execute(plan), tell)

    def tell(result: ReapResult) -> None:
        deck.say(reaped(result), Level.WARNING if result.refused or result.failed else Level.GOOD)

    deck.perform(lambda: deck.engine.plan_reap(keys), ask)

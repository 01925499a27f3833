"""Reaping from the list of environments: plan, question, execution."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.describe.reaping import blind, kept_reasons, reap_lines, reap_name, reap_question, reap_summary, reaped
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose, show_plan
from engine import ReapPlan, ReapResult

__all__ = ["ask_to_reap"]

_MUCH = 1_000_000_000
"""Bytes from which on a single key is not enough."""


def ask_to_reap(page: Page, keys: Sequence[str] | None) -> None:
    """Plan reaping these environments (None: everything) off the loop, ask on `page` or above it, and do it."""
    deck = page.deck

    def ask(plan: ReapPlan) -> None:
        single = len(plan.items) == 1
        if not plan.items:
            deck.say("there is nothing to reap")
        elif single and not plan.reapable:
            item = plan.items[0]
            deck.say(f"{reap_name(item)} stays: {'; '.join(kept_reasons(item))}", Level.WARNING)
        elif not plan.reapable:
            deck.say("nothing of it can be reaped", Level.WARNING)
            show_plan(page, "Reaping", reap_lines(plan))
        else:
            much = not single or plan.bytes > _MUCH
            question = f"Delete {reap_summary(plan)}?" if much else reap_question(plan) + blind(plan)
            propose(
                page,
                Proposal(
                    "Reaping",
                    question,
                    [Answer("y", "delete it", "reap", lambda: execute(plan))],
                    lines=lambda: reap_lines(plan),
                    much=much,
                    command=deck.engine.command_line(plan),
                ),
            )

    def execute(plan: ReapPlan) -> None:
        deck.say(f"deleting {reap_summary(plan)}...")
        deck.perform(lambda: deck.engine.execute(plan), tell)

    def tell(result: ReapResult) -> None:
        deck.say(reaped(result), Level.WARNING if result.refused or result.failed else Level.GOOD)

    deck.perform(lambda: deck.engine.plan_reap(keys), ask)

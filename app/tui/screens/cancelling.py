"""Cancelling a build, from the list and from its log alike: plan, question, execution."""

from __future__ import annotations

from app.tui.describe.build import cancel_question, describe_build
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose
from engine import Build, CancelPlan

__all__ = ["ask_to_cancel", "why_no_cancel"]


def why_no_cancel(build: Build | None) -> str:
    """Why this build cannot be cancelled; "" when it can."""
    if build is None:
        return "no build"
    return f"the build has ended: {build.state.value}" if build.state.final else ""


def ask_to_cancel(page: Page, build_id: str) -> None:
    """Plan cancelling off the loop, ask on `page`, and do it on ``y``."""
    deck = page.deck

    def ask(plan: CancelPlan) -> None:
        if plan.problem is not None:
            deck.say(str(plan.problem), Level.ERROR)
        else:
            propose(
                page,
                Proposal(
                    "Cancelling",
                    cancel_question(plan, deck.clock()),
                    [Answer("y", "cancel", "cancel", lambda: execute(plan))],
                    lines=lambda: describe_build(plan.build, deck.snapshot.taken_at),
                    no="go on",
                    command=deck.engine.command_line(plan),
                ),
            )

    def execute(plan: CancelPlan) -> None:
        deck.perform(
            lambda: deck.engine.execute(plan), lambda _outcome: deck.say(f"cancelling the build of {plan.build.bundle}")
        )

    deck.perform(lambda: deck.engine.plan_cancel(build_id), ask)

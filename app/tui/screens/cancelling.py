"""Cancelling a build, from the list and from its log alike: plan, question, execution."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.describe.build import cancel_lines, cancel_question, describe_build
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose
from app.tui.text import count
from engine import Build, CancelPlan, EnvdeckError

__all__ = ["ask_to_cancel", "why_no_cancel"]


def why_no_cancel(build: Build | None) -> str:
    """Why this build cannot be cancelled; "" when it can."""
    if build is None:
        return "no build"
    return f"the build has ended: {build.state.value}" if build.state.final else ""


def ask_to_cancel(page: Page, *build_ids: str) -> None:
    """Plan cancelling off the loop, ask on `page` or above it, and do it. Of several, those that can be are."""
    deck = page.deck

    def ask(plans: Sequence[CancelPlan]) -> None:
        good = [plan for plan in plans if plan.problem is None]
        if not good:
            deck.say("; ".join(str(plan.problem) for plan in plans), Level.ERROR)
        elif len(plans) > 1:
            propose(
                page,
                Proposal(
                    "Cancelling",
                    f"Cancel {count(len(good), 'build')}?",
                    [Answer("y", "cancel", "cancel", lambda: execute(good))],
                    lines=lambda: cancel_lines(plans, deck.clock()),
                    much=True,
                ),
            )
        else:
            plan = good[0]
            propose(
                page,
                Proposal(
                    "Cancelling",
                    cancel_question(plan, deck.clock()),
                    [Answer("y", "cancel", "cancel", lambda: execute(good))],
                    lines=lambda: describe_build(plan.build, deck.clock()),
                    no="go on",
                    command=deck.engine.command_line(plan),
                ),
            )

    def execute(plans: Sequence[CancelPlan]) -> None:
        def work() -> list[str]:
            return [refusal for plan in plans if (refusal := cancel(plan))]

        deck.perform(work, lambda refusals: tell(plans, refusals))

    def cancel(plan: CancelPlan) -> str:
        """Cancel one; returns why that was refused, which must not keep the others."""
        try:
            deck.engine.execute(plan)
        except EnvdeckError as error:
            return error.problem.what_first
        return ""

    def tell(plans: Sequence[CancelPlan], refusals: Sequence[str]) -> None:
        if refusals:
            deck.say("; ".join(refusals), Level.ERROR)
        elif len(plans) == 1:
            deck.say(f"cancelling the build of {plans[0].build.bundle}")
        else:
            deck.say(f"cancelling {count(len(plans), 'build')}")

    deck.perform(lambda: [deck.engine.plan_cancel(build_id) for build_id in build_ids], ask)

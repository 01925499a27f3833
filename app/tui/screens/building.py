"""Building what a plan says, from whatever page: what there is to say against it, the question, execution."""

from __future__ import annotations

from app.tui.describe.bundle import build_question, explain, why_no_environment
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose
from app.tui.text import age
from engine import BuildPlan, BundleEntry, Outcome

__all__ = ["ask_to_build"]


def ask_to_build(page: Page, plan: BuildPlan, remark: str = "") -> None:
    """Ask on `page` whether to build, with `remark` behind it, and start it on ``y``; or say why there is no need."""
    deck = page.deck

    def execute() -> None:
        deck.perform(lambda: deck.engine.execute(plan), started)

    def started(outcome: Outcome) -> None:
        if outcome.build is not None:
            deck.say(f"building {outcome.build.bundle}; leaving the log or envdeck does not stop it")
            deck.open_log(outcome.build.id)
        elif outcome.environment is not None:
            deck.say(f"HIT: {outcome.environment.key[:8]} was built meanwhile. Nothing to build.", Level.GOOD)

    problem = plan.problem or plan.match.problem
    if problem is not None:
        deck.say(problem.what_first, Level.ERROR)
    elif why := why_no_environment(plan):
        deck.say(f"{plan.bundle.name}: {why}", Level.WARNING)
    elif plan.environment is not None:
        built = age(deck.clock() - plan.environment.built_at)
        deck.say(f"HIT: {plan.bundle.name} reuses {plan.key[:8]}, built {built} ago. Nothing to build.", Level.GOOD)
    elif plan.running is not None:
        deck.say(f"already being built by {plan.running.by}: this is its log")
        deck.open_log(plan.running.id)
    else:
        entry = BundleEntry(plan.bundle.path, plan.bundle.name, is_sample=False, plan=plan, problem=None)
        propose(
            page,
            Proposal(
                "Building",
                build_question(plan) + remark,
                [Answer("y", "build", "build", execute)],
                command=deck.engine.command_line(plan),
                lines=lambda: explain(entry, deck.clock(), None),
            ),
        )

"""Making another bundle of content the active one: which, plan, question, execution."""

from __future__ import annotations

from app.tui.describe.activating import activate_lines, activate_question
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose
from app.tui.usage import content_name
from app.tui.widgets.prompt import Editing
from engine import ActivatePlan, Build, Content

__all__ = ["ask_to_activate", "why_no_activate"]


def why_no_activate(item: Content | None) -> str:
    """Why no other bundle of it can become active; "" when one perhaps can."""
    if item is None:
        return "no content"
    if item.problem is not None:
        return item.problem.message
    return "" if len(item.bundles) > 1 else "it has no other bundle"


def ask_to_activate(page: Page, item: Content, number: str = "") -> None:
    """Ask for the number of a bundle unless it is given, plan it off the loop, ask on `page`, and do it on ``y``."""
    deck = page.deck
    others = [bundle.number for bundle in item.bundles if bundle.number != item.active]

    def chosen(text: str) -> None:
        wanted = text.strip().removeprefix("#")
        if not wanted:
            return
        if not (wanted.isascii() and wanted.isdigit() and int(wanted) in others):
            there = ", ".join(map(str, others))
            deck.say(
                f"{content_name(item)}: not a bundle that could become active: {wanted}; there is {there}",
                Level.WARNING,
            )
            return
        deck.perform(lambda: deck.engine.plan_activate(item.guid, int(wanted)), ask)

    def ask(plan: ActivatePlan) -> None:
        if plan.problem is not None:
            deck.say(str(plan.problem), Level.ERROR)
            return
        propose(
            page,
            Proposal(
                "Activating",
                activate_question(plan),
                [Answer("y", "activate", "activate", lambda: execute(plan))],
                command=deck.engine.command_line(plan),
                lines=lambda: activate_lines(plan, deck.clock()),
            ),
        )

    def execute(plan: ActivatePlan) -> None:
        what = f"bundle {plan.bundle.number} of {content_name(plan.content)}"
        owed = f"{what} is not active yet: {deck.engine.command_line(plan)}"
        if plan.builds:
            deck.owed.append(owed)
            deck.say(f"{what} becomes active when its environment is built, if envdeck stays open")

        def build_started(build: Build) -> None:
            # In a thread of its own.
            deck.call_later(deck.open_log, build.id)

        def carry_out() -> None:
            try:
                deck.engine.activate(plan, build_started)
            finally:
                if plan.builds:
                    deck.owed.remove(owed)

        deck.perform(carry_out, lambda _none: deck.say(f"{what} is active{runs(plan)}", Level.GOOD))

    def runs(plan: ActivatePlan) -> str:
        return f"; what runs goes on with bundle {plan.content.active}" if plan.running else ""

    if number:
        chosen(number)
        return
    before = max((each for each in others if each < item.active), default=others[-1])
    there = ", ".join(f"{b.number} (active)" if b.number == item.active else str(b.number) for b in item.bundles)
    page.edit(
        Editing(
            "Activate bundle: ",
            question=f"{content_name(item)} has bundles {there}.",
            done=chosen,
            complete=lambda text: [str(each) for each in others if str(each).startswith(text)],
            text=str(before),
            still=True,
        )
    )

"""Building environments again from their list: plan, question, execution."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.keys.actions import View
from app.tui.describe.rebuilding import rebuild_lines, rebuild_name, rebuild_question
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.planning import Answer, Proposal, propose, show_plan
from app.tui.text import count
from engine import Build, BulkPlan, BulkResult, ItemState, RebuildForecast, RebuildPlan, RunProgress

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["ask_about_rebuild", "ask_to_rebuild"]


def ask_to_rebuild(page: Page, keys: Sequence[str]) -> None:
    """Plan rebuilding these environments off the loop, and go on as `ask_about_rebuild` does."""
    page.deck.perform(lambda: page.deck.engine.plan_rebuild(keys), partial(ask_about_rebuild, page))


def ask_about_rebuild(page: Page, plan: RebuildPlan) -> None:
    """Ask on `page` or above it whether to do what `plan` says, with what that takes, and start it.

    Of several environments, those that can be rebuilt are, and the plan says why the others cannot.
    """
    engine = page.deck.engine

    def look() -> tuple[RebuildForecast, RebuildForecast]:
        fresh = replace(plan, items=() if plan.too_many else plan.items, fresh=True)
        return engine.forecast_rebuild(plan), engine.forecast_rebuild(fresh)

    page.deck.perform(look, lambda forecasts: _ask(page, plan, *forecasts))


def _ask(page: Page, plan: RebuildPlan, forecast: RebuildForecast, anew: RebuildForecast) -> None:
    """`forecast` is what `plan` takes, `anew` what it takes to fetch everything anew."""
    deck = page.deck

    def ask_for_one(plan: RebuildPlan) -> None:
        item = plan.items[0]
        if item.problems:
            reasons = "; ".join(str(problem) for problem in item.problems)
            deck.say(f"{rebuild_name(item)} cannot be rebuilt: {reasons}", Level.ERROR)
        elif item.running is not None:
            deck.say(f"already being built by {item.running.by}: this is its log")
            deck.open_log(item.running.id)
        else:
            offer(plan)

    def offer(good: RebuildPlan) -> None:
        fresh = replace(good, fresh=True)
        answers = [
            Answer("y", "rebuild", "rebuild", lambda: execute(good)),
            Answer("f", "fresh", "fresh", lambda: execute(fresh)),
        ]
        propose(
            page,
            Proposal(
                "Rebuilding",
                rebuild_question(good, forecast),
                answers,
                lines=lambda: rebuild_lines(plan, forecast, anew),
                much=len(good.items) > 1,
                command="" if good.too_many else deck.engine.command_line(good),
            ),
        )

    def execute(plan: RebuildPlan) -> None:
        if plan.too_many:
            _work_off(deck, plan, forecast.at_once)
        else:
            deck.perform(lambda: deck.engine.execute(plan), started)

    def started(builds: tuple[Build, ...]) -> None:
        if len(builds) == 1:
            deck.say(f"rebuilding {builds[0].bundle}; leaving the log or envdeck does not stop it")
            deck.open_log(builds[0].id)
        else:
            deck.say(f"rebuilding {count(len(builds), 'environment')}; leaving envdeck does not stop it")
            deck.go(View.BUILDS)

    good = replace(plan, items=tuple(item for item in plan.items if not item.problems))
    if len(plan.items) == 1:
        ask_for_one(plan)
    elif not good.items:
        deck.say("none of them can be rebuilt", Level.ERROR)
        show_plan(page, "Rebuilding", rebuild_lines(plan, forecast, anew))
    else:
        offer(good)


def _work_off(deck: EnvdeckApp, plan: RebuildPlan, at_once: int) -> None:
    """Rebuild what `plan` says as a list, `at_once` at a time, for as long as envdeck is open."""
    name = time.strftime("marked-%Y%m%d-%H%M%S", time.localtime(deck.clock()))
    tenth = max(1, len(plan.items) // 10)

    def changed(progress: RunProgress) -> None:
        item = progress.item
        if item is not None and item.state is ItemState.ERROR:
            deck.say(f"{item.key[:8]} is not rebuilt: {item.message}", Level.ERROR)
        elif item is None or (item.state is ItemState.COMPLETE and progress.success % tenth == 0):
            deck.say(f"list {name}: {progress}; leaving envdeck stops it behind what runs")

    def on_progress(progress: RunProgress) -> None:
        # In a thread of its own.
        deck.call_later(changed, progress)

    def begin(bulk: BulkPlan) -> None:
        owed = f"the list {name} is not done: {deck.engine.command_line(bulk)} goes on with it"
        deck.owed.append(owed)
        deck.go(View.BUILDS)

        def carry_out() -> BulkResult:
            try:
                return deck.engine.run_bulk(
                    bulk, parallelism=at_once, on_progress=on_progress, stop=lambda: not deck.is_running
                )
            finally:
                deck.owed.remove(owed)

        deck.perform(carry_out, ended)

    def ended(result: BulkResult) -> None:
        deck.say(f"list {name}: {result}", Level.GOOD if result.ok else Level.ERROR)

    keys = [item.environment.key for item in plan.items]
    deck.perform(lambda: deck.engine.plan_bulk(name, keys, fresh=plan.fresh), begin)

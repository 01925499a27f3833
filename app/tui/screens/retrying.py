"""Building once more what an ended build was for: plan, question, execution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tui.screens.building import ask_to_build
from app.tui.screens.page import Page
from engine import Build, BuildPlan

if TYPE_CHECKING:
    from engine import RebuildPlan

__all__ = ["ask_to_retry", "why_no_retry"]


def why_no_retry(build: Build | None) -> str:
    """Why this build cannot be built once more; "" when it perhaps can."""
    if build is None:
        return "no build"
    return "" if build.state.final else f"the build has not ended: it is {build.state.value}"


def ask_to_retry(page: Page, build: Build) -> None:
    """Plan it off the loop, ask on `page`, and start it on ``y``. A bundle is taken as it is now."""
    deck = page.deck

    def ask(plan: BuildPlan | RebuildPlan) -> None:
        if isinstance(plan, BuildPlan):
            ask_to_build(page, plan, "" if plan.key == build.key else " It is not what it was then.")
        else:
            # Only here: what rebuilds take is loaded for whoever wants one.
            from app.tui.screens.rebuilding import ask_about_rebuild

            ask_about_rebuild(page, plan)

    deck.perform(lambda: deck.engine.plan_retry(build.id), ask)

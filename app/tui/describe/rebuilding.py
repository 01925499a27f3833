"""What building environments again would do, in a line or in full."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.document import Document, Line
from app.tui.text import count, duration, named, safe, size
from engine import PlannedRebuild, RebuildForecast, RebuildPlan

__all__ = ["rebuild_lines", "rebuild_name", "rebuild_question"]


def rebuild_name(item: PlannedRebuild) -> str:
    """Which environment it is, in a few words."""
    env = item.environment
    return named(env.key, env.bundle)


def rebuild_question(plan: RebuildPlan, forecast: RebuildForecast) -> str:
    """What carrying out `plan`, of which nothing has a problem, means."""
    takes = f"about {duration(forecast.seconds)}, {size(forecast.space)}"
    if len(plan.items) == 1:
        item = plan.items[0]
        return f"Rebuild {rebuild_name(item)}? {forecast.ways.partition(' ')[2].capitalize()}, {takes}."
    together = f"{forecast.at_once} at a time, while envdeck is open" if plan.too_many else "at once"
    return f"Rebuild {count(len(plan.items), 'environment')} {together}? {takes}: {forecast.ways}."


def rebuild_lines(plan: RebuildPlan, forecast: RebuildForecast, fresh: RebuildForecast) -> list[Line]:
    """The whole plan: what would be built, how and what that takes, and what cannot be for which reasons.

    `fresh` is what it takes when everything is fetched anew.
    """
    document = Document()
    good = [item for item in plan.items if not item.problems]
    told = {each.key: each for each in forecast.items}
    document.heading("Would be built again", f"{count(len(good), 'environment')}; what runs keeps the old attempt")
    rows = []
    for item in good:
        each = told.get(item.environment.key)
        doing = f"took {duration(item.environment.seconds)}"
        if item.running:
            doing = f"being built by {item.running.by}: is waited for"
        elif each is not None:
            doing = f"{each.way.value}, about {duration(each.seconds)}"
        rows.append((safe("↻", "green"), rebuild_name(item), f"Python {item.environment.python_version}", doing))
    document.table(rows)
    if not good:
        document.add("  ", safe("nothing", "dim"))
    bad = [item for item in plan.items if item.problems]
    if bad:
        document.heading("Cannot be built again", count(len(bad), "environment"))
    for item in bad:
        document.add("  ", safe(rebuild_name(item), "bold"), hang=4)
        for problem in item.problems:
            document.problem(problem)
    if forecast.items:
        _taking(document, good, forecast, fresh)
    if RebuildPlan(tuple(good)).too_many:
        document.field("List", "worked off while envdeck is open; `envdeck rebuild --list` goes on with what is left")
    return document.lines


def _taking(
    document: Document, good: Sequence[PlannedRebuild], forecast: RebuildForecast, fresh: RebuildForecast
) -> None:
    """What all of it takes, and what that is judged by."""
    document.heading("What that takes", "judged by earlier builds and the wheel store as it is now")
    document.field("How", forecast.ways)
    at_once = f", {forecast.at_once} at a time" if len(forecast.items) > 1 else ""
    took = f"the last builds took {duration(sum(item.environment.seconds for item in good))}"
    document.field("Time", f"about {duration(forecast.seconds)}{at_once}; {took}")
    free = f" of {size(forecast.free)} that are free" if forecast.free is not None else ""
    document.field("Space", safe(f"about {size(forecast.space)}{free}", "" if forecast.fits else "bold red"))
    document.field("Keeps", f"{size(forecast.kept)} of the attempts that are there, until they are reaped")
    if fresh.items:
        takes = f"about {duration(fresh.seconds)} and {size(fresh.space)}"
        document.field("Fresh", f"{takes}, with everything fetched anew")
    names = {item.environment.key: rebuild_name(item) for item in good}
    for each in forecast.items:
        document.add("  ", safe(names[each.key], "bold"), f"  {each.supply}; time: {each.basis}", hang=4)

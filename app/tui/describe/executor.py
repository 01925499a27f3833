"""Where builds run: in one line for the notes of the configuration, and every executor in full."""

from __future__ import annotations

from app.tui.document import Document, Line
from app.tui.symbols import USABILITY, Mark
from app.tui.text import safe
from engine import Availability, ExecutorChoice, Problem, Usability

__all__ = ["describe_executors", "executor_note"]

_LABEL = "Builds"


def executor_note(choice: ExecutorChoice | Problem | None) -> list[Line]:
    """The executor that builds are given to, and whether it can be used; `choice` is None while that is asked."""
    document = Document()
    if choice is None:
        document.remark(_LABEL, safe("asking the executors...", "dim"))
    elif isinstance(choice, Problem):
        document.problem(choice)
    else:
        problem = choice.problem
        remark = safe(f"  {problem.message if problem else choice.reason}", "red" if problem else "")
        document.remark(_LABEL, _mark(problem).text(choice.name), remark)
    return document.lines


def describe_executors(choice: ExecutorChoice | Problem | None) -> list[Line]:
    """Every executor: usable or why not, and what to do about it."""
    document = Document()
    if choice is None:
        document.add(safe("Asking the executors; each is asked through its own command-line tool...", "dim"))
    elif isinstance(choice, Problem):
        document.problem(choice)
    else:
        document.add("Builds are given to ", safe(choice.name, "bold"), f": {choice.reason}", hang=2)
        if choice.problem is not None:
            document.problem(choice.problem)
        for one in choice.executors:
            _describe(document, one, chosen=one.executor == choice.name)
    return document.lines


def _describe(document: Document, one: Availability, *, chosen: bool) -> None:
    document.blank()
    document.add(
        _mark(one.problem).text(),
        "  ",
        safe(one.executor, "bold"),
        safe("  builds run here" if chosen else "", "cyan"),
        hang=2,
    )
    if one.version:
        document.add("    ", one.version, hang=4)
    if one.problem is not None:
        document.problem(one.problem)
    for note in one.notes:
        document.add("    ", safe(note, "dim"), hang=4)


def _mark(problem: Problem | None) -> Mark:
    return USABILITY[Usability.UNUSABLE if problem else Usability.USABLE]

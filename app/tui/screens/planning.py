"""What costs or destroys something is shown as a plan and asked about before it happens: one way for all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from app.tui.document import Document, Line
from app.tui.events import Level
from app.tui.screens.page import Copies, Page
from app.tui.screens.text_page import TextPage
from app.tui.text import safe
from app.tui.widgets.prompt import Editing, Question

__all__ = ["Answer", "Proposal", "propose", "show_plan"]


class Answer(Struct, frozen=True):
    """One way to say yes."""

    key: str
    """Never Enter, nor a key that starts something that asks."""
    label: str
    """What the key does, in a word or two."""
    word: str
    """What is to be typed instead of the key where it is much."""
    do: Callable[[], None]


class Proposal(Struct, frozen=True):
    """What would happen, and how to make it happen."""

    title: str
    """Of the page with the whole plan."""
    question: str
    answers: Sequence[Answer]
    lines: Callable[[], Sequence[Line]]
    """The whole plan."""
    much: bool = False
    """More than one item, or more than can be lost in passing: a single key is not enough."""
    no: str = "no"
    command: str = ""
    """The command line that does the same."""

    def document(self) -> list[Line]:
        """The plan, and how to carry it out without the terminal UI."""
        document = Document()
        document.lines.extend(self.lines())
        if self.command:
            document.heading("The same by hand", "y c copies it")
            document.add("  ", safe(self.command, "bold"), hang=4)
        return document.lines

    @property
    def copies(self) -> Copies:
        return {"c": ("command", self.command)} if self.command else {}


def propose(page: Page, proposal: Proposal) -> None:
    """Ask on the prompt line of `page`, where ``d`` shows the plan; for much, beneath the plan and for the word."""
    if not page.is_current or page.prompt.busy:
        page.deck.say(f"{proposal.title.lower()}: nothing done, since you went on to something else", Level.WARNING)
    elif proposal.much:
        show_plan(
            page, proposal.title, proposal.document(), lambda above: _ask_for_word(above, proposal), proposal.copies
        )
    else:
        # The key that asks is never the one that answers, whatever a key map says.
        answers = [answer for answer in proposal.answers if answer.key != page.deck.steering.started_by]
        page.prompt.ask(
            Question(
                proposal.question,
                {answer.key: (answer.label, answer.do) for answer in answers},
                no=proposal.no,
                details=lambda: show_plan(page, proposal.title, proposal.document(), copies=proposal.copies),
            )
        )


def show_plan(
    page: Page,
    title: str,
    lines: Sequence[Line],
    then: Callable[[TextPage], None] | None = None,
    copies: Copies | None = None,
) -> None:
    """Show `lines` on a page above `page`, and call `then` with it when it is there."""
    above = TextPage(page.view, title, lambda _snapshot: lines, copies)
    page.app.push_screen(above)

    def begin() -> None:
        if then is not None and above.is_current and not above.prompt.busy:
            then(above)

    page.deck.call_after_refresh(begin)


def _ask_for_word(above: TextPage, proposal: Proposal) -> None:
    """Take a whole word; anything else leaves the plan standing for reading."""

    def done(text: str) -> None:
        answer = next((one for one in proposal.answers if one.word == text.strip()), None)
        if answer is not None:
            above.app.pop_screen()
            answer.do()
        else:
            above.deck.say(f"nothing done: that takes the word {words}", Level.WARNING)

    words = " or ".join(answer.word for answer in proposal.answers)
    above.edit(
        Editing(f"Type {words}: ", question=proposal.question, done=done, dangerous=True, moved=above.mover.move)
    )

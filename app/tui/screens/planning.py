"""Plans that are too long for the prompt line: a page that shows the plan, with the question beneath it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from app.tui.document import Line
from app.tui.events import Level
from app.tui.screens.page import Page
from app.tui.screens.text_page import TextPage
from app.tui.widgets.prompt import Editing, Question

__all__ = ["choice", "show_plan", "typed_word", "yes"]

Ask = Callable[[TextPage], None]


def show_plan(page: Page, title: str, lines: Sequence[Line], ask: Ask | None = None) -> None:
    """Show `lines` on a page above `page`, and when it is there `ask` on it."""
    above = TextPage(page.view, title, lambda _snapshot: lines)
    page.app.push_screen(above)

    def begin() -> None:
        if ask is not None and above.is_current and not above.prompt.busy:
            ask(above)

    page.deck.call_after_refresh(begin)


def yes(question: str, word: str, do: Callable[[], None]) -> Ask:
    """Asks for ``y``, and leaves the page with it."""
    return choice(question, {"y": (word, do)})


def choice(question: str, answers: Mapping[str, tuple[str, Callable[[], None]]]) -> Ask:
    """Asks for one of the keys of `answers`, each with what it is called and does, and leaves the page with it."""

    def ask(above: TextPage) -> None:
        def leaving(do: Callable[[], None]) -> Callable[[], None]:
            def agreed() -> None:
                above.app.pop_screen()
                do()

            return agreed

        above.prompt.ask(Question(question, {key: (word, leaving(do)) for key, (word, do) in answers.items()}))

    return ask


def typed_word(question: str, word: str, do: Callable[[], None]) -> Ask:
    """Asks for a whole word, for what costs much; anything else leaves the plan standing for reading."""

    def ask(above: TextPage) -> None:
        def done(text: str) -> None:
            if text.strip() == word:
                above.app.pop_screen()
                do()
            else:
                above.deck.say(f"nothing done: that takes the word {word}", Level.WARNING)

        prefix = f"{question} Type {word}: "
        above.edit(Editing(prefix, done=done, dangerous=True, moved=above.mover.move))

    return ask

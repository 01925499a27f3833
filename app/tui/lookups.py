"""What the engine has to be asked for off the UI loop before it can be shown, remembered until it may be different."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from engine import EnvdeckError

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp
    from engine import Problem

__all__ = ["Lookups"]

T = TypeVar("T")


class Lookups:
    """Answers by subject. Asking for one that is not known yet has it looked up, and shown when it is there."""

    def __init__(self, deck: EnvdeckApp) -> None:
        self._deck = deck
        self._answers: dict[Hashable, tuple[object, Any]] = {}
        self._pending: set[Hashable] = set()

    def get(self, subject: Hashable, basis: object, work: Callable[[], T]) -> T | Problem | None:
        """The latest answer of `work`, which is asked again when `basis` differs from what it was asked for.

        None while there is no answer yet, the problem when `work` raised one.
        """
        known = self._answers.get(subject)
        if (known is None or known[0] != basis) and subject not in self._pending:
            self._pending.add(subject)
            self._deck.perform(lambda: _answer(work), lambda answer: self._take(subject, basis, answer))
        return known[1] if known is not None else None

    def forget(self, *subjects: Hashable) -> None:
        """Ask again for these when they are wanted next; until then the old answers stay."""
        for subject in subjects:
            if subject in self._answers:
                self._answers[subject] = (None, self._answers[subject][1])

    def forget_all(self) -> None:
        self.forget(*self._answers)

    def _take(self, subject: Hashable, basis: object, answer: object) -> None:
        self._pending.discard(subject)
        before = self._answers.get(subject)
        self._answers[subject] = (basis, answer)
        if before is None or before[1] != answer:
            self._deck.redraw()


def _answer(work: Callable[[], T]) -> T | Problem:
    try:
        return work()
    except EnvdeckError as error:
        return error.problem

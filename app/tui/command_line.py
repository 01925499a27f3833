"""The command line on the prompt: `:` and a word, with what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.keys.context import complete, find_command
from app.tui.events import Level
from app.tui.widgets.prompt import Editing

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["CommandLine"]


class CommandLine:
    """Asks for a command, completes it, and has it done."""

    def __init__(self, deck: EnvdeckApp) -> None:
        self._deck = deck
        self._history: list[str] = []

    def ask(self, start: str = "") -> None:
        """Have a command typed that begins with `start`."""
        from app.tui.paths import BUNDLES, shown_name

        context, paths = self._deck.page.context(), self._deck.path_completion(BUNDLES)

        def values(kind: str, start: str) -> Sequence[str] | None:
            return paths(start) if kind == "PATH" else self._values(kind)

        def candidates(text: str) -> Sequence[str] | None:
            return complete(context, text, values) if text else ()

        self._deck.page.edit(
            Editing(
                ":",
                done=self._run,
                complete=candidates,
                name=lambda text: shown_name(text.partition(" ")[2] or text),
                history=self._history,
                still=True,
                text=f"{start} " if start else "",
            )
        )

    def _values(self, argument: str) -> Sequence[str]:
        """What an argument of a command can be."""
        now = self._deck.snapshot
        match argument:
            case "BUNDLE":
                return [entry.name for entry in now.bundles]
            case "KEY":
                return [env.key for env in now.environments]
            case "BUILD":
                return [build.id for build in now.builds]
            case "FILE":
                return [str(file) for file in now.config.files]
            case "PYTHON":
                return [str(each.version) for each in now.installations if each.version is not None]
            case "THEME":
                return list(self._deck.available_themes)
        return self._deck.page.argument_values(argument)

    def _run(self, text: str) -> None:
        word, _space, argument = text.strip().partition(" ")
        if not word:
            return
        self._history.append(text)
        action = find_command(self._deck.page.context(), word)
        if action is None:
            self._deck.say(f"no command {word} here; ? lists them", Level.WARNING)
        else:
            self._deck.steering.perform(action, argument.strip())

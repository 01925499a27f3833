"""Saving a text to a file of the admin's choice: never over one that is there without asking."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from app.tui.events import Level
from app.tui.paths import shown_name
from app.tui.screens.page import Page
from app.tui.text import count, size
from app.tui.widgets.prompt import Editing, Question

__all__ = ["ask_to_save", "write_lines"]


def ask_to_save(page: Page, what: str, name: str, lines: Callable[[], Iterable[str]]) -> None:
    """Ask where `what` is to go, suggesting the file `name`, and write `lines` there, which are made off the loop."""
    deck = page.deck

    def typed(text: str) -> None:
        if not text.strip():
            return
        path = Path(text.strip()).expanduser().absolute()
        save(path / name if path.is_dir() else path)

    def save(path: Path, *, replace: bool = False) -> None:
        def saved(written: int | OSError) -> None:
            match written:
                case FileExistsError():
                    ask_to_replace(path)
                case OSError():
                    deck.say(f"not saved, {written.strerror or written}: {path}", Level.ERROR)
                case _:
                    deck.say(f"saved {count(written, 'line')} to {path}", Level.GOOD)

        deck.perform(lambda: _try(path, lines, replace), saved)

    def ask_to_replace(path: Path) -> None:
        if page.is_current and not page.prompt.busy:
            question = f"Replace {path.name} ({_size(path)}), which is there? It is in {path.parent}"
            page.prompt.ask(Question(question, {"y": ("replace", lambda: save(path, replace=True))}))

    paths = deck.path_completion()
    page.edit(Editing(f"save {what} to: ", done=typed, text=name, complete=paths, name=shown_name))


def write_lines(path: Path, lines: Iterable[str], *, replace: bool) -> int:
    """Write `lines` to `path` and return how many there were; on failure nothing is left behind.

    Raises `OSError`: `FileExistsError` unless it is to `replace` what is there, which stays until all is written.
    """
    target = path.with_name(f".{path.name}.{os.getpid()}") if replace else path
    written = 0
    with target.open("x", encoding="utf-8") as file:
        try:
            for line in lines:
                file.write(f"{line}\n")
                written += 1
            file.flush()
        except BaseException:
            # Also when it is interrupted: no half of a file may stay under the name that was asked for.
            target.unlink(missing_ok=True)
            raise
    if replace:
        target.replace(path)
    return written


def _try(path: Path, lines: Callable[[], Iterable[str]], replace: bool) -> int | OSError:
    try:
        return write_lines(path, lines(), replace=replace)
    except OSError as error:
        return error


def _size(path: Path) -> str:
    try:
        return size(path.stat().st_size)
    except OSError:
        return "its size is not known"

"""View 5: the settings in force, where each comes from, and what is wrong with the text on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import cast

from msgspec.structs import replace
from rich.text import Text
from textual.app import ComposeResult

from app.cli import json_config
from app.keys.actions import Scope, View
from app.tui.describe.executor import describe_executors, executor_note
from app.tui.describe.impact import describe_impact, impact_note
from app.tui.describe.setting import config_notes, describe_setting, obstacle_notes
from app.tui.describe.surroundings import surroundings
from app.tui.document import Line, note
from app.tui.screens.editing import edit_config
from app.tui.screens.table_page import TablePage
from app.tui.screens.text_page import TextPage
from app.tui.text import safe
from app.tui.widgets.columns import Column
from app.tui.widgets.detail import Detail
from app.tui.widgets.lines import LineWidget
from app.tui.widgets.one_line import OneLine
from engine import ConfigState, EffectiveValue, ExecutorChoice, Impact, Problem

__all__ = ["ConfigPage"]

_NOTES, _NOTES_WITH_ERRORS = 0.33, 0.6
"""The part of the screen that the notes take at most."""


def _value(value: EffectiveValue) -> Text:
    more = f"  +{len(value.values) - 1} more" if len(value.values) > 1 else ""
    return safe((value.values[0] if value.values else "-") + more, "dim" if value.is_default else "bold")


def _origin(value: EffectiveValue) -> Text:
    # The whole path is in the notes above and in the description.
    first = PurePath(value.origins[0]).name if value.origins else ""
    return safe(first, "dim" if value.is_default else "cyan")


class ConfigPage(TablePage[EffectiveValue]):
    view = View.CONFIG
    scopes = (Scope.CONFIG,)
    columns = (
        Column[EffectiveValue](
            "setting",
            lambda value, _now: safe(value.name, "" if value.is_default else "bold"),
            26,
            "s",
            lambda value: value.name,
            grow=100,  # before all others: half a name says nothing
        ),
        Column[EffectiveValue](
            "value", lambda value, _now: _value(value), 16, "v", lambda value: value.values, grow=2, path=True
        ),
        Column[EffectiveValue](
            "from", lambda value, _now: _origin(value), 16, "f", lambda value: value.origins, grow=1, path=True
        ),
        Column[EffectiveValue](
            "meaning",
            lambda value, _now: safe(value.meaning, "dim"),
            20,
            "m",
            lambda value: value.meaning,
            priority=2,
            grow=3,
        ),
    )

    def body(self) -> ComposeResult:
        self.notes = Detail(share=_NOTES, id="notes")
        yield self.notes
        yield OneLine(id="title")
        yield self.make_table()
        yield OneLine(id="remark")

    @property
    def mover(self) -> LineWidget:  # type: ignore[override]  # either part moves
        return self.notes if self.notes.has_focus else self.table

    def notice(self) -> Problem | None:
        return None  # the notes have all of them

    def identity(self, row: EffectiveValue) -> str:
        return row.name

    def rows(self) -> list[EffectiveValue]:
        return sorted(self.snapshot.config.values, key=lambda value: value.is_default)

    def empty(self) -> list[Line]:
        return note("No settings are known.", "ctrl+r reads the configuration again.")

    def heading(self, row: EffectiveValue) -> str:
        return f"Setting {row.name}"

    def describe(self, row: EffectiveValue) -> list[Line]:
        return describe_setting(row, self.snapshot.config)

    def remark(self, row: EffectiveValue) -> Text:
        return safe(row.meaning, "dim")

    def document(self, row: EffectiveValue) -> Mapping[str, object]:
        shown = json_config.config_show(self.snapshot.config, [row])["values"]
        return cast("list[dict[str, object]]", shown)[0]

    def copies(self, row: EffectiveValue) -> dict[str, tuple[str, str]]:
        return {"n": ("name", row.name), "v": ("value", "\n".join(row.values))}

    def show(self) -> None:
        now, engine = self.snapshot, self.deck.engine
        # pip's files are none of the engine's picture, so they are read anew with every other one.
        pip = self.deck.lookups.get("pip", now.generation, lambda: (engine.pip_files(), engine.pip_settings()))
        notes = config_notes(self._config(), now.taken_at, impact_note(self._impact()))
        notes = [*obstacle_notes(now.obstacles), *notes]
        # What is wrong comes before what is in force.
        self.notes.share = _NOTES_WITH_ERRORS if now.config.errors or now.obstacles else _NOTES
        self.notes.show([*notes, *executor_note(self._executors()), *surroundings(now.declarations, pip, now.uv)])
        changed = sum(not value.is_default for value in now.config.values)
        title = safe("Settings", "bold")
        title.append(f"  {changed} set, {len(now.config.values) - changed} default", "not bold")
        self.query_one("#title", OneLine).show(title, ruled=True)
        super().show()

    def _impact(self) -> Impact | Problem | None:
        """What the last load did; looked at again when what it depends on is another."""
        now = self.snapshot
        if not now.config.changed or now.probing:
            return None
        basis = (now.config.loaded_at, now.installations, now.environments, now.contents, now.declarations)
        return self.deck.lookups.get("impact", basis, self.deck.engine.impact_of_load)

    def _config(self) -> ConfigState:
        """The configuration with what is wrong with its key map, which only the UI can tell."""
        config = self.snapshot.config
        return replace(config, problems=(*config.problems, *self.deck.key_problems))

    def _executors(self) -> ExecutorChoice | Problem | None:
        now = self.snapshot
        basis = (now.config.loaded_at, now.declarations.off_host)
        return self.deck.lookups.get("executors", basis, self.deck.engine.executors)

    def do_impact(self, _argument: str) -> None:
        self.app.push_screen(
            TextPage(
                self.view,
                "Impact of the last load",
                lambda snapshot: describe_impact(
                    self._impact(), snapshot.taken_at, changed=bool(snapshot.config.changed)
                ),
            )
        )

    def do_edit_config(self, argument: str) -> None:
        edit_config(self, argument)

    def do_executors(self, _argument: str) -> None:
        self.app.push_screen(TextPage(self.view, "Executors", lambda _snapshot: describe_executors(self._executors())))

    def do_pane_config(self, _argument: str) -> None:
        (self.table if self.notes.has_focus else self.notes).focus()

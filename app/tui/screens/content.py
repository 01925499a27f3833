"""``:content``: what is deployed, above whichever view one comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from app.cli import json_content
from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.tui.amounts import Unit
from app.tui.describe.content import describe_content
from app.tui.document import Line, note
from app.tui.screens.activating import ask_to_activate, why_no_activate
from app.tui.screens.table_page import TablePage
from app.tui.symbols import ENVIRONMENT, MISSING, NO_ENVIRONMENT, Mark
from app.tui.text import age, safe
from app.tui.usage import content_name
from app.tui.widgets.columns import Column, Facet
from engine import Content, Environment, Problem, Resolution

__all__ = ["ContentPage", "ContentRow"]

_BROKEN = Mark("✗", "broken", "bold red")


class ContentRow(Struct, frozen=True):
    """One content item as listed, with the environment of its active bundle."""

    content: Content
    environment: Environment | None

    @property
    def state(self) -> Mark:
        """What there is of its environment."""
        if self.content.problem is not None:
            return _BROKEN
        if not self.content.managed:
            return NO_ENVIRONMENT
        return ENVIRONMENT[self.environment.state] if self.environment is not None else MISSING


def _python(row: ContentRow) -> str:
    return row.content.installation.version if row.content.installation else ""


def _deployed_by(row: ContentRow) -> str:
    bundle = row.content.active_bundle
    return bundle.deployed_by if bundle else row.content.created_by


class ContentPage(TablePage[ContentRow]):
    scopes = (Scope.CONTENT,)
    top = False
    columns = (
        Column[ContentRow](
            "name",
            lambda row, _now: safe(content_name(row.content)),
            16,
            "n",
            lambda row: content_name(row.content),
            grow=3,
        ),
        Column[ContentRow](
            "type",
            lambda row, _now: safe(row.content.app_mode),
            12,
            "m",
            lambda row: row.content.app_mode,
            priority=1,
            grow=1,
        ),
        Column[ContentRow]("python", lambda row, _now: safe(_python(row) or "-"), 7, "p", _python),
        Column[ContentRow](
            "environment",
            lambda row, _now: row.state.text(),
            11,
            "e",
            lambda row: row.state.word,
            text=lambda row: row.state.word,
        ),
        Column[ContentRow](
            "bundle",
            lambda row, _now: safe(f"#{row.content.active}"),
            6,
            "b",
            lambda row: row.content.active,
            right=True,
        ),
        Column[ContentRow](
            "used",
            lambda row, now: safe(age(now - row.content.last_used_at) if row.content.last_used_at else "-"),
            5,
            "u",
            lambda row: -(row.content.last_used_at or 0.0),
            right=True,
            unit=Unit.AGE,
            amount=lambda row, now: now - row.content.last_used_at if row.content.last_used_at else None,
        ),
        Column[ContentRow]("by", lambda row, _now: safe(_deployed_by(row), "dim"), 8, "y", _deployed_by, priority=2),
    )

    facets = (
        Facet[ContentRow]("state", lambda row: row.state.word),
        Facet[ContentRow]("guid", lambda row: row.content.guid),
        Facet[ContentRow]("key", lambda row: row.content.key),
    )

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view
        self._listed: tuple[object, list[ContentRow]] = (None, [])
        """The rows, and what they were made of: there may be a hundred thousand."""

    def identity(self, row: ContentRow) -> str:
        return row.content.guid

    def rows(self) -> list[ContentRow]:
        basis = (self.snapshot.environments, self.snapshot.contents)
        if self._listed[0] != basis:
            environments = {env.key: env for env in self.snapshot.environments}
            self._listed = basis, [ContentRow(item, environments.get(item.key)) for item in self.snapshot.contents]
        return self._listed[1]

    def tally(self) -> str:
        return f"content {super().tally()}"

    def empty(self) -> list[Line]:
        return note("Nothing is deployed.", "`envdeck deploy BUNDLE` deploys a bundle.")

    def heading(self, row: ContentRow) -> str:
        return f"Content {content_name(row.content)}"

    def describe(self, row: ContentRow) -> list[Line]:
        return describe_content(row.content, self._resolution(row), self.deck.clock())

    def _resolution(self, row: ContentRow) -> Resolution | Problem | None:
        item, engine, now = row.content, self.deck.engine, self.snapshot
        basis = (item, now.installations, now.environments, now.declarations, now.config.loaded_at)
        return self.deck.lookups.get(("content", item.guid), basis, lambda: engine.resolve(item))

    def context(self) -> InputContext:
        row = self.table.current
        return replace(super().context(), cannot_activate=why_no_activate(row.content if row is not None else None))

    def argument_values(self, argument: str) -> Sequence[str]:
        row = self.table.current
        if argument == "NUMBER" and row is not None:
            return [str(bundle.number) for bundle in row.content.bundles if bundle.number != row.content.active]
        return super().argument_values(argument)

    def do_activate(self, argument: str) -> None:
        if self.table.current is not None:
            ask_to_activate(self, self.table.current.content, argument)

    def remark(self, row: ContentRow) -> Text:
        item = row.content
        if item.problem is not None:
            return safe(item.problem, "red")
        where = item.installation.path if item.installation else "no installation"
        return safe(f"{where}, environment {item.key}" if item.key else where, "dim")

    def document(self, row: ContentRow) -> Mapping[str, object]:
        return json_content.content(row.content)

    def copies(self, row: ContentRow) -> dict[str, tuple[str, str]]:
        key = {"k": ("key", row.content.key)} if row.content.key else {}
        return {"g": ("guid", row.content.guid), "n": ("name", row.content.name), **key}

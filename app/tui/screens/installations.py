"""View 1: which interpreters there are, and whether each can be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.text import Text

from app.cli import json_output
from app.keys.actions import Scope, View
from app.tui.amounts import Unit
from app.tui.describe.installation import describe_installation
from app.tui.document import Document, note
from app.tui.screens.table_page import TablePage
from app.tui.symbols import LIFE, USABILITY
from app.tui.text import count, safe
from app.tui.widgets.columns import Column, Facet
from engine import CheckStatus, Installation, lifespan_of

if TYPE_CHECKING:
    from app.tui.document import Line

__all__ = ["InstallationsPage"]


def _reason(one: Installation, _now: float) -> Text:
    decisive = one.decisive
    if decisive is None:
        return Text("")
    # The path is beside it.
    finding = decisive.finding.removeprefix(f"{one.executable} ")
    return safe(finding, "red" if decisive.status is CheckStatus.FAILED else "yellow")


def _life(one: Installation, now: float) -> Text:
    """``✓ 2027-10``, ``✗ 2024-10``: until when there are security fixes."""
    known = lifespan_of(one, now)
    return LIFE[known.state].text(f"{known.ends:%Y-%m}" if known.ends else None)


class InstallationsPage(TablePage[Installation]):
    view = View.INSTALLATIONS
    scopes = (Scope.INSTALLATIONS,)
    looked_up = False
    columns = (
        Column[Installation](
            "version",
            lambda one, _now: safe(one.version or "?"),
            8,
            "v",
            lambda one: (one.version is not None, one.version and one.version.release),
            text=lambda one: str(one.version or ""),
            unit=Unit.VERSION,
            amount=lambda one, _now: one.version.release if one.version is not None else None,
        ),
        Column[Installation](
            "state",
            lambda one, _now: USABILITY[one.usability].text(),
            10,
            "s",
            lambda one: one.usability.value,
            text=lambda one: one.usability.value,
        ),
        Column[Installation](
            "fixes", _life, 9, "f", lambda one: (one.version is not None, one.version and one.version.release)
        ),
        Column[Installation](
            "path",
            lambda one, _now: safe(one.executable or one.declared),
            30,
            "p",
            lambda one: one.executable,
            grow=2,
            path=True,
        ),
        Column[Installation]("reason", _reason, 12, "r", lambda one: one.reason, grow=6),
        Column[Installation](
            "declared in",
            lambda one, _now: safe(PurePath(one.origin).name, "dim"),
            14,
            "d",
            lambda one: one.origin,
            priority=2,
            grow=1,
        ),
    )

    facets = (
        Facet[Installation](
            "python",
            lambda one: str(one.version or ""),
            Unit.VERSION,
            lambda one, _now: one.version.release if one.version is not None else None,
        ),
    )

    def identity(self, row: Installation) -> str:
        return f"{row.target}:{row.executable or row.declared}"

    def rows(self) -> tuple[Installation, ...]:
        return self.snapshot.installations

    def empty(self) -> list[Line]:
        now = self.snapshot
        if now.probing and now.config.settings.executables:
            return note("Looking at the interpreters...", "Each is run once; this takes a moment.")
        if now.declarations.off_host:
            return note(
                "No Python installation of this machine is configured.",
                "None is needed: content runs in the images that are declared. `envdeck targets` lists them.",
            )
        document = Document()
        for problem in now.obstacles:
            document.problem(problem)
        where = note("", "No interpreter was found in PATH, nor where servers, pyenv and uv keep theirs.")
        return [
            *(document.lines or note("No Python installation is configured.")),
            *(where if now.config.is_default else []),
            *note(
                "",
                "[Python]",
                "Executable = /opt/python/3.12.4/bin/python3",
                "It takes effect when the file is saved; 5 shows what is in force.",
                *(["`envdeck config init` writes a file to begin with."] if now.config.is_default else []),
            ),
        ]

    def heading(self, row: Installation) -> str:
        return f"Installation {row.executable or row.declared}"

    def describe(self, row: Installation) -> list[Line]:
        now = self.snapshot
        return describe_installation(row, now.environments, now.contents, now.taken_at)

    def remark(self, row: Installation) -> Text:
        """What is wrong with it and what to do, else how long there are fixes and what would have to move."""
        if row.decisive is not None:
            remedy = f"  try: {row.decisive.remedy}" if row.decisive.remedy else ""
            return Text.assemble(_reason(row, 0.0), safe(remedy, "dim"))
        now = self.snapshot
        known = lifespan_of(row, now.taken_at)
        place = (row.executable, row.target)
        built = sum((env.python_path, env.target) == place for env in now.environments)
        deployed = sum(
            item.installation is not None and (item.installation.path, item.installation.target) == place
            for item in now.contents
        )
        use = (
            f"; {count(built, 'environment')} and {deployed} of content on it"
            if built or deployed
            else "; nothing on it"
        )
        return Text.assemble(safe(known.reason, LIFE[known.state].style), safe(use, "dim"))

    def document(self, row: Installation) -> Mapping[str, object]:
        return json_output.installation(row, self.snapshot.taken_at)

    def copies(self, row: Installation) -> dict[str, tuple[str, str]]:
        return {"p": ("path", row.executable or row.declared)}

    def do_probe(self, _argument: str) -> None:
        self.deck.engine.request_refresh(force_probe=True)
        self.deck.say("running every interpreter again")

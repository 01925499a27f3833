"""Everything about a build, with what of it has to be looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tui.describe.build import describe_build, log_errors
from app.tui.document import Line
from engine import Build

if TYPE_CHECKING:
    from app.tui.app import EnvdeckApp

__all__ = ["build_text"]


def build_text(deck: EnvdeckApp, build: Build) -> list[Line]:
    """The description of `build`; for one that has ended with the errors in its log as soon as that is read."""
    errors = None
    if build.state.final:
        errors = deck.lookups.get(
            ("log errors", build.id), build.state, lambda: log_errors(deck.engine.read_log(build.id))
        )
    return describe_build(build, deck.clock(), errors)

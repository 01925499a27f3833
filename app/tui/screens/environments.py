"""View 2: what is in the cache."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from app.cli import json_output
from app.tui.actions import View
from app.tui.describe.environment import describe_environment
from app.tui.document import Line, note
from app.tui.screens.table_page import TablePage
from app.tui.symbols import ENVIRONMENT
from app.tui.text import age, safe, size
from app.tui.widgets.columns import Column
from engine import Environment

__all__ = ["EnvironmentsPage"]


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _why(env: Environment) -> str:
    """The reason for the list, which has the version already: the path would leave no room for the rest."""
    if not env.python_path:
        return env.reason
    return env.reason.replace(f" {env.python_path}", "").replace(env.python_path, "its Python")


class EnvironmentsPage(TablePage[Environment]):
    view = View.ENVIRONMENTS
    columns = (
        Column[Environment]("key", lambda env, _now: safe(env.key[:8]), 8, "k", lambda env: env.key),
        Column[Environment](
            "python", lambda env, _now: safe(env.python_version), 8, "p", lambda env: _version_key(env.python_version)
        ),
        Column[Environment](
            "state", lambda env, _now: ENVIRONMENT[env.state].text(), 9, "s", lambda env: env.state.value
        ),
        Column[Environment]("size", lambda env, _now: safe(size(env.size)), 5, "z", lambda env: env.size, right=True),
        Column[Environment](
            "packages",
            lambda env, _now: safe(len(env.packages)),
            8,
            "n",
            lambda env: len(env.packages),
            priority=2,
            right=True,
        ),
        Column[Environment](
            "built", lambda env, now: safe(age(now - env.built_at)), 5, "t", lambda env: -env.built_at, right=True
        ),
        Column[Environment](
            "bundle", lambda env, _now: safe(env.bundle or "-"), 14, "b", lambda env: env.bundle, grow=2
        ),
        Column[Environment](
            "by", lambda env, _now: safe(env.built_by, "dim"), 8, "y", lambda env: env.built_by, priority=3
        ),
        Column[Environment](
            "why", lambda env, _now: safe(_why(env), "yellow"), 20, "w", lambda env: env.reason, priority=4, grow=3
        ),
    )

    def identity(self, row: Environment) -> str:
        return str(row.path)

    def rows(self) -> tuple[Environment, ...]:
        return self.snapshot.environments

    def empty(self) -> list[Line]:
        return note(
            "The cache has no environments yet.",
            f"They live under {self.snapshot.data_dir}.",
            "3 shows the bundles and what each would get; b builds one.",
        )

    def heading(self, row: Environment) -> str:
        return f"Environment {row.key}"

    def describe(self, row: Environment) -> list[Line]:
        return describe_environment(row, self.snapshot.taken_at)

    def remark(self, row: Environment) -> Text:
        text = safe(_why(row), "yellow")
        if row.python_path and row.python_path in row.reason:
            text = Text.assemble(text, "  ", safe(row.python_path, "dim"))
        return text

    def document(self, row: Environment) -> Mapping[str, object]:
        return json_output.environment(row)

    def copies(self, row: Environment) -> dict[str, tuple[str, str]]:
        return {"p": ("path", str(row.path)), "k": ("key", row.key)}

"""View 2: what is in the cache, and beneath it what the server itself made."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace
from rich.text import Text

from app.cli import json_cache, json_output
from app.keys.actions import Scope, View
from app.keys.context import InputContext
from app.tui.amounts import Unit, version_amount
from app.tui.describe.environment import NOT_OURS, Examined, describe_environment, describe_foreign
from app.tui.document import Line, empty_note
from app.tui.events import Level
from app.tui.screens.reaping import ask_to_reap
from app.tui.screens.table_page import TablePage
from app.tui.screens.text_page import TextPage
from app.tui.symbols import ENVIRONMENT, FOREIGN, Mark
from app.tui.text import age, ago, named, safe, since, size
from app.tui.usage import users_by_key
from app.tui.widgets.columns import Column, Facet
from engine import (
    Build,
    Engine,
    Environment,
    ForeignEnvironment,
    Pin,
    PinPlan,
    Problem,
    compare_environments,
    read_pin,
    read_verification,
)

__all__ = ["EnvironmentRow", "EnvironmentsPage"]


class EnvironmentRow(Struct, frozen=True):
    """One environment as listed."""

    environment: Environment | ForeignEnvironment
    users: tuple[str, ...] = ()
    """The names of the content whose active bundle uses it."""

    @property
    def key(self) -> str:
        """What it is called: our key, or the server's hash."""
        env = self.environment
        return env.key if isinstance(env, Environment) else env.name

    @property
    def ours(self) -> Environment | None:
        return self.environment if isinstance(self.environment, Environment) else None

    @property
    def state(self) -> Mark:
        return ENVIRONMENT[self.environment.state] if self.ours else FOREIGN

    @property
    def recorded(self) -> bool:
        """False for one of ours whose record tells nothing."""
        return self.ours is None or bool(self.ours.attempt)

    @property
    def since(self) -> float:
        """When it was built or made, seconds since the epoch."""
        env = self.environment
        return env.built_at if isinstance(env, Environment) else env.made_at


def _version_key(row: EnvironmentRow) -> tuple[int, ...]:
    return tuple(int(part) for part in row.environment.python_version.split(".") if part.isdecimal())


def _why(row: EnvironmentRow) -> str:
    """The reason for the list, which has the version already: the path would leave no room for the rest."""
    env = row.environment
    if not isinstance(env, Environment) or not env.python_path:
        return env.reason
    return env.reason.replace(f" {env.python_path}", "").replace(env.python_path, "its Python")


def _pin(row: EnvironmentRow) -> str:
    return "P" if row.ours is not None and row.ours.pinned else ""


def _size(row: EnvironmentRow) -> int:
    return row.ours.size if row.ours else 0


def _last_used(row: EnvironmentRow) -> float:
    return row.ours.last_used_at if row.ours else 0.0


def _bundle(row: EnvironmentRow) -> str:
    return row.ours.bundle if row.ours else ""


def _built_by(row: EnvironmentRow) -> str:
    return row.ours.built_by if row.ours else ""


def _packages(row: EnvironmentRow) -> str:
    return "\n".join(f"{package.name}=={package.version}" for package in row.environment.packages)


class EnvironmentsPage(TablePage[EnvironmentRow]):
    view = View.ENVIRONMENTS
    scopes = (Scope.ENVIRONMENTS, Scope.MARKS)
    columns = (
        Column[EnvironmentRow]("p", lambda row, _now: safe(_pin(row), "bold"), 1, "i", lambda row: _pin(row) == ""),
        Column[EnvironmentRow](
            "key", lambda row, _now: safe(row.key[:8]), 8, "k", lambda row: row.key, text=lambda row: row.key
        ),
        Column[EnvironmentRow](
            "python",
            lambda row, _now: safe(row.environment.python_version),
            7,
            "p",
            _version_key,
            text=lambda row: row.environment.python_version,
            unit=Unit.VERSION,
            amount=lambda row, _now: version_amount(row.environment.python_version),
        ),
        Column[EnvironmentRow](
            "state",
            lambda row, _now: row.state.text(),
            9,
            "s",
            lambda row: row.state.word,
            text=lambda row: row.state.word,
        ),
        Column[EnvironmentRow](
            "size",
            lambda row, _now: safe((size(_size(row)) if row.recorded else "?") if row.ours else "-"),
            5,
            "z",
            _size,
            right=True,
            text=lambda row: size(_size(row)) if row.ours and row.recorded else "",
            unit=Unit.SIZE,
            amount=lambda row, _now: _size(row) if row.ours and row.recorded else None,
        ),
        Column[EnvironmentRow](
            "pkgs",
            lambda row, _now: safe(len(row.environment.packages) if row.recorded else "?"),
            4,
            "n",
            lambda row: len(row.environment.packages),
            priority=4,
            right=True,
            text=lambda row: str(len(row.environment.packages)) if row.recorded else "",
            unit=Unit.NUMBER,
            amount=lambda row, _now: len(row.environment.packages) if row.recorded else None,
        ),
        Column[EnvironmentRow](
            "built",
            lambda row, now: safe(since(row.since, now)),
            5,
            "t",
            lambda row: -row.since,
            right=True,
            unit=Unit.AGE,
            amount=lambda row, now: now - row.since if row.since else None,
        ),
        Column[EnvironmentRow](
            "used",
            lambda row, now: safe(age(now - used) if (used := _last_used(row)) else "-"),
            4,
            "u",
            lambda row: -_last_used(row),
            right=True,
            unit=Unit.AGE,
            amount=lambda row, now: now - used if (used := _last_used(row)) else None,
        ),
        Column[EnvironmentRow](
            "content",
            lambda row, _now: safe(", ".join(row.users) or "-"),
            8,
            "c",
            lambda row: row.users,
            priority=1,
            grow=4,
            text=lambda row: ", ".join(row.users),
        ),
        Column[EnvironmentRow](
            "bundle",
            lambda row, _now: safe(_bundle(row) or "-"),
            12,
            "b",
            _bundle,
            priority=2,
            grow=4,
            text=_bundle,
        ),
        Column[EnvironmentRow](
            "by", lambda row, _now: safe(_built_by(row), "dim"), 6, "y", _built_by, priority=3, text=_built_by
        ),
        Column[EnvironmentRow](
            "why",
            lambda row, _now: safe(_why(row), "yellow"),
            20,
            "w",
            lambda row: row.environment.reason,
            priority=5,
            grow=1,
            text=_why,
        ),
    )

    facets = (
        Facet[EnvironmentRow]("user", lambda row: ", ".join(row.users)),
        Facet[EnvironmentRow]("package", _packages),
        Facet[EnvironmentRow]("pinned", lambda row: "yes" if _pin(row) else "no"),
        Facet[EnvironmentRow]("path", lambda row: str(row.environment.path)),
    )
    _listed: tuple[object, list[EnvironmentRow]] = (None, [])
    """What `rows` was made of last, and those rows: of ten thousand they are not made anew for every picture."""

    def identity(self, row: EnvironmentRow) -> str:
        # A rebuild changes the path, not the key. The server's own have no key.
        return row.key if row.ours else str(row.environment.path)

    def rows(self) -> list[EnvironmentRow]:
        now = self.snapshot
        foreign = self.deck.lookups.get("foreign", now.generation, self.deck.engine.foreign)
        basis = (now.environments, now.contents, foreign)
        if self._listed[0] != basis:
            users = users_by_key(now.contents)
            ours = [EnvironmentRow(env, users.get(env.key, ())) for env in now.environments]
            self._listed = basis, [*ours, *map(EnvironmentRow, foreign if isinstance(foreign, tuple) else ())]
        return self._listed[1]

    def empty(self) -> list[Line]:
        return empty_note(
            self.snapshot.obstacles,
            "The cache has no environments yet.",
            f"They live under {self.snapshot.data_dir}.",
            "3 shows the bundles and what each would get; b builds one.",
        )

    def heading(self, row: EnvironmentRow) -> str:
        return f"Environment {row.key}"

    def describe(self, row: EnvironmentRow) -> list[Line]:
        env = row.environment
        if isinstance(env, ForeignEnvironment):
            return describe_foreign(env, self.deck.clock())
        return describe_environment(env, row.users, self._builds(env), self._examined(env), self.deck.clock())

    def _builds(self, env: Environment) -> list[Build]:
        """The builds of its key, the newest first."""
        return [build for build in self.snapshot.builds if build.key == env.key]

    def _examined(self, env: Environment) -> Examined | Problem | None:
        engine = self.deck.engine
        return self.deck.lookups.get(("environment", env.key), env, lambda: _examine(engine, env))

    def remark(self, row: EnvironmentRow) -> Text:
        if row.ours is None:
            return safe(NOT_OURS, "dim")
        if row.ours.reason:
            text = safe(_why(row), "yellow")
            if row.ours.python_path and row.ours.python_path in row.ours.reason:
                text = Text.assemble(text, "  ", safe(row.ours.python_path, "dim"))
            return text
        parts = [f"used by {', '.join(row.users)}" if row.users else "no content uses it"]
        if row.ours.last_used_at:
            parts.append(f"last used {ago(self.deck.clock() - row.ours.last_used_at)}")
        if row.ours.pinned:
            parts.append("pinned")
        return safe(", ".join(parts), "dim")

    def document(self, row: EnvironmentRow) -> Mapping[str, object]:
        env = row.environment
        if isinstance(env, ForeignEnvironment):
            return json_cache.foreign(env)
        pin = None
        if env.pinned:
            examined = self._examined(env)
            known = examined.pin if isinstance(examined, Examined) else None
            pin = known or Pin("", 0.0, "")
        return json_output.environment(env, row.users, pin)

    def copies(self, row: EnvironmentRow) -> dict[str, tuple[str, str]]:
        return {"p": ("path", str(row.environment.path)), "k": ("key", row.key)}

    def why_no_mark(self, row: EnvironmentRow) -> str:
        return "" if row.ours else NOT_OURS

    def context(self) -> InputContext:
        row = self.table.current
        return replace(super().context(), cannot_change=self.why_no_mark(row) if row is not None else "")

    def _meant(self, named: str) -> list[str]:
        """The keys that an action is about."""
        return [row.key for row in self.meant(named) if row.ours is not None]

    # Actions

    def do_describe(self, argument: str) -> None:
        row = self.table.current
        if row is not None:
            # Processes come and go without a change of the environment.
            self.deck.lookups.forget(("environment", row.key))
        super().do_describe(argument)

    def do_environment_log(self, _argument: str) -> None:
        """The log of the build that counts, else of the latest one of its key."""
        row = self.table.current
        if row is None or row.ours is None:
            return
        builds = self._builds(row.ours)
        build = next((one for one in builds if one.id == row.ours.attempt), builds[0] if builds else None)
        if build is not None:
            self.deck.open_log(build.id)
        else:
            self.deck.say(f"the log of {row.ours.attempt} is not there any more", Level.WARNING)

    def do_difference(self, _argument: str) -> None:
        pair = self._pair()
        if pair is None:
            self.deck.say("mark two environments with space, or one and go to the other", Level.WARNING)
            return
        one, other = pair
        from app.tui.describe.difference import describe_difference

        lines = describe_difference(compare_environments(one, other), self.snapshot.taken_at)
        title = f"{one.key[:8]} and {other.key[:8]} compared"
        copies = {"c": ("command", f"envdeck environments diff {one.key} {other.key}")}
        self.app.push_screen(TextPage(self.view, title, lambda _snapshot: lines, copies))

    def _pair(self) -> tuple[Environment, Environment] | None:
        """The two that are marked, or the one that is and the one under the cursor; None for anything else."""
        chosen = [row.ours for row in self.table.marked() if row.ours is not None]
        row = self.table.current
        if len(chosen) == 1 and row is not None and row.ours is not None and row.ours.key != chosen[0].key:
            chosen.append(row.ours)
        return (chosen[0], chosen[1]) if len(chosen) == 2 else None

    def do_reap(self, argument: str) -> None:
        ask_to_reap(self, self._meant(argument))

    def do_reap_all(self, _argument: str) -> None:
        ask_to_reap(self, None)

    def do_rebuild(self, argument: str) -> None:
        # Only here, as what other actions need: a session that only looks around does without.
        from app.tui.screens.rebuilding import ask_to_rebuild

        ask_to_rebuild(self, self._meant(argument))

    def do_verify(self, argument: str) -> None:
        from app.tui.screens.verifying import verify

        verify(self, self._meant(argument))

    def do_pin(self, _argument: str) -> None:
        row, deck = self.table.current, self.deck
        if row is None or row.ours is None:
            return
        key, pinned = row.key, row.ours.pinned

        def plan() -> PinPlan:
            return deck.engine.plan_unpin(key) if pinned else deck.engine.plan_pin(key)

        deck.perform(plan, self._set_pin)

    def _set_pin(self, plan: PinPlan) -> None:
        """Without a question: nothing is lost by it, and the same key takes it back."""
        deck = self.deck
        if plan.problem is not None:
            deck.say(str(plan.problem), Level.ERROR)
        else:
            deck.perform(lambda: deck.engine.execute(plan), self._pinned)

    def _pinned(self, env: Environment) -> None:
        what = "pinned: it stays, whether or not content uses it" if env.pinned else "not pinned any more"
        self.deck.say(f"{named(env.key, env.bundle)} is {what}")


def _examine(engine: Engine, env: Environment) -> Examined:
    return Examined(engine.plan_reap([env.key]), read_pin(env), read_verification(env))

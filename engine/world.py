"""What there is: the configuration in force, and what is found on disk under it. No threads, nothing is announced."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from engine.choosing import match_request
from engine.config.model import ConfigState, Settings
from engine.configuration import Configuration
from engine.data_dir import DataDir
from engine.errors import Problem, Refused
from engine.installations.model import Installation, Usability
from engine.interpreters import Interpreters
from engine.offhost.model import Declarations

# The rest is loaded where it is needed: most commands need little of the engine, and wait for its start.
if TYPE_CHECKING:
    from engine.audit.model import Actor, AuditEvent
    from engine.audit.reading import AuditPage
    from engine.builds.job import JobReader
    from engine.builds.model import Build
    from engine.builds.uv_tool import UvFinder
    from engine.bundles.model import Bundle
    from engine.content.model import Content
    from engine.content.store import ContentStore
    from engine.environments.model import Environment
    from engine.environments.store import EnvironmentStore
    from engine.executors.accounts import BuildAccount
    from engine.matching import Match, Request, Rule
    from engine.packages.installer import UvTool
    from engine.planning import Externals, Found
    from engine.plans import BuildPlan, ContentDefaults
    from engine.shelf import BundleShelf

__all__ = ["World"]


class _Ground(Struct, frozen=True):
    """What a configuration leads to, and plans depend on."""

    config: ConfigState
    installations: tuple[Installation, ...]
    externals: Externals
    declarations: Declarations


class World:
    """Everything an answer or an action needs to know. Methods may be called from any thread."""

    def __init__(
        self, config_files: Sequence[Path], environ: Mapping[str, str], *, read_only: bool, forks: bool = False
    ) -> None:
        """Load the configuration. Raises `InputError` when a file that was asked for by name cannot be read."""
        self.environ = dict(environ)
        self.forks = forks
        """Whether this process may be forked: it is one command, and does nothing beside that."""
        self.audit_problem: Problem | None = None
        """Why the audit lacks what was done last; None when it has it."""
        self.lock = threading.RLock()
        self._read_only = read_only
        self._installations: tuple[Installation, ...] | None = None
        self._judged: tuple[object, tuple[Environment, ...]] = (None, ())
        """What the environments were judged for, and how."""
        self._declared = Declarations()
        self._externals: Externals = {}
        self._replaced: _Ground | None = None
        """What was in force before the last load that changed a setting; None while none has."""
        self.interpreters = Interpreters(self.environ)
        self.configuration = Configuration(config_files, self.environ)
        self.data_dir = DataDir(self.config.settings.data_dir, self.environ)

    @cached_property
    def actor(self) -> Actor:
        """Who this process acts for."""
        from engine.audit.actor import acting

        return acting(self.environ)

    @property
    def user(self) -> str:
        """The name of the actor."""
        return self.actor.user

    # Configuration

    @property
    def config(self) -> ConfigState:
        """The configuration in force, and what is wrong with the one that is on disk."""
        return self.configuration.state

    def reload(self) -> bool:
        """Load the configuration again; with errors in it the last good settings stay in force.

        Returns whether anything is different.
        """
        with self.lock:
            before, ground = self.config.settings, self._ground()
            if not self.configuration.reload():
                return False
            settings = self.config.settings
            if settings != before:
                self._replaced = ground
            if settings.data_dir != before.data_dir:
                self.data_dir = DataDir(settings.data_dir, self.environ)
            self.shelf.directories = settings.bundle_dirs
            return True

    # What is in the data directory

    @property
    def store(self) -> EnvironmentStore:
        """The cache."""
        return self.data_dir.store

    @property
    def jobs(self) -> JobReader:
        """The builds."""
        return self.data_dir.jobs

    @property
    def content_store(self) -> ContentStore:
        """What is deployed."""
        return self.data_dir.content_store

    @cached_property
    def shelf(self) -> BundleShelf:
        """The bundles on offer."""
        from engine.shelf import BundleShelf

        return BundleShelf(self.config.settings.bundle_dirs)

    # What is found

    @cached_property
    def _uv_finder(self) -> UvFinder:
        from engine.builds.uv_tool import UvFinder

        return UvFinder()

    @property
    def builder(self) -> BuildAccount:
        """Who builds run as (``Applications.RunAs``)."""
        from engine.executors.accounts import build_account

        return build_account(self.config.settings.run_as, self.environ)

    @property
    def home(self) -> Path:
        """The home directory of the account that builds, whose pip configuration applies."""
        return self.builder.home

    @property
    def probed(self) -> bool:
        """Whether the installations of the configuration have been probed at least once."""
        return self._installations is not None

    def probe(self, *, force: bool = False) -> None:
        """Run every configured interpreter that is not known already, or all of them with `force`."""
        settings = self.config.settings
        found, externals = self.interpreters.installations(settings, force=force)
        with self.lock:
            # A newer configuration asks for a probe of its own.
            if self.config.settings == settings:
                self._installations, self._externals = found, externals

    def installations(self) -> tuple[Installation, ...]:
        """The configured installations as last probed; before that, each as being probed. Never runs anything."""
        if self._installations is not None:
            return self._installations
        return tuple(
            Installation(e.path, e.origin, e.path, Usability.PROBING) for e in self.config.settings.executables
        )

    def environments(self, *, thorough: bool = False) -> tuple[Environment, ...]:
        """Every published environment, newest first, the stale ones marked; the same object while nothing changed."""
        from engine.environments.staleness import judge
        from engine.installations.identity import identities

        with self.lock:
            there, installations = self.store.environments(thorough=thorough), self.installations()
            judged_for, judged = self._judged
            if judged_for != (there, installations):
                judged = judge(there, identities(installations))
                self._judged = ((there, installations), judged)
            return judged

    def builds(self) -> tuple[Build, ...]:
        """Every build, newest first."""
        with self.lock:
            return self.jobs.builds()

    def build(self, build_id: str) -> Build | None:
        """The build of exactly that id; nothing is read of the others."""
        with self.lock:
            return self.jobs.find(build_id)

    def unfinished(self) -> tuple[Build, ...]:
        """Every build that is under way, newest first; nothing is read of those that have ended."""
        with self.lock:
            return self.jobs.unfinished()

    def joinable(self) -> tuple[Build, ...]:
        """The builds under way that whoever wants the same joins: not those whose end was asked for."""
        from engine.builds.job import CANCEL

        return tuple(build for build in self.unfinished() if not (build.directory / CANCEL).exists())

    def latest_builds(self, number: int) -> Iterator[Build]:
        """At most so many of the builds that were started last, newest first, each read when it is asked for."""
        latest = self.jobs.latest(number)
        while True:
            with self.lock:
                build = next(latest, None)
            if build is None:
                return
            yield build

    def contents(self, *, thorough: bool = False) -> tuple[Content, ...]:
        """All content, by name; the same object while nothing changed."""
        with self.lock:
            return self.content_store.contents(thorough=thorough)

    def used_by(self) -> dict[str, tuple[str, ...]]:
        """The key of every environment that an active bundle uses, with the names of the content that does.

        Content whose record is broken may use any of them, so it counts as using all; so does what cannot be listed.
        """
        users: dict[str, list[str]] = {}
        with self.lock:
            contents, complete = self.contents(), self.content_store.complete
        broken = [] if complete else ["content that cannot be listed"]
        for content in contents:
            if key := content.key:
                users.setdefault(key, []).append(content.name or content.guid)
            elif content.problem:
                broken.append(content.name or content.guid)
        if broken:
            for environment in self.environments():
                users.setdefault(environment.key, [])
        return {key: (*names, *broken) for key, names in users.items()}

    def declarations(self) -> Declarations:
        """The execution environments that are declared, read again where a file changed."""
        with self.lock:
            self._declared = _declared(self.config.settings, self._declared)
            return self._declared

    def found(self) -> Found:
        """What there is now, for planning."""
        from engine.planning import Found

        return Found(
            config=self.config,
            installations=self.installations(),
            environments=self.environments(),
            builds=self.joinable(),
            builder=self.builder,
            declarations=self.declarations(),
            externals=self._externals,
            uv=self.uv,
            space=self.space_problem,
        )

    def found_before(self) -> Found | None:
        """The same under the configuration before the last load that changed a setting; None while none has."""
        replaced = self._replaced
        return self._found_on(replaced) if replaced is not None else None

    def found_with(self, config: ConfigState) -> Found:
        """The same if `config` were in force. Runs the interpreters that it names and that are not known yet."""
        settings = config.settings
        installations, externals = self.interpreters.installations(settings)
        return self._found_on(_Ground(config, installations, externals, _declared(settings, Declarations())))

    def _found_on(self, ground: _Ground) -> Found:
        from engine.environments.staleness import judge
        from engine.installations.identity import identities

        now = self.found()
        return replace(
            now,
            config=ground.config,
            installations=ground.installations,
            environments=judge(self.store.environments(), identities(ground.installations)),
            declarations=ground.declarations,
            externals=ground.externals,
            uv=partial(self.uv, ground.config),
        )

    def _ground(self) -> _Ground:
        return _Ground(self.config, self.installations(), self._externals, self._declared)

    def uv(self, config: ConfigState | None = None) -> UvTool:
        """The uv that builds can use under `config`, by default the one in force, or why there is none."""
        config = config or self.config
        value = next((value for value in config.values if value.name == "Envdeck.Uv"), None)
        path, origin = config.settings.uv, value.origins[0] if value else ""
        with self.lock:
            return self._uv_finder.find(str(path or ""), origin, self.environ, self.builder.account)

    @property
    def space_problem(self) -> Problem | None:
        """Why there is too little space in the data directory to build anything; None when there is enough."""
        from engine.environments.space import space_problem

        return space_problem(self.config.settings.data_dir, self.config.settings.space_reserve)

    def match(self, request: Request, rule: Rule | None) -> Match:
        """The match of `request` by `rule`, or by the configured one."""
        return match_request(request, self.config.settings, self.installations(), self.declarations(), rule=rule)[0]

    def plan(self, bundle: Bundle, content: ContentDefaults | None = None) -> BuildPlan:
        """What building `bundle` would do now. Probes the installations if that was not done yet."""
        from engine.planning import plan_build

        if not self.probed:
            self.probe()
        return plan_build(bundle, self.found(), content)

    # The audit

    def audit_page(self) -> AuditPage:
        """The newest records of the audit, everybody's."""
        with self.lock:
            return self.data_dir.audit.look()

    def record(self, event: AuditEvent) -> None:
        """Say in the audit what was done, unless nothing may be written. Whether that worked is in `audit_problem`."""
        from engine.audit.writing import record

        if not self.read_only:
            self.audit_problem = record(self.config.settings.data_dir, self.told(event), self.actor)

    def told(self, event: AuditEvent) -> AuditEvent:
        """`event` with a command line that means this configuration."""
        return event.with_options(*self.configuration.options)

    # Permission

    @property
    def read_only(self) -> str:
        """Why nothing can be changed; empty when it can."""
        return "started with --read-only" if self._read_only else self._why_unchangeable

    @property
    def data_dir_problem(self) -> Problem | None:
        """Why what is in the data directory cannot be seen, or not be changed, by who runs envdeck."""
        asked_for = self._read_only or self.config.settings.read_only
        return self.data_dir.unreadable or self.data_dir.gone or (None if asked_for else self.data_dir.unwritable)

    def require_readable(self) -> None:
        """Raise `Refused` when what is in the data directory cannot be seen: an empty list would mislead."""
        if problem := self.data_dir.unreadable:
            raise Refused(problem)

    def require_writable(self) -> None:
        """Raise `Refused` (`read-only`) when nothing can be changed."""
        if reason := self.read_only:
            raise Refused(self._refusal(reason))

    @property
    def refusal(self) -> Problem | None:
        """Why nothing can be changed also by who asks for it; for plans, which are made with ``--read-only``, too."""
        reason = self._why_unchangeable
        return self._refusal(reason) if reason else None

    @property
    def _why_unchangeable(self) -> str:
        if self.config.settings.read_only:
            return f"Envdeck.ReadOnly is on ({self.config.value('Envdeck.ReadOnly').origins[0]})"
        return self.data_dir.why_unwritable

    def _refusal(self, reason: str) -> Problem:
        problem = self.data_dir_problem
        return Problem("read-only", f"nothing can be changed: {reason}", hint=problem.hint if problem else "")


def _declared(settings: Settings, known: Declarations) -> Declarations:
    """The execution environments that `settings` declare, read again where a file differs from those `known`."""
    paths = [*filter(None, [settings.environments_file]), *settings.cluster_definitions]
    if not paths and not known.files:
        return known
    # Only here, because YAML is slow to import and few servers declare anything.
    from engine.offhost.file import load_environments

    return load_environments(paths, known)

"""What there is: the configuration in force, and what is found on disk under it. No threads, nothing is announced."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from engine.choosing import match_request
from engine.config.default import default_data_dir, default_text
from engine.config.load import load
from engine.config.lookup import Sources, look_up, user_directory
from engine.config.model import ConfigState, Executable, Settings
from engine.errors import InputError, Problem, Refused, Severity, Where
from engine.files import is_there
from engine.installations.discovery import discover
from engine.installations.inventory import probe_all
from engine.installations.model import Installation, Usability
from engine.obstacles import unreadable, unwritable, why_unwritable
from engine.offhost.model import Declarations

# The rest is loaded where it is needed: most commands need little of the engine, and wait for its start.
if TYPE_CHECKING:
    from packaging.utils import NormalizedName

    from engine.audit.model import Actor, AuditEvent
    from engine.audit.reading import AuditPage, AuditTail
    from engine.builds.job import JobReader
    from engine.builds.model import Build
    from engine.builds.uv_tool import UvFinder
    from engine.bundles.model import Bundle
    from engine.config.draft import ConfigDraft
    from engine.content.model import Content
    from engine.content.store import ContentStore
    from engine.environments.foreign import ForeignStore
    from engine.environments.model import Environment
    from engine.environments.store import EnvironmentStore
    from engine.executors.accounts import BuildAccount
    from engine.installations.externals import ExternalPackage
    from engine.installations.model import ProbeFailure
    from engine.matching import Match, Request, Rule
    from engine.packages.installer import UvTool
    from engine.planning import Externals, Found
    from engine.plans import BuildPlan, ContentDefaults
    from engine.shelf import BundleShelf

__all__ = ["World"]

_IN_DATA_DIR = ("store", "foreign", "jobs", "content_store", "audit")
"""What is opened anew when another data directory is configured."""
_LOOKED_INTO = ("python-environments", "jobs", "content")
"""What is in the data directory and has to be readable for the views to tell anything."""
_AUDIT_SHOWN = 500
"""How many of the newest records of the audit are in the picture."""


@dataclass(frozen=True, slots=True)
class _Ground:
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
        self._config_files = tuple(config_files)
        self._read_only = read_only
        self._installations: tuple[Installation, ...] | None = None
        self._judged: tuple[object, tuple[Environment, ...]] = (None, ())
        """What the environments were judged for, and how."""
        self._declared = Declarations()
        self._externals: Externals = {}
        self._surveys: dict[str, tuple[Hashable, Mapping[NormalizedName, ExternalPackage]]] = {}
        self._replaced: _Ground | None = None
        """What was in force before the last load that changed a setting; None while none has."""
        self.config = self._load(None)

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
    def watched_files(self) -> tuple[Path, ...]:
        """The files whose change, appearance or removal can change the configuration."""
        return look_up(self._config_files, self.environ).watch

    def reload(self) -> bool:
        """Load the configuration again; with errors in it the last good settings stay in force.

        Returns whether anything is different.
        """
        with self.lock:
            fresh = self._load(self.config)
            if (fresh.files, fresh.texts, fresh.problems) == (
                self.config.files,
                self.config.texts,
                self.config.problems,
            ):
                return False
            before = self.config.settings
            if fresh.settings != before:
                self._replaced = self._ground()
            self.config = fresh
            if self.config.settings.data_dir != before.data_dir:
                for name in _IN_DATA_DIR:
                    self.__dict__.pop(name, None)
            self.shelf.directories = self.config.settings.bundle_dirs
            return True

    def _load(self, previous: ConfigState | None) -> ConfigState:
        sources = look_up(self._config_files, self.environ)
        default = "" if sources.files else self._default_text(discover(self.environ), ())
        state = load(sources, self.environ, previous, time.time(), default)
        return replace(state, problems=(*state.problems, *_value_problems(state)))

    def read_config(self, files: Sequence[Path]) -> ConfigState:
        """What the configuration would be if it were read from `files`. Raises `InputError`."""
        paths = tuple(path.absolute() for path in files)
        state = load(Sources(paths, by_name=True, watch=paths), self.environ, None, time.time(), "")
        return replace(state, problems=(*state.problems, *_value_problems(state)))

    def _default_text(self, usable: Sequence[str], unusable: Sequence[tuple[str, str]]) -> str:
        return default_text(usable, unusable, default_data_dir(self.environ))

    def default_config(self) -> str:
        """The embedded default for this machine as text to edit, with the interpreters it cannot use as comments."""
        probed = self._probe(
            [Executable(path, "default") for path in discover(self.environ)], self.config.settings, force=False
        )
        usable = [i.declared for i in probed if i.usability is Usability.USABLE]
        unusable = [(i.declared, i.reason) for i in probed if i.usability is Usability.UNUSABLE]
        return self._default_text(usable, unusable)

    def draft_config(self, path: Path | None) -> ConfigDraft:
        """A configuration file to edit: that one, else the last in force, else a new one of this account's.

        Raises `InputError` (also `no-home`, when there is no place for a new one).
        """
        files = look_up(self._config_files, self.environ).files
        if path is None and files:
            path = files[-1]
        if path is None:
            base = user_directory(self.environ, "XDG_CONFIG_HOME", ".config")
            if base is None:
                raise InputError(
                    Problem(
                        "no-home", "neither XDG_CONFIG_HOME nor HOME says where to write", hint="Start with --config"
                    )
                )
            path = base / "envdeck" / "envdeck.gcfg"
        from engine.config.draft import take

        return take(path, "" if files else self.default_config())

    def check_draft(self, draft: ConfigDraft, text: bytes) -> ConfigState:
        """What the configuration would be with `text` as the content of the draft's file, as against the one now."""
        sources = look_up(self._config_files, self.environ)
        if draft.path not in sources.files:
            sources = Sources((*sources.files, draft.path), by_name=False, watch=())
        state = load(sources, self.environ, self.config, time.time(), "", {draft.path: text})
        return replace(state, problems=(*state.problems, *_value_problems(state)))

    def put_draft(self, draft: ConfigDraft, text: bytes) -> None:
        """Put `text` in place of the draft's file, unless there are errors in it or somebody was faster.

        Raises `Refused` (`read-only`, `config-errors`, `config-changed`), `StorageError`.
        """
        from engine.config.draft import put

        self.require_writable()
        errors = self.check_draft(draft, text).errors
        if errors:
            raise Refused(Problem("config-errors", f"this would not be taken over: {errors[0]}"))
        put(draft, text)

    # What is in the data directory

    @cached_property
    def store(self) -> EnvironmentStore:
        """The cache."""
        from engine.environments.store import EnvironmentStore

        return EnvironmentStore(self.config.settings.data_dir, self._index("environments"))

    @cached_property
    def foreign(self) -> ForeignStore:
        """What the server itself made."""
        from engine.environments.foreign import ForeignStore

        return ForeignStore(self.store.root)

    @cached_property
    def jobs(self) -> JobReader:
        """The builds."""
        from engine.builds.job import JobReader

        return JobReader(self.config.settings.data_dir / "jobs")

    @cached_property
    def _uv_finder(self) -> UvFinder:
        from engine.builds.uv_tool import UvFinder

        return UvFinder()

    @cached_property
    def content_store(self) -> ContentStore:
        """What is deployed."""
        from engine.content.store import ContentStore

        return ContentStore(self.config.settings.data_dir, self._index("content"))

    @cached_property
    def audit(self) -> AuditTail:
        """The newest records of the audit."""
        from engine.audit.reading import AuditTail

        return AuditTail(self.config.settings.data_dir, _AUDIT_SHOWN)

    @cached_property
    def shelf(self) -> BundleShelf:
        """The bundles on offer."""
        from engine.shelf import BundleShelf

        return BundleShelf(self.config.settings.bundle_dirs)

    # What is found

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
        found, externals = self._with_externals(self._probe(settings.executables, settings, force=force), settings)
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

    def keep_indexes(self) -> None:
        """Write what saves the next process from reading every record, where that is much."""
        for opened in (self.__dict__.get("store"), self.__dict__.get("content_store")):
            if opened is not None:
                opened.keep_index()

    def used_by(self) -> dict[str, tuple[str, ...]]:
        """The key of every environment that an active bundle uses, with the names of the content that does.

        Content whose record is broken may use any of them, so it counts as using all.
        """
        users: dict[str, list[str]] = {}
        broken = []
        for content in self.contents():
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
            builds=self.unfinished(),
            builder=self.builder,
            declarations=self.declarations(),
            externals=self._externals,
            uv=self.uv(),
            space=self.space_problem,
        )

    def found_before(self) -> Found | None:
        """The same under the configuration before the last load that changed a setting; None while none has."""
        replaced = self._replaced
        return self._found_on(replaced) if replaced is not None else None

    def found_with(self, config: ConfigState) -> Found:
        """The same if `config` were in force. Runs the interpreters that it names and that are not known yet."""
        settings = config.settings
        installations, externals = self._with_externals(
            self._probe(settings.executables, settings, force=False), settings
        )
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
            uv=self.uv(ground.config),
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

    def _probe(self, executables: Sequence[Executable], settings: Settings, *, force: bool) -> tuple[Installation, ...]:
        return probe_all(
            executables,
            minimum_version=settings.minimum_version,
            timeout=settings.probe_timeout,
            cache_path=self._probe_cache(),
            force=force,
        )

    def _with_externals(
        self, installations: tuple[Installation, ...], settings: Settings
    ) -> tuple[tuple[Installation, ...], Externals]:
        """The usable installations checked for the external packages, and what each has of them.

        package-management-posit.txt, "External package installation": one that lacks any of them is an error, unless
        ``Python.ExternalsCheckIsFatal`` is off.
        """
        if not settings.externals:
            return installations, {}
        # Only here: few servers name any.
        from concurrent.futures import ThreadPoolExecutor

        from engine.installations.externals import external_checks
        from engine.installations.model import CheckStatus, ProbeFailure

        usable = [i for i in installations if i.usability is Usability.USABLE and i.facts]
        with ThreadPoolExecutor() as pool:
            surveys = dict(
                zip((i.executable for i in usable), pool.map(partial(self._survey, settings), usable), strict=True)
            )
        checked = []
        for installation in installations:
            if installation.executable in surveys:
                checks = external_checks(
                    surveys[installation.executable],
                    settings.externals,
                    fatal=settings.externals_check_is_fatal,
                    executable=installation.executable,
                )
                failed = any(check.status is CheckStatus.FAILED for check in checks)
                usability = Usability.UNUSABLE if failed else installation.usability
                installation = replace(installation, checks=(*installation.checks, *checks), usability=usability)
            checked.append(installation)
        return tuple(checked), {path: found for path, found in surveys.items() if not isinstance(found, ProbeFailure)}

    def _survey(
        self, settings: Settings, installation: Installation
    ) -> Mapping[NormalizedName, ExternalPackage] | ProbeFailure:
        """What `installation` has of the external packages; asked again only when its packages may have changed."""
        from engine.installations.externals import externals_identity, probe_externals
        from engine.installations.model import ProbeFailure

        assert installation.facts is not None
        identity = externals_identity(installation.facts, settings.externals)
        known = self._surveys.get(installation.executable)
        if known is not None and known[0] == identity:
            return known[1]
        found = probe_externals(Path(installation.executable), settings.externals, settings.probe_timeout)
        if not isinstance(found, ProbeFailure):
            self._surveys[installation.executable] = (identity, found)
        return found

    def _probe_cache(self) -> Path | None:
        directory = self._cache_dir()
        return directory / "probes.json" if directory else None

    def _index(self, name: str) -> Path | None:
        """Where an index of what is in the data directory may be kept."""
        import hashlib

        directory = self._cache_dir()
        place = hashlib.sha256(os.fsencode(self.config.settings.data_dir)).hexdigest()[:16]
        return directory / f"{name}-{place}.index" if directory else None

    def _cache_dir(self) -> Path | None:
        base = user_directory(self.environ, "XDG_CACHE_HOME", ".cache")
        if base is None:
            return None
        try:
            (base / "envdeck").mkdir(parents=True, exist_ok=True)
        except OSError:
            # Without the cache every start probes and reads anew, which is slower and just as right.
            return None
        return base / "envdeck"

    # The audit

    def audit_page(self) -> AuditPage:
        """The newest records of the audit, everybody's."""
        with self.lock:
            return self.audit.look()

    def record(self, event: AuditEvent) -> None:
        """Say in the audit what was done, unless nothing may be written. Whether that worked is in `audit_problem`."""
        from engine.audit.writing import record

        if not self.read_only:
            self.audit_problem = record(self.config.settings.data_dir, self.told(event), self.actor)

    def told(self, event: AuditEvent) -> AuditEvent:
        """`event` with a command line that means this configuration."""
        return event.with_options(*(f"--config={path.absolute()}" for path in self._config_files))

    # Permission

    @property
    def read_only(self) -> str:
        """Why nothing can be changed; empty when it can."""
        if self._read_only:
            return "started with --read-only"
        if self.config.settings.read_only:
            return f"Envdeck.ReadOnly is on ({self.config.value('Envdeck.ReadOnly').origins[0]})"
        path = self.config.settings.data_dir
        while not is_there(path) and path != path.parent:
            path = path.parent
        if not os.access(path, os.W_OK | os.X_OK):
            return why_unwritable(*self._writer())
        return ""

    @property
    def data_dir_problem(self) -> Problem | None:
        """Why what is in the data directory cannot be seen, or cannot be changed by who runs envdeck."""
        data_dir, user = self.config.settings.data_dir, _this_account()
        for path in (data_dir, *(data_dir / name for name in _LOOKED_INTO)):
            try:
                with os.scandir(path):
                    pass
            except FileNotFoundError:
                continue  # it is made when it is needed
            except OSError as error:
                return unreadable(str(path), user, error.strerror or str(error))
        if self.read_only and not (self._read_only or self.config.settings.read_only):
            return unwritable(*self._writer())
        return None

    def _writer(self) -> tuple[str, str, bool]:
        """The data directory, who cannot write there, and whether nobody can, because it is mounted read-only."""
        from engine.environments.space import mounted_read_only

        data_dir = self.config.settings.data_dir
        return str(data_dir), _this_account(), mounted_read_only(data_dir)

    def require_readable(self) -> None:
        """Raise `Refused` when what is in the data directory cannot be seen: an empty list would mislead."""
        problem = self.data_dir_problem
        if problem is not None and problem.code == "data-dir-unreadable":
            raise Refused(problem)

    def require_writable(self) -> None:
        """Raise `Refused` (`read-only`) when nothing can be changed."""
        if reason := self.read_only:
            problem = self.data_dir_problem
            raise Refused(
                Problem("read-only", f"nothing can be changed: {reason}", hint=problem.hint if problem else "")
            )


def _this_account() -> str:
    from engine.audit.actor import account_name

    return account_name(os.geteuid())


def _declared(settings: Settings, known: Declarations) -> Declarations:
    """The execution environments that `settings` declare, read again where a file differs from those `known`."""
    paths = [*filter(None, [settings.environments_file]), *settings.cluster_definitions]
    if not paths and not known.files:
        return known
    # Only here, because YAML is slow to import and few servers declare anything.
    from engine.offhost.file import load_environments

    return load_environments(paths, known)


_VALUES_OF_PLANS = {
    "Envdeck.AllowedOption": "an option, or OPTION=VALUE for that value alone",
    "Envdeck.SupportPackage": "APPMODE: REQUIREMENT, or APPMODE: !name",
}
"""Settings whose values mean something to the package plan only, and what they should be."""


def _value_problems(state: ConfigState) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            "setting-bad-value",
            f"{value.name} is passed over: {fault}",
            expected=expected,
            found=text,
            where=Where(origin),
            severity=Severity.WARNING,
        )
        for value in state.values
        if (expected := _VALUES_OF_PLANS.get(value.name))
        for text, origin in zip(value.values, value.origins, strict=False)
        if (fault := _fault(value.name, text))
    )


def _fault(name: str, text: str) -> str:
    """What is wrong with a value of one of `_VALUES_OF_PLANS`; empty when nothing is."""
    # Only here: by default neither has a value.
    if name == "Envdeck.AllowedOption":
        from engine.packages.options import option_error

        return option_error(text)
    from engine.packages.support import support_error

    return support_error(text)

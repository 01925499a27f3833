"""What there is: the configuration in force, and what is found on disk under it. No threads, nothing is announced."""

from __future__ import annotations

import getpass
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.builds.job import JobReader
from engine.builds.model import Build
from engine.bundles.model import Bundle
from engine.config.default import default_data_dir, default_text
from engine.config.load import load
from engine.config.lookup import look_up, user_directory
from engine.config.model import ConfigState, Executable
from engine.environments.model import Environment
from engine.environments.staleness import judge
from engine.environments.store import EnvironmentStore
from engine.errors import Problem, Refused
from engine.installations.discovery import discover
from engine.installations.inventory import probe_all
from engine.installations.model import Installation, Usability
from engine.planning import identities, plan_build
from engine.plans import BuildPlan
from engine.shelf import BundleShelf

__all__ = ["World"]


class World:
    """Everything an answer or an action needs to know. Methods may be called from any thread."""

    def __init__(self, config_files: Sequence[Path], environ: Mapping[str, str], *, read_only: bool) -> None:
        """Load the configuration. Raises `InputError` when a file that was asked for by name cannot be read."""
        self.environ = dict(environ)
        self.user = _real_user(environ)
        self.lock = threading.RLock()
        self._config_files = tuple(config_files)
        self._read_only = read_only
        self._installations: tuple[Installation, ...] | None = None
        self.config = self._load(None)
        self._open_data_dir()

    # Configuration

    @property
    def watched_files(self) -> tuple[Path, ...]:
        """The files whose change, appearance or removal can change the configuration."""
        return look_up(self._config_files, self.environ).watch

    def reload(self) -> None:
        """Load the configuration again; with errors in it the last good settings stay in force."""
        with self.lock:
            before = self.config.settings
            self.config = self._load(self.config)
            if self.config.settings.data_dir != before.data_dir:
                self._open_data_dir()
            self.shelf.directories = self.config.settings.bundle_dirs

    def _load(self, previous: ConfigState | None) -> ConfigState:
        sources = look_up(self._config_files, self.environ)
        default = "" if sources.files else self._default_text(discover(self.environ), ())
        return load(sources, self.environ, previous, time.time(), default)

    def _default_text(self, usable: Sequence[str], unusable: Sequence[tuple[str, str]]) -> str:
        return default_text(usable, unusable, default_data_dir(self.environ))

    def default_config(self) -> str:
        """The embedded default for this machine as text to edit, with the interpreters it cannot use as comments."""
        probed = self._probe([Executable(path, "default") for path in discover(self.environ)], force=False)
        usable = [i.declared for i in probed if i.usability is Usability.USABLE]
        unusable = [(i.declared, i.reason) for i in probed if i.usability is Usability.UNUSABLE]
        return self._default_text(usable, unusable)

    def _open_data_dir(self) -> None:
        settings = self.config.settings
        self.store = EnvironmentStore(settings.data_dir)
        self.jobs = JobReader(settings.data_dir / "jobs")
        self.shelf = BundleShelf(settings.bundle_dirs)

    @property
    def home(self) -> Path:
        """The home directory of the account that builds, whose pip configuration applies."""
        return Path(self.environ.get("HOME", "/"))

    # What is found

    @property
    def probed(self) -> bool:
        """Whether the installations of the configuration have been probed at least once."""
        return self._installations is not None

    def probe(self, *, force: bool = False) -> None:
        """Run every configured interpreter that is not known already, or all of them with `force`."""
        settings = self.config.settings
        found = self._probe(settings.executables, force=force)
        with self.lock:
            # A newer configuration asks for a probe of its own.
            if self.config.settings.executables == settings.executables:
                self._installations = found

    def installations(self) -> tuple[Installation, ...]:
        """The configured installations as last probed; before that, each as being probed. Never runs anything."""
        if self._installations is not None:
            return self._installations
        return tuple(
            Installation(e.path, e.origin, e.path, Usability.PROBING) for e in self.config.settings.executables
        )

    def environments(self) -> tuple[Environment, ...]:
        """Every published environment, newest first, the stale ones marked."""
        with self.lock:
            return judge(self.store.environments(), identities(self.installations()))

    def builds(self) -> tuple[Build, ...]:
        """Every build, newest first."""
        with self.lock:
            return self.jobs.builds()

    def plan(self, bundle: Bundle) -> BuildPlan:
        """What building `bundle` would do now. Probes the installations if that was not done yet."""
        if not self.probed:
            self.probe()
        return self.plan_among(bundle, self.installations(), self.environments(), self.builds())

    def plan_among(
        self,
        bundle: Bundle,
        installations: Sequence[Installation],
        environments: Sequence[Environment],
        builds: Sequence[Build],
    ) -> BuildPlan:
        """What building `bundle` would do, given what was found."""
        return plan_build(
            bundle,
            config=self.config,
            installations=installations,
            environments=environments,
            builds=builds,
            home=self.home,
        )

    def _probe(self, executables: Sequence[Executable], *, force: bool) -> tuple[Installation, ...]:
        settings = self.config.settings
        return probe_all(
            executables,
            minimum_version=settings.minimum_version,
            timeout=settings.probe_timeout,
            cache_path=self._probe_cache(),
            force=force,
        )

    def _probe_cache(self) -> Path | None:
        base = user_directory(self.environ, "XDG_CACHE_HOME", ".cache")
        if base is None:
            return None
        try:
            (base / "envdeck").mkdir(parents=True, exist_ok=True)
        except OSError:
            # Without the cache every start probes anew, which is slower and just as right.
            return None
        return base / "envdeck" / "probes.json"

    # Permission

    @property
    def read_only(self) -> str:
        """Why nothing can be changed; empty when it can."""
        if self._read_only:
            return "started with --read-only"
        path = self.config.settings.data_dir
        while not path.exists() and path != path.parent:
            path = path.parent
        if not os.access(path, os.W_OK | os.X_OK):
            return f"{self.config.settings.data_dir} is not writable for {_account()}"
        return ""

    def require_writable(self) -> None:
        """Raise `Refused` (`read-only`) when nothing can be changed."""
        if reason := self.read_only:
            raise Refused(Problem("read-only", f"nothing can be changed: {reason}"))


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # An account without an entry in the user database, as in a container.
        return f"uid {os.getuid()}"


def _real_user(environ: Mapping[str, str]) -> str:
    """Who is acting, also behind sudo."""
    return environ.get("SUDO_USER") or _account()

"""Settings and where each comes from, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from packaging.version import Version

from engine.errors import Problem, Severity, Where
from engine.matching import Rule

__all__ = ["ConfigState", "EffectiveValue", "Executable", "ExecutorSettings", "KeyLine", "Settings"]


class EffectiveValue(Struct, frozen=True):
    """One setting's value in force, as text, and where it comes from."""

    name: str
    """``Section.Property`` in the catalogue's spelling, such as ``Python.VersionMatching``."""
    values: tuple[str, ...]
    """One text per value; more than one only for a setting that can be repeated."""
    origins: tuple[str, ...]
    """For each value ``default``, ``file:line`` or ``$VARIABLE``; one entry when there is no value."""
    is_default: bool
    meaning: str
    document: str
    """The document and section that define the setting, or ``envdeck``."""


class Executable(Struct, frozen=True):
    """One ``Python.Executable`` entry."""

    path: str
    origin: str


class KeyLine(Struct, frozen=True):
    """One ``Envdeck.Key`` entry as written, and where its text begins. What it means is the fronts' business."""

    text: str
    where: Where


class ExecutorSettings(Struct, frozen=True):
    """What the executors need to know, each its own part; options are as written."""

    mounts: tuple[Path, ...] = ()
    """What containers and pods see of this machine, read-only, besides what a build needs anyway."""
    container_command: str = ""
    """Empty for whichever of podman and docker works."""
    container_options: tuple[str, ...] = ()
    slurm_options: tuple[str, ...] = ()
    kubernetes_options: tuple[str, ...] = ()
    kubernetes_namespace: str = "default"
    kubernetes_node_selectors: tuple[str, ...] = ()
    """``LABEL=VALUE``."""
    kubernetes_volumes: tuple[str, ...] = ()
    """``PATH=CLAIM``."""
    kubernetes_service_account: str = ""
    kubernetes_pull_secrets: tuple[str, ...] = ()


class Settings(Struct, frozen=True):
    """The settings in force. Durations are seconds."""

    python_enabled: bool
    executables: tuple[Executable, ...]
    version_matching: Rule
    prohibited: tuple[str, ...]
    """Names as written under ``Python.ProhibitedPackage``; ``!name`` takes one off the built-in list."""
    data_dir: Path
    minimum_version: Version
    probe_timeout: float
    build_timeout: float
    bundle_dirs: tuple[Path, ...]
    """``Envdeck.BundleDir``: directories whose children are offered as bundles."""
    read_only: bool = False
    """``Envdeck.ReadOnly``: nothing may be built, deleted or changed."""
    keys: tuple[KeyLine, ...] = ()
    manage_environments: bool = True
    externals: tuple[str, ...] = ()
    """Names as written under ``Python.External``."""
    external_version_matching: bool = False
    externals_check_is_fatal: bool = True
    run_as: str = ""
    """``Applications.RunAs``; empty for the account envdeck runs as."""
    reaping: bool = False
    reap_frequency: float = 86400.0
    reap_grace: float = 86400.0
    bundle_retention: int = 0
    """0 keeps all bundles."""
    content_management_selection: bool = True
    manifest_management_selection: bool = True
    environments_file: Path | None = None
    cluster_definitions: tuple[Path, ...] = ()
    support_packages: tuple[str, ...] = ()
    """``Envdeck.SupportPackage`` as written: ``APPMODE: REQUIREMENT``."""
    build_concurrency: int = 2
    build_memory: int = 0
    """Bytes; 0 for no limit."""
    start_timeout: float = 600.0
    space_reserve: int = 1024**3
    """Bytes that must be free for a build to start."""
    allowed_options: tuple[str, ...] = ()
    """pip options that requirements files may use besides the safe ones."""
    allow_uv: bool = True
    default_package_manager: str = "pip"
    uv: Path | None = None
    """``Envdeck.Uv``; None for the one on the ``PATH``."""
    executor: str = "auto"
    """``auto``, or the name of the executor of all builds."""
    replay: str = "exact"
    """``exact``, ``verify`` or ``off``: what the wheel store does for builds."""
    executors: ExecutorSettings = ExecutorSettings()


class ConfigState(Struct, frozen=True):
    """The outcome of loading the configuration.

    After a load with errors `settings` and `values` are those of the last good load, and `problems` says what is
    wrong with the text on disk now.
    """

    settings: Settings
    values: tuple[EffectiveValue, ...]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]
    """The files in force, in the order they were read; empty for the embedded default."""
    is_default: bool
    """True when no file was found and the embedded default is in force."""
    loaded_at: float
    """When `settings` were loaded, seconds since the epoch."""
    changed: Mapping[str, tuple[str, str]]
    """What the last good load changed: name to (before, after)."""
    texts: Mapping[str, str]
    """The text of each file as last read, keyed by path (``default`` for the embedded one)."""
    good: bool = True
    """False while no load has been free of errors: `settings` are then what could be understood of the text."""

    def value(self, name: str) -> EffectiveValue:
        """The value in force of the setting called so."""
        return next(value for value in self.values if value.name == name)

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

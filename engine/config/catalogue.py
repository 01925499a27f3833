"""Every setting that envdeck knows: its type, default and meaning. To add a setting, add a row."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

__all__ = ["CATALOGUE", "SERVER_SECTIONS", "STRICT_SECTIONS", "Kind", "Setting", "close_to", "find", "sections_of"]


class Kind(StrEnum):
    """The type of a setting's value (connect.md §1.3), or of each of them if the setting can be repeated."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    STRING = "string"
    PATH = "path"
    CHOICE = "choice"
    DURATION = "duration"
    VERSION = "version"
    SIZE = "size"


class Setting(Struct, frozen=True):
    """One row of the catalogue."""

    name: str
    """``Section.Property``."""
    kind: Kind
    default: tuple[str, ...]
    """As it would be written; empty for none."""
    meaning: str
    document: str
    """The document and section that define it, or ``envdeck``."""
    multi: bool = False
    """True when the key can be repeated, each adding a value."""
    choices: tuple[str, ...] = ()
    zero: bool = False
    """True for a duration or a size that can be zero."""
    least: int | None = None
    """The smallest value of an integer; None for no bound."""
    deprecated: str = ""
    """Why it should no longer be set; empty when it may."""
    package: bool = False
    """True where a value is the name of a package."""

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    @property
    def key(self) -> str:
        return self.name.partition(".")[2]

    @property
    def variable(self) -> str:
        """The environment variable that overrides it (connect.md §1.1)."""
        return f"CONNECT_{self.section}_{self.key}".upper()


_PACKAGES = "package-management-posit.txt"
_PYTHON = "python-posit.txt"

CATALOGUE = (
    Setting(
        "Server.DataDir",
        Kind.PATH,
        ("/var/lib/rstudio-connect",),
        "Directory that holds environments, builds and everything else that is kept.",
        "Admin guide, Configuration",
    ),
    Setting(
        "Python.Enabled",
        Kind.BOOLEAN,
        ("false",),
        "Whether Python content is served at all.",
        f"{_PYTHON}, Enabling Python Support",
    ),
    Setting(
        "Python.Executable",
        Kind.PATH,
        (),
        "A Python installation: its interpreter, or the directory it is installed in.",
        f"{_PYTHON}, Enabling Python Support",
        multi=True,
    ),
    Setting(
        "Python.VersionMatching",
        Kind.CHOICE,
        ("major-minor",),
        "How the version that a bundle asks for is compared with the installations.",
        f"{_PYTHON}, Python Version Matching",
        choices=("major-minor", "exact"),
    ),
    Setting(
        "Python.ProhibitedPackage",
        Kind.STRING,
        (),
        "A package that is dropped from what bundles ask for, besides the built-in ones; !name takes one of those off.",
        f"{_PACKAGES}, Excluding Python Packages",
        multi=True,
        package=True,
    ),
    Setting(
        "Python.EnvironmentManagement",
        Kind.BOOLEAN,
        ("true",),
        "Whether environments are created and packages installed; content and bundles can override it.",
        f"{_PACKAGES}, Environment management",
    ),
    Setting(
        "Python.External",
        Kind.STRING,
        (),
        "A package that is taken from the installation instead of being installed.",
        f"{_PACKAGES}, External package installation",
        multi=True,
        package=True,
    ),
    Setting(
        "Python.ExternalVersionMatching",
        Kind.BOOLEAN,
        ("false",),
        "Whether an external package is used only if it has the version that is asked for.",
        f"{_PACKAGES}, External Package Version Matching",
    ),
    Setting(
        "Python.ExternalsCheckIsFatal",
        Kind.BOOLEAN,
        ("true",),
        "Whether an external package that any installation lacks is an error.",
        f"{_PACKAGES}, External package installation",
    ),
    Setting(
        "Python.AllowUv",
        Kind.BOOLEAN,
        ("true",),
        "Whether uv may install packages, for bundles whose manifest allows it (allow_uv) or by default.",
        "Client sources; not in the documents",
    ),
    Setting(
        "Python.DefaultPackageManager",
        Kind.CHOICE,
        ("pip",),
        "The installer for bundles whose manifest neither allows nor forbids uv.",
        "Client sources; not in the documents",
        choices=("pip", "uv"),
    ),
    Setting(
        "Python.LibraryCheckIsFatal",
        Kind.BOOLEAN,
        (),
        "Has no effect: a wrong version of pip or virtualenv is no longer an error.",
        "Announcement of version 1.8.4",
        deprecated="has had no effect since version 1.8.4",
    ),
    Setting(
        "Applications.RunAs",
        Kind.STRING,
        (),
        "The account that builds run as, if envdeck runs as root; its pip configuration applies.",
        f"{_PACKAGES}, Configuring pip",
    ),
    Setting(
        "Applications.PythonEnvironmentReaping",
        Kind.BOOLEAN,
        ("false",),
        "Whether environments that no content uses are deleted periodically.",
        f"{_PACKAGES}, Environment Caching",
    ),
    Setting(
        "Applications.PythonEnvironmentReapFrequency",
        Kind.DURATION,
        ("24h",),
        "How often environments that no content uses are deleted.",
        f"{_PACKAGES}, Environment Caching",
    ),
    Setting(
        "Applications.BundleRetentionLimit",
        Kind.INTEGER,
        ("0",),
        "How many bundles of a content item are kept, the active one included; 0 keeps all.",
        "Admin guide, Configuration",
    ),
    Setting(
        "Applications.DefaultEnvironmentManagementSelection",
        Kind.BOOLEAN,
        ("true",),
        "Whether the environment management that is set for a content item counts.",
        "Server API",
    ),
    Setting(
        "Applications.ManifestEnvironmentManagementSelection",
        Kind.BOOLEAN,
        ("true",),
        "Whether the environment management that a bundle's manifest asks for counts.",
        "Server API",
    ),
    Setting(
        "ExecutionEnvironments.ConfigFilePath",
        Kind.PATH,
        (),
        "The file that declares the execution environments: container images and the Pythons in them.",
        "Admin guide, Execution Environments",
    ),
    Setting(
        "Launcher.ClusterDefinition",
        Kind.PATH,
        (),
        "A file that declares container images in the older form.",
        "Admin guide, Execution Environments",
        multi=True,
    ),
    Setting(
        "Envdeck.ReadOnly",
        Kind.BOOLEAN,
        ("false",),
        "Whether envdeck only looks: nothing is built, deleted or changed.",
        "envdeck",
    ),
    Setting(
        "Envdeck.Key",
        Kind.STRING,
        (),
        "`NAME=KEY,KEY`, the keys of an action of the terminal UI, such as env.rebuild=f5,b; none takes its keys away.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.MinimumVersion",
        Kind.VERSION,
        ("3.8.0",),
        "The oldest Python version that is usable.",
        f"{_PYTHON}, Installing Python",
    ),
    Setting(
        "Envdeck.ProbeTimeout",
        Kind.DURATION,
        ("10s",),
        "How long an interpreter may take to tell about itself.",
        "envdeck",
    ),
    Setting(
        "Envdeck.BuildTimeout",
        Kind.DURATION,
        ("1h",),
        "How long a build may take before it is stopped.",
        "envdeck",
    ),
    Setting(
        "Envdeck.BuildConcurrency",
        Kind.INTEGER,
        ("2",),
        "How many builds run at once on one machine; the others wait their turn.",
        "envdeck",
        least=1,
    ),
    Setting(
        "Envdeck.BuildMemory",
        Kind.SIZE,
        ("0",),
        "How much memory a build may use; 0 for no limit.",
        "envdeck",
        zero=True,
    ),
    Setting(
        "Envdeck.StartTimeout",
        Kind.DURATION,
        ("10m",),
        "How long a scheduler may take to start a build before it is given up.",
        "envdeck",
    ),
    Setting(
        "Envdeck.SpaceReserve",
        Kind.SIZE,
        ("1G",),
        "How much space must be free in the data directory for a build to start; 0 to start always.",
        "envdeck",
        zero=True,
    ),
    Setting(
        "Envdeck.AllowedOption",
        Kind.STRING,
        (),
        "A pip option that requirements files may use besides the safe ones, such as --trusted-host.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.Executor",
        Kind.CHOICE,
        ("auto",),
        "Where builds run; auto: in a container for a container image, else on this machine.",
        "envdeck",
        choices=("auto", "local", "container", "slurm", "kubernetes"),
    ),
    Setting(
        "Envdeck.Replay",
        Kind.CHOICE,
        ("exact",),
        "What the wheel store does for builds; exact: a list that was built before is made again without pip and "
        "index, verify: pip always has the last word, off: it is not used.",
        "envdeck",
        choices=("exact", "verify", "off"),
    ),
    Setting(
        "Envdeck.Mount",
        Kind.PATH,
        (),
        "A file or directory of this machine that containers and pods see too, read-only and at the same path.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.ContainerCommand",
        Kind.STRING,
        (),
        "The program that runs containers: podman, docker, or a path to one; without it, whichever of them works.",
        "envdeck",
    ),
    Setting(
        "Envdeck.ContainerOption",
        Kind.STRING,
        (),
        "An option added to every `podman run` or `docker run`, such as --network=host.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.SlurmOption",
        Kind.STRING,
        (),
        "An option added to every `sbatch`, such as --partition=build; {python} and {image} are filled in.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.KubernetesOption",
        Kind.STRING,
        (),
        "An option added to every `kubectl`, such as --context=production.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.KubernetesNamespace",
        Kind.STRING,
        ("default",),
        "The namespace that builds run in.",
        "envdeck",
    ),
    Setting(
        "Envdeck.KubernetesNodeSelector",
        Kind.STRING,
        (),
        "`LABEL=VALUE`, a label that a node must have to run builds.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.KubernetesVolume",
        Kind.STRING,
        (),
        "`PATH=CLAIM`, the persistent volume claim that holds the directory PATH; other paths are taken from the node.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.KubernetesServiceAccount",
        Kind.STRING,
        (),
        "The service account of the pods of builds.",
        "envdeck",
    ),
    Setting(
        "Envdeck.KubernetesPullSecret",
        Kind.STRING,
        (),
        "The name of a secret that images are pulled with.",
        "envdeck",
        multi=True,
    ),
    Setting(
        "Envdeck.Uv",
        Kind.PATH,
        (),
        "The program uv; without it, the one on the PATH that envdeck is started with.",
        "envdeck",
    ),
    Setting(
        "Envdeck.ReapGracePeriod",
        Kind.DURATION,
        ("24h",),
        "How long an environment is kept after it was built or last used, whether or not content uses it.",
        "envdeck",
        zero=True,
    ),
    Setting(
        "Envdeck.SupportPackage",
        Kind.STRING,
        (),
        "`APPMODE: REQUIREMENT`, a package that content of that mode needs besides its own; !name takes one off.",
        f"{_PACKAGES}, Package Installation",
        multi=True,
    ),
    Setting(
        "Envdeck.BundleDir",
        Kind.PATH,
        (),
        "A directory whose bundles are offered.",
        "envdeck",
        multi=True,
    ),
)

STRICT_SECTIONS = ("Python", "Envdeck")
"""Sections in which every key must be in the catalogue. In any other the server may know keys that we do not."""

SERVER_SECTIONS = (
    "Applications",
    "Authentication",
    "Authorization",
    "Bootstrap",
    "ExecutionEnvironments",
    "HTTP",
    "HTTPS",
    "Kubernetes",
    "Launcher",
    "Logging",
    "OpenTelemetry",
    "Postgres",
    "Quarto",
    "R",
    "RPackageRepository",
    "Scheduler",
    "Server",
    "TensorFlow",
)
"""The server's sections (connect.md §2.2), which are no misspellings of ours."""

_BY_NAME = {setting.name.casefold(): setting for setting in CATALOGUE}
_SECTIONS_BY_KEY: dict[str, tuple[str, ...]] = {}
for _setting in CATALOGUE:
    _key = _setting.key.casefold()
    _SECTIONS_BY_KEY[_key] = (*_SECTIONS_BY_KEY.get(_key, ()), _setting.section)


def find(section: str, key: str) -> Setting | None:
    """The setting of that section and key, in any case."""
    return _BY_NAME.get(f"{section}.{key}".casefold())


def sections_of(key: str) -> tuple[str, ...]:
    """The sections that have a setting of that name."""
    return _SECTIONS_BY_KEY.get(key.casefold(), ())


def close_to(word: str, names: tuple[str, ...]) -> str | None:
    """The one of `names` that `word` looks like a misspelling of, if any."""
    folded = {name.casefold(): name for name in names}
    import difflib

    matches = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return folded[matches[0]] if matches else None

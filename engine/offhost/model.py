"""Execution environments and what is asked of them, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from engine.errors import Problem, Where

__all__ = [
    "RUNTIMES",
    "Declarations",
    "DeclaredInstallation",
    "EnvironmentsFile",
    "ExecutionEnvironment",
    "Matching",
    "TargetRequest",
    "image_identity",
]

RUNTIMES = {"r": "R", "quarto": "Quarto", "tensorflow": "TensorFlow", "nodejs": "Node.js"}
"""The runtimes besides Python that an execution environment can declare: key in the file, and name to show."""


class Matching(StrEnum):
    """Who may be given an execution environment (connect.md §7.2, the values of ``matching``)."""

    ANY = "any"
    """Content that is matched automatically, and content that asks for it."""
    EXACT = "exact"
    """Only content whose manifest or own settings ask for it."""
    NONE = "none"
    """Nobody: the environment is parked."""


class DeclaredInstallation(Struct, frozen=True):
    """One Python that an image is said to contain. Nothing is probed: the declaration is trusted."""

    version: Version
    path: str
    """The interpreter inside the image."""
    where: Where


class ExecutionEnvironment(Struct, frozen=True):
    """One container image and the interpreters in it."""

    name: str
    """The image, such as ``registry/content:tag``. Caches are tied to it, so environments of one image share them."""
    where: Where
    title: str = ""
    description: str = ""
    matching: Matching = Matching.ANY
    supervisor: str = ""
    """A command that is wrapped around content; empty for none."""
    python: tuple[DeclaredInstallation, ...] = ()
    runtimes: Mapping[str, tuple[Version, ...]] = field(default_factory=dict)
    """The versions of each runtime besides Python that is declared; keys are those of `RUNTIMES`."""
    guid: str = ""
    """The identifier that a manifest can ask for, in lower case; empty when the file does not tell it."""

    @property
    def label(self) -> str:
        """What to call it: its title if it has one, else the image."""
        return self.title or self.name


class EnvironmentsFile(Struct, frozen=True):
    """One file of execution environments as last read.

    After a reading with errors `environments` are those of the last good one; while there was none, they are the
    entries that could be understood.
    """

    path: Path
    environments: tuple[ExecutionEnvironment, ...] = ()
    problems: tuple[Problem, ...] = ()
    good: bool = False
    """True once the file was read without an error."""
    digest: bytes = b""
    """Tells one content of the file from another; empty when it could not be read."""


class Declarations(Struct, frozen=True):
    """Every execution environment that is declared, in the order of the files and of their entries."""

    files: tuple[EnvironmentsFile, ...] = ()
    environments: tuple[ExecutionEnvironment, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def off_host(self) -> bool:
        """Whether content runs off-host: as soon as any file is configured, and then for all content.

        The documents know no mixture (connect.md §7.6: ``Python.Executable`` is ignored off-host). A file that cannot
        be read does not bring local execution back: content would silently change the machine it runs on.
        """
        return bool(self.files)


class TargetRequest(Struct, frozen=True):
    """What a bundle and its content ask of the target; empty fields ask for nothing (connect.md §7.3)."""

    identifier: str = ""
    """``environment.identifier`` of the manifest: the guid of one execution environment."""
    image: str = ""
    """``environment.image`` of the manifest."""
    default_guid: str = ""
    """``default_environment_guid`` of the content."""
    default_image: str = ""
    """``default_image_name`` of the content."""
    runtimes: Mapping[str, SpecifierSet | None] = field(default_factory=dict)
    """The runtimes besides Python that are needed, each with a constraint or None for any version. Keys are those of
    `RUNTIMES`."""


def image_identity(environment: ExecutionEnvironment, installation: DeclaredInstallation) -> dict[str, object]:
    """What makes two declared installations interchangeable for the content of an environment.

    The counterpart of `engine.installations.identity.interpreter_identity`: all that is known of an interpreter that
    nobody has run.
    """
    return {"version": str(installation.version), "image": environment.name, "path": installation.path}

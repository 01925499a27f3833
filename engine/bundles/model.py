"""What a bundle says, as plain values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from engine.errors import Where

__all__ = ["Bundle", "LineKind", "Manifest", "RequirementLine"]


class LineKind(StrEnum):
    """What a logical line of a requirements file is to pip."""

    REQUIREMENT = "requirement"
    """A name with optional extras, specifier, URL and marker (PEP 508)."""
    SOURCE = "source"
    """A bare URL, VCS reference, or a path to a local project or archive; editable or not."""
    OPTION = "option"
    """A line of options only, such as ``--index-url …``; applies to the whole installation."""


class RequirementLine(Struct, frozen=True):
    """One logical line: comments stripped, continuations joined, nested ``-r`` files already put in its place."""

    text: str
    """What pip is to be given: one line without control characters. May hold credentials, so it is shown only through
    `engine.text.mask_credentials`."""
    where: Where
    """The file by its path inside the bundle, with the line and column the logical line starts at."""
    kind: LineKind
    name: NormalizedName | None = None
    """The package, where the line names one (PEP 503 form)."""
    requirement: Requirement | None = None
    """The parsed requirement, for `LineKind.REQUIREMENT` only."""
    option: str = ""
    """The first option's long name, for `LineKind.OPTION` only, such as ``--index-url``."""
    options: tuple[tuple[str, str], ...] = ()
    """Every option on the line in its order: the long name, and the value (empty for a flag). May hold credentials."""
    constraint: bool = False
    """True for a line of a file named by ``-c``: it limits versions and installs nothing."""
    local: bool = False
    """True when it needs files of the bundle: a relative path, which pip reads from its working directory."""


class Manifest(Struct, frozen=True):
    """The parts of ``manifest.json`` that decide about Python (connect.md §5.1)."""

    app_mode: str
    entrypoint: str
    python_version: Version | None
    """``python.version``: the interpreter the author used. None only when there is a constraint instead."""
    requires: SpecifierSet | None
    """``environment.python.requires``."""
    package_manager: str
    """``pip``, ``uv`` or ``none``; ``none`` when ``python.package_manager`` is absent or null."""
    package_file: str
    """Path of the requirements file inside the bundle; empty when no package manager is declared."""
    allow_uv: bool | None = None
    manage_environment: bool | None = None
    """``environment.environment_management.python``; None when the bundle leaves it open."""
    image: str = ""
    environment_guid: str = ""
    title: str = ""
    """``extension.title``, made safe to show; empty when there is none."""
    where: Where | None = None
    """The entry that decides the Python version: the constraint if there is one, else the version."""


class Bundle(Struct, frozen=True):
    """A bundle that was read and found well-formed."""

    path: Path
    """The directory or archive it was read from, absolute."""
    name: str
    """The directory's name, or the archive's without its suffix."""
    is_archive: bool
    manifest: Manifest
    requirements: tuple[RequirementLine, ...]
    title: str = ""
    """The manifest's own; for shipped samples what they are there to show."""

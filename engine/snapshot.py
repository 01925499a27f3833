"""The immutable picture of everything that both fronts draw from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from engine.audit.reading import AuditPage
from engine.offhost.model import Declarations

if TYPE_CHECKING:
    from engine.builds.model import Build
    from engine.config.model import ConfigState
    from engine.content.model import Content
    from engine.environments.model import Environment
    from engine.errors import Problem
    from engine.installations.model import Installation
    from engine.packages.installer import UvTool
    from engine.plans import BuildPlan

__all__ = ["BundleEntry", "Snapshot"]


class BundleEntry(Struct, frozen=True):
    """One bundle on offer: its plan, or the problem that kept it from being read."""

    path: Path
    name: str
    is_sample: bool
    plan: BuildPlan | None
    problem: Problem | None


class Snapshot(Struct, frozen=True):
    """An immutable picture of everything. Equal generations mean equal pictures."""

    generation: int
    taken_at: float
    """Seconds since the epoch."""
    host: str
    user: str
    config: ConfigState
    installations: tuple[Installation, ...]
    environments: tuple[Environment, ...]
    builds: tuple[Build, ...]
    """Newest first."""
    bundles: tuple[BundleEntry, ...]
    data_dir: Path
    contents: tuple[Content, ...] = ()
    declarations: Declarations = field(default_factory=Declarations)
    """The execution environments that are declared; none means that content runs on this machine."""
    uv: UvTool | None = None
    """The uv that builds can use, or why there is none."""
    read_only: str = ""
    """Why nothing can be changed; empty when it can."""
    obstacles: tuple[Problem, ...] = ()
    """What stands in the way of everything, the worst first."""
    probing: bool = False
    """True while interpreters are being run."""
    looked: bool = True
    """False until the data directory has been looked at: that a list is empty says nothing then. While it
    cannot be looked at, the obstacles say why."""
    audit: AuditPage = field(default_factory=AuditPage)
    """The newest records of what everybody did here."""
    audit_problem: Problem | None = None
    """Why the audit lacks what was done last in this session; None when it has it."""

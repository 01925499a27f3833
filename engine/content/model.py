"""One piece of content, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import Struct, field

from engine.columns import record
from engine.content.unchanged import UNCHANGED, Unchanged
from engine.errors import Problem
from engine.targets import LOCAL

__all__ = ["UNCHANGED", "Content", "ContentBundle", "PickedInstallation", "Reason", "Unchanged"]


class Reason(Struct, frozen=True):
    """One step of a decision: a stable kebab-case code, and the same in one sentence."""

    code: str
    text: str


class PickedInstallation(Struct, frozen=True):
    """The installation that was picked when the content was deployed, and is used until it vanishes."""

    version: str
    path: str
    """The interpreter that is run."""
    target: str = LOCAL
    identity: Mapping[str, object] = field(default_factory=dict)
    """What it was, see `engine.installations.identity.interpreter_identity`."""


@record
@dataclass(frozen=True)
class ContentBundle:
    """One bundle that was deployed to a piece of content. Its files are in ``bundles/<number>/``."""

    __slots__ = ()

    number: int
    """Counts from 1, in the order of deployment."""
    deployed_at: float
    """Seconds since the epoch."""
    deployed_by: str
    name: str
    """The bundle's own name."""
    key: str
    """The key of its environment; empty when its environment is not managed."""
    python_version: str
    """Of the installation it was deployed on."""
    size: int
    """Bytes of its files."""


@record
@dataclass(frozen=True)
class Content:
    """What was deployed under one name. With a `problem` only `guid` can be relied on."""

    __slots__ = ()

    guid: str
    name: str
    app_mode: str
    created_at: float
    """Seconds since the epoch."""
    created_by: str
    bundles: tuple[ContentBundle, ...]
    """In the order of deployment."""
    active: int
    """The number of the bundle that runs."""
    installation: PickedInstallation | None
    managed: bool
    """The management decision that was in effect at the last deployment (connect.md §5.5)."""
    management: bool | None = None
    """The content's own level of that decision; None when it is not set."""
    default_image: str = ""
    last_used_at: float | None = None
    """When it was last run, seconds since the epoch; None when it never was."""
    problem: Problem | None = None
    """Why its record cannot be used."""

    @property
    def active_bundle(self) -> ContentBundle | None:
        # Not with `next` and a generator, which takes four times as long: of 100 000 it is asked in one answer.
        for bundle in self.bundles:
            if bundle.number == self.active:
                return bundle
        return None

    @property
    def key(self) -> str:
        """The key of the active bundle's environment; empty when there is none."""
        bundle = self.active_bundle
        return bundle.key if bundle else ""

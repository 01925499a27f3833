"""One entry of the cache, as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from engine.columns import record

__all__ = ["Environment", "EnvironmentState", "Ingredients", "LockedPackage"]


class EnvironmentState(StrEnum):
    """What an environment is good for now."""

    READY = "ready"
    STALE = "stale"
    """Its installation is no longer configured, or no longer the one it was built on."""
    DAMAGED = "damaged"
    """Its record does not parse, what it names is not there, or a verification found it changed."""


class LockedPackage(Struct, frozen=True):
    """One distribution that is in an environment."""

    name: str
    version: str


class Ingredients(Mapping[str, object]):
    """What a key is a digest of, in two parts.

    All but the requirements is the same in thousands of environments and held once, and the requirements are the lines.
    """

    __slots__ = ("common", "lines")

    def __init__(self, common: Mapping[str, object], lines: tuple[str, ...]) -> None:
        """`common` has the ``requirements`` in their place, with whatever value."""
        self.common = common
        self.lines = lines

    def __getitem__(self, name: str) -> object:
        return list(self.lines) if name == "requirements" else self.common[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.common)

    def __len__(self) -> int:
        return len(self.common)

    def __repr__(self) -> str:
        return f"Ingredients({dict(self)})"


@record
@dataclass(frozen=True)
class Environment:
    """A published environment: the content of its ``current.json`` and the judgement on it."""

    __slots__ = ()

    place: str
    """The directory of all keys of its kind, ``…/<installer>/<X.Y.Z>[@<target>]``, which thousands have in common."""
    key: str
    attempt: str
    """The attempt that counts; empty when the record does not tell which."""
    installer: str
    python_version: str
    python_path: str
    """The installation's interpreter that it was built on."""
    target: str
    state: EnvironmentState
    reason: str
    """Why the state is not `READY`; empty when it is."""
    lines: tuple[str, ...]
    """The effective requirement lines that the key covers."""
    packages: Sequence[LockedPackage]
    size: int
    """Bytes on disk when it was sealed (apparent size, links counted once)."""
    files: int
    built_at: float
    """Seconds since the epoch."""
    built_by: str
    seconds: float
    """How long the build took."""
    bundle: str
    """Name of the bundle it was first built for."""
    ingredients: Mapping[str, object] = field(default_factory=dict)
    """What the key is a digest of."""
    pinned: bool = False
    """True while an admin wants it kept whether or not content uses it."""
    overlay: str = ""
    """The directory through which it sees external packages; empty when it sees none."""
    seal: str = ""
    """The digest of its seal (`engine.environments.seal`); empty for one that was published without."""
    shared: int = 0
    """How many bytes of `size` are in files of the wheel store, or of uv's cache, which deleting it does not free."""
    last_used_at: float = 0.0
    """When content was last seen to use it, seconds since the epoch; 0 when that was never noted."""

    @property
    def path(self) -> Path:
        """The virtual environment: ``…/<key>/<attempt>``."""
        return Path(self.place, self.key, self.attempt or "unknown")

    @property
    def own(self) -> int:
        """Bytes that deleting it frees."""
        return max(0, self.size - self.shared)

    @property
    def key_dir(self) -> Path:
        """The directory of the key, with every attempt and the records in it."""
        return Path(self.place, self.key)

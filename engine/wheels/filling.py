"""Filling the store: from what the service's own run of an interpreter's pip fetched, never from what a build made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.wheels.model import StoredWheel, Wanted
from engine.wheels.store import WheelStore

__all__ = ["Filled", "Source", "fill"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where wheels are fetched from, and by which interpreter."""

    python: Path
    """Its pip fetches them, and it compiles them."""
    tag: str
    """Its `bytecode_tag`."""
    pip_version: str
    index: str
    """The `index_digest` under which builds will look for them."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """pip's options by name, as its configuration files have them; pip reads no other. May hold passwords."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables for pip, such as proxies and certificates."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a fill came to."""

    stored: tuple[StoredWheel, ...]
    """What is in the store now of what was wanted, whether it was before or not."""
    added: int
    """How many of them are new."""
    refused: Mapping[Wanted, str]
    """What is not, and why."""


def fill(
    store: WheelStore,
    source: Source,
    wanted: Sequence[Wanted],
    give_up: Callable[[], bool] = lambda: False,
    timeout: float = 1800.0,
) -> Filled:
    """Put `wanted` into the store, and note that `source` serves it.

    pip fetches each by name, version and digest at once, so whatever is wanted, only what the index serves under that
    very name comes in. Waits for whoever else fills the store until `give_up()` says not to. Raises `StorageError` when
    the store cannot be written.
    """
    raise NotImplementedError

"""Everything foreign in the scripted engine replaced by hostile text, whatever fields the model has or will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from fake_engine import FakeEngine
from fake_server import snapshot
from fake_values import content, foreign

from engine import Snapshot
from tests.records import field_names, replace

__all__ = ["poisoned_engine"]

_OURS = frozenset(("generation", "taken_at", "key", "guid"))
"""What the engine makes up itself and looks things up by."""


def poison(value: Any, hostile: Callable[[], str]) -> Any:
    """`value` with another string of `hostile` in place of every text in it."""
    if isinstance(value, Enum) or value is None:
        return value
    if isinstance(value, str):
        return hostile()
    if isinstance(value, Path):
        return Path("/srv") / hostile().replace("\0", "").replace("/", "")
    if isinstance(value, tuple | list):
        return type(value)(poison(one, hostile) for one in value)
    if isinstance(value, Mapping):
        return {poison(key, hostile): poison(one, hostile) for key, one in value.items()}
    names = [name for name in field_names(value) if name not in _OURS]
    return replace(value, **{name: poison(getattr(value, name), hostile) for name in names}) if names else value


def poisoned_engine(hostile: Callable[[], str]) -> FakeEngine:
    """A server on which nothing is called what it should be."""
    base = snapshot()
    base = replace(base, contents=(content("board", base.environments[0].key),))
    shown: Snapshot = poison(base, hostile)
    engine = FakeEngine(replace(shown, read_only=""))
    engine.foreigners = poison((foreign("f" * 8),), hostile)
    for name in ("pip", "steps", "executor_choice"):
        setattr(engine, name, poison(getattr(engine, name), hostile))
    for build in shown.builds:
        engine.write(build.id, *(hostile() for _ in range(30)))
    return engine

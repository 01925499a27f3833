"""The attempts in the directory of a key."""

from __future__ import annotations

import re
from pathlib import Path

from engine.environments.model import Environment
from engine.environments.store import subdirectories

__all__ = ["ATTEMPT_NAME", "attempts_in", "is_foreign", "superseded"]

ATTEMPT_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def attempts_in(key_dir: Path) -> list[Path]:
    """The attempts of a key, the one that counts among them, by name."""
    return [path for path in subdirectories(key_dir) if ATTEMPT_NAME.fullmatch(path.name)]


def superseded(environment: Environment) -> list[Path]:
    """The attempts beside the one that counts; none when the record does not tell which that is."""
    if not environment.attempt:
        return []
    return [attempt for attempt in attempts_in(environment.key_dir) if attempt.name != environment.attempt]


def is_foreign(key_dir: Path) -> bool:
    """Whether the directory is itself a virtual environment, as the server makes them (connect.md §6.4)."""
    return (key_dir / "pyvenv.cfg").exists()

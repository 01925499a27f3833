"""What stands for a setting that stays as it is. Apart from the rest, because it is the default in signatures."""

from __future__ import annotations

from enum import Enum

__all__ = ["UNCHANGED", "Unchanged"]


class Unchanged(Enum):
    """The setting stays as it is, where None has a meaning of its own."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED

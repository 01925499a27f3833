"""Where installations live."""

from __future__ import annotations

__all__ = ["LOCAL"]

LOCAL = "Local"
"""The name of this machine as a target, as the server itself spells it (connect.md §7.3)."""

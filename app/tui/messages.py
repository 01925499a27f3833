"""What the engine's threads may tell the UI: only that there is something new."""

from __future__ import annotations

from textual.message import Message

__all__ = ["EngineChanged"]


class EngineChanged(Message):
    """The engine has a newer snapshot. Any number of these in a row are worth one."""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, EngineChanged)

"""Who uses what, as lists tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine import Content

__all__ = ["content_name", "users_by_key"]


def content_name(content: Content) -> str:
    """What to call content: its name, or where that cannot be read its GUID."""
    return content.name or content.guid


def users_by_key(contents: Iterable[Content]) -> Mapping[str, tuple[str, ...]]:
    """The key of every environment that an active bundle uses, with the names of the content that does."""
    users: dict[str, list[str]] = {}
    for content in contents:
        if content.key:
            users.setdefault(content.key, []).append(content_name(content))
    return {key: tuple(names) for key, names in users.items()}

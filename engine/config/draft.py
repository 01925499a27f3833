"""Changing a configuration file: a draft is edited elsewhere, and put in place only if nobody else was faster."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from engine.config.load import MAX_BYTES
from engine.errors import InputError, Problem, Refused, Where
from engine.files import read_limited, replace_content, write_atomic

__all__ = ["ConfigDraft", "put", "take"]


class ConfigDraft(Struct, frozen=True):
    """A configuration file as it was when somebody began to edit it."""

    path: Path
    text: bytes
    """What to begin with; the file's content if it exists."""
    exists: bool


def take(path: Path, default: str = "") -> ConfigDraft:
    """The file as it is now; one that is not there begins with `default`.

    Raises `InputError` (`config-unreadable`, `file-too-large`).
    """
    now = _read(path)
    return ConfigDraft(path, default.encode() if now is None else now, now is not None)


def put(draft: ConfigDraft, text: bytes) -> None:
    """Make `text` the content of the draft's file in one step; a link stays one, mode and owner stay the same.

    Raises `Refused` (`config-changed`) when the file is not any more as the draft found it, `StorageError`.
    """
    if _read(draft.path) != (draft.text if draft.exists else None):
        raise Refused(
            Problem(
                "config-changed",
                "somebody else changed the file meanwhile",
                where=Where(str(draft.path)),
                hint="Look at the difference, and edit again",
            )
        )
    path = draft.path.resolve()
    if draft.exists:
        replace_content(path, text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)


def _read(path: Path) -> bytes | None:
    try:
        return read_limited(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(
            Problem(
                "config-unreadable",
                f"the configuration file cannot be read: {error.strerror or error}",
                where=Where(str(path)),
                hint="Let your account read it",
            )
        ) from error

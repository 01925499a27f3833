"""Reading the configuration: the files in force, or the embedded default, to a `ConfigState`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.config.default import EMBEDDED
from engine.config.gcfg import Document, parse, parse_bytes
from engine.config.lookup import Sources
from engine.config.model import ConfigState, EffectiveValue
from engine.config.settings import resolve
from engine.errors import InputError, Problem, Severity, Where
from engine.files import read_limited
from engine.text import decode

__all__ = ["MAX_BYTES", "load"]

MAX_BYTES = 1024 * 1024
"""A larger file is refused."""


def load(
    sources: Sources,
    environ: Mapping[str, str],
    previous: ConfigState | None,
    now: float,
    default: str,
    drafts: Mapping[Path, bytes] | None = None,
) -> ConfigState:
    """Read `sources`, or the text `default` if they have no file, after the load that gave `previous`.

    With any error the settings, their values and the time of `previous` stay in force; `now` is seconds since the
    epoch. A file that `previous` was read from and that is gone is such an error (`config-missing`): a running envdeck
    never falls back to other files or to the default in silence. If no load was good so far, the settings are what
    could be understood. What `drafts` has for a file counts in place of what is in it.

    Raises `InputError` (`config-not-found`, `config-unreadable`, `file-too-large`) on the first load for a file that
    was asked for by name.
    """
    documents: list[Document] = []
    texts: dict[str, str] = {}
    # A file that was in force, would be again if it came back, and that the lookup no longer found.
    gone = tuple(p for p in (previous.files if previous else ()) if p in sources.watch and p not in sources.files)
    problems = [_missing(path) for path in gone]
    if not sources.files:
        documents.append(parse(default, EMBEDDED))
        texts[EMBEDDED] = default
    for path in sources.files:
        try:
            data = drafts[path] if drafts and path in drafts else _read(path)
        except FileNotFoundError as error:
            if sources.by_name and previous is None:
                raise InputError(_not_found(path)) from error
            problems.append(_missing(path))
        except InputError as error:
            if sources.by_name and previous is None:
                raise
            problems.append(error.problem)
        else:
            documents.append(parse_bytes(data, str(path)))
            texts[str(path)] = decode(data)
    resolved = resolve(documents, environ)
    problems.extend(resolved.problems)
    good = not any(problem.severity is Severity.ERROR for problem in problems)
    if previous is not None and previous.good and not good:
        return ConfigState(
            settings=previous.settings,
            values=previous.values,
            problems=tuple(problems),
            files=previous.files,
            is_default=previous.is_default,
            loaded_at=previous.loaded_at,
            changed=previous.changed,
            texts=texts,
        )
    return ConfigState(
        settings=resolved.settings,
        values=resolved.values,
        problems=tuple(problems),
        files=(*sources.files, *gone),
        is_default=not sources.files,
        loaded_at=now,
        changed=_changes(previous.values if previous else resolved.values, resolved.values),
        texts=texts,
        good=good,
    )


def _read(path: Path) -> bytes:
    """The content of `path`. Raises `FileNotFoundError`, or `InputError` for anything else that keeps it from us."""
    try:
        # Reading a pipe or a terminal would wait for ever. The null device is a usual way to say `no configuration`.
        if path.exists() and not path.is_file() and str(path) != os.devnull:
            raise InputError(_unreadable(path, "it is not a file", "Put a file there, or name one with --config"))
        return read_limited(path, MAX_BYTES)
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(str(path)) from error
    except OSError as error:
        raise InputError(_unreadable(path, error.strerror or str(error))) from error


def _not_found(path: Path) -> Problem:
    return Problem(
        "config-not-found",
        "there is no such configuration file",
        where=Where(str(path)),
        hint="Check the path given with --config or in ENVDECK_CONFIG",
    )


def _missing(path: Path) -> Problem:
    return Problem(
        "config-missing",
        "the configuration file is gone",
        where=Where(str(path)),
        hint="The settings read from it stay in force; put it back, or restart envdeck to go on without it",
    )


def _unreadable(
    path: Path, reason: str, hint: str = "Let your account read it, or name another file with --config"
) -> Problem:
    return Problem(
        "config-unreadable",
        f"the configuration file cannot be read: {reason}",
        where=Where(str(path)),
        hint=hint,
    )


def _changes(before: Sequence[EffectiveValue], after: Sequence[EffectiveValue]) -> dict[str, tuple[str, str]]:
    """Name to texts before and after, for each setting whose values differ; several values are joined by commas."""
    old = {value.name: value.values for value in before}
    return {
        value.name: (", ".join(old.get(value.name, ())), ", ".join(value.values))
        for value in after
        if old.get(value.name, ()) != value.values
    }

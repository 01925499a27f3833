"""Things in a data directory that envdeck did not put there. They are told of, and never touched.

The top of the data directory is left out: on a server it holds much that belongs to the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.doctor.model import Health, HealthCheck, counted
from engine.environments.attempts import ATTEMPT_NAME
from engine.environments.foreign import FOREIGN_BASE
from engine.environments.store import subdirectories
from engine.environments.trash import is_discarded, trash_of
from engine.files import is_temporary

__all__ = ["BROKEN_RECORDS", "examine_layout", "strangers"]

BROKEN_RECORDS = "broken-records"
"""Where in the trash a repair puts records that do not parse. Nothing empties it."""

_KEY = re.compile(r"[A-Za-z0-9_-]{22}")
_VERSION = re.compile(r"\d+(?:\.\d+)*(?:@.+)?")
_DIRECTORIES = {
    "content": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\.incoming"),
    "externals": re.compile(r"[0-9a-f]{32}|\.new-\w+"),
    "jobs": ATTEMPT_NAME,
    "rebuilds": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.json"),
    "wheels": re.compile(r"[0-9a-f]{64}|commands|locks|pins|refused|\.filling-\w+"),
}
_KEY_FILES = ("current.json", "damaged.json", "last-used", "pinned.json", "request.json", "verified.json")
_CONTENT_FILES = ("bundles", "content.json", "used")
_SHOWN = 20


def strangers(data_dir: Path) -> Iterator[Path]:
    """Everything in the directories of envdeck that has no name it would give, by directory."""
    environments = data_dir / "python-environments"
    yield from _unknown(environments, Path.is_dir)
    for installer in subdirectories(environments):
        if installer.name == FOREIGN_BASE:
            continue
        yield from _unknown(installer, _named(_VERSION))
        for python in subdirectories(installer):
            yield from _unknown(python, lambda path: _named(_KEY)(path) or _is_foreign(path))
            for key_dir in subdirectories(python):
                if not _is_foreign(key_dir):
                    yield from _unknown(key_dir, lambda path: path.name in _KEY_FILES or _named(ATTEMPT_NAME)(path))
    for content in subdirectories(data_dir / "content"):
        yield from _unknown(content, lambda path: path.name in _CONTENT_FILES)
    for name, pattern in _DIRECTORIES.items():
        yield from _unknown(data_dir / name, _named(pattern))
    yield from _unknown(data_dir / "locks", lambda path: path.is_file() or path.name.startswith("line@"))
    yield from _unknown(trash_of(data_dir), lambda path: path.name == BROKEN_RECORDS)


def _named(pattern: re.Pattern[str]) -> Callable[[Path], bool]:
    return lambda path: bool(pattern.fullmatch(path.name))


def _is_foreign(path: Path) -> bool:
    """Whether it is a virtual environment that the server made."""
    return os.path.lexists(path / "pyvenv.cfg")


def _unknown(directory: Path, is_known: Callable[[Path], bool]) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - a name is all that is needed
    except OSError:
        return
    for path in (directory / name for name in names):
        if not (is_known(path) or is_temporary(path.name) or is_discarded(path)):
            yield path


def examine_layout(data_dir: Path) -> HealthCheck:
    """The check on what `strangers` finds."""
    found = [str(path.relative_to(data_dir)) for path in strangers(data_dir)]
    if not found:
        return HealthCheck("strangers", Health.OK, "there is nothing in it that envdeck does not know")
    more = (f"and {len(found) - _SHOWN} more",) if len(found) > _SHOWN else ()
    return HealthCheck(
        "strangers",
        Health.NOTE,
        f"{counted(len(found), 'name')} in it that envdeck does not give",
        "they take room, and envdeck never deletes what it did not make",
        "See what they are, and remove them by hand if nobody needs them",
        (*found[:_SHOWN], *more),
    )

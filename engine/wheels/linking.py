"""Putting stored wheels into an environment: what stock pip would have installed, without reading a byte of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName

from engine.environments.tree import Vouched
from engine.executors.accounts import Account
from engine.wheels.model import StoredWheel
from engine.wheels.store import WheelStore

__all__ = ["Linked", "agreeing", "link", "vouched"]


@dataclass(frozen=True, slots=True)
class Linked:
    """What `link` has put into an environment."""

    wheels: tuple[StoredWheel, ...]
    files: int
    """All of them, whether linked, copied or written."""
    shared: int
    """Bytes in files that are the store's."""
    own: int
    """Bytes in files of the environment's own."""
    copied: int = 0
    """How many files had to be copied."""


def agreeing(wheels: Sequence[StoredWheel]) -> tuple[tuple[StoredWheel, ...], Mapping[NormalizedName, str]]:
    """Those of `wheels` that can be linked beside each other, and why the others cannot.

    Two wheels may own one path. With the same content that does not matter; otherwise the order decides in which pip
    installs them, so both are left to pip.
    """
    raise NotImplementedError


def link(
    store: WheelStore,
    wheels: Sequence[StoredWheel],
    env_dir: Path,
    *,
    pip_version: str,
    requested: Collection[NormalizedName] = (),
    owner: Account | None = None,
) -> Linked:
    """Put `wheels`, which are `agreeing`, into the environment `env_dir`, with or without a venv in it.

    Nobody else may be able to write into `env_dir` yet. `pip_version` is of the pip that the environment would have
    been made with: commands are written as it writes them. `requested` are the packages that were asked for by name.
    The directories that are made belong to `owner` in the end, so that pip can take packages out again; every file
    stays this process's. Files are linked; they are copied where the file system takes no (more) links. Raises
    `StorageError`; what is in `env_dir` then is of no use.
    """
    raise NotImplementedError


def vouched(store: WheelStore, wheels: Sequence[StoredWheel]) -> Mapping[str, Vouched]:
    """The files of `wheels` that `link` links, by where in an environment it puts them.

    Whoever looks at an environment then compares the inode of each (`engine.environments.tree.walk`), so that neither a
    replaced nor a moved file is taken for the store's. Reads directories only.
    """
    raise NotImplementedError

"""The data directory: what is kept in it, and whether it can be seen and changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engine.digest import sha256
from engine.errors import Problem
from engine.files import is_there
from engine.obstacles import Unwritable, gone, unreadable, unwritable
from engine.user_cache import cache_file

# What is kept is loaded when it is asked for: most commands need little of it, and wait for their start.
if TYPE_CHECKING:
    from engine.audit.reading import AuditTail
    from engine.builds.job import JobReader
    from engine.content.store import ContentStore
    from engine.environments.foreign import ForeignStore
    from engine.environments.store import EnvironmentStore

__all__ = ["DataDir"]

_LOOKED_INTO = ("python-environments", "jobs", "content")
"""What is in the data directory and has to be readable for the views to tell anything."""
_AUDIT_SHOWN = 500
"""How many of the newest records of the audit are in the picture."""


class DataDir:
    """One data directory. What is kept there is opened when it is first asked for."""

    def __init__(self, path: Path, environ: Mapping[str, str]) -> None:
        self.path = path
        self._environ = environ
        self._was_there = False

    # What is in it

    @cached_property
    def store(self) -> EnvironmentStore:
        """The cache."""
        from engine.environments.store import EnvironmentStore

        return EnvironmentStore(self.path, self._index("environments"))

    @cached_property
    def foreign(self) -> ForeignStore:
        """What the server itself made."""
        from engine.environments.foreign import ForeignStore

        return ForeignStore(self.store.root)

    @cached_property
    def jobs(self) -> JobReader:
        """The builds."""
        from engine.builds.job import JobReader

        return JobReader(self.path / "jobs")

    @cached_property
    def content_store(self) -> ContentStore:
        """What is deployed."""
        from engine.content.store import ContentStore

        return ContentStore(self.path, self._index("content"))

    @cached_property
    def audit(self) -> AuditTail:
        """The newest records of the audit."""
        from engine.audit.reading import AuditTail

        return AuditTail(self.path, _AUDIT_SHOWN)

    def prepare_indexes(self, stop: threading.Event) -> None:
        """Have another process read what is there, where that is much and no index is; for one that stays for long."""
        from engine.indexing import index_elsewhere

        index_elsewhere(self.path, self._index("environments"), self._index("content"), stop)

    def keep_indexes(self) -> None:
        """Write what saves the next process from reading every record, where that is much."""
        for opened in (self.__dict__.get("store"), self.__dict__.get("content_store")):
            if opened is not None:
                opened.keep_index()

    def _index(self, name: str) -> Path | None:
        """Where an index of what is in the data directory may be kept."""
        place = sha256(os.fsencode(self.path)).hex()[:16]
        return cache_file(self._environ, f"{name}-{place}.index")

    # Whether it can be seen and changed

    @property
    def unreadable(self) -> Problem | None:
        """Why what is in it cannot be seen; None when it can."""
        for path in (self.path, *(self.path / name for name in _LOOKED_INTO)):
            try:
                with os.scandir(path):
                    pass
            except FileNotFoundError:
                continue  # it is made when it is needed
            except OSError as error:
                reason, denied = error.strerror or str(error), isinstance(error, PermissionError)
                return unreadable(str(path), _this_account(), reason, _owner(path), denied=denied)
        return None

    @property
    def gone(self) -> Problem | None:
        """That it was there at an earlier look, and is not now; None when it is, and while it is still to be made."""
        there = is_there(self.path)
        self._was_there = self._was_there or there
        return None if there or not self._was_there else gone(str(self.path))

    @property
    def why_unwritable(self) -> str:
        """Why nothing can be changed in it; empty when it can."""
        return "" if self._writable() else str(self._obstacle())

    @property
    def unwritable(self) -> Problem | None:
        """The same as a problem."""
        return None if self._writable() else unwritable(self._obstacle())

    def _writable(self) -> bool:
        return os.access(self._made_in(), os.W_OK | os.X_OK)

    def _made_in(self) -> Path:
        """The data directory, or the one in which it would be made."""
        path = self.path
        while not is_there(path) and path != path.parent:
            path = path.parent
        return path

    def _obstacle(self) -> Unwritable:
        """Why it cannot be written to."""
        from engine.environments.space import mounted_read_only

        made_in = self._made_in()
        return Unwritable(
            str(self.path),
            _this_account(),
            _owner(made_in),
            mounted_read_only(self.path),
            "" if made_in == self.path else str(made_in),
        )


def _owner(path: Path) -> str:
    """Whose `path` is; empty when that cannot be seen, or the account has no name."""
    from engine.audit.actor import account_name

    try:
        name = account_name(path.stat().st_uid)
    except OSError:
        return ""
    return "" if name.startswith("uid ") else name


def _this_account() -> str:
    from engine.audit.actor import account_name

    return account_name(os.geteuid())

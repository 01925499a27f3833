"""What commands that write a file do about one that is there already: what somebody has made is not theirs to lose."""

from __future__ import annotations

import os
from pathlib import Path

from engine import Problem, Refused, Where

__all__ = ["refuse_to_replace", "there_already"]


def there_already(path: Path) -> Refused:
    return Refused(
        Problem("file-exists", "the file is there already", where=Where(str(path)), hint="--force replaces it")
    )


def refuse_to_replace(path: Path, *, force: bool) -> None:
    """Raise `Refused` (`file-exists`) for what is there unless `force` is given, and for what is no file in any case:
    a file put in the place of a directory, a device or a pipe is not what anybody means."""
    if not os.path.lexists(path):
        return
    if path.exists() and not path.is_file():
        raise Refused(
            Problem("file-exists", "what is there is not a file", where=Where(str(path)), hint="Name another file")
        )
    if not force:
        raise there_already(path)

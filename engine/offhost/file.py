"""Reading the files of execution environments again and again, at the cost of a look while they stay the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from engine.digest import sha256
from engine.errors import InputError, Problem, Severity, Where
from engine.files import read_limited
from engine.offhost.model import Declarations, EnvironmentsFile, ExecutionEnvironment
from engine.offhost.parse import parse_environments

__all__ = ["MAX_BYTES", "load_environments"]

MAX_BYTES = 1024 * 1024
"""A larger file is refused."""


def load_environments(paths: Sequence[Path], previous: Declarations | None = None) -> Declarations:
    """The execution environments that the files at `paths` declare, after the reading that gave `previous`.

    `paths` are ``ExecutionEnvironments.ConfigFilePath`` and then ``Launcher.ClusterDefinition``; they are also all
    there is to watch. With an error in a file (or a file that is gone) what it declared in its last good reading stays
    in force, as with the configuration. A file that did not change is not parsed again. Of two files that declare the
    same image and title the first counts, which is a warning: a cluster definition is only what the server started
    out with (connect.md §7.2).

    Never raises. Codes of its own: ``environments-missing``, ``environments-unreadable``, ``file-too-large``.
    """
    known = {file.path: file for file in previous.files} if previous else {}
    files = tuple(_load(path, known.get(path)) for path in dict.fromkeys(path.absolute() for path in paths))
    environments, repeated = _join(files)
    return Declarations(files, environments, (*(p for file in files for p in file.problems), *repeated))


def _load(path: Path, before: EnvironmentsFile | None) -> EnvironmentsFile:
    before = before or EnvironmentsFile(path)
    try:
        data = _read(path)
    except InputError as error:
        return replace(before, problems=(error.problem,), digest=b"")
    digest = sha256(data)
    if digest == before.digest:
        return before
    environments, problems = parse_environments(data, str(path))
    if not any(problem.severity is Severity.ERROR for problem in problems):
        return EnvironmentsFile(path, environments, problems, good=True, digest=digest)
    if before.good:
        return replace(before, problems=problems, digest=digest)
    return EnvironmentsFile(path, environments, problems, digest=digest)


def _read(path: Path) -> bytes:
    """The content of the file. Raises `InputError` for anything that keeps it from us."""
    try:
        # Reading a pipe or a terminal would wait for ever.
        if path.exists() and not path.is_file() and str(path) != os.devnull:
            raise InputError(_unreadable(path, "it is not a file"))
        return read_limited(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            Problem(
                "environments-missing",
                "there is no such file of execution environments",
                where=Where(str(path)),
                hint="Check ExecutionEnvironments.ConfigFilePath and Launcher.ClusterDefinition",
            )
        ) from error
    except OSError as error:
        raise InputError(_unreadable(path, error.strerror or str(error))) from error


def _unreadable(path: Path, reason: str) -> Problem:
    return Problem(
        "environments-unreadable",
        f"the file of execution environments cannot be read: {reason}",
        where=Where(str(path)),
        hint="Let your account read it",
    )


def _join(files: Iterable[EnvironmentsFile]) -> tuple[tuple[ExecutionEnvironment, ...], tuple[Problem, ...]]:
    """The environments of all files, and a warning for each that an earlier file declares already."""
    joined: dict[tuple[str, str], ExecutionEnvironment] = {}
    repeated: list[Problem] = []
    for file in files:
        for environment in file.environments:
            first = joined.setdefault((environment.name, environment.title), environment)
            if first is not environment:
                repeated.append(
                    Problem(
                        "environments-duplicate",
                        f"{environment.label} is declared in an earlier file, which counts",
                        where=environment.where,
                        hint=f"The first is at {first.where}",
                        severity=Severity.WARNING,
                    )
                )
    return tuple(joined.values()), tuple(repeated)

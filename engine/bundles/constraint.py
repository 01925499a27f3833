"""Which Python a project asks for, which file says so, and what the server makes of it.

Publishing clients derive ``environment.python.requires`` from ``.python-version``, ``pyproject.toml`` and ``setup.cfg``
(connect.md §3.4); the server goes by the manifest alone (§3.3). Every step is kept, because "nobody knows which file
decided" is what people ask about (§10, row 2). Pure, but for `read_project_files` and `read_directory`.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from engine.bundles.model import Bundle, Manifest
from engine.errors import InputError, Problem, Where
from engine.text import decode, one_line

__all__ = [
    "PROJECT_FILES",
    "Adapted",
    "Provenance",
    "ProvenanceStep",
    "StepStanding",
    "adapt_python_version_file",
    "constraint_fault",
    "detect",
    "explain_request",
    "from_pyproject",
    "from_setup_cfg",
    "read_directory",
    "read_project_files",
]

PROJECT_FILES = (".python-version", "pyproject.toml", "setup.cfg")
"""The files that can decide, by precedence (connect.md §3.4)."""

_FILE_LIMIT = 1024 * 1024
_CONSTRAINT_LENGTH = 200

_NUMBERS = r"\d+(?:\.\d+)*(?:\.\*)?"
_PLAIN = re.compile(_NUMBERS, re.ASCII)
_WITH_OPERATOR = re.compile(rf"(?:===|==|!=|<=|>=|<|>|~=){_NUMBERS}", re.ASCII)


class StepStanding(StrEnum):
    """What one source has to do with the decision."""

    DECIDES = "decides"
    PASSED_OVER = "passed over"
    REJECTED = "rejected"
    ABSENT = "absent"
    WARNING = "warning"


class Adapted(Struct, frozen=True):
    """What one file asks for: a constraint, nothing, or something that is rejected."""

    raw: str = ""
    """What the file says, safe to show."""
    constraint: str = ""
    """A valid version constraint; empty when there is none."""
    reason: str = ""
    """How the constraint came about, or why there is none."""
    rejected: bool = False


class ProvenanceStep(Struct, frozen=True):
    """One source and what became of it."""

    source: str
    """A file, or a key of the manifest."""
    standing: StepStanding
    raw: str
    constraint: str
    """The constraint, or for ``python.version`` the version; empty when the source gives none."""
    reason: str


class Provenance(Struct, frozen=True):
    """The whole chain, in order of precedence."""

    steps: tuple[ProvenanceStep, ...]

    @property
    def deciding(self) -> ProvenanceStep | None:
        """The step that decides; None when no source gives a constraint."""
        return next((step for step in self.steps if step.standing is StepStanding.DECIDES), None)


def constraint_fault(text: str) -> str:
    """Why `text` is not a constraint that the server takes; empty when it is one."""
    if not text.strip():
        return "it is empty"
    if len(text) > _CONSTRAINT_LENGTH:
        return f"it has more than {_CONSTRAINT_LENGTH} characters"
    if _PLAIN.fullmatch(text.strip()):
        return "it has no operator, which the server demands"
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return "it is not a version constraint"
    return ""


def adapt_python_version_file(text: str) -> Adapted:
    """The constraint that the content of a ``.python-version`` file stands for (connect.md §3.4, table)."""
    text = text.strip()
    raw = one_line(text)
    if len(text) > _CONSTRAINT_LENGTH:
        return Adapted(raw, reason=f"it has more than {_CONSTRAINT_LENGTH} characters", rejected=True)
    parts = []
    for part in (part.strip() for part in text.split(",")):
        if fault := _version_fault(part):
            return Adapted(raw, reason=fault, rejected=True)
        parts.append(_adapt(part))
    constraint = ",".join(parts)
    if fault := constraint_fault(constraint):
        return Adapted(raw, reason=fault, rejected=True)
    same = constraint == text
    return Adapted(raw, constraint, "taken as it is" if same else "a plain version stands for all of its releases")


def from_pyproject(data: bytes) -> Adapted:
    """``[project].requires-python`` of a ``pyproject.toml``, verbatim."""
    import tomllib  # which few bundles need

    try:
        document = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Adapted(reason="it is not UTF-8", rejected=True)
    except (ValueError, RecursionError) as error:  # ValueError: also a number of more digits than Python converts
        return Adapted(reason=f"it is not TOML: {one_line(str(error))}", rejected=True)
    project = document.get("project")
    value = project.get("requires-python") if isinstance(project, dict) else None
    if value is None:
        return Adapted(reason="it has no requires-python under [project]")
    if not isinstance(value, str):
        return Adapted(one_line(str(value)), reason="requires-python is not a string", rejected=True)
    return _verbatim(value)


def from_setup_cfg(text: str) -> Adapted:
    """``python_requires`` under ``[options]`` of a ``setup.cfg``, verbatim."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        return Adapted(reason=f"it cannot be read: {one_line(str(error))}", rejected=True)
    value = parser.get("options", "python_requires", fallback=None)
    if value is None:
        return Adapted(reason="it has no python_requires under [options]")
    return _verbatim(value.strip())


_READERS: dict[str, Callable[[bytes], Adapted]] = {
    ".python-version": lambda data: adapt_python_version_file(decode(data.removeprefix(b"\xef\xbb\xbf"))),
    "pyproject.toml": from_pyproject,
    "setup.cfg": lambda data: from_setup_cfg(decode(data)),
}


def detect(files: Mapping[str, bytes]) -> Provenance:
    """The chain for a project with these `files`: name to content, as `read_directory` returns them.

    The first file with a valid constraint decides; one that is rejected hands over to the next (connect.md §3.4).
    """
    steps: list[ProvenanceStep] = []
    decided_by = ""
    for name in PROJECT_FILES:
        data = files.get(name)
        if data is None:
            steps.append(ProvenanceStep(name, StepStanding.ABSENT, "", "", "there is no such file"))
            continue
        adapted = _read(name, data)
        reason = adapted.reason
        if adapted.rejected:
            standing = StepStanding.REJECTED
        elif not adapted.constraint:
            standing = StepStanding.ABSENT
        elif decided_by:
            standing, reason = StepStanding.PASSED_OVER, f"{decided_by} comes first"
        else:
            standing, decided_by = StepStanding.DECIDES, name
        steps.append(ProvenanceStep(name, standing, adapted.raw, adapted.constraint, reason))
    return Provenance(tuple(steps))


def explain_request(manifest: Manifest, provenance: Provenance | None) -> tuple[ProvenanceStep, ...]:
    """What the server goes by for a bundle with this `manifest`, and what its project files say (connect.md §3.3).

    `provenance` is what `detect` found in the bundle, None when its files were not looked at. A step of
    `StepStanding.WARNING` follows when a file asks for something that the manifest does not.
    """
    requires, version = manifest.requires, manifest.python_version
    steps = [
        ProvenanceStep(
            "environment.python.requires",
            StepStanding.ABSENT if requires is None else StepStanding.DECIDES,
            *(("", "") if requires is None else (str(requires), str(requires))),
            "the manifest has no constraint" if requires is None else "a constraint in the manifest always decides",
        )
    ]
    if version is None:
        steps.append(ProvenanceStep("python.version", StepStanding.ABSENT, "", "", "the manifest names no version"))
    elif requires is None:
        reason = "without a constraint the configured rule compares the author's version"
        steps.append(ProvenanceStep("python.version", StepStanding.DECIDES, str(version), str(version), reason))
    else:
        reason = "the author's version; the constraint supersedes it"
        steps.append(ProvenanceStep("python.version", StepStanding.PASSED_OVER, str(version), str(version), reason))
    if provenance is None:
        return tuple(steps)
    for step in provenance.steps:
        if step.standing is StepStanding.DECIDES:
            reason = f"what a publishing client takes from the project ({step.reason}); the server reads the manifest"
            step = replace(step, standing=StepStanding.PASSED_OVER, reason=reason)
        steps.append(step)
    declared = provenance.deciding
    if declared is not None and (requires is None or requires != SpecifierSet(declared.constraint)):
        has = f"has {requires}" if requires is not None else f"has no constraint, so {version} decides"
        reason = f"{declared.source} asks for {declared.constraint}, but the manifest {has}: write the manifest again"
        steps.append(ProvenanceStep("manifest.json", StepStanding.WARNING, declared.raw, declared.constraint, reason))
    return tuple(steps)


def read_directory(directory: Path) -> dict[str, bytes]:
    """The project files in `directory`, at most a byte more of each than `detect` accepts.

    A symbolic link that leads out of the directory counts as no file: it is none of the bundle's. Raises `InputError`
    (`bundle-unreadable`).
    """
    root = Path(os.path.realpath(directory))
    found = {}
    for name in PROJECT_FILES:
        path = Path(os.path.realpath(root / name))
        try:
            if path.is_relative_to(root) and path.is_file():
                with path.open("rb") as file:
                    found[name] = file.read(_FILE_LIMIT + 1)
        except OSError as error:
            raise _unreadable(directory / name, error) from error
    return found


def read_project_files(bundle: Bundle) -> Mapping[str, bytes]:
    """The project files of a bundle, for `detect`.

    Raises `InputError`: `bundle-unreadable`, and what `open_archive` raises.
    """
    if not bundle.is_archive:
        return read_directory(bundle.path)
    # Only here: most bundles on a shelf are directories.
    from engine.bundles.archive import open_archive

    try:
        with open_archive(bundle.path) as archive:
            contents = {name: archive.read(name, _FILE_LIMIT + 1) for name in PROJECT_FILES}
    except OSError as error:
        raise _unreadable(bundle.path, error) from error
    return {name: data for name, data in contents.items() if data is not None}


def _read(name: str, data: bytes) -> Adapted:
    if len(data) > _FILE_LIMIT:
        return Adapted(reason=f"it is larger than {_FILE_LIMIT} bytes", rejected=True)
    return _READERS[name](data)


def _verbatim(value: str) -> Adapted:
    fault = constraint_fault(value)
    if fault:
        return Adapted(one_line(value), reason=fault, rejected=True)
    return Adapted(one_line(value), value, "taken as it is")


def _version_fault(part: str) -> str:
    """Why one part of a ``.python-version`` file is rejected; empty when it is not."""
    if not part:
        return "it is empty or has an empty part"
    if any(mark in part for mark in "-/@"):
        return "it names an implementation of Python, and the server matches versions only"
    if any(mark in part for mark in ("a", "b", "rc")):
        return "it names a pre-release, which is never selected"
    if not (_PLAIN.fullmatch(part) or _WITH_OPERATOR.fullmatch(part)):
        return "it is neither a version nor a constraint on one line"
    return ""


def _adapt(part: str) -> str:
    if not _PLAIN.fullmatch(part):
        return part
    if part.endswith("*"):
        return f"=={part}"
    return f"~={'.'.join(part.split('.')[:2])}.0"


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(
        Problem("bundle-unreadable", f"a file cannot be read: {error.strerror or error}", where=Where(str(path)))
    )

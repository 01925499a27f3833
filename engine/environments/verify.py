"""Verification: whether an environment is what was built, proven file by file. Changes nothing and needs no lock.

`current.json` has the digest of the seal, the seal those of the RECORDs, and these those of the packages' files. The
packages are compared with those of the record, the interpreter and external packages with what they were.

What comes in later and cannot run, such as a cache that a package keeps beside its modules, is passed over, and so is
new bytecode: Python checks it against its source. Anything else that is not as it was built is a finding.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.machinery import all_suffixes
from pathlib import Path

from msgspec import Struct, field
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from engine.environments.findings import Finding, FindingKind, Verification
from engine.environments.foreign import ForeignEnvironment
from engine.environments.model import Environment, LockedPackage
from engine.environments.pyvenv import pyvenv_version, read_pyvenv
from engine.environments.records import Claims, Distribution, distributions_in, read_claims, read_distribution
from engine.environments.seal import SEAL, InterpreterSeal, Seal, algorithms_for, read_seal, state_of
from engine.environments.tree import ALGORITHM, Digests, Entry, EntryKind, digest, digest_files, walk
from engine.targets import LOCAL

__all__ = ["Verifier"]

_RUNS = (*all_suffixes(), ".pyo", ".pth", ".egg-link")
"""Endings of what Python imports or reads when it starts, whichever version it is."""


class _Subject(Struct, frozen=True):
    """What is verified, and what it has to be like. Empty where nothing is known to compare with."""

    root: Path
    python_version: str
    python_path: str
    target: str
    packages: Sequence[LockedPackage] | None
    seal: str = ""
    overlay: str = ""
    externals: Sequence[tuple[str, str]] = ()
    """Name and version of every external package."""


class _Report(Struct):
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0

    def find(self, kind: FindingKind, file: str = "", package: str = "", expected: str = "", found: str = "") -> None:
        self.findings.append(Finding(kind, file, package, expected, found))


class Verifier:
    """Verifies environments one after the other. What several share, such as an interpreter, it reads once."""

    def __init__(self) -> None:
        self._shared: dict[str, str] = {}

    def verify(self, environment: Environment) -> Verification:
        """Compare `environment` with what was built."""
        subject = _Subject(
            environment.path,
            environment.python_version,
            environment.python_path,
            environment.target,
            environment.packages,
            environment.seal,
            environment.overlay,
            tuple(_externals(environment)),
        )
        if not environment.attempt:
            finding = Finding(FindingKind.RECORD, str(environment.key_dir / "current.json"))
            return Verification(environment.key, environment.path, (finding,), (), 0, 0, 0.0, time.time(), environment)
        return self._examine(environment.key, subject, environment)

    def verify_foreign(self, environment: ForeignEnvironment) -> Verification:
        """Compare an environment that the server made with what its own metadata says, which is all there is."""
        subject = _Subject(environment.path, environment.python_version, "", environment.target, None)
        return self._examine(environment.name, subject, None)

    def _examine(self, name: str, subject: _Subject, environment: Environment | None) -> Verification:
        started, report = time.monotonic(), _Report()
        try:
            if not stat.S_ISDIR(subject.root.lstat().st_mode):
                raise NotADirectoryError(None, "it is not a directory", str(subject.root))
            tree = walk(subject.root)
        except OSError as error:
            report.find(FindingKind.MISSING, str(subject.root), found=error.strerror or str(error))
        else:
            self._compare(subject, tree, report)
        return Verification(
            name,
            subject.root,
            tuple(report.findings),
            tuple(report.notes),
            report.files,
            report.bytes,
            time.monotonic() - started,
            time.time(),
            environment,
        )

    def _compare(self, subject: _Subject, tree: dict[str, Entry], report: _Report) -> None:
        tree.pop(SEAL, None)
        seal = _seal(subject, report)
        distributions = distributions_in(subject.root, tree)
        claims = read_claims(subject.root, distributions, tree)
        _compare_files(subject.root, tree, claims, seal, report)
        overlay = _compare_externals(subject, report)
        if subject.packages is not None:
            _compare_packages(subject.packages, distributions, overlay, report)
        _compare_configuration(subject, report)
        self._compare_interpreter(subject, seal, report)

    def _compare_interpreter(self, subject: _Subject, seal: Seal | None, report: _Report) -> None:
        if subject.target != LOCAL:
            report.notes.append(f"its interpreter is in the image {subject.target} and was not looked at")
            return
        python = subject.root / "bin" / "python"
        leads_to = os.path.realpath(python)
        if not Path(leads_to).is_file():
            report.find(FindingKind.INTERPRETER, "bin/python", expected=subject.python_path, found="no such file")
            return
        expected = seal.interpreter if seal else None
        if expected is None:
            if subject.python_path and leads_to not in (os.path.realpath(subject.python_path), str(python)):
                report.find(FindingKind.INTERPRETER, "bin/python", expected=subject.python_path, found=leads_to)
            report.notes.append("whether the interpreter is the same binary is not known: it was not recorded")
            return
        # An old virtualenv copies the executable, which the seal then has as a file.
        if leads_to not in (expected.path, str(python)):
            report.find(FindingKind.INTERPRETER, "bin/python", expected=expected.path, found=leads_to)
        self._compare_binaries(expected, report)

    def _compare_binaries(self, expected: InterpreterSeal, report: _Report) -> None:
        for path, was in expected.files.items():
            if path not in self._shared:
                try:
                    self._shared[path] = digest(Path(path))[ALGORITHM]
                except OSError as error:
                    self._shared[path] = error.strerror or str(error)
            if self._shared[path] != was:
                report.find(FindingKind.INTERPRETER, path, expected=was, found=self._shared[path])


def _seal(subject: _Subject, report: _Report) -> Seal | None:
    if not subject.seal:
        report.notes.append("it was never sealed, so only the files that a RECORD has a hash of were compared")
        return None
    try:
        return read_seal(subject.root, subject.seal)
    except FileNotFoundError:
        report.find(FindingKind.MISSING, SEAL)
    except (OSError, ValueError) as error:
        report.find(FindingKind.RECORD, SEAL, found=str(error))
    return None


# Files


def _compare_files(root: Path, tree: Mapping[str, Entry], claims: Claims, seal: Seal | None, report: _Report) -> None:
    sealed = seal.files if seal else {}
    for package, path in claims.outside:
        report.find(FindingKind.OUTSIDE, path, package)
    for path, reason in claims.broken.items():
        report.find(FindingKind.RECORD, path, found=reason)
    known = {path for path in (*claims.hashed, *sealed) if path in tree and tree[path].kind is EntryKind.FILE}
    digests = digest_files(root, tree, {path: algorithms_for(path, claims) for path in known})
    report.files, report.bytes = len(known), sum(tree[path].size for path in known)
    for path in sorted({*claims.hashed, *sealed}):
        if path in tree:
            _compare_file(path, tree[path], digests, claims, sealed, report)
        elif sealed.get(path, "") is not None and not _is_bytecode(path, tree):
            report.find(FindingKind.MISSING, path, claims.owners.get(path, ""))
    gone = sum(1 for path, was in sealed.items() if was and path not in tree and _is_bytecode(path, tree))
    if gone:
        report.notes.append(f"{gone} files of bytecode are gone, which costs time whenever Python starts")
    for path in sorted(path for path, entry in tree.items() if entry.kind is EntryKind.UNREADABLE):
        report.find(FindingKind.UNREADABLE, path)
    # With a RECORD that is not what it was nobody knows any more which files are those of its package.
    if seal and not any(finding.file.endswith("/RECORD") for finding in report.findings):
        _look_for_extras(tree, claims, sealed, report)


def _compare_file(
    path: str,
    entry: Entry,
    digests: Digests,
    claims: Claims,
    sealed: Mapping[str, str | None],
    report: _Report,
) -> None:
    rows = claims.hashed.get(path, ())
    package = claims.owners.get(path, "")
    # Where the seal knows a file, no RECORD was right about it when it was built.
    expected = sealed[path] if path in sealed else rows[-1][1].digest
    found = digests.get(path, {})
    if isinstance(found, OSError):
        report.find(FindingKind.UNREADABLE, path, package, found=found.strerror or str(found))
        return
    is_right = state_of(entry, found) == expected if path in sealed else claims.vouch(path, found, entry.size)
    if is_right:
        return
    if expected is None:
        report.find(FindingKind.EXTRA, path, package)
        return
    row = rows[-1][1] if rows and path not in sealed else None
    if row and row.size is not None and entry.kind is EntryKind.FILE and row.size != entry.size:
        report.find(FindingKind.CHANGED, path, package, f"{row.size} bytes", f"{entry.size} bytes")
    else:
        algorithm = expected.partition("=")[0]
        report.find(FindingKind.CHANGED, path, package, expected, found.get(algorithm) or state_of(entry, found))


def _look_for_extras(
    tree: Mapping[str, Entry], claims: Claims, sealed: Mapping[str, str | None], report: _Report
) -> None:
    passed_over = 0
    for path in sorted(tree.keys() - sealed.keys() - claims.hashed.keys()):
        entry = tree[path]
        if entry.kind is EntryKind.UNREADABLE or _is_bytecode(path, tree):
            continue
        if entry.kind is EntryKind.LINK or path.startswith("bin/") or path.endswith(_RUNS):
            report.find(FindingKind.EXTRA, path, claims.owners.get(path, ""))
        else:
            passed_over += 1
    if passed_over:
        report.notes.append(f"{passed_over} files that nothing runs were added since it was built")


def _is_bytecode(path: str, tree: Mapping[str, Entry]) -> bool:
    """Whether the file is what Python makes of its source, beside it up to Python 2; or somebody else's cache there."""
    return "__pycache__/" in path or (path.endswith((".pyc", ".pyo")) and path[:-1] in tree)


# Packages


def _compare_packages(
    expected: Iterable[LockedPackage],
    installed: Iterable[Distribution],
    overlay: Iterable[Distribution],
    report: _Report,
) -> None:
    there: dict[str, list[Distribution]] = {}
    for distribution in installed:
        there.setdefault(distribution.key, []).append(distribution)
    wanted = {str(canonicalize_name(package.name)): package for package in expected}
    external = {distribution.key for distribution in overlay}
    for name, package in wanted.items():
        found = there.get(name, [])
        if not found:
            if name not in external:
                report.find(FindingKind.PACKAGE_MISSING, package=package.name, expected=package.version)
        elif not any(not d.version or _same_version(d.version, package.version) for d in found):
            versions = ", ".join(d.version for d in found)
            report.find(FindingKind.PACKAGE_VERSION, package=package.name, expected=package.version, found=versions)
    for key, found in there.items():
        for distribution in found if key not in wanted else found[1:]:
            report.find(
                FindingKind.PACKAGE_EXTRA, distribution.directory, distribution.name, found=distribution.version
            )


def _same_version(one: str, other: str) -> bool:
    try:
        return one == other or Version(one) == Version(other)
    except InvalidVersion:
        return False


def _externals(environment: Environment) -> Iterator[tuple[str, str]]:
    ingredient = environment.ingredients.get("externals")
    packages = ingredient.get("packages") if isinstance(ingredient, dict) else None
    for package in packages if isinstance(packages, list) else ():
        if isinstance(package, list) and len(package) > 1:
            yield str(package[0]), str(package[1])


def _compare_externals(subject: _Subject, report: _Report) -> tuple[Distribution, ...]:
    """The distributions in the overlay that the environment sees, after a look at whether they are still the same."""
    if not subject.overlay:
        return ()
    overlay = Path(subject.overlay)
    found: list[Distribution] = []
    try:
        # Its own tree; what its links lead to is the installation's.
        for path, entry in walk(overlay).items():
            if entry.kind is EntryKind.LINK and not (overlay / path).exists():
                report.find(FindingKind.EXTERNAL, str(overlay / path), found=f"{entry.target} is gone")
            elif path.endswith((".dist-info", ".egg-info")):
                names = (overlay / path / "METADATA", overlay / path / "PKG-INFO", overlay / path)
                metadata = next((name for name in names if name.is_file()), None)
                found.append(read_distribution(metadata, Path(path).name, path, follow=True))
    except OSError as error:
        report.find(FindingKind.EXTERNAL, subject.overlay, found=error.strerror or str(error))
        return tuple(found)
    there = {distribution.key: distribution.version for distribution in found}
    for name, version in subject.externals:
        is_version = there.get(canonicalize_name(name), "")
        if not _same_version(is_version, version):
            report.find(FindingKind.EXTERNAL, package=name, expected=version, found=is_version or "nothing")
    return tuple(found)


# Interpreter


def _compare_configuration(subject: _Subject, report: _Report) -> None:
    version = pyvenv_version(read_pyvenv(subject.root / "pyvenv.cfg"))
    expected = pyvenv_version({"version": subject.python_version})
    if version != expected:
        report.find(FindingKind.CHANGED, "pyvenv.cfg", expected=f"Python {expected}", found=f"Python {version}")

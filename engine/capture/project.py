"""From a project to a bundle: what goes into it, and writing the archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from engine.bundles.constraint import Provenance, constraint_fault, detect, read_directory
from engine.bundles.reading import MANIFEST, read_bundle
from engine.capture.content import NOTEBOOK_MODES, choose_app_mode, choose_entrypoint
from engine.capture.files import collect
from engine.capture.freeze import filter_frozen, run_freeze
from engine.capture.interpreter import choose_interpreter
from engine.capture.model import Captured, CapturedFile, CaptureOptions, Choice, FrozenLine
from engine.errors import InputError, Problem, Refused, Where
from engine.files import StorageError, read_limited, write_problem
from engine.installations.model import InterpreterFacts, ProbeFailure
from engine.installations.probe import run_probe
from engine.text import decode

__all__ = ["REQUIREMENTS", "capture", "manifest_bytes", "write_bundle"]

REQUIREMENTS = "requirements.txt"
_PROBE_TIMEOUT = 15.0
_MODULE_LIMIT = 1024 * 1024


def capture(directory: Path, options: CaptureOptions, environ: Mapping[str, str]) -> Captured:
    """Look at the project in `directory` and decide on everything that its bundle says. Writes nothing.

    ``requirements.txt`` counts as it is; without one the packages of the interpreter are frozen
    (package-management-posit.txt, "Package Installation"). `environ` is the author's environment.

    Raises `InputError`: `capture-bad-constraint`, `capture-python-unusable`, and what `collect`, `choose_app_mode`,
    `choose_entrypoint`, `choose_interpreter`, `run_freeze` and `read_directory` raise.
    """
    directory = directory.absolute()
    if options.requires and (fault := constraint_fault(options.requires)):
        raise InputError(
            Problem(
                "capture-bad-constraint",
                f"the version constraint is refused: {fault}",
                expected="such as ~=3.11.0 or >=3.8,<3.13",
                found=options.requires,
            )
        )
    files, left_out = collect(directory)
    names = frozenset(file.name for file in files)
    app_mode = choose_app_mode(options.app_mode, options.entrypoint, names, _sources(directory, files))
    entrypoint = choose_entrypoint(options.entrypoint, app_mode.value, names)
    notebook = directory / entrypoint.value if app_mode.value in NOTEBOOK_MODES else None
    interpreter = choose_interpreter(options.python, notebook, environ)
    facts = _inspect(Path(interpreter.value))
    provenance = detect(read_directory(directory))
    frozen: tuple[FrozenLine, ...] = ()
    generated: dict[str, bytes] = {}
    if REQUIREMENTS in names:
        requirements = Choice(REQUIREMENTS, "the project has one, which is taken as it is")
    else:
        requirements = Choice(REQUIREMENTS, f"frozen from {interpreter.value}", (f"there is no {REQUIREMENTS}",))
        frozen = filter_frozen(run_freeze(Path(interpreter.value), directory, environ))
        # No date in it: the same packages give the same bundle.
        header = f"# The packages of Python {facts.version}, as pip freeze lists them\n"
        kept = "".join(f"{line.kept}\n" for line in frozen if line.kept)
        generated[REQUIREMENTS] = (header + kept).encode("utf-8")
        files = tuple(sorted((*files, _generated(REQUIREMENTS, generated[REQUIREMENTS])), key=lambda f: f.name))
    return Captured(
        directory=directory,
        app_mode=app_mode,
        entrypoint=entrypoint,
        interpreter=interpreter,
        requirements=requirements,
        frozen=frozen,
        provenance=provenance,
        manifest=_manifest(options, app_mode.value, entrypoint.value, facts, provenance, files),
        files=files,
        generated=generated,
        left_out=left_out,
    )


def manifest_bytes(captured: Captured) -> bytes:
    """The bundle's ``manifest.json``."""
    return (json.dumps(captured.manifest, indent=2) + "\n").encode("ascii")


def write_bundle(captured: Captured, archive: Path) -> None:
    """Write the bundle to `archive` (tar.gz), replacing what is there; on failure nothing changes.

    The same project gives the same bytes: the manifest first, then the files by name, without times and owners. What
    was written is read back as a server would.

    Raises `Refused` (`capture-archive-inside`, `capture-changed`), `StorageError` (`storage-write`), and what
    `read_bundle` raises for a project that makes no well-formed bundle.
    """
    archive = archive.absolute()
    if archive.parent.resolve().is_relative_to(captured.directory.resolve()):
        raise Refused(
            Problem(
                "capture-archive-inside",
                "the archive would become part of the project, and of its next bundle",
                where=Where(str(archive)),
                hint="Write it to another directory",
            )
        )
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=archive.parent, prefix=f".{archive.name}.")
        with os.fdopen(descriptor, "wb") as file:
            _write(captured, file)
        _check(Path(temporary), archive)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(archive)
        temporary = ""
    except OSError as error:
        raise StorageError(write_problem("write the bundle", archive, error)) from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _sources(directory: Path, files: tuple[CapturedFile, ...]) -> dict[str, str]:
    """The texts of the project's modules by file name, but for those too large to have been written by hand."""
    sources = {}
    for file in files:
        if file.name.endswith(".py") and file.size <= _MODULE_LIMIT:
            with suppress(OSError, InputError):  # gone or grown since it was listed: only its help is lost
                sources[file.name] = decode(read_limited(directory / file.name, _MODULE_LIMIT))
    return sources


def _inspect(executable: Path) -> InterpreterFacts:
    report = run_probe(executable, _PROBE_TIMEOUT)
    if isinstance(report, ProbeFailure):
        raise InputError(
            Problem(
                "capture-python-unusable",
                "the interpreter does not say what it is",
                found=f"{report.code}: {report.detail}" if report.detail else report.code,
                where=Where(str(executable)),
                hint="Name another interpreter with --python",
            )
        )
    return report


def _generated(name: str, data: bytes) -> CapturedFile:
    return CapturedFile(name, len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())


def _manifest(
    options: CaptureOptions,
    app_mode: str,
    entrypoint: str,
    facts: InterpreterFacts,
    provenance: Provenance,
    files: tuple[CapturedFile, ...],
) -> dict[str, object]:
    """The manifest (connect.md §5.1). Keys that say nothing are absent: old servers refuse what they do not know."""
    manager = {"name": "pip", "version": facts.pip, "package_file": REQUIREMENTS}
    environment: dict[str, object] = {}
    if options.image:
        environment["image"] = options.image
    if options.manage_environment is not None:
        environment["environment_management"] = {"python": options.manage_environment}
    deciding = provenance.deciding
    if requires := options.requires or (deciding.constraint if deciding else ""):
        environment["python"] = {"requires": requires}
    version = facts.version
    manifest: dict[str, object] = {
        "version": 1,
        "metadata": {"appmode": app_mode, "entrypoint": entrypoint},
        "python": {
            # The server compares full versions; the suffix of a pre-release is no part of one.
            "version": f"{version.major}.{version.minor}.{version.micro}",
            "package_manager": {name: value for name, value in manager.items() if value is not None},
        },
    }
    if environment:
        manifest["environment"] = environment
    manifest["files"] = {file.name: {"checksum": file.md5} for file in files}
    return manifest


def _write(captured: Captured, file: BinaryIO) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        manifest = manifest_bytes(captured)
        tar.addfile(_member(MANIFEST, len(manifest), executable=False), io.BytesIO(manifest))
        for entry in captured.files:
            member = _member(entry.name, entry.size, executable=entry.executable)
            content = captured.generated.get(entry.name)
            if content is not None:
                tar.addfile(member, io.BytesIO(content))
                continue
            path = captured.directory / entry.name
            try:
                source = path.open("rb")
            except OSError:
                raise _changed(path) from None
            with source:
                checked = _Checked(source, path)
                tar.addfile(member, checked)
                if source.read(1) or checked.digest.hexdigest() != entry.md5:
                    raise _changed(path)


class _Checked:
    """A file that is hashed while it is read, so that the manifest's checksum is that of what is written."""

    def __init__(self, source: BinaryIO, path: Path) -> None:
        self._source = source
        self._path = path
        self.digest = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        if len(data) < size:
            raise _changed(self._path)
        self.digest.update(data)
        return data


def _member(name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o755 if executable else 0o644
    return member


def _check(temporary: Path, archive: Path) -> None:
    """Read the bundle back; what is wrong with it is said of the archive it was to become."""
    try:
        read_bundle(temporary)
    except InputError as error:
        where = error.problem.where
        if where is None:
            raise
        file = where.file.replace(str(temporary), str(archive))
        raise InputError(replace(error.problem, where=replace(where, file=file))) from None


def _changed(path: Path) -> Refused:
    return Refused(
        Problem(
            "capture-changed",
            "the file changed while the bundle was made, so nothing was written",
            where=Where(str(path)),
            hint="Try again when nothing works on the project",
        )
    )

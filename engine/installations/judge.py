"""Whether content can be given an installation, and if not why and what to do: the rules, as pure functions.

What is required follows from how environments are made (builds.md B.4): a bare environment by ``venv``, filled by pip
through an encrypted index from compressed wheels. Everything else that is missing breaks some packages, not all.
Where a configuration admits the Pythons of older servers, ``virtualenv`` does in the place of ``venv``
(python-rstudio.txt, 15.2).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace

from packaging.version import Version

from engine.installations.model import (
    Check,
    CheckStatus,
    Installation,
    InterpreterFacts,
    ProbeFailure,
    Usability,
)
from engine.text import clean

__all__ = ["FIRST_SHARED_PIP", "judge", "mark_duplicates"]

FIRST_SHARED_PIP = Version("22.3")
"""The first pip that installs into an environment from outside (``pip --python``); older ones must be inside it."""

_FIRST_PYTHON_OF_SHARED_PIP = Version("3.7")

_OLDEST = (Version("2.7.9"), Version("3.4.0"))
"""The oldest Python 2 and 3 that a server ever supported (python-rstudio.txt, 15.2); no setting admits older ones."""

_DEVELOPMENT_FILES = {
    "zlib": ("zlib1g-dev", "zlib-devel"),
    "ssl": ("libssl-dev", "openssl-devel"),
    "hashlib": ("libssl-dev", "openssl-devel"),
    "ctypes": ("libffi-dev", "libffi-devel"),
    "sqlite3": ("libsqlite3-dev", "sqlite-devel"),
    "bz2": ("libbz2-dev", "bzip2-devel"),
    "lzma": ("liblzma-dev", "xz-devel"),
}
"""For each module with a C library behind it the packages to build it with: Debian's and Red Hat's name."""

_REQUIRED = {
    "zlib": "packages are compressed with it",
    "ssl": "the package index is reached through it",
    "hashlib": "downloads are verified with it",
}
_OPTIONAL = {
    "ctypes": "packages that call C libraries do not work",
    "sqlite3": "packages that keep data in SQLite do not work",
    "bz2": "bzip2 files cannot be read",
    "lzma": "xz files cannot be read",
}

_FAILURES = {
    "not-absolute": ("is not an absolute path", "Write the full path, from / on"),
    "missing": ("does not exist", "Install Python there, or correct or remove the entry"),
    "broken-symlink": (
        "is a link to something that does not exist",
        "Point the link to an installed Python, or name that one in the entry",
    ),
    "empty-directory": (
        "is a directory without bin/python3, bin/python or bin/python2 that can be run",
        "Name the directory that holds bin/, or the interpreter itself",
    ),
    "not-a-file": ("is not a file", "Name a Python interpreter or its installation directory"),
    "not-executable": ("is not executable", "Name a Python interpreter; if this is one: chmod +x {path}"),
    "permission": (
        "may not be run by the user of envdeck",
        "Check the permissions of it and every directory above it, and that its file system is not mounted noexec: "
        "namei -l {path}",
    ),
    "wrong-format": (
        "is not a program for this machine",
        "Name a Python interpreter that is built for this machine's architecture: file {path}",
    ),
    "missing-loader": (
        "cannot be started: the program named in its first line, or its loader, does not exist",
        "Look which one it needs (head -1 {path}, or file {path}) and install it, or reinstall this Python",
    ),
    "shared-library": (
        "lacks a shared library",
        "Look which one (ldd {path}) and install it; for libpython run ldconfig on its directory, or rebuild with an "
        "rpath",
    ),
    "cannot-start": ("cannot be started", "Run it by hand as the same user: {path} --version"),
    "signal": ("crashed", "Reinstall this Python; to see the crash: {path} -I -X faulthandler -m pip --version"),
    "exit": (
        "stops with an error",
        "Run it by hand: {path} -I -m pip --version. A Python that was moved after it was built cannot find its "
        "library: reinstall it where it is to stay",
    ),
    "timeout": (
        "gave no answer in time",
        "Run it by hand: {path} -I -m pip --version. If it is slow rather than stuck, raise Envdeck.ProbeTimeout",
    ),
    "no-report": ("runs but does not act like Python", "Name a Python interpreter"),
    "too-much-output": (
        "printed without end",
        "Name a Python interpreter; if this is one, look for a sitecustomize.py or .pth file that prints",
    ),
    "garbage": ("gave an answer that makes no sense", "Name a Python interpreter, not a program around one"),
}
"""What each probe failure means, as the end of a sentence about the interpreter, and what to do."""


def judge(
    declared: str,
    origin: str,
    executable: str,
    probed: InterpreterFacts | ProbeFailure,
    *,
    real_path: str,
    minimum_version: Version,
    seconds: float,
) -> Installation:
    """The installation `declared` at `origin` with every check on it.

    `executable` is what was run, `real_path` the same with its links resolved, `probed` what came of it and `seconds`
    how long that took. A run that failed gives one check with the failure's code. Otherwise a check that failed or
    warns has the code listed with its rule below, and one that is well the name of what was looked at.
    """
    if isinstance(probed, ProbeFailure):
        facts = None
        checks = [_failure(executable, probed, seconds)]
    else:
        facts = probed
        checks = list(_checks(facts, executable, real_path, minimum_version))
    failed = any(check.status is CheckStatus.FAILED for check in checks)
    return Installation(
        declared=declared,
        origin=origin,
        executable=executable,
        usability=Usability.UNUSABLE if failed else Usability.USABLE,
        checks=tuple(checks),
        facts=facts,
        seconds=seconds,
    )


def mark_duplicates(installations: Iterable[Installation]) -> tuple[Installation, ...]:
    """The installations in their order, each that is the same interpreter as an earlier one made unusable.

    The same means the same file behind all links, on the same target; two installations of one version are two. A
    virtual environment shares that file with its base and is left alone, being unusable already.
    """
    first: dict[tuple[str, str], Installation] = {}
    marked = []
    for installation in installations:
        facts = installation.facts
        if facts and facts.real_executable and not facts.is_venv:
            earlier = first.setdefault((installation.target, facts.real_executable), installation)
            if earlier is not installation:
                installation = _as_duplicate(installation, earlier)
        marked.append(installation)
    return tuple(marked)


def _as_duplicate(installation: Installation, earlier: Installation) -> Installation:
    check = _failed(
        "duplicate",
        f"is the same interpreter as {earlier.declared} ({earlier.origin})",
        "Remove one of the two entries",
    )
    return replace(installation, usability=Usability.UNUSABLE, checks=(check, *installation.checks))


def _ok(code: str, finding: str) -> Check:
    return Check(code, CheckStatus.OK, clean(finding))


def _warning(code: str, finding: str, remedy: str) -> Check:
    return Check(code, CheckStatus.WARNING, clean(finding), clean(remedy))


def _failed(code: str, finding: str, remedy: str) -> Check:
    return Check(code, CheckStatus.FAILED, clean(finding), clean(remedy))


def _failure(executable: str, failure: ProbeFailure, seconds: float) -> Check:
    meaning, remedy = _FAILURES[failure.code]
    if failure.code == "timeout":
        meaning = f"gave no answer in {seconds:.1f} s"
    detail = f": {failure.detail}" if failure.detail else ""
    return _failed(failure.code, f"{executable} {meaning}{detail}", remedy.format(path=shlex.quote(executable)))


def _checks(facts: InterpreterFacts, executable: str, real_path: str, minimum: Version) -> Iterator[Check]:
    yield _ok("runs", f"runs on {facts.machine}" + (f" with {facts.libc}" if facts.libc else ""))
    yield from _origin_checks(facts, executable, real_path)
    yield _version_check(facts, minimum)
    yield from _build_checks(facts)
    yield from _pip_checks(facts)
    yield _venv_check(facts)
    for module, use in _REQUIRED.items():
        if module in facts.missing:
            yield _failed(f"no-{module}", _cannot_import(facts, module, use), _rebuild(module))
        else:
            yield _ok(module, f"{module} can be imported")
    for module, use in _OPTIONAL.items():
        if module in facts.missing:
            yield _warning(f"no-{module}", _cannot_import(facts, module, use), _rebuild(module))
        else:
            yield _ok(module, f"{module} can be imported")
    if facts.externally_managed:
        yield _ok("externally-managed", "managed by the system: pip may not change it, environments are not affected")


def _origin_checks(facts: InterpreterFacts, executable: str, real_path: str) -> Iterator[Check]:
    """`is-venv`, `shim`: whether what runs is the installation itself."""
    if facts.is_venv:
        yield _failed(
            "is-venv",
            f"{executable} belongs to a virtual environment in {facts.prefix}, which is no installation",
            f"Name the interpreter that it was made from: {_base_interpreter(facts)}",
        )
    elif facts.real_executable and facts.real_executable != real_path:
        yield _warning(
            "shim",
            f"{executable} starts another interpreter, which can change without notice",
            f"Name the interpreter itself: {facts.real_executable}",
        )


def _base_interpreter(facts: InterpreterFacts) -> str:
    """Behind its links a virtual environment's interpreter is the base one, unless it was made with copies."""
    if facts.real_executable.startswith(f"{facts.base_prefix.rstrip('/')}/"):
        return facts.real_executable
    return f"{facts.base_prefix.rstrip('/')}/bin/python{_minor(facts)}"


def _version_check(facts: InterpreterFacts, minimum: Version) -> Check:
    """`too-old`."""
    oldest_2, oldest_3 = _OLDEST
    if facts.version < oldest_2 or Version("3.0.dev0") <= facts.version < oldest_3:
        return _failed(
            "too-old",
            f"{facts.version} is older than any Python that can be used: {oldest_2} and {oldest_3} are the first",
            "Install a newer Python",
        )
    if facts.version < minimum:
        return _failed(
            "too-old",
            f"{facts.version} is older than the minimum, {minimum}",
            "Install a newer Python, or lower Envdeck.MinimumVersion",
        )
    return _ok("version", f"{facts.version} is at least the minimum, {minimum}")


def _build_checks(facts: InterpreterFacts) -> Iterator[Check]:
    """`not-cpython`, `debug-build`, `free-threaded`: whether ready-made packages fit."""
    few_wheels = "Use a standard CPython unless the content needs this one"
    if facts.implementation == "CPython":
        yield _ok("implementation", "CPython")
    else:
        yield _warning("not-cpython", f"{facts.implementation}: many packages have no wheels for it", few_wheels)
    if facts.debug:
        yield _warning("debug-build", "a debug build: slow, and many packages have no wheels for it", few_wheels)
    if facts.free_threaded:
        yield _warning("free-threaded", "a free-threaded build: many packages have no wheels for it", few_wheels)


def _pip_checks(facts: InterpreterFacts) -> Iterator[Check]:
    """`no-pip`, `old-pip`, `no-ensurepip`.

    pip 22.3 and newer fills an environment from outside. An older one needs a pip inside, which ensurepip or virtualenv
    puts there.
    """
    if facts.pip is None:
        yield _failed("no-pip", _cannot_import(facts, "pip", "packages are installed with it"), _install_pip(facts))
        return
    if Version(facts.pip) >= FIRST_SHARED_PIP:
        yield _ok("pip", f"pip {facts.pip}")
        return
    upgrade = ""
    if facts.version >= _FIRST_PYTHON_OF_SHARED_PIP:
        upgrade = f"{_command(facts)} -m pip install --upgrade 'pip>={FIRST_SHARED_PIP}'"
    if "ensurepip" in facts.missing and not _needs_virtualenv(facts):
        yield _failed(
            "no-ensurepip",
            _cannot_import(facts, "ensurepip", f"pip {facts.pip}, older than {FIRST_SHARED_PIP}, needs it"),
            _install_venv(facts) + (f", or {upgrade}" if upgrade else ""),
        )
    else:
        yield _warning(
            "old-pip",
            f"pip {facts.pip} is older than {FIRST_SHARED_PIP}: builds use the slower way, a pip in each environment",
            upgrade or f"None: pip {FIRST_SHARED_PIP} needs Python {_FIRST_PYTHON_OF_SHARED_PIP}",
        )


def _venv_check(facts: InterpreterFacts) -> Check:
    """`no-venv`."""
    if "venv" not in facts.missing:
        return _ok("venv", "venv can be imported")
    if _needs_virtualenv(facts):
        return _ok("virtualenv", f"environments are made with virtualenv {facts.virtualenv}, as there is no venv")
    return _failed("no-venv", _cannot_import(facts, "venv", "environments are made with it"), _install_venv(facts))


def _needs_virtualenv(facts: InterpreterFacts) -> bool:
    return "venv" in facts.missing and facts.virtualenv is not None


def _cannot_import(facts: InterpreterFacts, module: str, use: str) -> str:
    reason = facts.missing.get(module)
    return f"{module} cannot be imported: {use}" + (f" ({reason})" if reason else "")


def _install_pip(facts: InterpreterFacts) -> str:
    """A system's own Python gets pip from the system: its ensurepip is left out or refuses to work."""
    if facts.externally_managed or "ensurepip" in facts.missing:
        return f"apt install python3-pip (Debian, Ubuntu) or dnf install python{_minor(facts)}-pip (Red Hat)"
    return f"{_command(facts)} -m ensurepip"


def _install_venv(facts: InterpreterFacts) -> str:
    if facts.version.major == 2:
        # venv came with Python 3.3; virtualenv 20.22 and newer cannot make environments for Python 2.
        return f"{_command(facts)} -m pip install 'virtualenv<20.22'"
    return f"apt install python{_minor(facts)}-venv (Debian, Ubuntu), or reinstall this Python with its full library"


def _rebuild(module: str) -> str:
    debian, red_hat = _DEVELOPMENT_FILES[module]
    return f"apt install {debian} (Debian, Ubuntu) or dnf install {red_hat} (Red Hat), then rebuild this Python"


def _minor(facts: InterpreterFacts) -> str:
    return f"{facts.version.major}.{facts.version.minor}"


def _command(facts: InterpreterFacts) -> str:
    """The interpreter as a word of a shell command."""
    return shlex.quote(facts.executable)

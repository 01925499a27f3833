"""Starting a build: the job directory is written, then a supervisor is let loose on it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from engine.builds.pip_config import effective, pip_files
from engine.builds.spec import Job, write_job
from engine.builds.starting import start_supervisor
from engine.environments.locks import open_lock_file
from engine.environments.space import space_problem
from engine.errors import Refused
from engine.executors.accounts import Account, build_account, cannot_build_as, cannot_reach
from engine.executors.base import Mount
from engine.files import StorageError, is_there, write_new, write_problem

__all__ = ["PROGRAMS", "account_for", "build_environment", "build_mounts", "launch"]

PROGRAMS = tuple(Path(__file__).with_name(name) for name in ("builder.py", "bytecode.py"))
"""What a job runs, from copies in its job directory: the originals may be out of its reach."""

_CERTIFICATES = ("cert", "client-cert")
_LISTS = ("constraint", "find-links")
"""Options of pip that may name several files or directories, or addresses."""
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_INHERITED = (
    "LANG",
    "LC_ALL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)


def account_for(run_as: str, environ: Mapping[str, str], python: str, data_dir: Path) -> Account | None:
    """Who a build with the interpreter `python` runs as; None for the account of this process.

    `run_as` is ``Applications.RunAs``; `python` is empty where the interpreter is in an image. Raises `Refused`
    (`run-as-unknown`, `run-as-cannot-execute`, `run-as-cannot-reach`) before anything is started.
    """
    who = build_account(run_as, environ)
    problem = who.problem
    if problem is None and who.account:
        problem = cannot_build_as(who.account, python, data_dir) if python else cannot_reach(who.account, data_dir)
    if problem:
        raise Refused(problem)
    return who.account


def build_environment(environ: Mapping[str, str], account: Account | None = None) -> dict[str, str]:
    """The environment variables of a build: a short list from `environ`, and what keeps pip from asking questions.

    An allow-list, because a package's build script sees all of it: no credentials of the admin, no ``PYTHON*``, no
    ``PIP_*`` (pip's files apply, as on the server; package-management-posit.txt, "Configuring pip"). With `account`
    the home directory is its own, and the search path the system's, because the admin's may hold private directories.
    """
    kept = {name: environ[name] for name in _INHERITED if name in environ}
    kept.setdefault("LANG", "C.UTF-8")
    if account:
        kept |= {"HOME": str(account.home), "LOGNAME": account.name, "PATH": _SYSTEM_PATH, "USER": account.name}
    else:
        kept |= {name: environ[name] for name in ("HOME", "PATH") if name in environ}
        kept.setdefault("PATH", _SYSTEM_PATH)
    return kept | {"GIT_TERMINAL_PROMPT": "0", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}


def build_mounts(
    home: Path, account: Account | None, env: Mapping[str, str], mounts: Sequence[Path]
) -> tuple[Mount, ...]:
    """What a build elsewhere has to see of this machine besides its own directories, all of it read-only.

    pip's configuration files that apply (package-management-posit.txt, "Configuring pip"), the certificates,
    constraints and directories of packages that they or `env` name, and `mounts`, the paths of ``Envdeck.Mount``.
    """
    files = [file.path for file in pip_files(home, account=account) if file.exists and file.problem is None]
    settings = {setting.name: setting.value for setting in effective(home, account=account)}
    named = [settings[name] for name in _CERTIFICATES if name in settings]
    # Each may name several; those that are no paths of this machine are fetched by pip itself.
    named += [value for name in _LISTS if name in settings for value in settings[name].split()]
    named += [env[name] for name in ("SSL_CERT_DIR", "SSL_CERT_FILE") if name in env]
    there = [path for path in map(Path, named) if path.is_absolute() and is_there(path)]
    return tuple(Mount(path) for path in dict.fromkeys([*files, *there, *mounts]))


def launch(job: Job, prepare_source: Callable[[Path], None] | None = None, *, fork: bool = False) -> Path:
    """Write the job directory and start its supervisor, detached from this process and its terminal.

    `prepare_source`, when given, is called with the directory to fill with the bundle's files. `fork` says that this
    process may be forked (see `engine.builds.starting`). Returns the job directory. Raises `Refused` (`space-reserve`)
    when there is too little space, `StorageError` when the data directory fails, and leaves nothing behind then.
    """
    if problem := space_problem(job.data_dir, job.space_reserve):
        raise Refused(problem)
    job_dir = job.job_dir
    try:
        for directory in (job.data_dir, job_dir.parent, job.data_dir / "locks"):
            _make_directory(directory)
        _make_directory(job_dir)
        alive = open_lock_file(job_dir / "alive")
    except OSError as error:
        raise StorageError(
            write_problem(
                "make the job directory", job_dir, error, "Check Server.DataDir, and the space and permissions there"
            )
        ) from error
    starting = False
    try:
        # Whoever looks must be able to ask whether the lock is held, whatever the umask of the admin.
        os.fchmod(alive, 0o644)
        # Taken here and inherited, so that there is no moment at which the job looks abandoned.
        fcntl.flock(alive, fcntl.LOCK_EX)
        if prepare_source is not None:
            prepare_source(job_dir / "source")
        for program in PROGRAMS:
            write_new(job_dir / program.name, program.read_bytes())
        write_job(job)
        starting = True
        start_supervisor(job_dir, alive, fork=fork)
    except OSError as error:
        shutil.rmtree(job_dir, ignore_errors=True)
        raise StorageError(
            write_problem(
                "prepare the build",
                Path(error.filename or job_dir),
                error,
                "Check the files of the bundle, and the space and permissions in Server.DataDir",
            )
        ) from error
    except BaseException:
        # Interrupted while it started, the supervisor may be there. If it is not, the build is settled as a lost one.
        if not starting:
            shutil.rmtree(job_dir, ignore_errors=True)
        raise
    finally:
        os.close(alive)
    return job_dir


def _make_directory(path: Path) -> None:
    """Make `path` unless it is there, for every account to enter whatever the admin's umask: a build has to get in."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return
    path.chmod(0o755)

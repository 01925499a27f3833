"""Starting a build: the job directory is written, then a supervisor is let loose on it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.environments.locks import open_lock_file
from engine.errors import Refused
from engine.executors.accounts import Account, build_account, cannot_build_as
from engine.files import StorageError, write_atomic, write_json, write_problem

__all__ = ["BUILDER", "Job", "account_for", "build_environment", "launch"]

BUILDER = Path(__file__).with_name("builder.py")
"""The program that a job runs, from a copy in its job directory: the original may be out of its reach."""

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


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a build needs to know, decided before it starts."""

    attempt: str
    key: str
    installer: str
    target: str
    python_version: str
    python_path: str
    pip_version: tuple[int, ...]
    data_dir: Path
    key_dir: Path
    requirements: str
    """The requirements file for pip; empty when nothing is to be installed."""
    constraints: str
    lines: tuple[str, ...]
    ingredients: Mapping[str, object]
    bundle: str
    by: str
    submitted_at: float
    timeout: float
    """Seconds after which the build is stopped."""
    env: Mapping[str, str]
    account: Account | None = None
    """Who the builder runs as; None for the account of this process."""
    replaces: str = ""
    """The attempt that a rebuild is to take the place of. Any other one that is published then is reused."""
    overlay: str = ""
    """A directory of external packages that the environment sees; empty for none."""


def account_for(run_as: str, environ: Mapping[str, str], python: str, data_dir: Path) -> Account | None:
    """Who a build with the interpreter `python` runs as; None for the account of this process.

    `run_as` is ``Applications.RunAs``. Raises `Refused` (`run-as-unknown`, `run-as-cannot-execute`,
    `run-as-cannot-reach`) before anything is started.
    """
    who = build_account(run_as, environ)
    problem = who.problem or (who.account and cannot_build_as(who.account, python, data_dir))
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


def launch(job: Job, prepare_source: Callable[[Path], None] | None = None) -> Path:
    """Write the job directory and start its supervisor, detached from this process and its terminal.

    `prepare_source`, when given, is called with the directory to fill with the bundle's files. Returns the job
    directory. Raises `StorageError` when the data directory fails, and leaves nothing behind then.
    """
    jobs = job.data_dir / "jobs"
    job_dir = jobs / job.attempt
    try:
        for directory in (job.data_dir, jobs, job.data_dir / "locks"):
            _make_directory(directory)
        _make_directory(job_dir)
        alive = open_lock_file(job_dir / "alive")
    except OSError as error:
        raise StorageError(
            write_problem(
                "make the job directory", job_dir, error, "Check Server.DataDir, and the space and permissions there"
            )
        ) from error
    try:
        # Whoever looks must be able to ask whether the lock is held, whatever the umask of the admin.
        os.fchmod(alive, 0o644)
        # Taken here and inherited, so that there is no moment at which the job looks abandoned.
        fcntl.flock(alive, fcntl.LOCK_EX)
        if prepare_source is not None:
            prepare_source(job_dir / "source")
        _write_for_builder(job_dir / "requirements.txt", job.requirements, job.account)
        if job.constraints:
            _write_for_builder(job_dir / "constraints.txt", job.constraints, job.account)
        # For a rebuild to ask for exactly the same; not what the builder's account could have changed meanwhile.
        request = {"constraints": job.constraints, "requirements": job.requirements}
        write_atomic(job_dir / "request.json", json.dumps(request).encode(), 0o600)
        # A proxy's address may hold a password.
        write_atomic(job_dir / "env.json", json.dumps(dict(job.env)).encode(), 0o600)
        write_atomic(job_dir / "builder.py", BUILDER.read_bytes())
        write_json(job_dir / "spec.json", _spec(job))
        _start(job_dir, alive)
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


def _write_for_builder(path: Path, text: str, account: Account | None) -> None:
    """Write what may hold passwords: readable for the account of the build alone."""
    write_atomic(path, text.encode(), 0o600)
    if account:
        os.chown(path, account.uid, account.gid)


def _spec(job: Job) -> dict[str, object]:
    account = job.account
    return {
        "account": account
        and {
            "gid": account.gid,
            "groups": list(account.groups),
            "home": str(account.home),
            "name": account.name,
            "uid": account.uid,
        },
        "attempt_dir": str(job.key_dir / job.attempt),
        "bundle": job.bundle,
        "by": job.by,
        "constrains": bool(job.constraints),
        "data_dir": str(job.data_dir),
        "ingredients": dict(job.ingredients),
        "installer": job.installer,
        "installs": bool(job.lines),
        "key": job.key,
        "lines": list(job.lines),
        # A record separator and a secret: no package can print an event of the builder.
        "mark": "\x1e" + secrets.token_hex(16) + " ",
        "overlay": job.overlay,
        "pip_version": list(job.pip_version),
        "python_path": job.python_path,
        "python_version": job.python_version,
        "replaces": job.replaces,
        "submitted_at": job.submitted_at,
        "target": job.target,
        "timeout": job.timeout,
        # The one directory that the builder may write in, besides the attempt.
        "work_dir": str(job.data_dir / "jobs" / job.attempt / "work"),
    }


def _start(job_dir: Path, alive: int) -> None:
    package_root = str(Path(__file__).parents[2])
    with (job_dir / "supervisor.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "engine.builds.supervisor", str(job_dir)],
            cwd="/",
            # It must import the same engine as this process, also from a checkout that is not installed.
            env={**os.environ, "PYTHONPATH": package_root, "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
            pass_fds=(alive,),
        )
    # Collects the exit status if this process is still there then; init does if it is not.
    threading.Thread(target=process.wait, daemon=True, name=f"supervisor-{job_dir.name}").start()

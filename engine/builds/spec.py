"""What a build is to do: a `Job`, and how it stands in the job directory for the supervisor and the builder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict

from engine.builds.estimate import expectation_record, read_expectation
from engine.builds.model import Expectation
from engine.builds.vitals import Machine, this_machine
from engine.config.model import ExecutorSettings
from engine.executors.accounts import Account
from engine.executors.base import Mount
from engine.files import read_json, write_json, write_new

__all__ = ["SCRATCH", "Job", "UvRun", "machine_of", "read_job", "write_job"]


SCRATCH = ("tmp", "source")
"""What is in a job's work directory for the builder alone; gone at the end, however it comes."""


def _new_mark() -> str:
    # A record separator and a secret: no package can print an event of the builder.
    return "\x1e" + os.urandom(16).hex() + " "


class UvRun(Struct, frozen=True):
    """What uv is run with. All but the path may hold a password."""

    path: str
    requirements: str
    """The requirements file for it, without the options that are in `config`."""
    config: str
    """The ``uv.toml``, beside which it reads no configuration."""
    env: Mapping[str, str] = field(default_factory=dict)


class Job(Struct, frozen=True):
    """Everything a build needs to know, decided before it starts."""

    attempt: str
    key: str
    installer: str
    target: str
    python_version: str
    python_path: str
    pip_version: tuple[int, ...]
    """The release of the interpreter's own pip; empty when it is not known, as in an image."""
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
    timeout: float = 3600.0
    """Seconds after which the build is stopped."""
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    """Who the builder runs as; None for the account of this process."""
    bundle_path: str = ""
    """Where the bundle was read from; empty for a rebuild."""
    content: str = ""
    """The GUID of the content item whose settings it was planned with; empty for none."""
    replaces: str = ""
    """The attempt that a rebuild is to take the place of. Any other one that is published then is reused."""
    replay: str = "exact"
    """``Envdeck.Replay``: what the wheel store may do for it."""
    compiles: bool = True
    """Whether pip is set to compile the modules that it installs."""
    fresh: bool = False
    """True when everything is to be fetched anew, whatever the wheel store holds."""
    overlay: str = ""
    """A directory of external packages that the environment sees; empty for none."""
    executor: str = "local"
    executors: ExecutorSettings = field(default_factory=ExecutorSettings)
    image: str = ""
    """The container image that the interpreter is in; empty for none."""
    mounts: tuple[Mount, ...] = ()
    """What the build reads of this machine besides its own directories."""
    memory: int = 0
    """Bytes that it may use; 0 for no limit."""
    start_timeout: float = 600.0
    """Seconds that a scheduler may take to start it."""
    space_reserve: int = 0
    """Bytes that must be free in the data directory when it starts."""
    concurrency: int = 2
    """How many builds may run at once on this machine."""
    uv: UvRun | None = None
    """None when pip installs the packages."""
    installer_reason: str = ""
    """Why it is this installer, for the log; empty when nobody asked for another than pip."""
    expected: Expectation | None = None
    """How long it will probably take; None when there is nothing to judge by."""
    machine: Machine = field(default_factory=this_machine)
    """Where its supervisor runs."""
    mark: str = field(default_factory=_new_mark)
    """What a line of output begins with that is an event of the builder."""

    @property
    def job_dir(self) -> Path:
        return self.data_dir / "jobs" / self.attempt

    @property
    def home(self) -> Path:
        """The home directory whose pip configuration applies."""
        return self.account.home if self.account else Path(self.env.get("HOME") or "/")

    @property
    def attempt_dir(self) -> Path:
        return self.key_dir / self.attempt

    @property
    def work_dir(self) -> Path:
        """The one directory that the builder may write in, besides the attempt."""
        return self.job_dir / "work"


def write_job(job: Job) -> None:
    """Write `job` into its directory, which is new, ``spec.json`` last. Raises `StorageError`, `OSError`."""
    requirements = job.uv.requirements if job.uv else job.requirements
    _write_for_builder(job.job_dir / "requirements.txt", requirements, job.account)
    if job.uv:
        _write_for_builder(job.job_dir / "uv.toml", job.uv.config, job.account)
    if job.constraints:
        _write_for_builder(job.job_dir / "constraints.txt", job.constraints, job.account)
    # For a rebuild to ask for exactly the same; not what the builder's account could have changed meanwhile.
    request: dict[str, object] = {"constraints": job.constraints, "requirements": job.requirements}
    if job.uv:
        request["uv"] = asdict(job.uv)
    write_new(job.job_dir / "request.json", json.dumps(request).encode(), 0o600)
    # A proxy's address may hold a password.
    write_new(job.job_dir / "env.json", json.dumps(dict(job.env)).encode(), 0o600)
    write_json(job.job_dir / "spec.json", _to_record(job))


def read_job(job_dir: Path) -> Job | None:
    """The job in `job_dir`; None when its records are not all there or do not make sense."""
    try:
        job = _from_record(
            read_json(job_dir / "spec.json") or {},
            read_json(job_dir / "request.json") or {},
            read_json(job_dir / "env.json") or {},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return job if job.attempt == job_dir.name else None


def machine_of(spec: Mapping[str, object]) -> Machine:
    """The machine that a ``spec.json`` names."""
    host, identity = spec.get("host"), spec.get("machine")
    return Machine(host if isinstance(host, str) else "", identity if isinstance(identity, str) else "")


def _write_for_builder(path: Path, text: str, account: Account | None) -> None:
    """Write what may hold passwords: readable for the account of the build alone."""
    write_new(path, text.encode(), 0o600)
    if account:
        os.chown(path, account.uid, account.gid)


def _to_record(job: Job) -> dict[str, object]:
    account = job.account
    return {
        "account": account and asdict(account) | {"home": str(account.home)},
        "attempt_dir": str(job.attempt_dir),
        "bundle": job.bundle,
        "bundle_path": job.bundle_path,
        "by": job.by,
        "compiles": job.compiles,
        "concurrency": job.concurrency,
        "constrains": bool(job.constraints),
        "content": job.content,
        "data_dir": str(job.data_dir),
        "executor": job.executor,
        "executors": asdict(job.executors) | {"mounts": [str(path) for path in job.executors.mounts]},
        "expected": expectation_record(job.expected),
        "fresh": job.fresh,
        "host": job.machine.host,
        "image": job.image,
        "ingredients": dict(job.ingredients),
        "installer": job.installer,
        "installs": bool(job.lines),
        "installer_reason": job.installer_reason,
        "key": job.key,
        "lines": list(job.lines),
        "machine": job.machine.identity,
        "mark": job.mark,
        "memory": job.memory,
        "mounts": [[str(mount.path), mount.read_only] for mount in job.mounts],
        "overlay": job.overlay,
        "pip_version": list(job.pip_version),
        "python_path": job.python_path,
        "python_version": job.python_version,
        "replaces": job.replaces,
        "replay": job.replay,
        "space_reserve": job.space_reserve,
        "start_timeout": job.start_timeout,
        "submitted_at": job.submitted_at,
        "target": job.target,
        "timeout": job.timeout,
        "uv": job.uv.path if job.uv else "",
        "work_dir": str(job.work_dir),
    }


def _from_record(spec: dict[str, Any], request: dict[str, Any], env: dict[str, Any]) -> Job:
    attempt_dir = Path(spec["attempt_dir"])
    account = spec.get("account")
    executors: dict[str, Any] = spec.get("executors", {})
    plain = spec.keys() & set(Job.__struct_fields__)
    return Job(
        **{name: spec[name] for name in plain}
        | {
            "attempt": attempt_dir.name,
            "key_dir": attempt_dir.parent,
            "data_dir": Path(spec["data_dir"]),
            "requirements": request.get("requirements", ""),
            "constraints": request.get("constraints", ""),
            "env": {str(name): str(value) for name, value in env.items()},
            "lines": tuple(spec["lines"]),
            "pip_version": tuple(spec["pip_version"]),
            "account": account
            and Account(**account | {"groups": tuple(account["groups"]), "home": Path(account["home"])}),
            "executors": ExecutorSettings(**{name: _as_set(name, value) for name, value in executors.items()}),
            "uv": UvRun(**request["uv"]) if spec.get("uv") else None,
            "expected": read_expectation(spec.get("expected")),
            "mounts": tuple(Mount(Path(path), read_only) for path, read_only in spec.get("mounts", ())),
            "machine": machine_of(spec),
        }
    )


def _as_set(name: str, value: Any) -> Any:
    """The value of one of the `ExecutorSettings`, from how JSON has it."""
    if name == "mounts":
        return tuple(Path(path) for path in value)
    return tuple(value) if isinstance(value, list) else value

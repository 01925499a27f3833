"""Running a command in deployed content: in its directory, in its environment, which is rebuilt first when need be."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

from msgspec import Struct

from engine.actions.content import OnBuild
from engine.actions.resolve import Resolution, rebuild, resolve
from engine.actions.run_in_image import (
    FoundImage,
    client,
    fetch,
    find_image,
    image_problem,
    kept_by_guard,
    pid_file,
    takes_signals,
)
from engine.content.model import Content
from engine.content.store import ContentStore, hold_shared
from engine.errors import InputError, Problem, Refused, Where
from engine.executors.accounts import Account, build_account
from engine.executors.base import ExecutorError
from engine.targets import LOCAL
from engine.world import World

__all__ = ["REMOVED_VARIABLES", "RunPlan", "RunResult", "prepare_run", "run", "run_variables"]

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit codes of a command that could not be started, as shells have them."""

REMOVED_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")
"""Variables of whoever starts content that would show it another Python."""

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_PYTHON_NAMES = ("python", "python3")
_TRIES = 3
_CLIENT_SECONDS = 30.0
_CLIENT_POLL = 0.01
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class RunPlan(Struct, frozen=True):
    """How a command would be run in content now. `problem` says why it cannot be, if so."""

    content: Content
    resolution: Resolution
    """On which installation, in which environment, whether a build has to come first, and why."""
    cwd: Path
    """The directory of the active bundle."""
    python: str = ""
    """The interpreter that ``python`` stands for; empty while the environment has to be built first."""
    environment: Path | None = None
    """The virtual environment; None without management, and while it has to be built first."""
    variables: Mapping[str, str] | None = None
    """Set on top of the caller's; `REMOVED_VARIABLES` are taken away. None while the environment has to be built."""
    image: FoundImage | None = None
    """The container image that it would be run in, where `variables` are set on top of the image's own; None for this
    machine."""
    account: str = ""
    """Whose rights it runs with, from ``Applications.RunAs``; empty for those of the caller."""
    problem: Problem | None = None


class RunResult(Struct, frozen=True):
    """How a command ended."""

    exit_code: int
    """The command's own; 128 and the signal's number when a signal ended it; 127 or 126 when it was not started.
    125 also when podman or docker could not make a container for it, which they say on standard error."""
    problem: Problem | None = None
    """Why the command was not started."""


def run_variables(
    path: str | None, *, environment: Path | None, python: str, cwd: Path, account: Account | None = None
) -> dict[str, str]:
    """The variables to set for content: those that activating its environment sets, and where and who it is.

    `path` is the caller's ``PATH``. Without an `environment` the directory of the interpreter `python` comes first.
    """
    programs = environment / "bin" if environment else Path(python).parent
    variables = {"PATH": f"{programs}{os.pathsep}{path or _SYSTEM_PATH}", "PWD": str(cwd)}
    if environment:
        variables["VIRTUAL_ENV"] = str(environment)
    if account:
        variables |= {"HOME": str(account.home), "LOGNAME": account.name, "USER": account.name}
    return variables


def prepare_run(world: World, content: Content) -> RunPlan:
    """How a command would be run in `content` now. Builds and changes nothing."""
    resolution = resolve(world, content)
    cwd = ContentStore(world.config.settings.data_dir).bundle_dir(content.guid, content.active)
    who = build_account(world.config.settings.run_as, world.environ)
    account = who.account.name if who.account else ""
    problem = resolution.problem or who.problem or world.refusal
    installation = resolution.installation
    if problem is None and not cwd.is_dir():
        problem = Problem(
            "bundle-missing", "the files of the active bundle are not there any more", where=Where(str(cwd))
        )
    image = None
    if problem is None and installation is not None and installation.target != LOCAL:
        try:
            image = find_image(installation.target, world.config.settings.executors, world.environ)
            problem = image_problem(image)
        except ExecutorError as error:
            problem = error.problem
    if problem is not None or installation is None or resolution.build is not None:
        return RunPlan(content, resolution, cwd, image=image, account=account, problem=problem)
    environment = resolution.environment.path if resolution.environment else None
    python = str(environment / "bin" / "python") if environment else installation.path
    path = ((image.variables or {}) if image else world.environ).get("PATH")
    variables = run_variables(path, environment=environment, python=python, cwd=cwd, account=who.account)
    return RunPlan(content, resolution, cwd, python, environment, variables, image, account)


def run(world: World, plan: RunPlan, argv: Sequence[str], on_build_started: OnBuild | None = None) -> RunResult:
    """Run `argv` in the content and wait for its end; the environment is built first if it has to be.

    ``python`` and ``python3`` as the first word stand for the content's interpreter. The command has this process's
    standard streams and gets its signals. As long as it runs, also when this process is gone, neither its environment
    nor its files are deleted. Raises `InputError` (`command-missing`), `Refused` when the content cannot be run or was
    deployed to since it was planned, `StorageError`.
    """
    if not argv or not argv[0]:
        raise InputError(
            Problem("command-missing", "there is no command to run", expected="a command and its arguments")
        )
    store, guid = ContentStore(world.config.settings.data_dir), plan.content.guid
    for _ in range(_TRIES):
        with hold_shared(store.use_path(guid)) as content_lock:
            now = prepare_run(world, _as_planned(store.read(guid), plan.content))
            if now.problem is not None:
                raise Refused(now.problem)
            if now.resolution.changes:
                rebuild(world, now.resolution, on_build_started)
                continue
            if now.image is not None and now.image.variables is None:
                fetch(now.image, world.environ)
                continue
            key, environment = now.resolution.key, now.resolution.environment
            with hold_shared(world.store.use_lock_path(key)) if key else nullcontext() as key_lock:
                if environment is not None:
                    # It may have been reaped just before the lock was ours.
                    with world.lock:
                        there = world.store.find(environment.key_dir)
                    if there is None or there.attempt != environment.attempt:
                        continue
                    world.store.mark_used(environment.key_dir)
                store.mark_used(guid)
                locks = (content_lock,) if key_lock is None else (content_lock, key_lock)
                return _execute(world, now, argv, locks)
    raise Refused(
        Problem(
            "environment-unstable",
            f"the environment of {plan.content.name} was gone again each time it was built",
            hint="See what deletes it: the audit log, or another envdeck on this data directory",
        )
    )


def _as_planned(now: Content | None, planned: Content) -> Content:
    if now is None:
        raise Refused(Problem("content-gone", f"the content {planned.name or planned.guid} was removed meanwhile"))
    if now.problem is None and now.active != planned.active:
        raise Refused(
            Problem(
                "plan-changed",
                "another bundle was deployed since this was planned, so nothing was run",
                expected=f"bundle {planned.active}",
                found=f"bundle {now.active}",
            )
        )
    return now


def _execute(world: World, plan: RunPlan, argv: Sequence[str], locks: Sequence[int]) -> RunResult:
    """Start the command and see it through."""
    program = plan.python if argv[0] in _PYTHON_NAMES else argv[0]
    account = build_account(world.config.settings.run_as, world.environ).account
    command, environ = [program, *argv[1:]], dict(world.environ)
    with pid_file(plan.image) as first, kept_by_guard(locks) as inherited, _signals_for_child() as child:
        if plan.image is None:
            environ = _without_python(environ) | dict(plan.variables or {})
        else:
            environment = (plan.environment,) if plan.environment else ()
            settings = world.config.settings.executors
            command = client(
                plan.image,
                command,
                variables=_without_python(plan.image.variables or {}) | dict(plan.variables or {}),
                mounts=(*environment, *settings.mounts),
                cwd=plan.cwd,
                account=account,
                settings=settings,
                environ=environ,
                first=first,
            )
            # The client keeps the rights of this process, and gives what it runs those of the account.
            account = None
        try:
            process = subprocess.Popen(
                command,
                cwd=plan.cwd,
                env=environ,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=account.groups if account else None,
                pass_fds=inherited,
            )
        except (OSError, ValueError) as error:  # ValueError: an argument with a NUL character
            return _not_started(program, plan, error)
        if plan.image is not None:
            _wait_for_client(process, first)
        child.take(process)
        code = process.wait()
    return RunResult(128 - code if code < 0 else code)


def _wait_for_client(process: subprocess.Popen[bytes], first: Path | None) -> None:
    """Wait until the client of the image can be given signals, but not for ever: one that hangs is to be ended too."""
    deadline = time.monotonic() + _CLIENT_SECONDS
    while process.poll() is None and not takes_signals(process.pid, first) and time.monotonic() < deadline:
        time.sleep(_CLIENT_POLL)


def _without_python(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in REMOVED_VARIABLES}


def _not_started(program: str, plan: RunPlan, error: OSError | ValueError) -> RunResult:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, FileNotFoundError):
        problem = Problem(
            "command-not-found",
            f"there is no command {program} for this content",
            expected=f"a program in {Path(plan.python).parent}, on the PATH, or in the bundle as ./NAME",
            found=reason,
        )
        return RunResult(NOT_FOUND, problem)
    return RunResult(NOT_EXECUTABLE, Problem("command-not-executable", f"{program} cannot be run", found=reason))


class _Child:
    """Whom signals are passed on to: those that arrive before there is a child wait for it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []

    def take(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._waiting:
            process.send_signal(number)

    def forward(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._waiting.append(number)
        else:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


@contextmanager
def _signals_for_child() -> Iterator[_Child]:
    """Pass signals on for the length of the block. Only the main thread can; elsewhere they are not ours."""
    child = _Child()
    if threading.current_thread() is not threading.main_thread():
        yield child
        return
    # The terminal sends what is typed to every process in its foreground, so the child has it already.
    own = _FROM_TERMINAL if _in_foreground() else ()
    previous = {}
    for number in (*_FROM_TERMINAL, *_FORWARDED):
        before = signal.getsignal(number)
        # What is ignored, as SIGHUP is under nohup, the child is to ignore too: it inherits that and nothing else.
        if before is not signal.SIG_IGN:
            previous[number] = before or signal.SIG_DFL
            signal.signal(number, _already_there if number in own else child.forward)
    try:
        yield child
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _already_there(_number: int, _frame: FrameType | None) -> None:
    """Do nothing about a signal that the child has got by itself."""


def _in_foreground() -> bool:
    """Whether this process belongs to what a terminal has in its foreground."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)

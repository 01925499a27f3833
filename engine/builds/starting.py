"""Starting the supervisor of a job, detached from this process and its terminal: as a program, or by a fork.

A program of its own imports everything anew, which takes longer than many a build that is replayed. A process that is
one command has most of it already, so it may fork instead. That is safe only while nothing else goes on in it: another
thread would leave its locks held in the fork for ever. Both ways lead to the same process: in a session of its own, on
no terminal, with no file of this process open but its lock and what it prints.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

__all__ = ["start_supervisor"]

_THREADS = Path("/proc/self/task")
_DESCRIPTORS = Path("/proc/self/fd")


def start_supervisor(job_dir: Path, alive: int, *, fork: bool) -> None:
    """Start the supervisor of `job_dir`, which inherits the descriptor `alive` and with it the lock on that file.

    `fork` says that this process may be forked; it is if it has one thread. Raises `OSError`.
    """
    with (job_dir / "supervisor.err").open("wb") as errors:
        if fork and _is_alone():
            _fork(job_dir, alive, errors.fileno())
        else:
            _run(job_dir, alive, errors.fileno())


def _is_alone() -> bool:
    """Whether this process has one thread, those included that Python knows nothing of."""
    with suppress(OSError):
        return len(list(_THREADS.iterdir())) == 1
    return False


def _run(job_dir: Path, alive: int, errors: int) -> None:
    package_root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        _command(job_dir),
        cwd="/",
        # It must import the same engine as this process, also from a checkout that is not installed.
        env={**os.environ, "PYTHONPATH": package_root},
        stdin=subprocess.DEVNULL,
        stdout=errors,
        stderr=errors,
        start_new_session=True,
        pass_fds=(alive,),
    )
    # Collects the exit status if this process is still there then; init does if it is not.
    threading.Thread(target=process.wait, daemon=True, name=f"supervisor-{job_dir.name}").start()


def _command(job_dir: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "engine.builds.supervisor", str(job_dir)]


def _fork(job_dir: Path, alive: int, errors: int) -> None:
    # A signal must not find the fork where it would go on as the command that it comes from.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
        if child == 0:
            _detach(job_dir, alive, errors)
        failed = os.waitpid(child, 0)[1]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if failed:
        raise BlockingIOError(errno.EAGAIN, "no second process could be forked")


def _detach(job_dir: Path, alive: int, errors: int) -> NoReturn:
    """What the child does: leave the session and have a child that nobody waits for, which becomes the supervisor."""
    code = 1
    try:
        os.setsid()
        if os.fork() == 0:
            _become_supervisor(job_dir, alive, errors)
        code = 0
    finally:
        os._exit(code)


def _become_supervisor(job_dir: Path, alive: int, errors: int) -> NoReturn:
    """Let go of everything that belongs to the command, and supervise. Nothing of the command is ever gone on with."""
    code = 1
    try:
        # Above the three that are replaced: a command may be started with some of them closed.
        alive, errors = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) for number in (alive, errors))
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (errors, 1), (errors, 2)):
            os.dup2(source, target)
        for number in [int(path.name) for path in _DESCRIPTORS.iterdir()]:
            if number > 2 and number != alive:
                with suppress(OSError):  # that of the listing itself
                    os.close(number)
        os.chdir("/")
        # In a thread, because loading what it takes is a hundredth of a build that is replayed.
        threading.Thread(target=_show_as, args=(_command(job_dir),), daemon=True, name="title").start()
        from engine.builds.supervisor import supervise

        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = supervise(job_dir)
    except BaseException:
        # Not to `sys.stderr`: that is the command's, who may have put something else in its place.
        os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
    finally:
        os._exit(code)


def _show_as(command: list[str]) -> None:
    """Let `ps` show `command`: under the command line of the one that it comes from, whoever ends that by its words
    would end the build too."""
    from setproctitle import setproctitle

    setproctitle(" ".join(command))

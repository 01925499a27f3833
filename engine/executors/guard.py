"""The guard of one local job: no process of the job outlives it, and it outlives no submitter.

    <python> -I -S -c START guard.py <key>      the task as JSON on standard input; the key is for those who look at ps

A program of its own, with nothing but the standard library, so that it starts in the time of a bare interpreter. Three
processes stand one above the other: the guard, which dies with the submitter and keeps the limits; init, which dies
with the guard, is the first process of a PID namespace, and collects whatever is orphaned there; and the job. When init
ends, the kernel ends everything else in the namespace, compilers in sessions of their own included (builds.md, section
E; executors.md §2.4). Both ties are parent death signals, so nothing has to be left alive to enforce them.

Where no namespace can be made, guard and init are subreapers instead: they find the descendants by their parents and
kill them until none is left. That is weaker: it is lost when guard and init are killed at the same instant.

The guard writes two records to the directory of the job: who guards it, before the job starts, and the verdict, after
its last process is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
import warnings  # noqa: F401 - `os.execvpe` wants it when the account of the job may be unable to read it any more
from collections.abc import Callable

# As in `typing`, which takes a fifth of the start to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypedDict

__all__ = ["MOST_OUTPUT", "NO_NAMESPACE", "OUTPUT", "RECORD", "START", "USER_NAMESPACE", "VERDICT", "started_at"]

START = "import sys; sys.path.append(sys.argv.pop(1).rpartition('/')[0]); from guard import main; sys.exit(main())"
"""Runs this file as a module: of a script no bytecode is kept, and to compile it takes longer than to start."""

OUTPUT = "output"
"""What the job printed, stdout and stderr together."""
RECORD = "guard.json"
"""Guard and init, each as process id and start time (`started_at`), and the isolation that could be had."""
VERDICT = "exit.json"
"""How the job ended: state, exit_code, cause and reason as in `JobStatus`."""

MOST_OUTPUT = 256 << 20
"""Bytes that a job may print."""

PID_NAMESPACE, USER_NAMESPACE, NO_NAMESPACE = "pid-namespace", "user-namespace", "none"

_MOST_OPEN_FILES = 16_384
_MOST_PROCESSES = 4_096
_MOST_RECORD = 4096
_READ_SIZE = 1 << 16
_TICK = 0.25
"""Seconds between two looks at the limits."""

# linux/prctl.h, linux/sched.h, linux/mount.h
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)


if TYPE_CHECKING:

    class Task(TypedDict):
        """What to run and within which limits, as in `JobSpec`."""

        parent: int
        """The process id of the submitter."""
        directory: str
        """The job's, where `OUTPUT` is there to be written to."""
        argv: list[str]
        cwd: str
        env: dict[str, str]
        user: tuple[int, int, list[int]] | None
        """User, group and supplementary groups; None for those of the guard."""
        memory: int
        timeout: float
        grace: float


Limit = tuple[str | None, str]
"""The cause (as in `Cause`) and the reason of an end that a limit brought about."""


def main() -> int:
    """Run the task on standard input to its end; 0 once its verdict is written. ``--check`` says how it would."""
    if sys.argv[1:] == ["--check"]:
        sys.stdout.write(isolate(may_map_users=True))
        return 0
    # A request to stop waits until init is there to pass it on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for unwanted in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(unwanted, signal.SIG_IGN)
    os.umask(0o022)
    task: Task = json.load(sys.stdin)
    os.chdir(task["directory"])
    ready = os.dup(1)
    _redirect(os.open(os.devnull, os.O_RDONLY), 0)
    # What goes wrong from here on is told there too.
    _redirect(os.open(OUTPUT, os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    _reserve(VERDICT)
    itself = [os.getpid(), started_at(os.getpid())]
    isolation = isolate(may_map_users=task["user"] is None)
    # After the change of user namespace, which may clear it.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != task["parent"]:
        return 1
    held, lifeline = os.pipe()
    report, reports = os.pipe()
    # Not the file itself: a script that writes to /dev/stderr would empty it.
    printed, prints = os.pipe()
    init = os.fork()
    if init == 0:
        for inherited in (ready, lifeline, report, printed):
            os.close(inherited)
        _run_init(task, isolation, held, reports, prints)
    for handed_on in (held, reports, prints):
        os.close(handed_on)
    _write(RECORD, {"guard": itself, "init": [init, started_at(init)], "isolation": isolation})
    os.write(ready, b"ready\n")
    os.close(ready)
    # Only now: a submitter that did not hear of a start can be sure that there was none.
    os.write(lifeline, b"go")
    watch = _Watch(task, init, report, printed)
    watch.until_the_end(isolation)
    _write(VERDICT, watch.verdict())
    # The submitter waits for the end of this process, and taking an interpreter down takes a while.
    os._exit(0)


class _Watch:
    """What the guard does while the job runs: it keeps the output and the limits, and passes on a request to stop."""

    def __init__(self, task: Task, init: int, report: int, printed: int) -> None:
        self.task = task
        self.init = init
        self.report = report
        self.printed = printed
        self.said = b""
        """The facts that init and the job report (`_report`)."""
        self.size = 0
        """Bytes that the job has printed."""
        self.unkept = ""
        """Why not all of that is in the output."""
        self.stopped = False
        self.passed: Limit | None = None

    def until_the_end(self, isolation: str) -> None:
        """Return when every process of the job is gone."""
        wake, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.set_wakeup_fd(wakes)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        next_look = time.monotonic()
        deadline, kill_at = next_look + self.task["timeout"], float("inf")
        while True:
            ready, _, _ = select.select([self.report, self.printed, wake], [], [], _TICK)
            if self.report in ready:
                facts = os.read(self.report, _READ_SIZE)
                if not facts:
                    break
                self.said += facts
            if self.printed in ready:
                self._keep(os.read(self.printed, _READ_SIZE))
            now = time.monotonic()
            if wake in ready and os.read(wake, _READ_SIZE) and not self.stopped:
                self.stopped, kill_at = True, now + self.task["grace"]
                os.kill(self.init, signal.SIGTERM)
            if now < next_look:
                continue
            next_look = now + _TICK
            if not self.stopped and self.passed is None:
                self.passed = self._passed_limit(late=now > deadline)
            if self.passed or now > kill_at:
                os.kill(self.init, signal.SIGKILL)
        os.waitpid(self.init, 0)
        if isolation == NO_NAMESPACE:
            _sweep()
        # Nobody prints any more, but where there is no namespace somebody beyond reach may hold the other end.
        os.set_blocking(self.printed, False)
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.printed, _READ_SIZE):
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        self.size += len(data)
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError as error:
            self.unkept = f"not all that it printed could be kept: {error.strerror}"

    def _passed_limit(self, *, late: bool) -> Limit | None:
        if late:
            return "timeout", f"it ran longer than {self.task['timeout']:g} s"
        if self.size > MOST_OUTPUT:
            return None, f"it printed more than {MOST_OUTPUT >> 20} MiB"
        limit = self.task["memory"]
        # What forks share, resident sizes count for each of them: a cheap upper bound of the shares, which take longer.
        if limit and _memory(self.init, exact=False) > limit and (used := _memory(self.init, exact=True)) > limit:
            return "memory", f"its processes used {used >> 20} MiB together, of {limit >> 20} MiB that they may"
        return None

    def verdict(self) -> dict[str, object]:
        """How the job ended, by what was done to it and by the facts that were reported."""
        facts = {name: value for line in self.said.splitlines() for name, value in json.loads(line).items()}
        status, error = facts.get("status"), facts.get("error")
        code = -signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
        exit_code = code if code >= 0 else 128 - code
        verdict = {"state": "failed", "exit_code": exit_code, "cause": None, "reason": self.unkept}
        if self.stopped:
            return verdict | {"state": "cancelled", "reason": "stopped"}
        if self.passed:
            return verdict | {"cause": self.passed[0], "reason": self.passed[1]}
        if error:
            return verdict | {"cause": "command", "reason": error}
        if status is None:
            return verdict | {"state": "lost", "exit_code": None, "cause": "host", "reason": "its init was killed"}
        if code < 0:
            return verdict | {"reason": self.unkept or f"ended by signal {-code}"}
        return verdict | {"state": "failed" if code else "finished"}


# Namespaces


def isolate(*, may_map_users: bool) -> str:
    """Make the next child the first process of a new PID namespace, if that can be done; which way it was done.

    `may_map_users` says that a user namespace will do, in which there is no other account than the present one.
    """
    if _libc.unshare(_CLONE_NEWPID | _CLONE_NEWNS) == 0:
        return PID_NAMESPACE
    if may_map_users and _works(_enter_user_namespace):
        _enter_user_namespace()
        return USER_NAMESPACE
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return NO_NAMESPACE


def _enter_user_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWPID | _CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _works(attempt: Callable[[], None]) -> bool:
    """Whether `attempt` and a fork after it succeed. Tried in a child: there is no way back from half a namespace."""
    child = os.fork()
    if child == 0:
        try:
            attempt()
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0)
            os.waitpid(grandchild, 0)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _mount_proc() -> None:
    """A /proc that shows the processes of the namespace. Not had everywhere; the job runs without it too."""
    # The mounts of the machine go on arriving here, but none from here must arrive there.
    if _libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None) == 0:
        _libc.mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, None)


# Init and the job


def _run_init(task: Task, isolation: str, held: int, reports: int, prints: int) -> NoReturn:
    """What the first process of the namespace does: start the job, collect what ends, and end with the job."""
    os.dup2(prints, 1)
    _redirect(prints, 2)
    isolated = isolation != NO_NAMESPACE
    job = 0

    def forward(_signal: int, _frame: object) -> None:
        _ask_to_end(job)

    def sweep(_signal: int, _frame: object) -> None:
        _sweep()
        os._exit(1)

    if isolated:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        signal.signal(signal.SIGUSR1, sweep)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1)
    # The end of the pipe, with or without a word before it, is the end of a guard that went before it was tied to.
    if not os.read(held, 2) or select.select([held], [], [], 0)[0]:
        os._exit(1)
    if isolated:
        _mount_proc()
    try:
        job = os.fork()
    except OSError as error:
        _report(reports, error=f"cannot start: {error.strerror}")
        os._exit(1)
    if job == 0:
        _run_job(task, reports)
    signal.signal(signal.SIGTERM, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    pid, status = 0, 0
    while pid != job:
        pid, status = os.waitpid(-1, 0)
    _report(reports, status=status)
    if not isolated:
        _sweep()
    os._exit(0)


def _ask_to_end(job: int) -> None:
    try:
        os.killpg(job, signal.SIGTERM)
    except ProcessLookupError:  # it has not made its group yet, or has just been collected
        with contextlib.suppress(ProcessLookupError):
            os.kill(job, signal.SIGTERM)


def _run_job(task: Task, reports: int) -> NoReturn:
    """Become the job. Never returns."""
    doing = "start"
    try:
        os.setsid()
        # Python itself ignores some, and what is ignored stays so in the program that takes its place.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGQUIT, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, _MOST_OPEN_FILES)
        if task["user"]:
            uid, gid, groups = task["user"]
            # Counts all processes of the account: right only where it does nothing but builds and content.
            _limit(resource.RLIMIT_NPROC, _MOST_PROCESSES)
            doing = f"become user {uid}"
            # The pipe it prints to is its own, or it could not write to /dev/stderr by that name.
            os.fchown(1, uid, gid)
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        doing = f"enter {task['cwd']}"
        os.chdir(task["cwd"])
        doing = f"run {task['argv'][0]}"
        os.execvpe(task["argv"][0], task["argv"], task["env"])
    except (OSError, ValueError) as error:
        _report(reports, error=f"cannot {doing}: {getattr(error, 'strerror', None) or error}")
    os._exit(127)


def _limit(which: int, limit: int) -> None:
    soft, hard = (limit if now == resource.RLIM_INFINITY else min(now, limit) for now in resource.getrlimit(which))
    resource.setrlimit(which, (soft, hard))


def _report(reports: int, **fact: object) -> None:
    os.write(reports, json.dumps(fact).encode() + b"\n")


# Processes


def started_at(pid: int) -> int:
    """When the process started, in clock ticks since the boot; 0 when it has ended. With its id it names a process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[bytes]:
    """What the kernel says of the process from its state on (proc_pid_stat(5), field 3); empty when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return []
    # Only its first thread has ended when there are others.
    return [] if fields[0] in (b"Z", b"X") and int(fields[17]) < 2 else fields


def _descendants(ancestor: int) -> list[int]:
    """All living descendants of the process; whoever it is orphaned to must be one of them or the process itself."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, pending = [], [ancestor]
    while pending:
        pending.extend(new := children.get(pending.pop(), []))
        found.extend(new)
    return found


def _sweep() -> None:
    """Kill every descendant of this process, and what they start meanwhile, until a look finds none."""
    beyond_reach: set[int] = set()
    while remaining := set(_descendants(os.getpid())) - beyond_reach:
        for pid in remaining:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:
                beyond_reach.add(pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.002)


def _memory(init: int, *, exact: bool) -> int:
    """Bytes of memory that the processes below init hold and cannot give back, files apart."""
    try:
        os.readlink("/proc/self")
    except OSError:
        # The /proc of a namespace that this process is not in, but its child is.
        init = 1
    return sum(_held(pid, exact) for pid in _descendants(init)) * 1024


def _held(pid: int, exact: bool) -> int:
    if exact and (shares := _sum(f"/proc/{pid}/smaps_rollup", (b"Pss_Anon", b"Pss_Shmem"))):
        return shares
    return _sum(f"/proc/{pid}/status", (b"RssAnon", b"RssShmem"))


def _sum(path: str, names: tuple[bytes, ...]) -> int:
    total = 0
    try:
        with open(path, "rb") as file:
            for line in file:
                name, _, value = line.partition(b":")
                if name in names:
                    total += int(value.split()[0])
    except OSError:
        return 0
    return total


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


# Files


def _redirect(source: int, target: int) -> None:
    os.dup2(source, target)
    os.close(source)


def _reserve(name: str) -> None:
    """Take the space for a record now: the disk may be full later, and just then it is wanted."""
    with open(f".{name}", "w") as file:
        file.write(" " * _MOST_RECORD)


def _write(name: str, value: dict[str, object]) -> None:
    """Make a record in one step. Not synced: when the machine goes down, the job is lost with or without it."""
    with open(os.open(f".{name}", os.O_WRONLY | os.O_CREAT, 0o644), "w") as file:
        json.dump(value, file)
    os.replace(f".{name}", name)

"""Running an interpreter to learn what it is, within limits of time and output.

The program that is run is whatever a config file names. It may print without end, hang, leave children behind or not
be Python at all; each of these ends in a `ProbeFailure` and none holds up the caller.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from engine.installations.facts import parse_facts
from engine.installations.model import InterpreterFacts, ProbeFailure
from engine.installations.programs import PROBE_SCRIPT
from engine.text import clean_log_line, decode, one_line

__all__ = ["run_probe"]

_OUTPUT_LIMIT = 1024 * 1024
"""Bytes of standard output and error together: hundreds of times what a report needs."""

_AFTER_KILL = 1.0
"""Seconds that a killed interpreter may take to be gone, which on a dead network file system can be for ever."""

_PIPE_GRACE = 0.2
"""Seconds to wait for the pipes to close when all that could be killed is."""

_TELLING = 64 * 1024
"""Characters at the end of standard error among which the line that says most is looked for."""

_ISOLATED = ("-I", "-B")
_ISOLATED_PYTHON_2 = ("-E", "-s", "-B")

# What programs that start interpreters need to work (a shim finds its interpreter through PATH or HOME). All else
# goes, LD_LIBRARY_PATH too: builds run without it, so an interpreter that needs it is not usable.
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")

_START_FAILURES = {
    errno.ENOEXEC: "wrong-format",
    errno.EINVAL: "wrong-format",
    errno.ELIBBAD: "wrong-format",
    # The file itself is there, so what is missing is the loader or the program of its first line.
    errno.ENOENT: "missing-loader",
    errno.ENOTDIR: "missing-loader",
    errno.EACCES: "permission",
    errno.EPERM: "permission",
}

_MARK = "ENVDECK_PROBE"
"""The variable by which all that a probe starts can be found, wherever it went: children inherit it."""

# The dynamic loader's words (glibc, then musl), seen when libpython is not found or the C library is too old.
_LOADER_ERROR = re.compile(
    r"error while loading shared libraries|symbol lookup error|version `[^']+' not found"
    r"|Error loading shared library|Error relocating"
)
_PYTHON_ERROR = re.compile(r"(Fatal Python error|[\w.]*(Error|Exception|SystemExit|KeyboardInterrupt)\b)")


def run_probe(executable: Path, timeout: float) -> InterpreterFacts | ProbeFailure:
    """What the interpreter `executable` says of itself, or why it says nothing.

    Takes at most `timeout` seconds and a little more for cleaning up. Afterwards the interpreter is gone with all that
    it started, in sessions of their own too, unless that hides its environment or belongs to another user. Only a file
    system that does not answer can make it block for longer.
    """
    unfit = _unfit_file(executable)
    if unfit:
        return unfit
    deadline = time.monotonic() + timeout
    start, end = os.urandom(16).hex(), os.urandom(16).hex()
    ended = _run([str(executable), *_ISOLATED, str(PROBE_SCRIPT), start, end], deadline)
    if isinstance(ended, _Ended) and ended.status and "nknown option" in ended.stderr:
        ended = _run([str(executable), *_ISOLATED_PYTHON_2, str(PROBE_SCRIPT), start, end], deadline)
    if isinstance(ended, ProbeFailure):
        return ended
    if ended.status:
        return _failed_exit(ended)
    return _read_report(ended.stdout, start[::-1], end[::-1])


def _unfit_file(executable: Path) -> ProbeFailure | None:
    """What can be told from the file alone."""
    if not executable.is_absolute():
        return ProbeFailure("not-absolute")
    try:
        mode = executable.stat().st_mode
    except PermissionError as error:
        return ProbeFailure("permission", error.strerror or "")
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            return ProbeFailure("broken-symlink", one_line(str(executable.readlink()), 1000))
        if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
            return ProbeFailure("missing")
        return ProbeFailure("cannot-start", error.strerror or "")
    if stat.S_ISDIR(mode):
        return ProbeFailure("empty-directory")
    if not stat.S_ISREG(mode):
        return ProbeFailure("not-a-file")
    if not mode & 0o111:
        return ProbeFailure("not-executable")
    if not os.access(executable, os.X_OK):
        return ProbeFailure("permission", "no execute permission for this user")
    return None


class _Ended(Struct, frozen=True):
    """What a program left behind that ended by itself; a negative status is the signal that ended it."""

    status: int
    stdout: str
    stderr: str


def _run(command: list[str], deadline: float) -> _Ended | ProbeFailure:
    """Run `command` until `deadline` on the monotonic clock, in a session of its own and with nothing to read."""
    mark = os.urandom(16).hex()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES} | {_MARK: mark},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return ProbeFailure(_START_FAILURES.get(error.errno or 0, "cannot-start"), error.strerror or "")
    with suppress(OSError, AttributeError):  # it has ended already, or this is not Linux
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
    assert process.stdout
    assert process.stderr
    stdout, stderr = bytearray(), bytearray()
    stopped = ""
    with process.stdout, process.stderr, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, stdout)
        selector.register(process.stderr, selectors.EVENT_READ, stderr)
        try:
            # Its end is looked for, not that of its output: a child of it may keep the pipes open.
            while not stopped and not _has_ended(process.pid):
                _read_ready(selector, 0.05 if selector.get_map() else 0.002)
                if len(stdout) + len(stderr) > _OUTPUT_LIMIT:
                    stopped = "too-much-output"
                elif time.monotonic() >= deadline:
                    stopped = "timeout"
        finally:
            # Before it is waited for: until then its number cannot have been given to another process.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            _end_marked(mark, process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_AFTER_KILL)
        grace = time.monotonic() + _PIPE_GRACE
        while selector.get_map() and len(stdout) + len(stderr) <= _OUTPUT_LIMIT and time.monotonic() < grace:
            _read_ready(selector, _PIPE_GRACE)
        orphaned = bool(selector.get_map())
    last_words = _telling_line(decode(bytes(stderr)))
    if stopped:
        orphan = "a process that it started could not be ended" if orphaned and stopped == "timeout" else ""
        return ProbeFailure(stopped, "; ".join(part for part in (last_words, orphan) if part))
    return _Ended(process.returncode, decode(bytes(stdout)), decode(bytes(stderr)))


def _end_marked(mark: str, first: int) -> None:
    """Kill every process with `mark` in its environment, and what they start meanwhile, until a look finds none.

    `first` is the process that got it first: where the system numbers processes in turn, later ones have higher ids.
    """
    needle = f"{_MARK}={mark}".encode()
    end = time.monotonic() + _AFTER_KILL
    frozen: set[int] = set()
    while time.monotonic() < end:
        found = {pid for pid in _processes_since(first) if needle in _environment(pid)}
        if not found:
            return
        # Frozen until a look finds no new one, and only then killed: while some are killed, the others multiply.
        _signal(found, signal.SIGSTOP if found - frozen else signal.SIGKILL)
        frozen = found
    _signal(frozen, signal.SIGKILL)


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _processes_since(first: int) -> list[int]:
    """The ids of the processes that may be younger than `first`; none on a system without ``/proc``."""
    try:
        latest = int(Path("/proc/loadavg").read_bytes().split()[-1])
        ids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - a third of the time
    except (OSError, ValueError):
        return []
    return [pid for pid in ids if pid > first or latest < first]


def _environment(pid: int) -> bytes:
    """The environment that the process started with; empty when it has ended or belongs to somebody else."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _has_ended(pid: int) -> bool:
    """Whether the child `pid` has ended, without taking it out of the process table."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _read_ready(selector: selectors.BaseSelector, seconds: float) -> None:
    """Move what the pipes hold to their buffers, waiting up to `seconds` for the first byte."""
    for key, _ in selector.select(seconds):
        chunk = os.read(key.fd, 65536)
        if chunk:
            key.data.extend(chunk)
        else:
            selector.unregister(key.fileobj)


def _failed_exit(ended: _Ended) -> ProbeFailure:
    last_words = _telling_line(ended.stderr)
    if ended.status < 0:
        try:
            name = signal.Signals(-ended.status).name
        except ValueError:  # a real-time signal
            name = f"signal {-ended.status}"
        return ProbeFailure("signal", f"{name}, {last_words}" if last_words else name)
    if _LOADER_ERROR.search(ended.stderr):
        return ProbeFailure("shared-library", last_words)
    status = f"status {ended.status}"
    return ProbeFailure("exit", f"{status}, {last_words}" if last_words else status)


def _read_report(output: str, start: str, end: str) -> InterpreterFacts | ProbeFailure:
    """The facts between the two cookies in `output`, whatever else start-up files printed around them."""
    _, opened, rest = output.partition(start)
    report, closed, _ = rest.partition(end)
    if not opened or not closed:
        return ProbeFailure("no-report", one_line(output, 80))
    try:
        return parse_facts(json.loads(report))
    except (ValueError, RecursionError):
        return ProbeFailure("garbage", "the report is not JSON")


def _telling_line(stderr: str) -> str:
    """The line of `stderr` that says most: the last with an error of Python or of the dynamic loader, else the last."""
    lines = [line for line in map(clean_log_line, stderr[-_TELLING:].splitlines()) if line.strip()]
    errors = [line for line in lines if _PYTHON_ERROR.match(line) or _LOADER_ERROR.search(line)]
    return one_line((errors or lines or [""])[-1])

"""How a supervisor is started: forked from a command, or as a program. Either way it has nothing of who started it."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine import Build, BuildState
from engine.builds import starting
from engine.environments.locks import held_elsewhere, open_lock_file

Make = Callable[..., Path]
Wait = Callable[..., None]

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "forked": ["-m", "app"],
    "program": ["-c", "import sys; from app.cli.main import main; sys.exit(main(sys.argv[1:]))"],
}
SLEEPER = "import time\ntime.sleep(600)\n"


def environ(server) -> dict[str, str]:
    return {**server.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}


@pytest.fixture(params=COMMANDS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def detached(server, make_source: Make, wait_until: Wait, way: str) -> Iterator[tuple[Build, psutil.Process]]:
    """A build that a command has started on a terminal, which is gone by now, and the supervisor of it."""
    make_source(server.packages, "sleepy", SLEEPER)
    argv = [sys.executable, *COMMANDS[way], "--config", str(server.config), "build", str(server.bundle("sleepy"))]
    pid, terminal = pty.fork()
    if pid == 0:
        os.umask(0o077)
        os.execve(argv[0], argv, environ(server))
    printed = b""
    while b"Running as user" not in printed:
        assert select.select([terminal], [], [], 60)[0], printed
        printed += os.read(terminal, 65536)
    # The end of an SSH line: the kernel tells everyone in the session.
    os.close(terminal)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)
    os.waitpid(pid, 0)
    (build,) = server.engine().refresh().builds
    events = [json.loads(line) for line in (build.directory / "events.jsonl").read_text().splitlines()]
    supervisor = psutil.Process(next(event["pid"] for event in events if event["type"] == "started"))
    yield build, supervisor
    with suppress(psutil.NoSuchProcess):
        supervisor.kill()


def kept_open(process: psutil.Process) -> dict[int, str]:
    """What the process has open all the time, not only while it looks at something."""

    def now() -> set[tuple[int, str]]:
        found = set()
        for path in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add((int(path.name), str(path.readlink())))
        return found

    kept = now()
    for _ in range(20):
        time.sleep(0.01)
        kept &= now()
    return dict(kept)


def test_a_supervisor_outlives_command_and_terminal_and_has_nothing_of_them(server, detached, wait_until: Wait) -> None:
    build, supervisor = detached
    assert supervisor.is_running()
    shown = [sys.executable, "-P", "-m", "engine.builds.supervisor", str(build.directory)]
    wait_until(lambda: " ".join(supervisor.cmdline()).split() == shown, what="ps showing it as what it is")
    assert supervisor.terminal() is None
    assert os.getsid(supervisor.pid) != os.getsid(0)
    assert supervisor.cwd() == "/"
    assert "Umask:\t0022" in Path(f"/proc/{supervisor.pid}/status").read_text().splitlines()
    open_ = kept_open(supervisor)
    errors = str(build.directory / "supervisor.err")
    assert [open_[number] for number in range(3)] == ["/dev/null", errors, errors]
    inside = (str(build.directory), str(server.data_dir / "locks"), "anon_inode:[pidfd]")
    assert [target for number, target in open_.items() if number > 2 and not target.startswith(inside)] == []
    assert str(server.data_dir / "locks" / "start.lock") not in open_.values()
    assert held_elsewhere(build.directory / "alive")
    engine = server.engines[0]
    engine.execute(engine.plan_cancel(build.id))
    assert engine.wait(build.id, 300).state is BuildState.CANCELLED
    assert (build.directory / "supervisor.err").read_bytes() == b""
    wait_until(lambda: not held_elsewhere(build.directory / "alive"), what="the lock being let go of")


FORKS = """
import sys
from pathlib import Path
from engine.builds import supervisor
from engine.builds.starting import start_supervisor

def supervise(job_dir):
    {does}

supervisor.supervise = supervise
print("once", end=" ")
start_supervisor(Path(sys.argv[1]), int(sys.argv[2]), fork=True)
print("and on")
"""


def forked(job_dir: Path, does: str, *shell: str) -> subprocess.CompletedProcess[bytes]:
    """A process that forks a supervisor which does that; `shell` redirects what it has open."""
    alive = open_lock_file(job_dir / "alive")
    try:
        argv = [sys.executable, "-c", FORKS.format(does=does), str(job_dir), str(alive)]
        return subprocess.run(
            ["sh", "-c", f'exec "$@" {" ".join(shell)}', "sh", *argv],
            cwd=ROOT,
            capture_output=True,
            pass_fds=[alive],
            timeout=300,
        )
    finally:
        os.close(alive)


def test_a_forked_supervisor_that_fails_says_why_and_never_goes_on_as_the_command(
    tmp_path: Path, wait_until: Wait
) -> None:
    done = forked(tmp_path, "raise RuntimeError('cannot supervise')")
    wait_until(lambda: not held_elsewhere(tmp_path / "alive"))
    wait_until(lambda: (tmp_path / "supervisor.err").read_text().endswith("RuntimeError: cannot supervise\n"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"once and on\n", b"")


def test_what_a_forked_supervisor_prints_goes_to_its_own_file(tmp_path: Path, wait_until: Wait) -> None:
    done = forked(tmp_path, "import os; os.system('echo out; echo err >&2; readlink /proc/self/fd/0')", "<&- 2>&-")
    wait_until(lambda: (tmp_path / "supervisor.err").read_text() == "out\nerr\n/dev/null\n", what="what it prints")
    assert (done.returncode, done.stdout) == (0, b"once and on\n")


def test_a_process_with_threads_is_not_forked() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        assert not starting._is_alone()
    finally:
        over.set()
        thread.join()


def test_where_nothing_tells_of_threads_nothing_is_forked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(starting, "_THREADS", tmp_path / "not there")
    assert not starting._is_alone()

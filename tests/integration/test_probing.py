"""Real interpreters, and programs that stand in for broken ones, run through the probe."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.installations.discovery import discover
from engine.installations.facts import facts_to_json
from engine.installations.model import InterpreterFacts, ProbeFailure
from engine.installations.probe import run_probe
from engine.installations.programs import resolve_executable

BASE = Path(sys.executable).resolve()
"""The interpreter that the test environment was made from: always there."""

REAL = sorted({str(BASE), *discover(os.environ)})

LIMIT = 0.5
"""Seconds that a program made to hang is given."""

PYTHON_HEAD = f"""#!{sys.executable}
import json, os, signal, subprocess, sys
start, end = sys.argv[-2:]
def answer(text):
    sys.stdout.write(start[::-1] + text + end[::-1])
    sys.stdout.flush()
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def probe(executable: Path, timeout: float = 30) -> InterpreterFacts | ProbeFailure:
    return run_probe(executable, timeout)


def facts_of(executable: Path) -> InterpreterFacts:
    facts = probe(executable)
    assert isinstance(facts, InterpreterFacts), facts
    return facts


def failure_of(executable: Path, timeout: float = 30) -> ProbeFailure:
    failure = probe(executable, timeout)
    assert isinstance(failure, ProbeFailure), failure
    return failure


def is_alive(pid: int) -> bool:
    """Whether process `pid` runs; one that ended and only waits to be collected does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def failure_of_hanging(executable: Path) -> ProbeFailure:
    """What is said of a program that hangs, which was given the time to write the file ``pid`` before."""
    for limit in (LIMIT, 10 * LIMIT, 100 * LIMIT):
        failure = failure_of(executable, limit)
        if executable.with_name("pid").exists():
            break
    return failure


@pytest.fixture
def child_pid(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Reads the process id that a program wrote to the file ``pid``; that process is ended after the test."""
    file = tmp_path / "pid"

    def read() -> int:
        assert until(lambda: file.exists() and file.read_text().endswith("\n"))
        return int(file.read_text())

    yield read
    if file.exists() and is_alive(read()):
        os.kill(read(), signal.SIGKILL)


@pytest.mark.parametrize("path", REAL)
def test_a_real_interpreter_tells_the_facts(path: str) -> None:
    facts = facts_of(Path(path))
    assert facts.real_executable == str(Path(path).resolve())
    assert not facts.is_venv
    said = subprocess.run([path, "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout
    assert str(facts.version.release)[1:-1].replace(", ", ".") in said
    assert Path(facts.purelib).is_absolute()
    assert facts.pointer_bits in (32, 64)


def test_facts_agree_with_what_this_interpreter_knows_of_itself() -> None:
    facts = facts_of(BASE)
    assert facts.version.release == sys.version_info[:3]
    assert facts.prefix == facts.base_prefix == sys.base_prefix
    assert facts.machine == os.uname().machine
    assert f"python{sys.version_info[0]}.{sys.version_info[1]}" in facts.purelib
    assert "zlib" not in facts.missing


def test_an_interpreter_without_the_isolated_mode_is_asked_another_way(tmp_path: Path) -> None:
    refuses = program(
        tmp_path / "python",
        f'#!/bin/sh\ncase "$1" in -I) echo "Unknown option: -I" >&2; exit 2;; esac\nexec {BASE} "$@"\n',
    )
    assert facts_of(refuses).real_executable == str(BASE)


def test_a_virtual_environment_is_told_from_its_base(tmp_path: Path) -> None:
    subprocess.run([BASE, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    facts = facts_of(resolve_executable(str(tmp_path / "venv")))
    assert facts.is_venv
    assert facts.base_prefix == sys.base_prefix
    assert facts.pip is None
    assert "pip" in facts.missing


@pytest.fixture
def site_packages(tmp_path: Path) -> Path:
    """Site-packages of a virtual environment in ``venv``: what is put there is run when its interpreter starts."""
    subprocess.run([BASE, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (directory,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    return directory


def test_start_up_files_that_print_do_not_disturb_the_report(tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "sitecustomize.py").write_text(
        "import atexit, sys\nprint('{\"hello\":')\nprint(sys.argv)\natexit.register(print, '} bye')\n"
    )
    assert facts_of(tmp_path / "venv/bin/python").is_venv


def test_a_start_up_file_that_takes_standard_output_away_does_not_swallow_the_report(
    tmp_path: Path, site_packages: Path
) -> None:
    (site_packages / "sitecustomize.py").write_text("import io, sys\nsys.stdout = io.StringIO()\n")
    assert facts_of(tmp_path / "venv/bin/python").is_venv


def test_a_start_up_file_that_ends_the_interpreter_is_an_exit_with_its_status(
    tmp_path: Path, site_packages: Path
) -> None:
    (site_packages / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
    assert failure_of(tmp_path / "venv/bin/python") == ProbeFailure("exit", "status 3")


@pytest.mark.parametrize(
    "body",
    ["raise SystemExit(1)", "raise MemoryError", "import nothing_of_this_name", "raise BaseException('\\udcff')"],
)
def test_a_module_that_breaks_on_import_is_reported_as_missing(body: str, tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "pip.py").write_text(body)
    facts = facts_of(tmp_path / "venv/bin/python")
    assert facts.pip is None
    assert set(facts.missing) >= {"pip"}


@pytest.mark.parametrize(
    "body",
    [
        "from typing import TYPE_CHECKING, List, Optional\nif TYPE_CHECKING:\n    import nothing_of_this_name\n"
        "def main(args: Optional[List[str]] = None) -> int: ...\n",
        "from typing import NamedTuple\nclass Version(NamedTuple):\n    major: int = 5\nassert Version().major == 5\n",
        "import typing\nassert typing.get_type_hints(typing.NamedTuple) is not None\nassert typing.cast(int, 5) == 5\n",
    ],
    ids=["hints", "classes", "functions"],
)
def test_a_pip_may_use_typing_as_it_likes(body: str, tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "pip").mkdir()
    (site_packages / "pip" / "__init__.py").write_text(f"{body}__version__ = '99.5'\n")
    facts = facts_of(tmp_path / "venv/bin/python")
    assert (facts.pip, "pip" in facts.missing) == ("99.5", False)


def test_what_an_uninstalled_pip_left_behind_is_no_pip(tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "pip").mkdir()
    facts = facts_of(tmp_path / "venv/bin/python")
    assert facts.pip is None
    assert "no version" in facts.missing["pip"]


def test_a_module_that_crashes_the_interpreter_is_named(tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "pip.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    assert failure_of(tmp_path / "venv/bin/python") == ProbeFailure("signal", "SIGSEGV, importing pip")


def test_the_version_of_an_installed_virtualenv_is_found(tmp_path: Path, site_packages: Path) -> None:
    (site_packages / "virtualenv_clone-0.5.7.dist-info").mkdir()
    assert facts_of(tmp_path / "venv/bin/python").virtualenv is None
    (site_packages / "virtualenv-20.26.6.dist-info").mkdir()
    assert facts_of(tmp_path / "venv/bin/python").virtualenv == "20.26.6"


def test_the_environment_of_the_caller_does_not_reach_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    monkeypatch.setenv("PYTHONHOME", "/nonexistent")
    monkeypatch.setenv("MY_SECRET", "hidden")
    dumps = program(tmp_path / "python", f'#!/bin/sh\nenv > {seen}\npwd >> {seen}\nexec {BASE} "$@"\n')
    facts_of(dumps)
    lines = seen.read_text().splitlines()
    assert not [line for line in lines if line.startswith(("PYTHONHOME", "MY_SECRET"))]
    assert lines[-1] == "/"


def test_a_wrapper_shows_by_the_executable_that_it_starts(tmp_path: Path) -> None:
    shim = program(tmp_path / "python", f'#!/bin/sh\nset -x\necho chat\n{BASE} "$@" 2>&1\necho chat\n')
    assert facts_of(shim).real_executable == str(BASE)


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (("python2", "python", "python3"), "bin/python3"),
        (("python2", "python"), "bin/python"),
        (("python2",), "bin/python2"),
        (("python3.11",), ""),
        ((), ""),
    ],
)
def test_a_directory_stands_for_the_interpreter_in_it(present: tuple[str, ...], chosen: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in present:
        program(tmp_path / "bin" / name, "")
    assert resolve_executable(str(tmp_path)) == (tmp_path / chosen)


def test_only_an_interpreter_that_can_be_run_is_taken_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "bin/python3").mkdir(parents=True)
    program(tmp_path / "bin/python2", "")
    (tmp_path / "bin/python").symlink_to("gone")
    assert resolve_executable(str(tmp_path)) == tmp_path / "bin/python2"


def dangling(path: Path) -> None:
    path.symlink_to("gone")


def socket_file(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def truncated(path: Path) -> None:
    with BASE.open("rb") as file:
        path.write_bytes(file.read(100))
    path.chmod(0o755)


def foreign(path: Path) -> None:
    """The interpreter with SPARC as the machine in its ELF header."""
    shutil.copy(BASE, path)
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x02\x00")


def script(text: str) -> Callable[[Path], object]:
    return lambda path: program(path, text)


LOADER = "python3: error while loading shared libraries: libpython3.9.so.1.0: cannot open shared object file"
TOO_NEW = "python3: /lib/libc.so.6: version `GLIBC_2.38' not found (required by python3)"


@pytest.mark.parametrize(
    ("make", "code", "detail"),
    [
        (lambda path: None, "missing", ""),
        (dangling, "broken-symlink", "gone"),
        (lambda path: path.symlink_to(path.name), "broken-symlink", ""),
        (Path.mkdir, "empty-directory", ""),
        (socket_file, "not-a-file", ""),
        (os.mkfifo, "not-a-file", ""),
        (Path.touch, "not-executable", ""),
        (script("just text, no program"), "wrong-format", "Exec format error"),
        (truncated, "wrong-format", ""),
        (foreign, "wrong-format", ""),
        (script("#!/nonexistent/python\n"), "missing-loader", ""),
        (script("#!/\n"), "permission", ""),
        (script(f'#!/bin/sh\necho "{LOADER}" >&2\nexit 127\n'), "shared-library", "libpython3.9.so.1.0"),
        (script(f'#!/bin/sh\necho "{TOO_NEW}" >&2\nexit 1\n'.replace("`", "\\`")), "shared-library", "GLIBC_2.38"),
        (script("#!/bin/sh\nkill -SEGV $$\n"), "signal", "SIGSEGV"),
        (script("#!/bin/sh\nexit 3\n"), "exit", "status 3"),
        (script("#!/bin/sh\nexit 127\n"), "exit", "status 127"),
        (
            script(
                '#!/bin/sh\nprintf "ModuleNotFoundError: encodings\\n\\nCurrent thread:\\n<no frame>\\n" >&2; exit 1'
            ),
            "exit",
            "status 1, ModuleNotFoundError: encodings",
        ),
        (script("#!/bin/sh\necho '\x1b[31mred\x07' >&2; exit 4"), "exit", "status 4, red\\x07"),
        (lambda path: path.symlink_to("/bin/true"), "no-report", ""),
        (lambda path: path.symlink_to("/bin/echo"), "no-report", ""),
        (script("#!/bin/sh\nexec yes\n"), "too-much-output", ""),
        (script("#!/bin/sh\nexec yes >&2\n"), "too-much-output", ""),
        (script(f"{PYTHON_HEAD}answer('{{')"), "garbage", "not JSON"),
        (script(f"{PYTHON_HEAD}answer('[' * 100000)"), "garbage", "not JSON"),
        (script(f"{PYTHON_HEAD}answer('1' * 5000)"), "garbage", ""),
        (script(f"{PYTHON_HEAD}answer('[]')"), "garbage", "not an object"),
        (script(f'{PYTHON_HEAD}answer(\'{{"pointer_bits": "many"}}\')'), "garbage", "pointer_bits"),
        (script(f"{PYTHON_HEAD}sys.stdout.write(start[::-1])"), "no-report", ""),
    ],
)
def test_each_way_to_fail_has_a_code_of_its_own(
    make: Callable[[Path], object], code: str, detail: str, tmp_path: Path
) -> None:
    make(tmp_path / "python")
    failure = failure_of(tmp_path / "python")
    assert failure.code == code
    assert detail in failure.detail
    assert failure.detail.isprintable()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("python3", "not-absolute"),
        ("bin/python3", "not-absolute"),
        ("", "not-absolute"),
        ("/nul\0/python", "missing"),
        ("/dev/null/python", "missing"),
        ("/" + "x" * 5000, "cannot-start"),
    ],
)
def test_a_path_that_cannot_be_one_is_a_failure(path: str, code: str) -> None:
    assert failure_of(resolve_executable(path)).code == code


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every directory")
def test_a_directory_that_may_not_be_entered_is_a_matter_of_permission(tmp_path: Path) -> None:
    program(tmp_path / "python", "")
    tmp_path.chmod(0)
    try:
        assert failure_of(tmp_path / "python").code == "permission"
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_interpreter_that_this_user_may_not_reach_is_a_matter_of_permission(tmp_path: Path) -> None:
    for name, mode in (("closed", 0o700), ("others", 0o755)):
        (tmp_path / name).mkdir(mode=mode)
        program(tmp_path / name / "python", "#!/bin/sh\n")
    (tmp_path / "others/python").chmod(0o700)
    code = (
        "import os, sys; from pathlib import Path; from engine.installations.probe import run_probe\n"
        "os.setuid(65534); print([run_probe(Path(p), 5).code for p in sys.argv[1:]])"
    )
    tmp_path.chmod(0o755)
    paths = [str(tmp_path / name / "python") for name in ("closed", "others")]
    repository = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code, *paths], cwd=repository, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "['permission', 'permission']"


@pytest.mark.parametrize(
    "command",
    [
        "exec sleep 300",
        "sleep 300",
        "trap '' TERM INT HUP; sleep 300 & wait",
        "exec sleep 300 >&- 2>&-",
        "while :; do echo .; done | head -c 10; exec sleep 300",
    ],
)
def test_an_interpreter_that_hangs_is_ended_with_its_children_at_the_time_limit(
    command: str, tmp_path: Path, child_pid: Callable[[], int]
) -> None:
    hanging = program(tmp_path / "python", f"#!/bin/sh\necho waking up >&2\necho $$ > {tmp_path}/pid\n{command}\n")
    started = time.monotonic()
    assert failure_of_hanging(hanging) == ProbeFailure("timeout", "waking up")
    assert time.monotonic() - started < 250, "it was not ended at the limit"
    assert not is_alive(child_pid())


def test_a_grandchild_that_left_the_group_and_holds_the_pipe_does_not_hold_up_the_probe(
    tmp_path: Path, child_pid: Callable[[], int]
) -> None:
    # Without its environment it cannot be told from any other process.
    hidden = f"setsid env -i sleep 300 &\necho $! > {tmp_path}/pid"
    hanging = program(tmp_path / "python", f"#!/bin/sh\n{hidden}\nsleep 300\n")
    started = time.monotonic()
    failure = failure_of_hanging(hanging)
    assert failure.code == "timeout"
    assert "could not be ended" in failure.detail
    assert time.monotonic() - started < 250, "the grandchild held it up"
    assert is_alive(child_pid()), "the case that this test is about"


@pytest.mark.parametrize("detached", ["setsid sleep 300", "setsid sh -c 'sleep 300 >/dev/null 2>&1 </dev/null & wait'"])
def test_a_grandchild_in_a_session_of_its_own_is_ended_too(
    detached: str, tmp_path: Path, child_pid: Callable[[], int]
) -> None:
    hanging = program(tmp_path / "python", f"#!/bin/sh\n{detached} &\necho $! > {tmp_path}/pid\nsleep 300\n")
    assert failure_of_hanging(hanging) == ProbeFailure("timeout")
    assert until(lambda: not is_alive(child_pid()))


def test_a_report_counts_although_a_child_keeps_the_pipe_open_and_the_child_is_ended(
    tmp_path: Path, child_pid: Callable[[], int]
) -> None:
    program(tmp_path / "python", f'#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/pid\n{BASE} "$@"\n')
    started = time.monotonic()
    assert facts_of(tmp_path / "python").real_executable == str(BASE)
    assert time.monotonic() - started < 250, "the child held it up"
    assert until(lambda: not is_alive(child_pid()))


def test_a_report_counts_although_a_process_outside_the_group_keeps_the_pipe_open(
    tmp_path: Path, child_pid: Callable[[], int]
) -> None:
    program(tmp_path / "python", f'#!/bin/sh\nsetsid env -i sleep 300 &\necho $! > {tmp_path}/pid\n{BASE} "$@"\n')
    started = time.monotonic()
    assert facts_of(tmp_path / "python").real_executable == str(BASE)
    assert time.monotonic() - started < 250, "the child held it up"
    child_pid()


def test_output_without_end_is_bounded_in_memory_and_time(tmp_path: Path, child_pid: Callable[[], int]) -> None:
    endless = program(tmp_path / "python", f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec yes\n")
    tracemalloc.start()
    try:
        assert failure_of(endless).code == "too-much-output"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
    assert not is_alive(child_pid())


def test_a_report_of_a_program_that_then_fails_does_not_count(tmp_path: Path) -> None:
    report = json.dumps(facts_to_json(facts_of(BASE)))
    fails = program(tmp_path / "python", f"{PYTHON_HEAD}answer({report!r})\nsys.exit(5)\n")
    assert failure_of(fails) == ProbeFailure("exit", "status 5")

"""Compiling what was unpacked, once, by the interpreter that will run it and on every core."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["Module", "compile_modules", "run_bounded"]

_SCRIPT = Path(__file__).with_name("compile_script.py")
_LOOK = 0.5


Module = tuple[str, str]
"""The path of a module, and the name that its bytecode has for it until it is imported."""


def compile_modules(
    python: Path, root: Path, modules: Sequence[Module], give_up: Callable[[], bool], timeout: float
) -> dict[str, str | None]:
    """Compile `modules`, whose paths are relative to `root`, with the interpreter `python`.

    Returns for each path that of its bytecode, or None when it does not compile. A path that is missing from the result
    could not be tried: the compiler crashed over it or one like it, or there was no time. Raises `OSError`.
    """
    if not modules:
        return {}
    # The large ones first, so that none is left alone at the end.
    ordered = sorted(modules, key=lambda module: (root / module[0]).stat().st_size, reverse=True)
    lines = "".join(f"{path}\t{name}\n" for path, name in ordered)
    processes = min(len(ordered), len(os.sched_getaffinity(0)))
    argv = [str(python), "-I", "-S", "-B", str(_SCRIPT), str(root), str(processes)]
    output = run_bounded(argv, {}, Path("/"), give_up, timeout, lines.encode("utf-8", "surrogateescape"))[1]
    result: dict[str, str | None] = {}
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        number, tab, bytecode = line.partition("\t")
        if tab and number.isdigit() and int(number) < len(ordered):
            result[ordered[int(number)][0]] = bytecode or None
    return result


def run_bounded(
    argv: Sequence[str],
    env: dict[str, str],
    cwd: Path,
    give_up: Callable[[], bool],
    timeout: float,
    data: bytes = b"",
) -> tuple[int | None, bytes]:
    """Run a program to its end; its exit code and what it printed, errors included.

    It is stopped, with all that it has started in its session, when `give_up()` says so or after `timeout` seconds; the
    code is None then. Raises `OSError` when it cannot be run.
    """
    with subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        end = time.monotonic() + timeout
        rest: bytes | None = data
        while True:
            try:
                output, _ = process.communicate(rest, timeout=_LOOK)
                return process.returncode, output
            except subprocess.TimeoutExpired as error:
                rest = None
                if time.monotonic() < end and not give_up():
                    continue
                output = error.output or b""
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None, output

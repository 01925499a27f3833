"""Running the command-line tool of an executor's backend."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.errors import Problem
from engine.executors.base import ExecutorError
from engine.text import decode, one_line

__all__ = ["last_line", "printed", "run_tool", "tool_failed"]


def run_tool(
    command: Sequence[str], environ: Mapping[str, str], seconds: float, given: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` in the environment `environ` with `given` on its standard input, and wait for its end.

    It is run in the directory `cwd` if that is given.

    Raises `ExecutorError` when it cannot be run, or has not ended after `seconds`.
    """
    hint = f"Run it by hand: {shlex.join(command)}"
    try:
        # Bytes, because what a tool prints need not be text.
        done = subprocess.run(
            command, env=environ, input=given.encode(), capture_output=True, timeout=seconds, check=False, cwd=cwd
        )
    except FileNotFoundError as error:
        raise tool_failed(command, str(error), "Install it in a directory that the PATH of envdeck has") from error
    except OSError as error:
        raise tool_failed(command, str(error), hint) from error
    except subprocess.TimeoutExpired as error:
        raise tool_failed(command, f"no answer in {seconds:g} s", hint) from error
    return subprocess.CompletedProcess(command, done.returncode, decode(done.stdout), decode(done.stderr))


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """What a tool printed. Raises `ExecutorError` when it failed: what it printed may then be half of the truth."""
    if done.returncode:
        said = last_line(done.stderr) or f"exit code {done.returncode}"
        raise tool_failed(done.args, said, f"Run it by hand: {shlex.join(done.args)}")
    return done.stdout


def tool_failed(command: Sequence[str], said: str, hint: str) -> ExecutorError:
    """The error `executor-failed`: the first word of `command` names the tool, `said` is what it said."""
    return ExecutorError(Problem("executor-failed", f"{command[0]} failed", found=said, hint=hint))


def last_line(said: str) -> str:
    """The last line that a tool printed, where the point of its message is, made safe to show."""
    return one_line((said.strip().splitlines() or [""])[-1])

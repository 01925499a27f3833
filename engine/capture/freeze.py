"""The packages of an interpreter as a requirements file: ``pip freeze``, without what no server could install."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.bundles.requirements import parse_requirements
from engine.capture.model import FrozenLine
from engine.errors import InputError, Problem, Where
from engine.packages.lint import examine
from engine.text import clean_log_line, decode, mask_credentials, one_line

__all__ = ["filter_frozen", "run_freeze"]

_TIMEOUT = 120.0
"""Seconds; pip asks git about every editable installation."""
_OUTPUT_LIMIT = 5 * 1024 * 1024


def run_freeze(executable: Path, directory: Path, environ: Mapping[str, str]) -> str:
    """What ``pip freeze`` prints for the interpreter `executable`, run in `directory`.

    Raises `InputError` (`capture-freeze-failed`).
    """
    command = [str(executable), "-m", "pip", "--disable-pip-version-check", "freeze"]
    # Files instead of pipes: a child that outlives pip could keep a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=directory,
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            raise _failed(executable, error.strerror or str(error)) from error
        try:
            status = process.wait(_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise _failed(executable, f"it did not end within {_TIMEOUT:g} s") from None
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        errors.seek(0)
        text = output.read(_OUTPUT_LIMIT + 1)
        if len(text) > _OUTPUT_LIMIT:
            raise _failed(executable, f"it printed more than {_OUTPUT_LIMIT} bytes")
        if status != 0:
            said = [line for line in decode(errors.read(_OUTPUT_LIMIT)).splitlines() if line.strip()]
            raise _failed(executable, clean_log_line(said[-1]) if said else f"status {status}")
    return decode(text)


def filter_frozen(text: str) -> tuple[FrozenLine, ...]:
    """What becomes of each line that ``pip freeze`` printed (connect.md §5.4). Pure.

    Comments are left out. The lines of the publishing client and pip's notices are dropped, as are lines that
    no server can install; paths of conda's and pip's own builds are rewritten to the package's name.
    """
    lines = (line.strip() for line in text.splitlines())
    return tuple(_filter(line) for line in lines if line and not line.startswith("#"))


def _filter(text: str) -> FrozenLine:
    shown = one_line(mask_credentials(text))
    if text.startswith("[notice]"):
        return FrozenLine(shown, "", "a message of pip, not a package")
    try:
        (line,) = parse_requirements(text.encode("utf-8"), "pip freeze", _no_include)
    except (InputError, ValueError) as error:  # ValueError: not exactly one line
        reason = error.problem.message if isinstance(error, InputError) else "it is not one requirement"
        return FrozenLine(shown, "", reason)
    if line.name is not None and line.name.startswith("rsconnect"):
        return FrozenLine(shown, "", "the publishing client, which content does not need")
    examined = examine(line)
    return FrozenLine(shown, examined.effective, examined.notes[0] if examined.action is not None else "")


def _no_include(path: str, where: Where) -> bytes:
    raise InputError(Problem("requirement-bad-include", "pip freeze names no files", found=path, where=where))


def _failed(executable: Path, why: str) -> InputError:
    return InputError(
        Problem(
            "capture-freeze-failed",
            f"pip freeze failed: {why}",
            where=Where(str(executable)),
            hint="Write a requirements.txt, or name another interpreter with --python",
        )
    )

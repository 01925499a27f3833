"""The entry of the command line: dispatch, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from app.cli.interrupting import BROKEN_PIPE, answering_signals, check, exit_code, told
from app.cli.parser import own_words, parse_command, split_globals
from app.cli.terminal import OutputError, Terminal, prepare_streams
from app.version import VERSION
from engine import EnvdeckError, InputError, Problem, Refused, Where

if TYPE_CHECKING:
    from engine import Engine

__all__ = ["main"]

_WITHOUT_CONFIG = ("bundle", "config")
"""Commands that answer also while the configuration has errors: they do not depend on it, or tell about it."""
_WITHOUT_DATA = (*_WITHOUT_CONFIG, "installations", "match", "targets", "executors", "doctor")
"""Commands that answer also while what is in the data directory cannot be seen. The others would call it empty."""
_REFUSED = 1
_BAD_INPUT = 2
_DEFECT = 70


def main(argv: Sequence[str], make_engine: Callable[..., Engine] | None = None, *, forks: bool = False) -> int:
    """Run the command in `argv` (without the program's name) and return its exit code. Raises nothing.

    `make_engine` is called in the place of `Engine`. `forks` says that this process is there for the command alone.
    """
    prepare_streams()
    # Usage errors, too, are answered in the form that was asked for.
    own = own_words(argv)
    terminal = Terminal(json="--json" in own, color="--no-color" not in own)
    with answering_signals():
        try:
            check()
            code = _guarded(argv, make_engine, terminal, forks)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
            return BROKEN_PIPE
        except OSError as error:
            _tell_of_output(error, terminal)
            _forget_output()
            return _BAD_INPUT
        except KeyboardInterrupt as error:  # while the answer was going out
            _forget_output()
            return exit_code(error)
        return code


def _guarded(argv: Sequence[str], make_engine: Callable[..., Engine] | None, terminal: Terminal, forks: bool) -> int:
    try:
        return _run(argv, make_engine, terminal, forks)
    except InputError as error:
        terminal.complain(error.problem)
        return _BAD_INPUT
    except EnvdeckError as error:
        terminal.complain(error.problem)
        return _REFUSED
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be what has gone
            left = "; ".join(getattr(error, "__notes__", ()))
            terminal.complain(Problem("interrupted", told(error), hint=left))
        return exit_code(error)
    except (BrokenPipeError, OutputError):
        raise
    except OSError as error:
        where = Where(str(error.filename)) if error.filename else None
        terminal.complain(Problem("system", error.strerror or str(error), where=where))
        return _BAD_INPUT
    except SystemExit as end:  # after --help
        return end.code if isinstance(end.code, int) else _BAD_INPUT
    except Exception as error:  # a defect: the admin is still owed a message, an exit code and valid JSON
        if os.environ.get("ENVDECK_TRACEBACK"):
            traceback.print_exc()
        terminal.complain(
            Problem(
                "internal",
                f"this is a defect of envdeck: {type(error).__name__}: {error}",
                hint="Please report it with the output of the same command under ENVDECK_TRACEBACK=1",
            )
        )
        return _DEFECT


def _run(argv: Sequence[str], make_engine: Callable[..., Engine] | None, terminal: Terminal, forks: bool) -> int:
    options, rest = split_globals(argv)
    terminal.json = options.json
    terminal.color = not options.no_color
    if options.version:
        _show_version(terminal)
        return 0
    options = parse_command(rest, options)
    if options.command == "completion":
        from app.cli import completion

        return completion.completion(options, terminal)
    # Only here: neither help nor what is wrong with a command has to wait for it.
    from engine import Engine

    make = make_engine or partial(Engine, forks=forks)
    engine = make(options.config_files, read_only=options.read_only)
    try:
        if options.command not in _WITHOUT_CONFIG:
            _require_good_config(engine)
        if options.command not in _WITHOUT_DATA:
            _require_seen(engine)
        code: int = options.run(engine, options, terminal)
        return code
    finally:
        if problem := engine.audit_problem:
            terminal.say(f"{problem.severity.value}[{problem.code}]: {problem}", error=True)
        engine.close()


def _show_version(terminal: Terminal) -> None:
    if terminal.json:
        terminal.document({"version": VERSION})
    else:
        terminal.say(f"envdeck {VERSION}")


def _require_good_config(engine: Engine) -> None:
    """Answers about a data directory or interpreters that the admin did not mean are worse than none."""
    errors = engine.config.errors
    if errors:
        raise Refused(
            Problem(
                "config-errors",
                f"the configuration has errors, the first being: {errors[0].message}",
                expected=errors[0].expected,
                found=errors[0].found,
                where=errors[0].where,
                hint="`envdeck config check` tells all of them",
            )
        )


def _tell_of_output(error: OSError, terminal: Terminal) -> None:
    """The document or table is incomplete, so standard error is the only place left to say so."""
    problem = Problem(
        "output-write",
        "not all of the output could be written",
        found=error.strerror or str(error),
        hint="What the command was to do besides may be done: `envdeck audit` tells",
    )
    with suppress(OSError):  # it may be standard error itself
        terminal.say(f"error[{problem.code}]: {problem}", error=True)


def _require_seen(engine: Engine) -> None:
    problem = engine.data_dir_problem
    if problem is not None and problem.code == "data-dir-unreadable":
        raise Refused(problem)


def _forget_output() -> None:
    """Give what is left of the output a place to go, so that nothing more is said of it at exit either."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(devnull, stream.fileno())
    os.close(devnull)

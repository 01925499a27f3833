"""`envdeck`: a command goes to the command line, none opens the terminal UI."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence

__all__ = ["main"]

_GARBAGE = 50_000
"""New objects between two looks for garbage, which a command makes next to none of: by default they take a tenth of the
time that it runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run envdeck with `argv` (default: the process's arguments) and return the exit code.

    The command line is started without importing Textual, and the UI only after the environment is set, since Textual
    reads it while it is imported.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    alone = argv is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if alone:
        # While there is nothing yet that could be said or left behind, Ctrl-C is to end this without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from app.tui.options import parse_options, refusal
    from app.tui.profile import choose_profile

    options = parse_options(arguments)
    if options is None:
        gc.set_threshold(_GARBAGE)
        from app.cli.interrupting import answering_signals, exit_code

        with answering_signals(last=True):
            try:
                from app.cli.main import main as command_line

                return command_line(arguments, forks=True)
            except KeyboardInterrupt as error:  # so early that nothing was begun
                return exit_code(error)
            finally:
                # At its end Python looks through all there is for garbage, which is a tenth of a short command.
                gc.freeze()
    why = refusal(os.environ, is_terminal=sys.stdin.isatty() and sys.stderr.isatty())
    if why:
        print(f"envdeck: {why}", file=sys.stderr)  # noqa: T201 - the UI has not started, this is all there is to see
        return 2
    profile = choose_profile(options, os.environ, getattr(sys.__stderr__, "encoding", None) or "")
    os.environ.update(profile.variables)
    # What is made while modules are imported stays: looking through it for garbage takes a tenth of the time to the
    # first paint.
    gc.disable()
    from app.tui.memory import load_asyncio_without_tls, share_one_arena

    share_one_arena()
    load_asyncio_without_tls()
    from app.tui.run import run

    gc.freeze()
    gc.enable()
    if alone:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run(options, profile)


if __name__ == "__main__":
    sys.exit(main())

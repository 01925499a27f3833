"""From options to a running UI. Importing this module imports Textual: set the environment first."""

from __future__ import annotations

import os
import sys

from textual.theme import BUILTIN_THEMES

from app.tui.app import EnvdeckApp
from app.tui.options import Options
from app.tui.profile import Profile
from app.tui.terminal import TidyDriver, guard_terminal, survive_bad_bytes
from app.version import VERSION
from engine import Engine, InputError

__all__ = ["run", "run_app"]


def run(options: Options, profile: Profile) -> int:
    """Open the UI and return the exit code; a wrong option or config file is told in one line."""
    if options.theme and options.theme not in BUILTIN_THEMES:
        names = ", ".join(sorted(BUILTIN_THEMES))
        print(f"envdeck: no theme {options.theme!r}; there are {names}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        engine = Engine(options.config, read_only=options.read_only)
    except InputError as error:
        print(f"envdeck: {error.problem}", file=sys.stderr)  # noqa: T201
        return 2
    return run_app(EnvdeckApp(engine, VERSION, profile))


def run_app(app: EnvdeckApp) -> int:
    """Run `app` with the terminal's manners in place; the engine is closed however it ends."""
    for exported in ("COLUMNS", "LINES"):
        # The size when the shell exported it. The terminal knows its own, and what is run in it asks there too.
        os.environ.pop(exported, None)
    app.driver_class = TidyDriver
    survive_bad_bytes()
    guard_terminal(app.engine.close)
    try:
        app.run(mouse=app.profile.mouse)
    finally:
        app.engine.close()
    return app.return_code or 0

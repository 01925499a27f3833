"""A supervisor that sends itself a signal at a step of its work, so that what happens there is forced, not hoped for.

python -m tests.integration.stepped_supervisor STEP SIGNAL JOB_DIRECTORY
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from engine.builds import publishing, supervisor
from engine.environments.store import EnvironmentStore
from engine.executors.local import LocalExecutor
from engine.wheels import filling

STEPS: dict[str, tuple[Any, str]] = {
    "turn": (supervisor.Supervisor, "_wait"),
    "directories": (supervisor.Supervisor, "_make_directories"),
    "submit": (LocalExecutor, "submit"),
    "supply": (supervisor.Supervisor, "_supply"),
    "attend": (supervisor, "attend"),
    "forget": (LocalExecutor, "forget"),
    "seal": (publishing, "write_seal"),
    "check": (supervisor.Supervisor, "_may_publish"),
    "request": (publishing, "write_atomic"),
    "publish": (EnvironmentStore, "publish"),
    "verdict": (supervisor, "write_result"),
    "fill": (filling, "fill"),
}
"""What can be stopped before and after."""


def stepped(function: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            os.kill(os.getpid(), number)
        result = function(*arguments, **options)
        if when == "after":
            os.kill(os.getpid(), number)
        return result

    return wrapper


def main() -> int:
    when, _, step = sys.argv.pop(1).partition("-")
    number = signal.Signals[sys.argv.pop(1)]
    owner, name = STEPS[step]
    setattr(owner, name, stepped(getattr(owner, name), when, number))
    return supervisor.main()


if __name__ == "__main__":
    sys.exit(main())

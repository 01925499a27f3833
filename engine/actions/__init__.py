"""What can be done: each module plans one kind of action and carries it out, re-validating what was planned.

Each is loaded when it is first used, because most commands need one of them or none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.actions import (
        activate,
        audit,
        build,
        caches,
        content,
        deploy,
        forecasting,
        pin,
        reap,
        rebuild,
        resolve,
        retry,
        run,
        upkeep,
        verify,
    )

__all__ = [
    "activate",
    "audit",
    "build",
    "caches",
    "content",
    "deploy",
    "forecasting",
    "pin",
    "reap",
    "rebuild",
    "resolve",
    "retry",
    "run",
    "upkeep",
    "verify",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")

"""Running what touches the disk away from the UI loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["offload"]

T = TypeVar("T")


async def offload(work: Callable[[], T]) -> T:
    """The result of `work`, run in a daemon thread of its own.

    Unlike a pool's thread it never holds up quitting, even when `work` hangs on a dead network disk.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:
            # Whatever it is belongs to who awaits the result, on the loop; raised in this thread it would be lost.
            error = raised
        with contextlib.suppress(RuntimeError):  # the UI has gone meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True, name="offload").start()
    return await future

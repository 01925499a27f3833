"""Serving without a front: environments are reaped on schedule, and what vanished is built again.

    envdeck serve

Everything it does can be done by hand as well. It is ended by SIGTERM, SIGINT or SIGHUP at once: what it was
doing is left as a crash would leave it, which every part of the engine is made to stand.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO

from msgspec import Struct, field

from engine.actions.audit import changes_of, service_event
from engine.actions.reap import plan_reap, reap, reap_is_due
from engine.audit.model import AuditAction
from engine.builds.log import LogLine, format_line
from engine.environments.locks import acquire
from engine.errors import EnvdeckError, Problem, Refused, Where
from engine.files import StorageError, is_there, read_json, write_problem
from engine.reaping.model import ReapResult, UsedBy
from engine.text import one_line
from engine.world import World

__all__ = ["Housekeeping", "Served", "serve", "work"]

_INTERVAL = 5.0
"""Seconds between looks whether something is to be done."""
_LATEST_NOTICE = 0.5
"""Seconds after which a signal is noticed at the latest."""
_FAREWELL = 1.0
"""Seconds that a signal leaves the work under way to come to an end by itself."""


class Served(Protocol):
    """What is served: asked over and over, always by the settings that are in force then."""

    @property
    def data_dir(self) -> Path: ...

    def began(self) -> None:
        """It is served from now on."""
        ...

    def configuration(self) -> str:
        """What came of the configuration when it was read last, in one line."""
        ...

    def reap_if_due(self, stop: Callable[[], bool]) -> Iterable[str]:
        """Reap if that is due; yields a line for each thing that happened. Ends early when `stop()` says so."""
        ...

    def rebuild_missing(self) -> Iterable[str]:
        """Build again what vanished and is needed; yields a line for each thing that happened."""
        ...


class Housekeeping(Struct, frozen=True):
    """`Served` for a world. The two callables belong to content, of which this module knows nothing."""

    world: World
    used_by: Callable[[], UsedBy]
    rebuild: Callable[[], Iterable[str]]
    clock: Callable[[], float] = field(default=time.time)

    @property
    def data_dir(self) -> Path:
        return self.world.config.settings.data_dir

    def began(self) -> None:
        self.world.record(service_event(AuditAction.SERVICE_START, self.data_dir))

    def configuration(self) -> str:
        config = self.world.config
        if config.errors:
            return f"not taken over: {config.errors[0]}"
        return f"in force: {changes_of(config) or 'nothing changed'}"

    def reap_if_due(self, stop: Callable[[], bool]) -> Iterable[str]:
        """Reap when ``Applications.PythonEnvironmentReaping`` is on and its frequency says so."""
        if not self.world.config.settings.reaping or not reap_is_due(self.world, self.clock()):
            return
        self.world.require_writable()
        plan = plan_reap(self.world, None, used_by=self.used_by(), now=self.clock())
        if plan.unreadable:
            yield f"reap: a use would go unnoticed by this many processes that cannot be seen into: {plan.unreadable}"
        result = reap(self.world, plan, used_by=self.used_by, stop=stop)
        yield from _report(result)
        yield (
            f"reap: {len(result.removed)} removed, {result.bytes} bytes, "
            f"{len(plan.kept) + len(result.refused)} kept, {len(result.failed)} failed"
        )

    def rebuild_missing(self) -> Iterable[str]:
        self.world.require_writable()
        self.world.probe()
        return self.rebuild()


def _report(result: ReapResult) -> Iterator[str]:
    for item in result.removed:
        yield f"reap: removed {item.kind.value} {item.name}, {item.bytes} bytes"
    for item in result.refused:
        yield f"reap: kept {item.kind.value} {item.name}: " + "; ".join(r.message for r in item.verdict.reasons)
    for _, problem in result.failed:
        yield f"reap: {problem}"


def serve(served: Served, *, interval: float = _INTERVAL, output: TextIO | None = None) -> int:
    """Serve until SIGTERM, SIGINT or, unless that is ignored, SIGHUP; returns 0. To be called from the main thread.

    A line with its UTC time per action goes to `output`, standard error if None. Raises `Refused`
    (`already-serving`) when another process serves this data directory, `StorageError` when its lock cannot be used.
    """
    stream = output or sys.stderr
    # Made for being put into by a signal handler, which an event is not: its lock may be held by the code interrupted.
    ends: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
    stopped = threading.Event()

    def log(text: str) -> None:
        print(format_line(LogLine(time.time(), one_line(text, 1000))), file=stream, flush=True)

    def run() -> None:
        try:
            work(served, stopped.wait, log, interval)
        except BaseException as error:
            # Handed over, so that the main thread neither waits for ever nor hides what went wrong.
            ends.put(error)

    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup
        signals.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda caught, _frame: ends.put(caught)) for number in signals}
    worker = threading.Thread(target=run, name="service", daemon=True)
    try:
        worker.start()
        end = _first(ends)
        stopped.set()
        if isinstance(end, BaseException):
            raise end
        worker.join(_FAREWELL)
        log(f"serve: ended by {signal.Signals(end).name}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _first(ends: queue.SimpleQueue[int | BaseException]) -> int | BaseException:
    while True:
        # With a time limit: a signal that arrives just before the wait begins interrupts nothing, and its handler
        # would run only once the wait is over.
        with suppress(queue.Empty):
            return ends.get(timeout=_LATEST_NOTICE)


def work(served: Served, wait: Callable[[float], bool], log: Callable[[str], None], interval: float) -> None:
    """Do what is to be done, again and again, until `wait(seconds)` says True.

    When the configuration names another data directory, that one is served from then on. One that is deleted or
    replaced is served again when it is there. Raises as `serve` does.
    """
    data_dir = served.data_dir
    while not _serve(served, data_dir, wait, log, interval):
        if served.data_dir == data_dir:
            log(f"serve: {data_dir} was deleted, emptied or replaced: nothing is done until it is there again")
            while served.data_dir == data_dir and not is_there(data_dir):
                if wait(interval):
                    return
        data_dir = served.data_dir


def _serve(
    served: Served, data_dir: Path, wait: Callable[[float], bool], log: Callable[[str], None], interval: float
) -> bool:
    """Serve `data_dir` until it is to end (True), or it has gone or another one is to be served (False)."""
    with _alone(data_dir) as still_held:

        def moved() -> bool:
            return served.data_dir != data_dir or not still_held()

        log(f"serve: pid {os.getpid()} serves {data_dir}")
        served.began()
        troubles: dict[str, str] = {}
        told = served.configuration()
        while not moved():
            if told != (told := served.configuration()):
                log(f"config: {told}")
            _attempt("reap", lambda: served.reap_if_due(lambda: wait(0) or moved()), troubles, log)
            _attempt("rebuild", served.rebuild_missing, troubles, log)
            if wait(interval):
                return True
    return False


def _attempt(
    name: str, action: Callable[[], Iterable[str]], troubles: dict[str, str], log: Callable[[str], None]
) -> None:
    """Do `action` and log what it did; a problem is logged when it begins and when it is over, not each time."""
    trouble = ""
    try:
        for line in action():
            log(line)
    except (EnvdeckError, OSError) as error:
        trouble = f"{name}: {error}"
        if troubles.get(name) != trouble:
            log(trouble)
    if troubles.get(name) and not trouble:
        log(f"{name}: that is over")
    troubles[name] = trouble


@contextmanager
def _alone(data_dir: Path) -> Iterator[Callable[[], bool]]:
    """Be the only one that serves `data_dir` for the length of the block; what it yields says whether that is so.

    It is not any more when the lock was deleted: another process would lock another file of the same name.
    """
    path = data_dir / "locks" / "service.lock"
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(acquire(path, lambda: True))
            if held:
                # Says who holds the lock. Written in place: another file would be another lock.
                path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
        except OSError as error:
            raise StorageError(write_problem("use the lock", path, error)) from error
        if not held:
            raise _already(path)
        locked = path.stat()

        def still_held() -> bool:
            try:
                return os.path.samestat(path.stat(), locked)
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError:  # what is done next runs into it, and says so
                return True

        yield still_held


def _already(path: Path) -> Refused:
    holder = read_json(path) or {}
    return Refused(
        Problem(
            "already-serving",
            "another process serves this data directory",
            found=f"pid {holder.get('pid', '?')} on {holder.get('host', '?')}",
            where=Where(str(path)),
            hint="Leave it to that process, or end that one first",
        )
    )

"""The inventory: every configured installation, probed or recalled, and judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from packaging.version import Version

from engine.files import StorageError
from engine.installations import cache
from engine.installations.judge import judge, mark_duplicates
from engine.installations.model import Installation, InterpreterFacts, ProbeFailure
from engine.installations.probe import resolve_executable, run_probe

__all__ = ["Declaration", "probe_all"]

_FILE_SYSTEM_GRACE = 5.0
"""Seconds beyond the time limit after which a probe is given up that hangs in the file system."""


class Declaration(Protocol):
    """One ``Python.Executable`` entry: the path as written, and where it is written."""

    @property
    def path(self) -> str: ...

    @property
    def origin(self) -> str: ...


@dataclass(frozen=True, slots=True)
class _Probe:
    """What came of looking at one entry; `record` is for the cache."""

    executable: str
    real_path: str
    result: InterpreterFacts | ProbeFailure
    seconds: float
    record: object = None


def probe_all(
    entries: Sequence[Declaration],
    *,
    minimum_version: Version,
    timeout: float,
    cache_path: Path | None = None,
    force: bool = False,
) -> tuple[Installation, ...]:
    """Every entry judged, in the order given, those that repeat an earlier one marked.

    All are probed at the same time, each for at most `timeout` seconds. With `cache_path`, a file whose directory
    exists, what has not changed since the last time is recalled unless `force` is set, and the file is brought up to
    date: entries that are not asked for any more leave it.
    """
    known = cache.load(cache_path) if cache_path else {}
    usable = {} if force else known
    running = [_in_background(partial(_probe, entry.path, usable, timeout)) for entry in entries]
    futures.wait(running, timeout + _FILE_SYSTEM_GRACE)
    given_up = ProbeFailure("timeout", "its file system does not answer")
    probes = [
        future.result() if future.done() else _Probe(entry.path, entry.path, given_up, timeout + _FILE_SYSTEM_GRACE)
        for entry, future in zip(entries, running, strict=True)
    ]
    records = {probe.executable: probe.record for probe in probes if probe.record is not None}
    if cache_path and records != known:
        # The cache only saves time: a full or read-only disk must not hide what was found out.
        with suppress(StorageError):
            cache.save(cache_path, records)
    return mark_duplicates(
        judge(
            entry.path,
            entry.origin,
            probe.executable,
            probe.result,
            real_path=probe.real_path,
            minimum_version=minimum_version,
            seconds=probe.seconds,
        )
        for entry, probe in zip(entries, probes, strict=True)
    )


def _probe(declared: str, known: cache.Records, timeout: float) -> _Probe:
    executable = resolve_executable(declared)
    path = str(executable)
    # Taken before the run: should the file change meanwhile, the record is never valid.
    identity = cache.identify(executable)
    if identity and (facts := cache.recall(known.get(path), identity)):
        return _Probe(path, identity.real_path, facts, 0.0, known[path])
    started = time.monotonic()
    result = run_probe(executable, timeout)
    seconds = time.monotonic() - started
    if identity and isinstance(result, InterpreterFacts):
        return _Probe(path, identity.real_path, result, seconds, cache.make_record(identity, result))
    return _Probe(path, path, result, seconds)


def _in_background(work: Callable[[], _Probe]) -> futures.Future[_Probe]:
    """Start `work` in a thread that nobody has to wait for, not even the end of the program.

    A thread that hangs in a dead network file system cannot be ended; a pool would wait for it at exit.
    """
    future: futures.Future[_Probe] = futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=run, name="probe", daemon=True).start()
    return future

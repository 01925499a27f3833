"""The inventory: every configured installation, probed or recalled, and judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from packaging.version import Version

from engine.files import StorageError
from engine.installations import cache
from engine.installations.judge import judge, mark_duplicates
from engine.installations.model import Installation, InterpreterFacts, ProbeFailure
from engine.installations.programs import resolve_executable

__all__ = ["Declaration", "probe_all"]

_FILE_SYSTEM_GRACE = 5.0
"""Seconds beyond the time limit after which a probe is given up that hangs in the file system."""


class Declaration(Protocol):
    """One ``Python.Executable`` entry: the path as written, and where it is written."""

    @property
    def path(self) -> str: ...

    @property
    def origin(self) -> str: ...


class _Probe(Struct, frozen=True):
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
    patience = timeout + _FILE_SYSTEM_GRACE
    running = [_Background(entry.path, usable, timeout) for entry in entries]
    end = time.monotonic() + patience
    given_up = ProbeFailure("timeout", "its file system does not answer")
    probes = [
        probing.outcome(max(0.0, end - time.monotonic())) or _Probe(entry.path, entry.path, given_up, patience)
        for entry, probing in zip(entries, running, strict=True)
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
    # Only here: what was recalled needs none of what it takes to run a program.
    from engine.installations.probe import run_probe

    started = time.monotonic()
    result = run_probe(executable, timeout)
    seconds = time.monotonic() - started
    if identity and isinstance(result, InterpreterFacts):
        return _Probe(path, identity.real_path, result, seconds, cache.make_record(identity, result))
    return _Probe(path, path, result, seconds)


class _Background:
    """One look in a thread that nobody has to wait for, not even the end of the program.

    A thread that hangs in a dead network file system cannot be ended; a pool would wait for it at exit.
    """

    def __init__(self, declared: str, known: cache.Records, timeout: float) -> None:
        self._result: _Probe | BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(declared, known, timeout), name="probe", daemon=True)
        self._thread.start()

    def _run(self, declared: str, known: cache.Records, timeout: float) -> None:
        try:
            self._result = _probe(declared, known, timeout)
        except BaseException as error:  # raised again where the outcome is asked for
            self._result = error

    def outcome(self, patience: float) -> _Probe | None:
        """What came of it; None when it has not ended after `patience` seconds."""
        self._thread.join(patience)
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result

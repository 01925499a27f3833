"""The job directory: everything there is to know about one build, on disk, for everyone on the machine.

jobs/<attempt>/
    spec.json       what to build; written before the supervisor starts, never changed
    env.json        the environment variables of the build; for the service alone
    alive           locked by the supervisor as long as it lives, and touched every few seconds
    log             one line of output per line, each behind its UTC time
    events.jsonl    what happened, one JSON object per line, written by the supervisor alone
    cancel          appears when somebody asks for the end; says who
    request.json    what pip is to be asked for, word by word; with any passwords, so for the service alone
    builder.py      the program that is run, with bytecode.py, requirements.txt and constraints.txt for it
    supplied.json   what the wheel store has given; written by the supervisor, and the builder waits for it
    source/         the bundle's files, when a requirement line refers to them
    work/           what the builder writes: outcome.json, its own verdict; gone at the end are tmp/ and source/
    result.json     the verdict; written last, atomically, by whoever is first: nobody changes one

An executor keeps its own notes in there while the job runs (`engine.executors.notes`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from engine.builds.estimate import read_expectation
from engine.builds.model import Build, BuildState, Fault, Phase
from engine.builds.spec import machine_of
from engine.builds.vitals import SILENCE, Machine, Watch
from engine.files import read_json, write_json_once
from engine.text import clean, one_line

__all__ = ["CANCEL", "JobReader", "append_event", "fold", "new_attempt_id", "write_result"]


CANCEL = "cancel"
"""The name of what asks for the end of a build."""
_MANY = 1 << 60


def new_attempt_id() -> str:
    """A name that no other attempt has, and that sorts by time: ``20261121-023000-7f3a2c``."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + "-" + os.urandom(3).hex()


def append_event(path: Path, event: dict[str, object]) -> None:
    """Add one event with the time it happened at, in a single write."""
    event.setdefault("at", time.time())
    line = json.dumps(event, sort_keys=True).encode() + b"\n"
    with path.open("a+b", buffering=0) as file:
        # On a disk that is full for a moment the last one may have come in half.
        if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            line = b"\n" + line
        file.write(line)


def write_result(
    job_dir: Path, state: BuildState, *, fault: Fault | None = None, reused: bool = False, message: str = ""
) -> bool:
    """Publish the verdict, unless there is one; returns whether this one counts. Raises `StorageError`."""
    return write_json_once(
        job_dir / "result.json",
        {
            "state": state.value,
            "finished_at": time.time(),
            "reused": reused,
            "message": message,
            "fault": fault
            and {
                "phase": fault.phase.value,
                "package": fault.package,
                "message": fault.message,
                "advice": fault.advice,
            },
        },
    )


def fold(build: Build, events: Iterable[dict[str, object]]) -> Build:
    """`build` after `events`. Unknown events and wrong types change nothing."""
    for event in events:
        build = _after(build, event)
    return build


def _after(build: Build, event: dict[str, object]) -> Build:
    at, kind = event.get("at"), event.get("type")
    message = event.get("message")
    if isinstance(message, str):
        build = replace(build, message=one_line(message))
    if kind == "started" and isinstance(at, int | float):
        return replace(build, state=BuildState.RUNNING, started_at=float(at), place=0)
    if kind == "waiting" and isinstance(place := event.get("place"), int):
        return replace(build, place=place)
    if kind == "phase" and (phase := Phase.read(event.get("phase"))):
        phases = dict(build.phases)
        if isinstance(at, int | float):
            phases.setdefault(phase, float(at))
        return replace(build, phase=phase, phases=phases)
    if kind == "progress":
        return replace(
            build,
            packages_done=_count(event, "done", build.packages_done),
            packages_total=_count(event, "total", build.packages_total),
            packages_supplied=_count(event, "supplied", build.packages_supplied),
            bytes_done=_count(event, "bytes", build.bytes_done),
            bytes_total=_count(event, "bytes_total", build.bytes_total),
        )
    return build


def _count(event: dict[str, object], name: str, before: int) -> int:
    value = event.get(name)
    return value if isinstance(value, int) and 0 <= value < _MANY else before


class _Tail(Struct):
    """How far a growing file of events has been read, and what it said up to there."""

    build: Build
    machine: Machine
    offset: int = 0


class JobReader:
    """Reads job directories, each only as far as it changed since the last look."""

    def __init__(self, jobs_dir: Path) -> None:
        self.jobs_dir = jobs_dir
        self._tails: dict[str, _Tail] = {}
        self._ended: dict[str, Build] = {}
        self._watch = Watch()
        self._listed: tuple[Build, ...] = ()

    def builds(self) -> tuple[Build, ...]:
        """Every build, newest first; the same object while nothing changed."""
        names = self._list()
        for known in (self._tails, self._ended):
            for gone in known.keys() - names:
                del known[gone]
        # What has ended stays as it is, so only what is new or goes on is looked at.
        before = {build.id: build for build in self._listed}
        builds = {name: build for name in names if (build := self._ended.get(name) or self.read(name))}
        if builds.keys() != before.keys() or any(before[name] is not build for name, build in builds.items()):
            listed = tuple(sorted(builds.values(), key=lambda b: (b.submitted_at, b.id), reverse=True))
            self._listed = self._listed if listed == self._listed else listed
        return self._listed

    def find(self, name: str) -> Build | None:
        """The build of that name; None for whatever else somebody has typed."""
        return self.read(name) if name in self._list() else None

    def latest(self, number: int) -> Iterator[Build]:
        """At most so many, newest first, each read when it is asked for: the names of jobs sort by time."""
        builds = (build for name in sorted(self._list(), reverse=True) if (build := self.read(name)))
        return islice(builds, number)

    def unfinished(self) -> tuple[Build, ...]:
        """Those without a verdict, newest first, and nothing is read of the others: there may be ten thousand."""
        names = self._list() - self._ended.keys()
        open_ = [name for name in names if not os.access(self.jobs_dir / name / "result.json", os.F_OK)]
        builds = (build for name in open_ if (build := self.read(name)) and not build.state.final)
        return tuple(sorted(builds, key=lambda b: (b.submitted_at, b.id), reverse=True))

    def _list(self) -> set[str]:
        try:
            with os.scandir(self.jobs_dir) as entries:
                return {entry.name for entry in entries}
        except OSError:
            return set()

    def read(self, name: str) -> Build | None:
        """The build in the job directory of that name, None when there is none or its spec does not parse."""
        if name in self._ended:
            return self._ended[name]
        job_dir = self.jobs_dir / name
        tail = self._tails.get(name)
        if tail is None:
            spec = read_json(job_dir / "spec.json")
            if spec is None:
                return None
            tail = self._tails[name] = _Tail(_from_spec(job_dir, spec), machine_of(spec))
        # Before the result is looked for: a supervisor writes it while it still holds this lock.
        vitals = self._watch.look(job_dir / "alive", tail.machine)
        tail.build = fold(tail.build, self._new_events(job_dir / "events.jsonl", tail))
        result = read_json(job_dir / "result.json")
        if result is not None:
            self._ended[name] = _with_result(tail.build, result)
            del self._tails[name]
            self._watch.forget(job_dir / "alive")
            return self._ended[name]
        if vitals.lost:
            return replace(tail.build, state=BuildState.LOST, message="its supervisor went away without a verdict")
        if vitals.heard_at and time.time() - vitals.heard_at > SILENCE:
            heard = datetime.fromtimestamp(vitals.heard_at, UTC)
            return replace(
                tail.build, message=f"no sign of life from {tail.build.host} since {heard:%Y-%m-%dT%H:%M:%SZ}"
            )
        return tail.build

    @staticmethod
    def _new_events(path: Path, tail: _Tail) -> list[dict[str, object]]:
        try:
            with path.open("rb") as file:
                file.seek(tail.offset)
                data = file.read()
        except OSError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        tail.offset += len(complete)
        events = []
        for line in complete.splitlines():
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                events.append(event)
        return events


def _from_spec(job_dir: Path, spec: dict[str, object]) -> Build:
    def text(name: str) -> str:
        return clean(str(spec.get(name, "")))

    submitted, lines = spec.get("submitted_at"), spec.get("lines")
    return Build(
        id=job_dir.name,
        key=text("key"),
        state=BuildState.QUEUED,
        phase=Phase.QUEUE,
        bundle=text("bundle"),
        python_version=text("python_version"),
        python_path=text("python_path"),
        by=text("by"),
        submitted_at=float(submitted) if isinstance(submitted, int | float) else 0.0,
        started_at=None,
        finished_at=None,
        packages_done=0,
        packages_total=0,
        message="",
        fault=None,
        directory=job_dir,
        host=text("host"),
        executor=text("executor"),
        image=text("image"),
        bundle_path=text("bundle_path"),
        content=text("content"),
        replaces=text("replaces"),
        installer=text("installer") or "pip",
        requested=len(lines) if isinstance(lines, list) else 0,
        expected=read_expectation(spec.get("expected")),
    )


def _with_result(build: Build, result: dict[str, object]) -> Build:
    finished, fault = result.get("finished_at"), result.get("fault")
    parsed = None
    if isinstance(fault, dict):
        parsed = Fault(
            Phase.read(fault.get("phase")) or build.phase,
            one_line(str(fault.get("package", ""))),
            one_line(str(fault.get("message", "")), 500),
            one_line(str(fault.get("advice", "")), 500),
        )
    return replace(
        build,
        state=BuildState.read(result.get("state")) or BuildState.LOST,
        place=0,
        finished_at=float(finished) if isinstance(finished, int | float) else None,
        message=one_line(str(result.get("message") or build.message), 500),
        fault=parsed,
        reused=result.get("reused") is True,
    )

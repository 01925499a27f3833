"""What the audit says of one thing that was done, and the line of JSON that it is kept as."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice

from msgspec import Struct
from msgspec.structs import asdict, replace

from engine.errors import EnvdeckError, InputError, Problem, Refused
from engine.text import clean, mask_credentials, one_line

__all__ = [
    "MAX_LINE",
    "Actor",
    "AuditAction",
    "AuditEvent",
    "AuditRecord",
    "AuditResult",
    "Fact",
    "command",
    "decode",
    "encode",
]

_PROGRAM = "envdeck"
MAX_LINE = 4096
"""Bytes that no line reaches, its end included."""
_LIMITS = (1000, 200, 60, 20)
"""Characters that a text may have; the first limit with which the line is short enough is taken."""
_MOST = 20
"""How many things an event can say of what it was done to."""


Fact = str | int | float
"""One thing that a record says of what was done."""


class AuditAction(StrEnum):
    """What can have been done: every word that envdeck writes."""

    BUILD_START = "build.start"
    BUILD_END = "build.end"
    BUILD_CANCEL = "build.cancel"
    REBUILD = "rebuild"
    REAP = "reap"
    CACHE_DELETE = "cache.delete"
    CONTENT_DEPLOY = "content.deploy"
    CONTENT_ACTIVATE = "content.activate"
    CONTENT_SET = "content.set"
    CONTENT_REMOVE = "content.remove"
    PIN = "pin"
    UNPIN = "unpin"
    RUN_START = "run.start"
    RUN_END = "run.end"
    CONFIG_LOAD = "config.load"
    VERIFY = "environments.verify"
    DOCTOR_REPAIR = "doctor.repair"
    SERVICE_START = "service.start"
    SERVICE_STOP = "service.stop"


class AuditResult(StrEnum):
    """What came of it."""

    OK = "ok"
    REFUSED = "refused"
    """Nothing was done."""
    FAILED = "failed"


class Actor(Struct, frozen=True):
    """Who did it, and from where. Empty is what is not known."""

    user: str
    """Who acts: behind sudo and su whoever called them."""
    login: str = ""
    """Who logged in, by the kernel's own record: what `user` says comes from the environment, which anyone can set."""
    effective: str = ""
    """Whose rights the process has."""
    tty: str = ""
    ssh: str = ""
    """The address of the SSH client."""
    host: str = ""
    pid: int = 0


class AuditEvent(Struct, frozen=True):
    """One thing that was done, or was to be done."""

    action: str
    """An `AuditAction`; in a record of another release perhaps another word."""
    what: Mapping[str, Fact]
    """What it was done to, the most telling first: word to value, such as ``key``, ``bundle``, ``content``."""
    result: AuditResult = AuditResult.OK
    code: str = ""
    """The code of the problem, unless the result is ok."""
    why: str = ""
    command: str = ""
    """The command line that does the same, or shows what it led to; empty where there is none, or it is too long."""

    @property
    def subject(self) -> str:
        """What it was done to, in a word: the first thing that is said of it."""
        return str(next(iter(self.what.values()), ""))

    @property
    def details(self) -> str:
        """All else that is said of it, in one line: ``python 3.11.7, key …``."""
        return ", ".join(f"{name} {value}" for name, value in islice(self.what.items(), 1, None))

    def with_options(self, *options: str) -> AuditEvent:
        """The same event with these options for every command in its command line."""
        if not options or not self.command:
            return self
        return replace(self, command=f"{command(*options)}{self.command.removeprefix(_PROGRAM)}")

    def stopped_by(self, error: BaseException) -> AuditEvent:
        """The same event as it ends when `error` is raised."""
        if not isinstance(error, EnvdeckError):
            code = "interrupted" if isinstance(error, KeyboardInterrupt) else "internal"
            return replace(self, result=AuditResult.FAILED, code=code, why=f"{type(error).__name__}: {error}")
        # Content whose build failed is left alone, but the build did happen.
        refused = isinstance(error, Refused | InputError) and error.problem.code != "build-failed"
        return self.ended(AuditResult.REFUSED if refused else AuditResult.FAILED, error.problem)

    def ended(self, result: AuditResult, problem: Problem) -> AuditEvent:
        """The same event with this result, because of `problem`."""
        return replace(self, result=result, code=problem.code, why=str(problem))


class AuditRecord(Struct, frozen=True):
    """An event with its time (seconds since the epoch) and who did it."""

    at: float
    who: Actor
    event: AuditEvent


_ACTOR_TEXTS = tuple(name for name in Actor.__struct_fields__ if name != "pid")


def command(*words: str) -> str:
    """The command line of envdeck with these words, fit for a shell."""
    return shlex.join((_PROGRAM, *words))


def encode(record: AuditRecord) -> bytes:
    """`record` as its line, shorter than `MAX_LINE`. Passwords in URLs are masked, longer texts cut."""
    line = b""
    for limit in _LIMITS:
        line = json.dumps(_values(record, limit), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        if len(line) < MAX_LINE:
            break
    return line


def _values(record: AuditRecord, limit: int) -> dict[str, object]:
    def short(value: Fact) -> Fact:
        return one_line(mask_credentials(value), limit) if isinstance(value, str) else value

    event = record.event
    at = datetime.fromtimestamp(record.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "at": at,
        "action": str(event.action),
        "result": event.result.value,
        "what": {name: short(value) for name, value in islice(event.what.items(), _MOST)},
        "who": {name: short(value) for name, value in asdict(record.who).items() if value},
        "code": event.code,
        "why": short(event.why),
        # Half a command must not be run, so it is left out; nor are blanks in its quotes folded.
        "command": clean(mask_credentials(event.command)) if len(event.command) <= limit else "",
    }


def decode(line: bytes) -> AuditRecord | None:
    """The record that `line` holds, made safe to show; None when that is none."""
    try:
        values = json.loads(line)
        who, what = values["who"], values["what"]
        return AuditRecord(
            at=datetime.fromisoformat(values["at"]).timestamp(),
            who=Actor(**{name: _text(who.get(name, "")) for name in _ACTOR_TEXTS}, pid=int(who.get("pid", 0))),
            event=AuditEvent(
                action=_text(values["action"]),
                what={_text(name): _value(value) for name, value in what.items()},
                result=AuditResult(values["result"]),
                code=_text(values["code"]),
                why=_text(values["why"]),
                command=_text(values["command"]),
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        # Written by a person, cut short by a full disk, or not ours at all.
        return None


def _text(value: object) -> str:
    """A text of a record as it can be shown. Raises `TypeError` when it is none."""
    if not isinstance(value, str):
        raise TypeError
    return clean(value)


def _value(value: object) -> Fact:
    return value if isinstance(value, int | float) else _text(value)

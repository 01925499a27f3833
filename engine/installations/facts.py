"""An interpreter's report as checked values, and back.

The interpreter is a program named in a config file, and the probe cache a file on disk: nothing in either is taken
for granted.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypeVar

from packaging.version import InvalidVersion, Version

from engine.installations.model import InterpreterFacts, ProbeFailure
from engine.text import one_line

__all__ = ["facts_to_json", "parse_facts"]

_T = TypeVar("_T")

_LONGEST_PATH = 4096
_LONGEST_VERSION = 64
_LONGEST_LIST = 1000


class _Unfit(Exception):
    """A field of the report does not hold what it must."""


def parse_facts(report: object) -> InterpreterFacts | ProbeFailure:
    """The facts in a decoded report, or a failure with the code `garbage` that names the first unfit field.

    Never raises. Texts are made safe to show; paths are kept as they are, since files are opened by them.
    """
    try:
        return _facts(report)
    except _Unfit as unfit:
        return ProbeFailure("garbage", str(unfit))


def facts_to_json(facts: InterpreterFacts) -> dict[str, object]:
    """The report that `parse_facts` reads as `facts`."""
    return {
        "version": str(facts.version),
        "implementation": facts.implementation,
        "executable": facts.executable,
        "real_executable": facts.real_executable,
        "prefix": facts.prefix,
        "base_prefix": facts.base_prefix,
        "soabi": facts.soabi,
        "platform": facts.platform,
        "machine": facts.machine,
        "pointer_bits": facts.pointer_bits,
        "libc": facts.libc,
        "pip": facts.pip,
        "purelib": facts.purelib,
        "sys_path": list(facts.sys_path),
        "missing": dict(facts.missing),
        "externally_managed": facts.externally_managed,
        "debug": facts.debug,
        "free_threaded": facts.free_threaded,
        "virtualenv": facts.virtualenv,
    }


def _facts(report: object) -> InterpreterFacts:
    if not isinstance(report, dict):
        raise _Unfit("the report is not an object")

    def field(name: str, kind: type[_T]) -> _T:
        value = report.get(name)
        # JSON's true is an int to Python, but not to us.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _Unfit(f"{name} is not of type {kind.__name__}")
        return value

    def text(name: str) -> str:
        return _text(name, report.get(name))

    def path(name: str) -> str:
        return _path(name, report.get(name))

    def optional_text(name: str) -> str | None:
        return None if report.get(name) is None else text(name)

    pip = report.get("pip")
    pointer_bits = field("pointer_bits", int)
    if pointer_bits not in (32, 64):
        raise _Unfit("pointer_bits is neither 32 nor 64")
    entries = field("sys_path", list)
    missing = field("missing", dict)
    for name, items in (("sys_path", entries), ("missing", missing)):
        if len(items) > _LONGEST_LIST:
            raise _Unfit(f"{name} has too many entries")
    return InterpreterFacts(
        version=_version("version", report.get("version")),
        implementation=text("implementation"),
        executable=path("executable"),
        real_executable=path("real_executable"),
        prefix=path("prefix"),
        base_prefix=path("base_prefix"),
        soabi=text("soabi"),
        platform=text("platform"),
        machine=text("machine"),
        pointer_bits=pointer_bits,
        libc=text("libc"),
        pip=None if pip is None else str(_version("pip", pip)),
        purelib=path("purelib"),
        sys_path=tuple(_path("sys_path", entry) for entry in entries),
        missing={one_line(name): _text("missing", why) for name, why in missing.items()},
        externally_managed=field("externally_managed", bool),
        debug=field("debug", bool),
        free_threaded=field("free_threaded", bool),
        virtualenv=optional_text("virtualenv"),
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _Unfit(f"{name} is not a text")
    return one_line(value)


def _path(name: str, value: object) -> str:
    """An absolute path that the operating system would take."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or len(value) > _LONGEST_PATH:
        raise _Unfit(f"{name} is not an absolute path")
    return value


def _version(name: str, value: object) -> Version:
    # The length first: Python refuses to read numbers of thousands of digits.
    if isinstance(value, str) and len(value) <= _LONGEST_VERSION:
        with suppress(InvalidVersion):
            return Version(value)
    raise _Unfit(f"{name} is not a version")

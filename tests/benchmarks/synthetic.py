"""A data directory as large as wanted: environments and content as builds and deployments leave them, all invented."""

from __future__ import annotations

import base64
import json
import os
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Interpreter", "fill"]

_PYTHONS = ("3.8.18", "3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0")
_NAMES = [f"package-{number:03d}" for number in range(600)]
_LONG_AGO = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One that environments are built on."""

    version: str
    path: str
    identity: Mapping[str, object]


def _invented(version: str) -> Interpreter:
    home = f"/opt/python/{version}"
    identity = {"implementation": "CPython", "version": version, "pointer_bits": 64, "base_prefix": home}
    return Interpreter(version, f"{home}/bin/python3", identity)


def fill(
    data_dir: Path, environments: int, contents: int, packages: int = 50, there: Interpreter | None = None
) -> None:
    """`environments` with as many packages each, a third of them used, and `contents` that use them.

    Their interpreters are invented ones, but all except the last are the one that is `there`, if any is.
    """
    chance = random.Random(1)
    *some, last = map(_invented, _PYTHONS)
    pythons = [*([there] * len(some) if there else some), last]
    keys = [
        _environment(data_dir, number, pythons[number % len(pythons)], packages, chance)
        for number in range(environments)
    ]
    for number in range(contents):
        _content(data_dir, number, *chance.choice(keys))
    for place in (*(data_dir / "python-environments/pip").glob("*"), data_dir / "content"):
        if place.is_dir():
            _age(place)


def _environment(
    data_dir: Path, number: int, interpreter: Interpreter, packages: int, chance: random.Random
) -> tuple[str, str]:
    python = interpreter.version
    key = f"{number:06d}".ljust(22, "k")
    key_dir = data_dir / "python-environments" / "pip" / python / key
    attempt = f"20261121-023000-{number:06x}"
    home = interpreter.identity["base_prefix"]
    (key_dir / attempt / "bin").mkdir(parents=True)
    (key_dir / attempt / "pyvenv.cfg").write_text(f"home = {home}/bin\n")
    (key_dir / attempt / "bin" / "python").symlink_to("/bin/sh")
    installed = {name: f"{chance.randrange(3)}.{chance.randrange(3)}" for name in chance.sample(_NAMES, packages)}
    lines = sorted(f"{name}=={version}" for name, version in list(installed.items())[: packages // 4])
    record = {
        "key": key,
        "attempt": attempt,
        "installer": "pip",
        "python_version": python,
        "python_path": interpreter.path,
        "target": "Local",
        "bundle": f"bundle-{number}",
        "lines": lines,
        "ingredients": {
            "format": 1,
            "installer": "pip",
            "target": "Local",
            "interpreter": dict(interpreter.identity),
            "index": {},
            "requirements": lines,
            "constraints": [],
            "options": [],
            "source": "",
        },
        "packages": [{"name": name, "version": version} for name, version in sorted(installed.items())],
        "size": chance.randrange(10**9),
        "files": 9000,
        "built_at": _LONG_AGO + number,
        "built_by": "admin",
        "seconds": 12.5,
        "seal": base64.urlsafe_b64encode(chance.randbytes(32)).rstrip(b"=").decode(),
    }
    (key_dir / "current.json").write_text(json.dumps(record, indent=2, sort_keys=True))
    if number % 3 == 0:
        (key_dir / "last-used").touch()
    _age(key_dir / "current.json")
    _age(key_dir)
    return key, python


def _content(data_dir: Path, number: int, key: str, python: str) -> None:
    guid = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
    directory = data_dir / "content" / guid
    directory.mkdir(parents=True)
    bundle = {"number": 1, "deployed_at": _LONG_AGO, "deployed_by": "admin", "name": "app", "size": 1000}
    record = {
        "guid": guid,
        "name": f"content-{number}",
        "app_mode": "python-fastapi",
        "created_at": _LONG_AGO + number,
        "created_by": "admin",
        "active": 1,
        "managed": True,
        "management": None,
        "default_image": "",
        "installation": {"version": python, "path": "/opt/python", "target": "Local", "identity": {"version": python}},
        "bundles": [{**bundle, "key": key, "python_version": python}],
    }
    (directory / "content.json").write_text(json.dumps(record))
    _age(directory / "content.json")


def _age(path: Path) -> None:
    """Nothing of it has just changed."""
    os.utime(path, (_LONG_AGO, _LONG_AGO))

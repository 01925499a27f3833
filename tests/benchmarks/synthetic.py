"""A data directory as large as wanted: environments and content as builds and deployments leave them, all invented."""

from __future__ import annotations

import json
import os
import random
import uuid
from pathlib import Path

__all__ = ["fill"]

_PYTHONS = ("3.8.18", "3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.13.0")
_NAMES = [f"package-{number:03d}" for number in range(600)]
_LONG_AGO = 1_700_000_000


def fill(data_dir: Path, environments: int, contents: int, packages: int = 50) -> None:
    """`environments` with as many packages each, a third of them used, and `contents` that use them."""
    chance = random.Random(1)
    keys = [_environment(data_dir, number, packages, chance) for number in range(environments)]
    for number in range(contents):
        _content(data_dir, number, *chance.choice(keys))
    for place in (*(data_dir / "python-environments/pip").glob("*"), data_dir / "content"):
        if place.is_dir():
            _age(place)


def _environment(data_dir: Path, number: int, packages: int, chance: random.Random) -> tuple[str, str]:
    python = _PYTHONS[number % len(_PYTHONS)]
    key = f"{number:06d}".ljust(22, "k")
    key_dir = data_dir / "python-environments" / "pip" / python / key
    attempt = f"20261121-023000-{number:06x}"
    home = f"/opt/python/{python}"
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
        "python_path": f"{home}/bin/python3",
        "target": "Local",
        "bundle": f"bundle-{number}",
        "lines": lines,
        "ingredients": {
            "format": 1,
            "installer": "pip",
            "target": "Local",
            "interpreter": {"implementation": "CPython", "version": python, "pointer_bits": 64, "base_prefix": home},
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
        "seal": "s" * 43,
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

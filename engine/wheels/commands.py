"""The scripts that an installer writes for entry points, in the words of the very pip that would have written them.

pip changed the text more than once, so it is not copied here but learned: pip installs a small wheel of ours whose one
command has names that nothing else has, and what they stand in is the text.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from engine.wheels.compiling import run_bounded

__all__ = ["command_script", "fallback", "learn"]

_LATEST = """\
import sys
from {module} import {object}
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit({function}())
"""
"""What the latest pip writes; for one that nothing was learned of. Not for Python before 3.9."""

_OLD = _LATEST.replace(".removesuffix('.exe')", "")
_NAMES = {"envdeck_object.envdeck_function": "{function}", "envdeck_object": "{object}", "envdeck_module": "{module}"}
_COMMAND = "envdeck-command"
_SHEBANG_LENGTH = 127
_SECONDS = 120.0
_INFO = "envdeck_learns-1.dist-info"
_ENTRY_POINTS = f"[console_scripts]\n{_COMMAND} = envdeck_module:envdeck_object.envdeck_function\n"


def _shebang(python: str) -> str:
    """The first line of a script for the interpreter at `python`, three of them where the system would not take one."""
    if " " not in python and len(python.encode()) + 3 <= _SHEBANG_LENGTH:
        return f"#!{python}\n"
    quoted = f'"{python}"' if " " in python else python
    return f"#!/bin/sh\n'''exec' {quoted} \"$0\" \"$@\"\n' '''\n"


def command_script(text: str, python: str, module: str, function: str) -> bytes:
    """The script of the command that calls `function` of `module`, where `text` is as `learn` returns it."""
    values = {"module": module, "object": function.partition(".")[0], "function": function}
    body = re.sub(r"\{(module|object|function)\}", lambda found: values[found[1]], text)
    return (_shebang(python) + body).encode()


def learn(python: Path, place: Path, env: dict[str, str], give_up: Callable[[], bool]) -> str | None:
    """The text that the pip of the interpreter `python` makes commands of; None when it cannot be told.

    Works in the new directory `place`. Raises `OSError`.
    """
    place.mkdir()
    wheel = _wheel(place)
    target = place / "target"
    argv = [str(python), "-I", "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--no-input"]
    argv += ["--disable-pip-version-check", "--target", str(target), str(wheel)]
    code, _ = run_bounded(argv, env, Path("/"), give_up, _SECONDS)
    try:
        text = (target / "bin" / _COMMAND).read_text("utf-8") if code == 0 else ""
    except (OSError, UnicodeDecodeError):
        return None
    lines = text.splitlines(keepends=True)
    body = "".join(lines[3 if text.startswith("#!/bin/sh") else 1 :])
    for name, field in _NAMES.items():
        if name not in body:
            return None
        body = body.replace(name, field)
    return body


def fallback(tag: str) -> str:
    """The text for a pip of which nothing was learned, for interpreters of the kind `tag`."""
    found = re.match(r"cpython-3(\d+)", tag)
    return _LATEST if found and int(found[1]) >= 9 else _OLD


def _wheel(place: Path) -> Path:
    files = {
        "envdeck_module.py": "",
        f"{_INFO}/METADATA": "Metadata-Version: 2.1\nName: envdeck-learns\nVersion: 1\n",
        f"{_INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: envdeck\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{_INFO}/entry_points.txt": _ENTRY_POINTS,
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    path = place / "envdeck_learns-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{_INFO}/RECORD": f"{record}{_INFO}/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return path

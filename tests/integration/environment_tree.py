"""An environment as values, so that two of them can be compared file by file."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

# Run by the interpreter that made the bytecode. Names of files in it are those of where it was compiled, until import.
_BYTECODE = """
import hashlib, json, marshal, sys, types
def constant(value):
    if isinstance(value, types.CodeType):
        return plain(value)
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)
def plain(code):
    names = [n for n in dir(code) if n.startswith("co_") and n not in ("co_filename", "co_consts", "co_lnotab")]
    values = [repr(v) for v in (getattr(code, name) for name in names) if not callable(v)]
    return [values, [constant(each) for each in code.co_consts]]
found = {}
for path in json.load(sys.stdin):
    with open(path, "rb") as file:
        head, code = file.read(16), file.read()
    text = json.dumps(plain(marshal.loads(code)))
    # Flags; the time and size of the source are compared with the source.
    found[path] = [head[:8].hex(), int.from_bytes(head[8:12], "little"), int.from_bytes(head[12:], "little"),
                   hashlib.sha256(text.encode()).hexdigest()]
print(json.dumps(found))
"""


def contents(root: Path, python: Path) -> dict[str, object]:
    """Everything in `root` by path: what is in each file and whether it can be executed, and where each link goes.

    Bytecode counts by what it does, and whether it belongs to the source that is beside it.
    """
    found: dict[str, object] = {}
    bytecode = []
    for directory, directories, files in os.walk(root):
        for name in [*files, *(d for d in directories if Path(directory, d).is_symlink())]:
            path = Path(directory, name)
            key = str(path.relative_to(root))
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            elif name.endswith(".pyc"):
                bytecode.append(str(path))
            else:
                found[key] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    argv = [python, "-I", "-c", _BYTECODE]
    said = subprocess.run(argv, input=json.dumps(bytecode), capture_output=True, text=True, check=True).stdout
    for path, (flags, time, size, code) in json.loads(said).items():
        source = Path(path).parent.parent / (Path(path).name.partition(".")[0] + ".py")
        status = source.stat()
        fresh = (time, size) == (int(status.st_mtime), status.st_size)
        found[str(Path(path).relative_to(root))] = (flags, fresh, code)
    return found

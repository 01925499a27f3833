"""Fetching wheels by the service's own run of an interpreter's pip, which checks name, version and digest of each.

pip downloads wheels and runs nothing of them. It reads no configuration file, because those of the build account may
name programs to run; what these files say of indexes is handed over as variables, which other accounts cannot read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from engine.text import decode, mask_credentials, one_line
from engine.wheels.compiling import run_bounded
from engine.wheels.model import WAYS, Wanted

__all__ = ["Source", "fetch", "pip_environment"]

_PASSED = WAYS | {"default-timeout", "retries", "timeout"}
"""The options that say where wheels are and how to get there."""
_FAILURES = 12
"""Runs that may fail before the rest is given up: an index that does not answer fails every one of them."""
_CHUNK = 1024 * 1024


class Source(Struct, frozen=True):
    """Where wheels are fetched from, and by which interpreter."""

    python: Path
    """Its pip fetches them, and it compiles them."""
    tag: str
    """Its `bytecode_tag`."""
    pip_version: str
    index: str
    """The `index_digest` under which builds will look for them."""
    options: Mapping[str, str] = field(default_factory=dict)
    """pip's options by name, as its configuration files have them; pip reads no other. May hold passwords."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables for pip, such as proxies and certificates."""

    def __repr__(self) -> str:
        return f"Source({self.python}, {self.tag})"  # the options and variables may hold passwords

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("python", self.python), ("tag", self.tag)]  # as for `Asked`


def pip_environment(source: Source, home: Path) -> dict[str, str]:
    """The variables that pip runs with; `home` is an empty directory of our own."""
    options = {
        "PIP_" + name.upper().replace("-", "_"): " ".join(value.split())
        for name, value in source.options.items()
        if name in _PASSED
    }
    own = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PIP_CONFIG_FILE": "/dev/null",
        # It would look for programs by the configuration of whoever owns the home directory.
        "PIP_KEYRING_PROVIDER": "disabled",
    }
    return (
        {name: value for name, value in source.env.items() if not name.startswith(("PIP_", "PYTHON"))} | options | own
    )


def fetch(
    source: Source, wanted: Sequence[Wanted], place: Path, give_up: Callable[[], bool], timeout: float
) -> tuple[dict[Wanted, Path], dict[Wanted, str]]:
    """Fetch `wanted`, which are sound, into the new directory `place`: the file of each, and why others have none.

    All at once, and where that fails, halves of it, because pip downloads nothing when it cannot have one of them.
    Raises `OSError`.
    """
    place.mkdir()
    (place / "home").mkdir(mode=0o700)
    env = pip_environment(source, place / "home")
    refused: dict[Wanted, str] = {}
    pending, failures, end = [list(wanted)], 0, time.monotonic() + timeout
    while pending:
        some = pending.pop()
        if not some:
            continue
        left = end - time.monotonic()
        if failures >= _FAILURES or left <= 0 or give_up():
            refused |= dict.fromkeys(some, "it was given up")
            continue
        code, output = _run(source, some, place, env, give_up, left)
        if code == 0:
            continue
        failures += 1
        if len(some) == 1:
            refused[some[0]] = _reason(code, output)
        else:
            pending += [some[len(some) // 2 :], some[: len(some) // 2]]
    found = {_digest(path): path for path in place.glob("*.whl")}
    got = {each: found[each.sha256] for each in wanted if each.sha256 in found and each not in refused}
    return got, refused | {each: "pip did not fetch it" for each in wanted if each not in got and each not in refused}


def _run(
    source: Source,
    wanted: Sequence[Wanted],
    place: Path,
    env: dict[str, str],
    give_up: Callable[[], bool],
    timeout: float,
) -> tuple[int | None, bytes]:
    assert all(each.sound for each in wanted), "pip would read something else"
    pins = place / "pins.txt"
    pins.write_text("".join(f"{w.pin.name}=={w.pin.version} --hash=sha256:{w.sha256}\n" for w in wanted), "utf-8")
    argv = [
        str(source.python),
        "-I",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
    ]
    argv += ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    argv += ["--dest", str(place), "-r", str(pins)]
    return run_bounded(argv, env, place / "home", give_up, timeout)


def _reason(code: int | None, output: bytes) -> str:
    if code is None:
        return "it took too long"
    lines = [line for line in decode(output).splitlines() if line.startswith("ERROR: ")]
    return (
        one_line(mask_credentials(lines[-1].removeprefix("ERROR: "))) if lines else f"pip ended with exit code {code}"
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Running a command of content in the image that it runs in, with podman or docker on this machine.

The container sees the bundle and the environment at the same paths as this machine does. The command is started by a
client of the tool in the foreground, so that it has this process's standard streams, its exit code and its signals,
and the client inherits the locks that say that the content is in use.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from engine.config.model import ExecutorSettings
from engine.errors import Problem, Refused
from engine.executors.accounts import Account
from engine.executors.base import Mount
from engine.executors.container_tool import Tool, find_tool, has_registry, image_variables, options

__all__ = ["FoundImage", "client", "fetch", "find_image", "image_problem", "kept_by_guard", "pid_file", "takes_signals"]

_STANDARD_ERROR = 2
_FIRST_KEPT = 64
_PROGRAM = 'exec "$@"'
"""What the container runs. The shell says how a command that cannot be started ends: 127 or 126, by POSIX 2.8.2."""


class FoundImage(Struct, frozen=True):
    """An image, and the tool that runs it."""

    name: str
    tool: Tool
    variables: Mapping[str, str] | None
    """What the image sets; None when it is not there."""


def find_image(name: str, settings: ExecutorSettings, environ: Mapping[str, str]) -> FoundImage:
    """Look for the image `name` on this machine. Raises `ExecutorError` when no tool for images can be used."""
    tool = find_tool(settings.container_command, environ)
    return FoundImage(name, tool, image_variables(tool.command, name, environ))


def image_problem(image: FoundImage) -> Problem | None:
    """Why nothing can be run in `image`; None when it can, be it after it is fetched."""
    if image.variables is not None or has_registry(image.name):
        return None
    return Problem(
        "image-missing",
        f"the content runs in the image {image.name}, and {image.tool.command} does not have it",
        expected="an image of this machine, or a name that says which registry it comes from",
        found=image.name,
        hint=f"`{image.tool.command} images` lists those of this machine",
    )


def fetch(image: FoundImage, environ: Mapping[str, str]) -> None:
    """Fetch the image; the tool shows its progress on standard error. Raises `Refused` (`image-missing`)."""
    command = [image.tool.command, "pull", image.name]
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=_STANDARD_ERROR, check=False)
    if done.returncode:
        raise Refused(
            Problem(
                "image-missing",
                f"the image {image.name} that the content runs in cannot be fetched",
                found=f"exit code {done.returncode} of {image.tool.command}, which says why",
            )
        )


def client(
    image: FoundImage,
    argv: Sequence[str],
    *,
    variables: Mapping[str, str],
    mounts: Sequence[Path],
    cwd: Path,
    account: Account | None,
    settings: ExecutorSettings,
    environ: Mapping[str, str],
    first: Path | None = None,
) -> list[str]:
    """The client that runs `argv` in `image`, which is there; to be run in the environment `environ`.

    The command sees `variables` and nothing of the caller's but its terminal. It may write in `cwd` and only read
    `mounts`. `first` is the `pid_file` to be written.
    """
    terminal = os.isatty(0) and os.isatty(1)
    env = dict(variables)
    if terminal and "TERM" in environ:
        env["TERM"] = environ["TERM"]
    given = [image.tool.command, "run", "--rm", "--init", "--interactive", "--pull=never", "--log-driver=none"]
    if terminal:
        given.append("--tty")
    if first:
        given.append(f"--pidfile={first}")
    given += options(
        image.tool,
        env=env,
        # Nothing that the image sets gets into the client's own environment, which may be that of root.
        environ=environ,
        image_env=tuple(image.variables or ()),
        mounts=(*(Mount(path) for path in mounts), Mount(cwd, read_only=False)),
        cwd=cwd,
        user=account,
    )
    command = ["--entrypoint=/bin/sh", image.name, "-c", _PROGRAM, "sh", *argv]
    return [*given, *settings.container_options, *command]


@contextmanager
def kept_by_guard(locks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """The descriptors `locks` once more, for a client to inherit that podman's guard of the container inherits in turn.

    conmon lives as long as the container, also when the client is killed. podman puts descriptors of its own in the
    place of the first ones that conmon would inherit, so these have high numbers.
    """
    kept: list[int] = []
    try:
        kept += [fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, _FIRST_KEPT) for lock in locks]
        yield tuple(kept)
    finally:
        for descriptor in kept:
            os.close(descriptor)


@contextmanager
def pid_file(image: FoundImage | None) -> Iterator[Path | None]:
    """Where the client is to say which process is the first one of the container; None where it cannot."""
    if image is None or image.tool.docker or image.tool.remote:
        yield None
        return
    with TemporaryDirectory(prefix="envdeck-run-", ignore_cleanup_errors=True) as directory:
        yield Path(directory, "pid")


def takes_signals(client: int, first: Path | None) -> bool:
    """Whether a signal for `client` reaches what it runs by now, whose `pid_file` is `first`. True as well when it has
    ended.

    Before the client passes signals on, podman up to 4.3 ends on one, with exit code 0, and leaves the container
    running. As docker does, it passes on all that there are then, and a program in Go has no handler of SIGCONT until
    it asks for one. The init that takes them in the container, as its first process, ignores them until it blocks them.
    """
    if not _has(client, "SigCgt", signal.SIGCONT):
        return False
    try:
        return first is None or _has(int(first.read_text()), "SigBlk", signal.SIGTERM)
    except (OSError, ValueError):
        return False


def _has(pid: int, mask: str, number: int) -> bool:
    """Whether the signal `number` is in the `mask` of the process `pid` (proc(5)); True when that is gone."""
    try:
        found = re.search(rf"^{mask}:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return True
    return found is None or bool(int(found[1], 16) & 1 << number - 1)

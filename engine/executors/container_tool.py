"""podman and docker: which of them works here, what they say of containers, and where the two differ.

Everything here is measured for podman 4.3 and docker 20.10 to 28 (executors.md §2.1).
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from engine.errors import Problem
from engine.executors.accounts import Account
from engine.executors.base import ExecutorError, Mount
from engine.executors.tools import printed, run_tool
from engine.text import one_line

__all__ = [
    "NO_IMAGE",
    "Container",
    "Tool",
    "find_tool",
    "has_registry",
    "image_variables",
    "options",
    "read_container",
    "refusal",
    "tool_from_info",
]

_COMMANDS = ("podman", "docker")
_INFO_SECONDS = 20.0
_FORMAT = "--format={{json .}}"
_MOST_PROCESSES = 4096
NO_IMAGE = re.compile(r"no such image|image not known", re.IGNORECASE)
"""What podman and docker say of an image that is not on this machine."""
_ERROR = re.compile(r"Error( response from daemon)?: ")


class Tool(Struct, frozen=True):
    """A program that runs containers, and what it said about itself."""

    command: str
    docker: bool
    """Whether it is docker, whatever its name is; otherwise it is podman."""
    version: str
    host: str
    """The machine that its containers run on."""
    rootless: bool
    """Whether root inside a container is the account of this process outside."""
    limits_memory: bool
    remote: bool = False
    """Whether its containers run on another machine, so that their processes cannot be seen from here."""


class Container(Struct, frozen=True):
    """What the tool says about a container."""

    id: str
    running: bool
    exit_code: int
    pid: int
    """Of its first process as this machine sees it; 0 when it does not run."""
    guard: int
    """The process id of what podman watches it with; 0 for docker, which watches by itself."""
    out_of_memory: bool
    """False proves nothing with podman: it is also False when the kernel has killed a process."""
    ended: bool
    started: float
    """Seconds since the epoch; 0.0 when it was never started."""
    finished: float
    """Seconds since the epoch; 0.0 before."""


def find_tool(setting: str, environ: Mapping[str, str]) -> Tool:
    """The program that `setting` (``Envdeck.ContainerCommand``) names, or whichever of podman and docker works.

    Raises `ExecutorError` (`executor-unavailable`).
    """
    commands = (setting,) if setting else _COMMANDS
    refusals = []
    for command in commands:
        found = _ask(command, environ)
        if isinstance(found, Tool):
            return found
        refusals.append(f"{command}: {found}")
    hint = "Install podman, or let the daemon of docker run"
    if setting:
        hint = "Correct Envdeck.ContainerCommand, or leave it out: then podman or docker is taken, whichever works"
    raise ExecutorError(
        Problem(
            "executor-unavailable", f"{' and '.join(commands)} cannot be used", found="; ".join(refusals), hint=hint
        )
    )


def _ask(command: str, environ: Mapping[str, str]) -> Tool | str:
    """What the program says about itself, or why it cannot be used."""
    if shutil.which(command, path=environ.get("PATH", os.defpath)) is None:
        return "not found"
    try:
        done = run_tool((command, "info", _FORMAT), environ, _INFO_SECONDS)
    except ExecutorError as error:
        return error.problem.found
    tool = tool_from_info(command, done.stdout)
    if tool is None or done.returncode:
        return refusal(done.stderr) or f"`{command} info` makes no sense"
    return tool


def tool_from_info(command: str, text: str) -> Tool | None:
    """What ``info`` printed; None when that is not what podman or docker print, or a client without its daemon."""
    try:
        info = json.loads(text)
        if "host" in info:
            host = info["host"]
            return Tool(
                command,
                docker=False,
                version=one_line(f"podman {info['version']['Version']}"),
                host=one_line(host["hostname"]),
                rootless=bool(host["security"]["rootless"]),
                limits_memory="memory" in (host.get("cgroupControllers") or ()),
                remote=bool(host.get("serviceIsRemote")),
            )
        if not info["ServerVersion"] or info.get("ServerErrors"):
            return None
        return Tool(
            command,
            docker=True,
            version=one_line(f"docker {info['ServerVersion']}"),
            host=one_line(info["Name"]),
            rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
            limits_memory=bool(info["MemoryLimit"]),
            remote=info["Name"] != platform.node(),
        )
    except (ValueError, KeyError, TypeError):
        return None


def refusal(said: str) -> str:
    """The point of what the tool said when it refused: not its warnings before, nor its advice after that."""
    lines = said.strip().splitlines() or [""]
    point = next((line for line in lines if _ERROR.match(line)), lines[0])
    return one_line(_ERROR.sub("", point, count=1), 500)


def read_container(text: str) -> Container:
    """The container that ``container inspect`` printed. Raises `ValueError` when it makes no sense."""
    try:
        (record,) = json.loads(text)
        state = record["State"]
        return Container(
            id=str(record["Id"]),
            running=bool(state["Running"]) or state["Status"] in ("paused", "stopping"),
            exit_code=int(state["ExitCode"]),
            pid=int(state["Pid"]),
            guard=int(state.get("ConmonPid", 0)),
            out_of_memory=bool(state["OOMKilled"]),
            ended=state["Status"] in ("exited", "stopped", "dead", "removing"),
            started=_time(state["StartedAt"]),
            finished=_time(state["FinishedAt"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no container: {error}") from error


def _time(text: str) -> float:
    return max(0.0, datetime.fromisoformat(text).timestamp())


def image_variables(command: str, image: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """The variables that the image sets; None when it is not on this machine. Raises `ExecutorError`."""
    asked = run_tool((command, "image", "inspect", "--format={{json .Config.Env}}", image), environ, _INFO_SECONDS)
    if asked.returncode and NO_IMAGE.search(asked.stderr):
        return None
    entries = (entry.partition("=") for entry in json.loads(printed(asked)) or ())
    return {name: value for name, _, value in entries}


def has_registry(image: str) -> bool:
    """Whether the name says which registry the image comes from, so that it may be fetched: ``ghcr.io/name:tag``."""
    registry, slash, _ = image.partition("/")
    return bool(slash) and registry != "localhost" and bool(re.search(r"[.:]", registry))


def options(
    tool: Tool,
    *,
    env: Mapping[str, str],
    environ: Mapping[str, str],
    image_env: Sequence[str],
    mounts: Sequence[Mount],
    cwd: Path,
    user: Account | None,
) -> list[str]:
    """The options of ``create`` and ``run`` that make a container see exactly this and nothing of the image's own.

    `env` is its whole environment, `environ` the one that the tool is run in, `image_env` are the names of the
    variables that the image sets.
    """
    # Without a label of SELinux's: a container's own may not enter a data directory, and that must not be relabelled.
    given = ["--security-opt=label=disable", "--security-opt=no-new-privileges", f"--pids-limit={_MOST_PROCESSES}"]
    if tool.docker:
        # docker takes a bare name that it does not know itself for one that the container shall not have.
        given += [f"--env={name}{'=' if name in environ else ''}" for name in image_env if name not in env]
    else:
        given += ["--unsetenv-all", "--http-proxy=false"]
    # By the tool's own environment where that is possible: whoever is on this machine sees its arguments.
    given += [f"--env={name}" if environ.get(name) == value else f"--env={name}={value}" for name, value in env.items()]
    given += [_mount_option(mount) for mount in mounts]
    given += [f"--workdir={cwd}", *_user_options(tool, user)]
    return given


def _user_options(tool: Tool, user: Account | None) -> list[str]:
    if tool.rootless:
        return ["--user=0:0"]
    uid, gid = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    groups = user.groups if user else os.getgroups()
    return [f"--user={uid}:{gid}", *(f"--group-add={group}" for group in sorted({*groups} - {gid}))]


def _mount_option(mount: Mount) -> str:
    # Not as `--volume`, which makes a directory of what is not there, and cannot say a path with a colon.
    fields = ["type=bind", f"source={mount.path}", f"target={mount.path}"]
    if mount.read_only:
        fields.append("readonly")
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return f"--mount={text.getvalue()}"

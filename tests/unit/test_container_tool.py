"""What podman and docker say, and what they are told; the answers are theirs, shortened."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from engine.config.model import ExecutorSettings
from engine.executors.accounts import Account
from engine.executors.base import ExecutorError, Mount
from engine.executors.cgroups import in_group, memory_kills
from engine.executors.container import ContainerExecutor
from engine.executors.container_tool import (
    Tool,
    find_tool,
    has_registry,
    options,
    read_container,
    refusal,
    tool_from_info,
)

PODMAN_INFO: dict[str, Any] = {
    "host": {
        "cgroupControllers": ["cpu", "memory", "pids"],
        "hostname": "vm",
        "security": {"rootless": False},
        "serviceIsRemote": False,
    },
    "version": {"Version": "4.3.1"},
}
DOCKER_INFO: dict[str, Any] = {
    "MemoryLimit": True,
    "Name": platform.node(),
    "SecurityOptions": ["name=seccomp,profile=default"],
    "ServerVersion": "20.10.24+dfsg1",
}
PODMAN = Tool("podman", docker=False, version="podman 4.3.1", host="vm", rootless=False, limits_memory=True)
DOCKER = Tool("docker", docker=True, version="docker 28.2.2", host="vm", rootless=False, limits_memory=True)

ID = "77fe9d1f690e85d5d051a106b72a3116b52f2614adfe8a615888e1a9b3116e20"
STATE: dict[str, Any] = {
    "Status": "exited",
    "Running": False,
    "OOMKilled": False,
    "Pid": 0,
    "ExitCode": 7,
    "StartedAt": "2026-11-21T11:56:25.399492227Z",
    "FinishedAt": "2026-11-21T12:56:26.4+01:00",
}
NEVER = "0001-01-01T00:00:00Z"


def test_podman_is_known_by_what_it_says_whatever_it_is_called() -> None:
    assert tool_from_info("podman", json.dumps(PODMAN_INFO)) == PODMAN
    shim = tool_from_info("/usr/bin/docker", json.dumps(PODMAN_INFO))
    assert shim is not None
    assert not shim.docker


def test_docker_is_known_by_what_its_daemon_says() -> None:
    tool = tool_from_info("docker", json.dumps(DOCKER_INFO))
    assert tool is not None
    assert (tool.docker, tool.rootless, tool.limits_memory, tool.remote) == (True, False, True, False)
    rootless = tool_from_info("docker", json.dumps({**DOCKER_INFO, "SecurityOptions": ["name=rootless"]}))
    assert rootless is not None
    assert rootless.rootless
    elsewhere = tool_from_info("docker", json.dumps({**DOCKER_INFO, "Name": "another-machine"}))
    assert elsewhere is not None
    assert elsewhere.remote


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"host": null}',
        '{"host": {}, "version": {}}',
        json.dumps({**DOCKER_INFO, "ServerVersion": ""}),
        json.dumps({**DOCKER_INFO, "ServerErrors": ["Cannot connect to the Docker daemon"]}),
    ],
)
def test_a_client_without_its_daemon_is_no_tool(said: str) -> None:
    assert tool_from_info("docker", said) is None


def program(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_of_podman_and_docker_the_one_that_works_is_taken(tmp_path: Path) -> None:
    (tmp_path / "docker.json").write_text(json.dumps(DOCKER_INFO))
    program(tmp_path / "bin", "podman", "echo 'cannot set up namespace' >&2; exit 125")
    program(tmp_path / "bin", "docker", f"cat {tmp_path}/docker.json")
    environ = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    assert find_tool("", environ).command == "docker"
    with pytest.raises(ExecutorError) as refused:
        find_tool("podman", environ)
    assert "cannot set up namespace" in refused.value.problem.found
    assert "Envdeck.ContainerCommand" in refused.value.problem.hint


def test_nothing_that_runs_containers_is_said_with_both_reasons(tmp_path: Path) -> None:
    program(tmp_path, "docker", "echo '{}'; echo 'Is the docker daemon running?' >&2; exit 1")
    executor = ContainerExecutor(tmp_path, ExecutorSettings(), {"PATH": str(tmp_path)})
    availability = executor.availability()
    assert availability.problem is not None
    assert availability.problem.code == "executor-unavailable"
    assert availability.problem.found == "podman: not found; docker: Is the docker daemon running?"


@pytest.mark.parametrize(
    ("changes", "running", "ended"),
    [
        ({}, False, True),
        ({"Status": "running", "Running": True, "Pid": 4711, "ConmonPid": 4710}, True, False),
        ({"Status": "paused", "Running": False}, True, False),
        ({"Status": "stopping", "Running": False}, True, False),
        ({"Status": "created", "StartedAt": NEVER}, False, False),
        ({"Status": "stopped", "ExitCode": -1}, False, True),
        ({"Status": "dead"}, False, True),
    ],
)
def test_a_container_runs_has_ended_or_neither(changes: dict[str, Any], running: bool, ended: bool) -> None:
    container = read_container(json.dumps([{"Id": ID, "State": {**STATE, **changes}}]))
    assert (container.running, container.ended) == (running, ended)
    assert container.guard == changes.get("ConmonPid", 0)
    assert (container.started == 0.0) is (changes.get("StartedAt") == NEVER)


def test_times_of_a_container_are_seconds_since_the_epoch() -> None:
    container = read_container(json.dumps([{"Id": ID, "State": STATE}]))
    assert container.started == pytest.approx(1795262185.399, abs=0.01)
    assert container.finished - container.started == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", '[{"Id": "x"}]', '[{"Id": "x", "State": {"Status": "exited"}}]', "[1]"]
)
def test_an_inspection_that_makes_no_sense_is_no_container(said: str) -> None:
    with pytest.raises(ValueError):
        read_container(said)


@pytest.mark.parametrize(
    ("said", "point"),
    [
        ("Error: localhost/x:1: image not known\n", "localhost/x:1: image not known"),
        ("Error: unknown flag: --x\nSee 'podman create --help'\n", "unknown flag: --x"),
        ("unknown flag: --x\n\nUsage:  docker create [OPTIONS]\n", "unknown flag: --x"),
        ("WARNING: no swap\nError response from daemon: No such image: x:1\n", "No such image: x:1"),
        ("", ""),
    ],
)
def test_a_refusal_is_told_by_its_point(said: str, point: str) -> None:
    assert refusal(said) == point


@pytest.mark.parametrize(
    ("image", "has"),
    [
        ("ghcr.io/name/image:tag", True),
        ("registry:5000/image", True),
        ("127.0.0.1:5000/image@sha256:0123", True),
        ("localhost:5000/image", True),
        ("localhost/image:tag", False),
        ("image:3.12.1", False),
        ("name/image:3.12.1", False),
        ("", False),
    ],
)
def test_an_image_is_fetched_when_its_name_says_where_from(image: str, has: bool) -> None:
    assert has_registry(image) is has


def told(tool: Tool, **changes: Any) -> list[str]:
    given: dict[str, Any] = {
        "env": {"PATH": "/bin", "http_proxy": "http://user:secret@proxy"},
        "environ": {"PATH": "/usr/bin", "http_proxy": "http://user:secret@proxy", "LANG": "C"},
        "image_env": ("PATH", "LANG", "GPG_KEY"),
        "mounts": (),
        "cwd": Path("/data"),
        "user": None,
    }
    return options(tool, **{**given, **changes})


def test_no_value_that_the_tool_has_itself_is_among_its_arguments() -> None:
    for tool in (PODMAN, DOCKER):
        assert "--env=http_proxy" in told(tool)
        assert "--env=PATH=/bin" in told(tool)
        assert not any("secret" in option for option in told(tool))


def test_what_the_image_sets_is_taken_away() -> None:
    assert "--unsetenv-all" in told(PODMAN)
    # docker has no such option: a bare name takes a variable away, unless docker has it itself.
    assert {"--env=GPG_KEY", "--env=LANG="} <= set(told(DOCKER))
    assert "--env=PATH" not in told(DOCKER)


def test_a_mount_can_have_any_path() -> None:
    mounts = (Mount(Path("/data/a:b")), Mount(Path('/data/c,d"e'), read_only=False))
    assert [option for option in told(PODMAN, mounts=mounts) if option.startswith("--mount")] == [
        "--mount=type=bind,source=/data/a:b,target=/data/a:b,readonly",
        '--mount=type=bind,"source=/data/c,d""e","target=/data/c,d""e"',
    ]


def test_the_account_of_a_job_is_given_by_number_with_its_groups() -> None:
    account = Account("service", 812, 813, (44, 813, 33), Path("/home/service"))
    given = told(PODMAN, user=account)
    assert [option for option in given if option.startswith(("--user", "--group-add"))] == [
        "--user=812:813",
        "--group-add=33",
        "--group-add=44",
    ]


def test_without_root_the_root_of_the_container_is_the_account_outside() -> None:
    rootless = Tool("podman", docker=False, version="", host="vm", rootless=True, limits_memory=False)
    assert "--user=0:0" in told(rootless)


@pytest.mark.parametrize(
    ("entry", "file", "text"),
    [
        (f"0::/user.slice/libpod-{ID}.scope\n", f"user.slice/libpod-{ID}.scope/memory.events", "oom 3\noom_kill 2\n"),
        (
            f"9:name=systemd:/docker/{ID}\n4:cpu,memory:/docker/{ID}\n0::/docker/{ID}\n",
            f"memory/docker/{ID}/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
    ],
)
def test_the_kernel_counts_what_it_kills_for_memory(tmp_path: Path, entry: str, file: str, text: str) -> None:
    (tmp_path / "proc/4711").mkdir(parents=True)
    (tmp_path / "proc/4711/cgroup").write_text(entry)
    counters = tmp_path / "cgroup" / file
    counters.parent.mkdir(parents=True)
    counters.write_text(text)
    assert memory_kills(4711, ID, tmp_path / "cgroup", tmp_path / "proc") == 2
    assert in_group(4711, ID, tmp_path / "proc")
    # The number belongs to another process now.
    assert memory_kills(4711, "0" * 64, tmp_path / "cgroup", tmp_path / "proc") == 0
    assert not in_group(4711, "0" * 64, tmp_path / "proc")
    counters.write_text("oom_kill many\n")
    assert memory_kills(4711, ID, tmp_path / "cgroup", tmp_path / "proc") == 0


def test_a_process_that_is_gone_has_no_group(tmp_path: Path) -> None:
    assert memory_kills(4711, ID, tmp_path, tmp_path) == 0
    assert not in_group(4711, ID, tmp_path)

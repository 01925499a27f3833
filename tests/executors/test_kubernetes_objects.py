"""The Job that Kubernetes is given, and what its container runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.model import ExecutorSettings
from engine.executors.base import ExecutorError, JobSpec, Mount
from engine.executors.kubernetes_objects import AGAIN, COMMAND, MEMORY, TAKEN, Identity, job_object, selector
from tests.records import replace

IDENTITY = Identity("0123456789abcdef", "20261121-023000-7f3a2c")
OUTPUT = Path("/data/jobs/20261121-023000-7f3a2c/pod/output")
SPEC = JobSpec(IDENTITY.key, ("/usr/bin/python3", "-V"), Path("/"), image="registry.invalid/python:3.12")


def made(
    spec: JobSpec = SPEC,
    settings: ExecutorSettings = ExecutorSettings(),  # noqa: B008
    *,
    user: int = 0,
    output: Path = OUTPUT,
) -> dict[str, Any]:
    return job_object(
        spec, settings, IDENTITY, output, (user, 20, [20, 30]), lambda path: "File" if path.suffix else ""
    )


def pod_of(job: Mapping[str, Any]) -> Any:
    return job["spec"]["template"]["spec"]


def container_of(job: Mapping[str, Any]) -> Any:
    (container,) = pod_of(job)["containers"]
    return container


def test_a_job_is_named_and_labelled_so_that_it_is_found_again() -> None:
    job = made()
    assert job["metadata"]["name"] == "envdeck-20261121-023000-7f3a2c"
    labels = job["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "envdeck"
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    wanted = dict(pair.split("=") for pair in selector(IDENTITY).split(","))
    assert wanted.items() <= labels.items()


def test_a_job_is_tried_once_and_has_no_rights_in_the_cluster() -> None:
    job = made()
    pod = pod_of(job)
    assert job["spec"]["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert container_of(job)["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_backstop_of_the_cluster_comes_after_every_limit_of_ours() -> None:
    job = made(replace(SPEC, timeout=3600.0, start_timeout=600.0, grace=7.5))
    assert job["spec"]["activeDeadlineSeconds"] > 3600 + 600 + 7.5
    assert pod_of(job)["terminationGracePeriodSeconds"] == 8


def test_there_is_always_a_shorter_grace_to_ask_for() -> None:
    assert pod_of(made(replace(SPEC, grace=0.0)))["terminationGracePeriodSeconds"] > 1


def test_memory_is_reserved_and_limited_in_bytes() -> None:
    assert container_of(made(replace(SPEC, memory=5_000_000_000)))["resources"] == {
        "limits": {"memory": "5000000000"},
        "requests": {"memory": "5000000000"},
    }
    assert "resources" not in container_of(made())


def test_a_job_runs_as_its_account() -> None:
    security = pod_of(made(user=10))["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["supplementalGroups"]) == (10, 20, [20, 30])


@pytest.mark.parametrize("user", [0, 10])
def test_only_root_keeps_capabilities(user: int) -> None:
    job = made(user=user)
    assert pod_of(job)["securityContext"].get("runAsNonRoot", False) is (user != 0)
    assert ("capabilities" in container_of(job)["securityContext"]) is (user != 0)


def test_settings_choose_nodes_and_rights() -> None:
    settings = ExecutorSettings(
        kubernetes_node_selectors=("kubernetes.io/os=linux", "example.com/pool=builds"),
        kubernetes_service_account="builder",
        kubernetes_pull_secrets=("one", "two"),
    )
    pod = pod_of(made(settings=settings))
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "example.com/pool": "builds"}
    assert pod["serviceAccountName"] == "builder"
    assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def seen_in(job: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """For each path in the container: what of which volume it is, and whether it is read-only."""
    volumes = {each["name"]: each for each in pod_of(job)["volumes"]}
    assert len(volumes) == len(pod_of(job)["volumes"])
    seen = {}
    for mount in container_of(job)["volumeMounts"]:
        volume = volumes.pop(mount["name"], None) or next(
            v for v in pod_of(job)["volumes"] if v["name"] == mount["name"]
        )
        if "hostPath" in volume:
            source = f"node {volume['hostPath']['type']} {volume['hostPath']['path']}"
        else:
            source = f"{volume['persistentVolumeClaim']['claimName']}: {mount.get('subPath', '.')}"
        assert mount["mountPath"] not in seen, "Kubernetes takes each path once"
        seen[mount["mountPath"]] = (source, mount["readOnly"])
    assert not volumes, "a volume that nothing is taken from"
    return seen


def test_directories_come_from_claims_where_there_are_any_and_else_from_the_node() -> None:
    spec = replace(
        SPEC, mounts=(Mount(Path("/data"), read_only=False), Mount(Path("/data/wheels/x")), Mount(Path("/a.pem")))
    )
    settings = ExecutorSettings(
        mounts=(Path("/opt/drivers"), Path("/data"), Path("/opt/drivers")),
        kubernetes_volumes=("/data=everything", "/data/wheels=wheels", "/database=other"),
    )
    assert seen_in(made(spec, settings)) == {
        "/data": ("everything: .", False),
        "/data/wheels/x": ("wheels: x", True),
        "/a.pem": ("node File /a.pem", True),
        "/data/jobs/20261121-023000-7f3a2c/pod": ("everything: jobs/20261121-023000-7f3a2c/pod", False),
        "/opt/drivers": ("node  /opt/drivers", True),
    }


_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map(lambda parts: Path("/", *parts))


@given(
    mounts=st.lists(st.builds(Mount, _PATHS, st.booleans()), max_size=5),
    common=st.lists(_PATHS, max_size=3),
    volumes=st.lists(_PATHS, max_size=3, unique=True),
)
def test_every_path_is_seen_at_the_same_path(mounts: list[Mount], common: list[Path], volumes: list[Path]) -> None:
    claims = {str(path): f"claim-{number}" for number, path in enumerate(volumes)}
    settings = ExecutorSettings(
        mounts=tuple(common), kubernetes_volumes=tuple(f"{path}={claim}" for path, claim in claims.items())
    )
    roots = {claim: PurePath(path) for path, claim in claims.items()}
    seen = seen_in(made(replace(SPEC, mounts=tuple(mounts)), settings))
    assert {str(path) for path in (*(mount.path for mount in mounts), *common, OUTPUT.parent)} == set(seen)
    for path, (source, _) in seen.items():
        if source.startswith("node"):
            assert source == f"node  {path}"
            assert not any(Path(path).is_relative_to(root) for root in volumes)
        else:
            claim, _, below = source.partition(": ")
            assert str(roots[claim] / below) == path


@pytest.mark.parametrize("text", ["data=claim", "/data", "/data=", "="])
def test_a_volume_that_is_not_path_and_claim_is_an_error(text: str) -> None:
    with pytest.raises(ExecutorError) as error:
        made(settings=ExecutorSettings(kubernetes_volumes=(text,)))
    assert error.value.problem.found == text


def expanded(text: str, environment: Mapping[str, str]) -> str:
    """What Kubernetes makes of a word of a command: $(NAME) is replaced when it is known, $$ is an escaped $."""

    def replaced(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", replaced, text)


@given(
    words=st.lists(st.text(alphabet="$()A\\ 'x", max_size=8), min_size=1, max_size=4),
    value=st.text(alphabet="$()A ", max_size=6),
)
def test_a_cluster_leaves_every_word_as_it_is(words: list[str], value: str) -> None:
    command = container_of(made(replace(SPEC, argv=tuple(words), env={"B": value})))["command"]
    arrived = [expanded(word, {"A": "wrong", "": "wrong"}) for word in command]
    assert arrived[-len(words) :] == words
    assert f"B={value}" in arrived


# What the container runs, with the shells of this machine


@contextmanager
def running(
    tmp_path: Path, *argv: str, shell: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """The command of the container as a process, the file that it prints to and its termination log."""
    output, log = tmp_path / "output", tmp_path / "termination-log"
    command = container_of(made(replace(SPEC, argv=argv, env=env or {}), output=output))["command"]
    command = [expanded(word, {}) for word in command]
    for there, here in (("/dev/termination-log", log), ("/sys/fs/cgroup", tmp_path / "cgroup")):
        command = [word.replace(there, str(here)) for word in command]
    (tmp_path / "sh").symlink_to(shell)
    command[command.index("/bin/sh")] = str(tmp_path / "sh")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process, output, log
        finally:
            # What the end of a container does to all that is left in it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


SHELLS = [path for path in map(shutil.which, ("dash", "bash", "busybox")) if path]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_prints_to_the_file_and_ends_as_it_ends(tmp_path: Path, shell: str) -> None:
    (tmp_path / "output").touch()
    code = "import os, sys; print('out', flush=True); os.write(2, b'err'); sys.exit(7)"
    with running(tmp_path, sys.executable, "-c", code, shell=shell) as (process, output, log):
        assert process.wait(30) == 7
        assert output.read_bytes() == b"out\nerr"
        assert not log.exists()
        assert output.with_name("output" + TAKEN).exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_has_the_environment_it_was_given(tmp_path: Path, shell: str) -> None:
    (tmp_path / "output").touch()
    environment = {"Ä": "$(x) ö", "a-b.c": "$$", "LC_ALL": "C.UTF-8", "PATH": os.defpath}
    environment |= {name: f" {name}\n" for name in ("before", "code", "count", "file", "name")}
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    with running(tmp_path, sys.executable, "-c", code, shell=shell, env=environment) as (process, output, _):
        assert process.wait(30) == 0
        seen = json.loads(output.read_bytes())
    assert {name: seen.get(name) for name in environment} == environment
    assert seen.keys() - environment.keys() <= {"PWD", "OLDPWD", "SHLVL", "_"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_is_started_once(tmp_path: Path, shell: str) -> None:
    (tmp_path / "output").touch()
    (tmp_path / ("output" + TAKEN)).touch()
    with running(tmp_path, "/bin/echo", "again", shell=shell) as (process, output, log):
        assert process.wait(30) != 0
        assert output.read_bytes() == b""
        assert log.read_text().strip() == AGAIN


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", "/"])
def test_a_program_that_cannot_be_run_is_told_apart(tmp_path: Path, shell: str, program: str) -> None:
    (tmp_path / "output").touch()
    with running(tmp_path, program, shell=shell) as (process, _, log):
        assert process.wait(30) in (126, 127)
        assert log.read_text().strip() == COMMAND


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_that_ends_with_the_code_for_a_missing_one_is_not_missing(tmp_path: Path, shell: str) -> None:
    (tmp_path / "output").touch()
    with running(tmp_path, sys.executable, "-c", "raise SystemExit(127)", shell=shell) as (process, _, log):
        assert process.wait(30) == 127
        assert not log.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_directory_that_is_not_shared_is_told(tmp_path: Path, shell: str) -> None:
    with running(tmp_path, "/bin/echo", "lost", shell=shell) as (process, output, log):
        assert process.wait(30) != 0
        assert log.read_text().startswith(f"the pod does not see {output}")
        assert not output.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_gets_the_signal_that_asks_it_to_end(tmp_path: Path, shell: str) -> None:
    (tmp_path / "output").touch()
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(3)); print('up', flush=True); signal.pause()"
    with running(tmp_path, sys.executable, "-c", code, shell=shell) as (process, output, _):
        wait_until(lambda: output.read_bytes() == b"up\n")
        process.terminate()
        assert process.wait(30) == 3


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 9\noom 1\noom_kill {}\noom_group_kill 0\n"),
        ("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
    ],
)
def test_a_job_of_which_the_kernel_killed_a_process_for_lack_of_memory_ends(
    tmp_path: Path, shell: str, file: str, text: str
) -> None:
    (tmp_path / "output").touch()
    counter = tmp_path / "cgroup" / file
    counter.parent.mkdir(parents=True)
    counter.write_text(text.format(2))
    code = "import signal; print('up', flush=True); signal.pause()"
    with running(tmp_path, sys.executable, "-c", code, shell=shell) as (process, output, log):
        wait_until(lambda: output.read_bytes() == b"up\n")
        counter.write_text(text.format(3))
        assert process.wait(30) == -signal.SIGKILL
        assert log.read_text().strip() == MEMORY

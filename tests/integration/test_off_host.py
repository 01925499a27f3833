"""Content that runs off-host for real: built, deployed and run in a container image of another Python, with podman."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from engine.actions.run import prepare_run
from engine.content.model import Content
from engine.content.store import ContentStore
from engine.environments.usage import in_use
from engine.world import World
from tests.executors.bench import Unavailable
from tests.executors.container_bench import image_name, podman_environment
from tests.executors.images import Interpreter, import_image, interpreters, write_image

pytestmark = pytest.mark.slow

Make = Callable[..., Path]
Wait = Callable[..., None]

ROOT = Path(__file__).parents[2]
SHOW = "import alpha, os, sys; print(alpha.__version__, sys.version.split()[0], sys.prefix, os.getcwd())"
TRAPPED = "trap 'echo caught; exit 9' TERM INT; echo ready; while :; do sleep 0.05; done"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of an interpreter that is not the one of these tests, and where podman keeps it."""

    interpreter: Interpreter
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        return image_name(self.interpreter)

    def containers(self) -> list[str]:
        command = ["podman", "ps", "--all", "--quiet"]
        asked = subprocess.run(command, env=self.environ, capture_output=True, text=True, check=True, timeout=300)
        return asked.stdout.split()


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    # Not under pytest's own directory, whose name is too long for podman's sockets.
    scratch = Path(tempfile.mkdtemp(prefix="envdeck-off-host-"))
    try:
        environ = podman_environment(scratch)
        this = ".".join(map(str, sys.version_info[:3]))
        interpreter = next((i for i in interpreters() if i.version != this), None)
        if interpreter is None:
            raise Unavailable("no other interpreter here has venv, ensurepip and pip")
        archive = scratch / "image.tar"
        write_image(interpreter, archive)
        import_image(["podman"], archive, image_name(interpreter), environ)
        archive.unlink()
        yield Image(interpreter, environ)
        for command in (["rm", "--all", "--force"], ["system", "reset", "--force"]):
            subprocess.run(["podman", *command], env=environ, capture_output=True, check=False, timeout=120)
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def declare(server, name: str, interpreter: Interpreter) -> None:
    """Let content run in the image `name`."""
    declared = server.root / "environments.yaml"
    installation = f"{{path: {interpreter.inside}, version: {interpreter.version}}}"
    declared.write_text(f"- name: {name}\n  python: {{installations: [{installation}]}}\n")
    server.configure(
        "[ExecutionEnvironments]",
        f"ConfigFilePath = {declared}",
        "[Envdeck]",
        "ContainerCommand = podman",
        f"Mount = {server.packages}",
    )


@pytest.fixture
def world(server, image: Image, make_wheel: Make) -> World:
    make_wheel(server.packages, "alpha", "1.0")
    server.bundle("alpha==1.0", python=image.interpreter.version)
    server.environ = {**image.environ, **server.environ}
    declare(server, image.name, image.interpreter)
    return World([server.config], server.environ, read_only=False)


@pytest.fixture
def content(server, world: World) -> Content:
    # From a process of its own, because the build finds podman's storage in the variables of the one that starts it.
    code, printed = said(envdeck(server, "deploy", "bundles/app", stderr=subprocess.STDOUT))
    assert code == 0, printed
    return world.contents()[0]


def envdeck(server, *argv: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "app", "--config", str(server.config), *argv]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, env={**server.environ, "PYTHONPATH": str(ROOT)}, cwd=server.root, **options)


def said(process: subprocess.Popen[str], given: str | None = None) -> tuple[int, str]:
    printed, _ = process.communicate(given, timeout=300)
    return process.returncode, printed


def test_a_bundle_is_matched_built_deployed_and_run_in_an_image(server, world: World, image: Image) -> None:
    code, printed = said(envdeck(server, "match", "bundles/app", "--json"))
    assert (code, image.name in printed) == (0, True)
    code, printed = said(envdeck(server, "build", "bundles/app", stderr=subprocess.STDOUT))
    assert code == 0, printed
    (environment,) = world.environments()
    assert (environment.target, str(environment.python_version)) == (image.name, image.interpreter.version)
    code, printed = said(envdeck(server, "deploy", "bundles/app"))
    assert (code, "reused" in printed) == (0, True), printed
    (content,) = world.contents()
    directory = ContentStore(server.data_dir).bundle_dir(content.guid, content.active)
    code, printed = said(envdeck(server, "run", "app", "--", "python", "-c", SHOW))
    assert code == 0
    assert printed.split() == ["1.0", image.interpreter.version, str(environment.path), str(directory)]
    assert image.containers() == []


def test_the_command_sees_what_the_image_sets_and_nothing_of_the_caller(server, content: Content) -> None:
    server.environ["OF_THE_CALLER"] = "secret"
    code, printed = said(envdeck(server, "run", "app", "--", "env"))
    variables = dict(line.split("=", 1) for line in printed.splitlines())
    assert (code, variables["FROM_IMAGE"], "OF_THE_CALLER" in variables) == (0, "1", False)
    assert variables["PATH"].startswith(f"{variables['VIRTUAL_ENV']}/bin:")


def test_input_and_exit_code_are_those_of_the_command(server, content: Content, image: Image) -> None:
    reader = envdeck(server, "run", "app", "--", "cat", stdin=subprocess.PIPE)
    assert said(reader, "line\n") == (0, "line\n")
    assert said(envdeck(server, "run", "app", "--", "sh", "-c", "echo out; exit 7")) == (7, "out\n")
    assert said(envdeck(server, "run", "app", "--", "no-such-command"))[0] == 127
    assert image.containers() == []


def test_content_may_write_in_its_directory_and_not_in_its_environment(server, content: Content) -> None:
    code = "import pathlib, sys; pathlib.Path('made').touch(); pathlib.Path(sys.prefix, 'made').touch()"
    process = envdeck(server, "run", "app", "--", "python", "-c", code, stderr=subprocess.PIPE)
    assert "Read-only file system" in process.communicate(timeout=300)[1]
    assert (ContentStore(server.data_dir).bundle_dir(content.guid, content.active) / "made").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on_into_the_container(server, content: Content, number: int) -> None:
    process = envdeck(server, "run", "app", "--", "sh", "-c", TRAPPED, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert said(process) == (9, "caught\n")


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1])
def test_a_signal_ends_what_is_just_being_started_in_a_container(
    server, content: Content, image: Image, wait_until: Wait, seconds: float
) -> None:
    process = envdeck(server, "run", "app", "--", "sh", "-c", "exec sleep 600", start_new_session=True)
    this = psutil.Process(process.pid)
    wait_until(lambda: any("--rm" in command_line(child) for child in this.children()), what="the client")
    # podman is at another point of its start each time; there is nothing to wait for that tells which.
    time.sleep(seconds)
    process.send_signal(signal.SIGTERM)
    assert said(process) == (128 + signal.SIGTERM, "")
    wait_until(lambda: image.containers() == [], what="the end of the container")


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_what_runs_in_a_container_keeps_what_it_uses_also_when_its_starter_was_killed(
    server, content: Content, image: Image, wait_until: Wait
) -> None:
    process = envdeck(server, "run", "app", "--", "sh", "-c", "echo ready; exec sleep 600", start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    locks = [server.data_dir / "locks" / f"{content.key}.use", ContentStore(server.data_dir).use_path(content.guid)]
    assert all(in_use(path) for path in locks)
    # The client of podman too: the container goes on without either.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    (container,) = image.containers()
    assert all(in_use(path) for path in locks)
    subprocess.run(["podman", "kill", container], env=image.environ, capture_output=True, check=True, timeout=300)
    wait_until(lambda: not any(in_use(path) for path in locks), what="the end of the use")
    wait_until(lambda: image.containers() == [], what="the end of the container")


def test_a_terminal_is_one_inside_as_well(server, content: Content) -> None:
    ours, theirs = pty.openpty()
    show = "import os, sys; print(sys.stdin.isatty(), sys.stdout.isatty(), os.environ['TERM'])"
    server.environ["TERM"] = "vt220"
    process = envdeck(
        server, "run", "app", "--", "python", "-c", show, stdin=theirs, stdout=theirs, start_new_session=True
    )
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 4096):
            printed += chunk
    except OSError:  # how Linux says that nobody has the other end any more
        pass
    os.close(ours)
    assert process.wait(timeout=300) == 0
    assert printed.split() == [b"True", b"True", b"vt220"]


def test_an_image_that_is_not_there_is_a_problem_before_anything_is_run(
    server, content: Content, world: World, image: Image
) -> None:
    command = ["podman", "untag", image.name]
    subprocess.run(command, env=image.environ, capture_output=True, check=True, timeout=300)
    try:
        plan = prepare_run(world, content)
        code, _ = said(envdeck(server, "run", "app", "--", "true", stderr=subprocess.DEVNULL))
    finally:
        newest = subprocess.run(
            ["podman", "images", "--quiet"], env=image.environ, capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()[0]
        subprocess.run(["podman", "tag", newest, image.name], env=image.environ, check=True, timeout=300)
    assert plan.problem is not None
    assert (plan.problem.code, code) == ("image-missing", 1)


def test_without_a_tool_for_images_nothing_is_run_and_the_plan_says_why(server, content: Content) -> None:
    world = World([server.config], server.environ | {"PATH": str(server.root / "empty")}, read_only=False)
    plan = prepare_run(world, content)
    assert plan.problem is not None
    assert plan.problem.code == "executor-unavailable"

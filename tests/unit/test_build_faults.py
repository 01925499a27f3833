"""What pip says, and what envdeck makes of it: progress while it runs, one telling line when it fails."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Phase
from engine.builds.faults import explain, fault_of_job
from engine.builds.pip_output import read_line
from engine.builds.progress import Progress
from engine.builds.spec import Job
from engine.executors.base import Cause, JobState, JobStatus
from tests.records import replace

# Lines as pip 22 to 26 print them.
FAULTS = [
    (
        "ERROR: Could not find a version that satisfies the requirement six==99 (from versions: 0.9.0, 1.17.0)",
        "resolve: six: no version ==99 for this Python; the newest there is 1.17.0",
    ),
    (
        "ERROR: Could not find a version that satisfies the requirement nosuch (from versions: none)",
        "resolve: nosuch: the index has nothing of that name for this Python",
    ),
    (
        "ERROR: Package 'ipython' requires a different Python: 3.8.18 not in '>=3.11'",
        "resolve: ipython: needs another Python: 3.8.18 not in '>=3.11'",
    ),
    ("ERROR: Failed building wheel for lxml", "install: lxml: its wheel cannot be built from source"),
    (
        "ERROR: Failed to build installable wheels for some pyproject.toml based projects (numpy)",
        "install: numpy: its wheel cannot be built from source",
    ),
    (
        "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
        "resolve: a==1 and b==2 have conflicting dependencies",
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "install: no space left on the device",
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 122] Disk quota exceeded: '/srv/x'",
        "install: the disk quota is used up",
    ),
    (
        "ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system: '/srv/x'",
        "install: the file system is read-only",
    ),
    (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(x: [Errno -2] Name or "
        "service not known')': /simple/six/",
        "resolve: the package index cannot be reached",
    ),
    (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "resolve: a downloaded file does not have the hash that the requirements file demands",
    ),
    ("ERROR: something never seen before", "resolve: something never seen before"),
    (
        "  cause: Because nosuch was not found in the package registry and you require nosuch==1.0, we can conclude",
        "resolve: nosuch: the index has nothing of that name for this Python",
    ),
    (
        "  ╰─▶ Because there is no version of flask==9999 and you require flask==9999, we can conclude that your",
        "resolve: flask: no version ==9999 for this Python",
    ),
    (
        "  cause: Because flask==3.0.0 depends on werkzeug>=3.0.0 and you require flask==3.0.0, we can conclude that",
        "resolve: flask: it needs werkzeug>=3.0.0, which contradicts other requirements",
    ),
    (
        "  cause: Hash mismatch for `six==1.16.0`",
        "resolve: six: a downloaded file does not have the hash that the requirements file demands",
    ),
    ("  cause: tcp connect error", "resolve: the package index cannot be reached"),
    ("error: Failed to build `numpy==1.15.4`", "install: numpy: its wheel cannot be built from source"),
]


@pytest.mark.parametrize(("line", "told"), FAULTS)
def test_a_failure_is_told_in_one_line_with_phase_and_package(line: str, told: str) -> None:
    assert str(explain(["Looking in indexes", line], Phase.RESOLVE, "pip install failed")) == told


def test_a_build_script_that_fails_is_blamed_on_the_package_pip_turned_to_last() -> None:
    lines = ["Collecting six", "Collecting numpy==1.15.4", "error: subprocess-exited-with-error"]
    assert explain(lines, Phase.RESOLVE, "x").package == "numpy"


def test_what_uv_cannot_build_pip_may() -> None:
    line = "error: Failed to build `numpy==1.15.4`"
    assert "allow_uv = false" in explain([line], Phase.RESOLVE, "x", "uv").advice
    assert "allow_uv" not in explain([line], Phase.RESOLVE, "x").advice
    gone = "  cause: Because nosuch was not found in the package registry and you require it"
    assert "allow_uv" not in explain([gone], Phase.RESOLVE, "x", "uv").advice


def test_without_any_telling_line_the_message_of_the_builder_stands() -> None:
    assert str(explain(["Collecting six"], Phase.VENV, "python -m venv ended with exit code 1")) == (
        "venv: python -m venv ended with exit code 1"
    )


@given(st.lists(st.text(max_size=80), max_size=20))
def test_no_output_whatever_breaks_the_explanation(lines: list[str]) -> None:
    assert "\x1b" not in str(explain(lines, Phase.INSTALL, "failed"))


def fold(*lines: str) -> Progress:
    return reduce(read_line, lines, Progress())


def test_progress_follows_pip_from_collecting_to_installed() -> None:
    progress = fold("Collecting flask==3.0", "Processing /wheels/six-1.17.0-py2.py3-none-any.whl")
    assert (progress.phase, progress.collected, progress.message) == (
        Phase.RESOLVE,
        2,
        "Processing six-1.17.0-py2.py3-none-any.whl",
    )
    progress = read_line(progress, "Installing collected packages: six, flask")
    assert (progress.phase, progress.installing) == (Phase.INSTALL, 2)
    assert read_line(progress, "Successfully installed flask-3.0 six-1.17.0").installed == 2


def test_raw_progress_is_shown_as_a_share_and_kept_out_of_the_log() -> None:
    progress = fold("  Downloading numpy-2.1.0.whl (16.0 MB)", "Progress 4000000 of 16000000")
    assert progress.noise
    assert progress.message == "Downloading numpy-2.1.0.whl (16.0 MB) · 25 %"
    assert not read_line(progress, "Collecting six").noise


def test_a_line_that_says_nothing_changes_nothing() -> None:
    progress = Progress()
    assert read_line(progress, "Looking in indexes: x") is progress


@given(st.lists(st.text(max_size=60), max_size=30))
def test_no_output_whatever_breaks_the_progress(lines: list[str]) -> None:
    fold(*lines)


JOB = Job(
    attempt="a",
    key="k",
    installer="pip",
    target="registry/py",
    python_version="3.12.1",
    python_path="/opt/python",
    pip_version=(),
    data_dir=Path("/data"),
    key_dir=Path("/data/k"),
    requirements="",
    constraints="",
    lines=(),
    ingredients={},
    bundle="app",
    by="me",
    submitted_at=0.0,
    timeout=60.0,
    executor="slurm",
    image="registry/py",
    memory=512 * 1024**2,
    start_timeout=5.0,
)
ENDS = [
    (Cause.MEMORY, "install: it used more memory than it may, which is 512 MiB: OUT_OF_ME+", "BuildMemory"),
    (Cause.TIMEOUT, "install: it took longer than 60 seconds", "BuildTimeout"),
    (Cause.START_TIMEOUT, "queue: slurm did not start it within 5 seconds: OUT_OF_ME+", "StartTimeout"),
    (
        Cause.IMAGE,
        "install: the image registry/py is not there or cannot be fetched: OUT_OF_ME+",
        "execution environments file",
    ),
    (
        Cause.COMMAND,
        "install: /opt/python cannot be run in the image registry/py: OUT_OF_ME+",
        "execution environments file",
    ),
]


@pytest.mark.parametrize(("cause", "told", "setting"), ENDS)
def test_a_cause_that_the_executor_knows_is_told_with_the_setting_to_change(
    cause: Cause, told: str, setting: str
) -> None:
    status = JobStatus(JobState.FAILED, 1, "n1", cause, "OUT_OF_ME+")
    fault = fault_of_job(status, Phase.INSTALL, JOB)
    assert fault is not None
    assert str(fault) == told
    assert setting in fault.advice


def test_without_a_limit_of_its_own_it_is_the_machine_that_ran_out_of_memory() -> None:
    status = JobStatus(JobState.FAILED, 137, cause=Cause.MEMORY)
    fault = fault_of_job(status, Phase.INSTALL, replace(JOB, memory=0))
    assert str(fault) == "install: its machine ran out of memory"


def test_a_lost_job_is_told_with_its_machine() -> None:
    status = JobStatus(JobState.LOST, None, "n1", Cause.HOST, "NODE_FAIL")
    assert str(fault_of_job(status, Phase.VENV, JOB)) == (
        "venv: the machine that it ran on, n1, died or went away: NODE_FAIL"
    )
    local = replace(JOB, executor="local", image="")
    assert str(fault_of_job(status, Phase.VENV, local)) == ("venv: its processes were killed from outside: NODE_FAIL")


@pytest.mark.parametrize("state", [JobState.FINISHED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_ended_by_itself_speaks_for_itself(state: JobState) -> None:
    assert fault_of_job(JobStatus(state, 1), Phase.INSTALL, JOB) is None


NOTHING = "ERROR: Could not find a version that satisfies the requirement six==1.0 (from versions: none)"
RETRY = "WARNING: Retrying (Retry(total={}, connect=None)) after connection broken by '{}': /simple/six/"


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("NewConnectionError(x: [Errno 111] Connection refused)", "the package index does not answer"),
        ("ReadTimeoutError(x: Read timed out. (read timeout=15))", "the package index does not answer"),
        ("ProxyError('Cannot connect to proxy.', OSError('Tunnel failed'))", "the proxy does not let pip through"),
    ],
)
def test_an_index_that_did_not_answer_is_not_one_without_the_package(last: str, expected: str) -> None:
    lines = ["Collecting six", *(RETRY.format(left, last) for left in range(4, -1, -1)), NOTHING]
    fault = explain(lines, Phase.RESOLVE, "pip failed")
    assert fault.message.startswith(expected)
    assert "Check" in fault.advice


def test_an_index_that_answered_at_last_is_believed() -> None:
    fault = explain([RETRY.format(4, "ReadTimeoutError(x)"), NOTHING], Phase.RESOLVE, "pip failed")
    assert fault.message == "the index has nothing of that name for this Python"

"""What the Kubernetes executor makes of the answers of a cluster, which were recorded: no cluster is needed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.config.model import ExecutorSettings
from engine.executors import kubernetes as module
from engine.executors.base import Cause, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus
from engine.executors.kubernetes import KubernetesExecutor
from engine.executors.kubernetes_objects import TAKEN
from engine.executors.notes import read_notes, start_notes, write_notes
from tests.executors.kubernetes_recordings import FakeKubectl, Recording, call, recording
from tests.records import replace

KEY = "20261121-023000-7f3a2c"
SPEC = JobSpec(KEY, ("/usr/bin/python3", "-V"), Path("/"), image="registry.invalid/python:3.12")
NOTHING = Recording([], 0.0)


@pytest.fixture
def kubectl(tmp_path: Path) -> FakeKubectl:
    (tmp_path / "bin").mkdir()
    return FakeKubectl(tmp_path / "bin")


@pytest.fixture
def jobs_dir(tmp_path: Path) -> Path:
    (tmp_path / "jobs" / KEY).mkdir(parents=True)
    return tmp_path / "jobs"


@pytest.fixture
def executor(jobs_dir: Path, kubectl: FakeKubectl) -> KubernetesExecutor:
    return KubernetesExecutor(jobs_dir, ExecutorSettings(), kubectl.environ)


@pytest.fixture
def submitted(executor: KubernetesExecutor) -> Iterator[KubernetesExecutor]:
    executor.submit(SPEC)
    return executor


def ago(executor: KubernetesExecutor, seconds: float) -> None:
    """Let the job have been submitted `seconds` ago."""
    notes = read_notes(executor.jobs_dir, KEY)
    assert notes is not None
    write_notes(executor.jobs_dir, KEY, notes, submitted_at=time.time() - seconds)


def take(executor: KubernetesExecutor, seconds: float = 0.0) -> None:
    """What a pod does before it starts the job, `seconds` ago."""
    taken = executor.jobs_dir / KEY / "pod" / f"output{TAKEN}"
    taken.touch()
    os.utime(taken, (time.time() - seconds,) * 2)


def again(executor: KubernetesExecutor) -> JobStatus:
    """The status as another process sees it."""
    return KubernetesExecutor(executor.jobs_dir, executor.settings, executor.environ).status(KEY)


# Submitting


def test_a_job_is_created_with_one_call_and_once(executor: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    settings = ExecutorSettings(kubernetes_options=("--context=production",), kubernetes_namespace="builds")
    executor = KubernetesExecutor(executor.jobs_dir, settings, kubectl.environ)
    executor.submit(SPEC)
    executor.submit(SPEC)
    (created,) = kubectl.asked("create")
    assert {"--context=production", "--namespace=builds", "--filename=-"} <= set(created["options"])
    assert json.loads(created["given"])["metadata"]["name"] == f"envdeck-{KEY}"
    assert executor.jobs() == (KEY,)


def test_only_the_account_of_the_job_can_look_at_its_output(submitted: KubernetesExecutor) -> None:
    directory = submitted.jobs_dir / KEY / "pod"
    assert (directory.stat().st_mode & 0o777, (directory / "output").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_job_without_an_image_is_refused(executor: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    with pytest.raises(ExecutorError) as error:
        executor.submit(replace(SPEC, image=""))
    assert error.value.problem.code == "executor-needs-image"
    assert not kubectl.asked("")


@pytest.mark.parametrize(
    "answer", ["create-forbidden", "create-no-namespace", "create-invalid-selector", "list-unreachable"]
)
def test_what_cannot_be_created_is_an_error_and_leaves_nothing(
    executor: KubernetesExecutor, kubectl: FakeKubectl, answer: str
) -> None:
    kubectl.answer("create", call(answer))
    with pytest.raises(ExecutorError) as error:
        executor.submit(SPEC)
    assert error.value.problem.code == "executor-failed"
    assert error.value.problem.found[:60] in call(answer)["stderr"]
    assert not list((executor.jobs_dir / KEY).iterdir())
    assert executor.jobs() == ()
    with pytest.raises(JobNotFound):
        executor.status(KEY)


def test_a_job_that_was_created_though_nobody_said_so_is_submitted_when_its_pod_was_faster(
    executor: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    executor._make_output(SPEC)
    take(executor)
    kubectl.answer("create", call("list-unreachable"))
    executor.submit(SPEC)
    kubectl.shows(recording("running"))
    assert executor.status(KEY).state is JobState.RUNNING


def test_a_job_whose_submitter_died_is_taken_over(executor: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    start_notes(executor.jobs_dir, "kubernetes", SPEC)
    kubectl.shows(NOTHING)
    assert executor.status(KEY).state is JobState.PENDING
    kubectl.answer("create", call("create-again"))
    kubectl.shows(recording("running"))
    executor.submit(SPEC)
    kubectl.shows(NOTHING)
    assert executor.status(KEY).state is JobState.LOST


def test_a_job_of_that_name_from_elsewhere_is_not_taken_for_ours(
    executor: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.answer("create", call("create-again"))
    kubectl.shows(NOTHING)
    with pytest.raises(ExecutorError, match="already exists"):
        executor.submit(SPEC)
    assert executor.jobs() == ()


# Limits


def test_a_job_that_is_not_started_in_time_is_given_up_with_what_the_scheduler_says(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(recording("unschedulable"))
    waiting = submitted.status(KEY)
    assert (waiting.state, waiting.reason[:15]) == (JobState.PENDING, "Unschedulable: ")
    ago(submitted, SPEC.start_timeout + 1)
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.cause) == (JobState.FAILED, Cause.START_TIMEOUT)
        assert status.reason == waiting.reason
    assert len(kubectl.asked("delete jobs,pods")) == 1
    assert (submitted.jobs_dir / KEY / "pod" / f"output{TAKEN}").exists(), "a pod could still start it"


@pytest.mark.parametrize(
    ("state", "events", "reason"),
    [
        ("quota", "quota-events", "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0"),
        ("mount", "mount-events", "hostPath type check failed: /data/not-there is not a directory"),
    ],
)
def test_where_no_object_says_why_a_job_waits_events_do(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, state: str, events: str, reason: str
) -> None:
    kubectl.shows(recording(state))
    assert submitted.status(KEY).reason == ""
    assert not kubectl.asked("get events"), "too early to worry"
    ago(submitted, 10)
    kubectl.answer("get events", recording(events).answer)
    assert submitted.status(KEY).reason.endswith(reason)
    kubectl.answer("get events", call("list-forbidden"))
    assert submitted.status(KEY).state is JobState.PENDING


def test_an_image_that_cannot_be_had_ever_fails_the_job_at_once(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(recording("image-never"))
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.cause) == (JobState.FAILED, Cause.IMAGE)
        assert status.reason.startswith("ErrImageNeverPull: Container image")


def test_an_image_that_cannot_be_pulled_fails_the_job_after_a_second_attempt(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.answer("get events", recording("image-events").answer)
    kubectl.shows(recording("image-backoff", time.time()))
    status = submitted.status(KEY)
    assert (status.state, status.cause) == (JobState.PENDING, Cause.IMAGE)
    ago(submitted, 60)
    kubectl.shows(recording("image-backoff", time.time() - 60))
    status = submitted.status(KEY)
    assert (status.state, status.cause) == (JobState.FAILED, Cause.IMAGE)
    assert status.reason.startswith('Failed to pull image "localhost/envdeck-test-missing:1": rpc error')


def test_a_job_that_runs_too_long_is_ended_and_says_so_when_it_is_gone(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    ago(submitted, SPEC.timeout + 100)
    kubectl.shows(recording("running", time.time() - SPEC.timeout + 50))
    assert submitted.status(KEY) == JobStatus(JobState.RUNNING, host="n1")
    kubectl.shows(recording("running", time.time() - SPEC.timeout - 50), recording("ending", time.time()), NOTHING)
    status = submitted.status(KEY)
    assert (status.state, status.reason) == (JobState.RUNNING, "it is being ended")
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.cause) == (JobState.FAILED, Cause.TIMEOUT)
        assert status.reason == "it ran longer than 3600 s"


def test_a_clock_of_the_cluster_that_is_behind_ends_no_job(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    kubectl.shows(recording("running", time.time() - 10 * SPEC.timeout))
    assert submitted.status(KEY).state is JobState.RUNNING


def test_a_job_that_prints_without_end_is_ended(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_OUTPUT", 1 << 20)
    with (submitted.jobs_dir / KEY / "pod" / "output").open("ab") as file:
        file.truncate((1 << 20) + 1)
    kubectl.shows(recording("running", time.time()), NOTHING)
    assert submitted.status(KEY) == JobStatus(JobState.FAILED, reason="it printed more than 1 MiB")


# Ends


def test_a_pod_that_has_taken_the_job_runs_it_before_the_cluster_says_so(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    take(submitted)
    kubectl.shows(recording("creating"))
    assert submitted.status(KEY).state is JobState.RUNNING
    ago(submitted, SPEC.start_timeout + 1)
    assert submitted.status(KEY).state is JobState.RUNNING


def test_a_job_that_was_taken_and_waits_again_is_lost(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    take(submitted, seconds=300)
    kubectl.shows(recording("unschedulable"))
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
        assert status.reason.startswith("the pod that ran it is gone")


def test_a_job_on_a_dead_node_is_lost_and_its_replacement_is_deleted(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(recording("node-silent", time.time()))
    assert submitted.status(KEY) == JobStatus(JobState.RUNNING, host="n1", reason="node n1 does not answer")
    kubectl.shows(recording("node-dead", time.time()))
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)
    assert len(kubectl.asked("delete jobs,pods")) == 1
    submitted.stop(KEY)
    assert submitted.status(KEY).state is JobState.LOST


def test_a_job_that_somebody_deleted_is_lost(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    kubectl.shows(NOTHING)
    status = submitted.status(KEY)
    assert (status.state, status.reason) == (JobState.LOST, "its Job was deleted, and not by envdeck")


def test_a_job_that_another_cluster_does_not_know_is_not_lost(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(NOTHING)
    kubectl.answer("config view", call("server") | {"stdout": "https://user:secret@elsewhere.invalid"})
    with pytest.raises(ExecutorError) as error:
        submitted.status(KEY)
    assert "was submitted to namespace default of https://127.0.0.1:6443" in error.value.problem.message
    assert "secret" not in str(error.value.problem)
    kubectl.answer("config view", call("server"))
    kubectl.shows(recording("running", time.time()))
    assert submitted.status(KEY).state is JobState.RUNNING


@pytest.mark.parametrize("answer", ["list-forbidden", "list-unreachable", "list-unauthorized", "may-not"])
def test_when_kubectl_fails_nothing_is_known_and_nothing_is_decided(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, answer: str
) -> None:
    """Some failures print an empty list of jobs as well."""
    kubectl.answer("get jobs,pods", call(answer))
    for ask in (submitted.status, submitted.stop, submitted.forget):
        with pytest.raises(ExecutorError):
            ask(KEY)
    assert submitted.jobs() == (KEY,)
    kubectl.shows(recording("running", time.time()))
    assert submitted.status(KEY).state is JobState.RUNNING


def test_nonsense_is_an_error(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    kubectl.answer("get jobs,pods", {"exit_code": 0, "stdout": "<html>", "stderr": ""})
    with pytest.raises(ExecutorError, match="printed no JSON"):
        submitted.status(KEY)


# Stopping and forgetting


def test_stopping_waits_until_the_pod_is_gone(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    now = time.time()
    kubectl.shows(recording("running", now), recording("running", now), recording("ending", now), NOTHING)
    submitted.stop(KEY)
    for status in (submitted.status(KEY), again(submitted)):
        assert (status.state, status.reason) == (JobState.CANCELLED, "stopped")
    assert all("--wait=false" in each["options"] for each in kubectl.asked("delete jobs,pods"))


def test_a_stop_that_did_not_reach_the_cluster_is_made_up_for(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(recording("running", time.time()))
    kubectl.answer("delete", call("list-unreachable"))
    with pytest.raises(ExecutorError):
        submitted.stop(KEY)
    kubectl.answer("delete", call("delete"))
    assert again(submitted).state is JobState.RUNNING
    assert len(kubectl.asked("delete jobs,pods")) == 2
    kubectl.shows(NOTHING)
    assert again(submitted).state is JobState.CANCELLED


def test_whoever_looks_while_somebody_stops_the_job_does_not_take_it_for_lost(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output is followed in one thread and the job stopped in another."""
    other = KubernetesExecutor(submitted.jobs_dir, submitted.settings, submitted.environ)
    objects = submitted._objects

    def stopped_meanwhile(key: str) -> list[Any]:
        monkeypatch.setattr(submitted, "_objects", objects)
        other.stop(key)
        return objects(key)

    kubectl.shows(recording("running", time.time()), NOTHING)
    monkeypatch.setattr(submitted, "_objects", stopped_meanwhile)
    assert submitted.status(KEY).state is JobState.CANCELLED


def test_a_node_that_misses_the_deletion_is_asked_again(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    now = time.time()
    kubectl.shows(recording("running", now), recording("ending", now - 20), NOTHING)
    submitted.stop(KEY)
    assert "--grace-period=1" in kubectl.asked("delete jobs,pods")[-1]["options"]
    assert submitted.status(KEY).state is JobState.CANCELLED


def test_a_node_that_never_confirms_the_end_makes_the_job_a_lost_one(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    now = time.time()
    kubectl.shows(recording("running", now), recording("ending", now - 1000))
    submitted.stop(KEY)
    status = again(submitted)
    assert (status.state, status.cause) == (JobState.LOST, Cause.HOST)


def test_a_job_that_waits_is_stopped_without_waiting_for_its_pod(
    submitted: KubernetesExecutor, kubectl: FakeKubectl
) -> None:
    kubectl.shows(recording("image-pull", time.time()))
    submitted.stop(KEY)
    assert again(submitted).state is JobState.CANCELLED


@pytest.mark.parametrize("state", ["finished", "failed", "evicted"])
def test_stopping_what_has_ended_changes_nothing(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, state: str
) -> None:
    kubectl.shows(recording(state, time.time()))
    before = submitted.status(KEY)
    submitted.stop(KEY)
    assert again(submitted) == before


def test_forgetting_leaves_nothing_and_can_be_repeated(submitted: KubernetesExecutor, kubectl: FakeKubectl) -> None:
    kubectl.shows(recording("finished"))
    submitted.forget(KEY)
    submitted.forget(KEY)
    assert not list((submitted.jobs_dir / KEY).iterdir())
    assert len(kubectl.asked("delete jobs,pods")) == 1
    for ask in (submitted.status, submitted.stop, submitted.output):
        with pytest.raises(JobNotFound):
            ask(KEY)


def test_a_link_in_place_of_the_output_is_not_followed(
    submitted: KubernetesExecutor, kubectl: FakeKubectl, tmp_path: Path
) -> None:
    """The job owns the directory of its output."""
    (tmp_path / "secret").write_text("secret")
    output = submitted.jobs_dir / KEY / "pod" / "output"
    output.unlink()
    output.symlink_to(tmp_path / "secret")
    kubectl.shows(recording("finished"))
    assert list(submitted.output(KEY)) == []


# Availability


@pytest.fixture
def willing(kubectl: FakeKubectl) -> FakeKubectl:
    kubectl.answer("version", call("version"))
    kubectl.answer("auth can-i", call("may"))
    kubectl.shows(NOTHING)
    return kubectl


def test_a_cluster_that_takes_jobs_can_be_used(executor: KubernetesExecutor, willing: FakeKubectl) -> None:
    availability = executor.availability()
    assert availability.problem is None
    assert availability.version == "kubectl v1.32.4, cluster v1.20.2"
    assert availability.notes == (
        f"every node must have {executor.jobs_dir} on storage that it shares with this machine",
    )
    (rehearsed,) = willing.asked("create")
    assert "--dry-run=server" in rehearsed["options"]
    assert executor.jobs() == ()


def test_with_a_claim_for_the_jobs_nothing_is_noted(executor: KubernetesExecutor, willing: FakeKubectl) -> None:
    settings = ExecutorSettings(kubernetes_volumes=(f"{executor.jobs_dir.parent}=shared",))
    assert KubernetesExecutor(executor.jobs_dir, settings, willing.environ).availability().notes == ()


def test_warnings_of_the_cluster_are_noted(executor: KubernetesExecutor, willing: FakeKubectl) -> None:
    warning = 'Warning: would violate PodSecurity "restricted:latest": restricted volume types'
    willing.answer("create", {"exit_code": 0, "stdout": "{}", "stderr": f"{warning}\n"})
    assert warning in executor.availability().notes


@pytest.mark.parametrize(
    ("words", "answer", "found"),
    [
        ("version", "version-unreachable", "was refused"),
        ("create", "create-forbidden", 'cannot create resource "jobs"'),
        ("create", "create-no-namespace", 'namespaces "nope" not found'),
        ("create", "create-invalid-selector", 'nodeSelector: Invalid value: "no label"'),
        ("get jobs,pods", "list-forbidden", "cannot list resource"),
        ("get jobs,pods", "list-unauthorized", "You must be logged in"),
        ("auth can-i", "may-not", "kubectl may not delete jobs.batch in the namespace default"),
    ],
)
def test_a_cluster_that_does_not_take_jobs_cannot_be_used(
    executor: KubernetesExecutor, willing: FakeKubectl, words: str, answer: str, found: str
) -> None:
    willing.answer(words, call(answer))
    availability = executor.availability()
    assert availability.problem is not None
    assert availability.problem.code == "executor-unavailable"
    assert found in str(availability.problem)
    assert availability.version.startswith("kubectl v1.32.4")


def test_without_kubectl_it_cannot_be_used(jobs_dir: Path, tmp_path: Path) -> None:
    availability = KubernetesExecutor(jobs_dir, ExecutorSettings(), {"PATH": str(tmp_path)}).availability()
    assert availability.problem is not None
    assert availability.problem.code == "executor-unavailable"
    assert "PATH" in availability.problem.hint


def test_a_setting_that_makes_no_sense_is_told(executor: KubernetesExecutor, willing: FakeKubectl) -> None:
    settings = ExecutorSettings(kubernetes_volumes=("data",))
    availability = KubernetesExecutor(executor.jobs_dir, settings, willing.environ).availability()
    assert availability.problem is not None
    assert availability.problem.found == "data"


def test_a_cluster_that_cannot_rehearse_may_be_used(executor: KubernetesExecutor, willing: FakeKubectl) -> None:
    said = 'Error from server (BadRequest): admission webhook "x.invalid" does not support dry run'
    refusal: dict[str, Any] = {"exit_code": 1, "stdout": "", "stderr": said}
    willing.answer("create", refusal)
    availability = executor.availability()
    assert availability.usable
    assert "does not support dry run" in availability.notes[-1]

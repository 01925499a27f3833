"""How the answers of a cluster are read."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from engine.executors.base import Cause, JobState
from engine.executors.kubernetes_status import Sight, sight
from tests.executors.kubernetes_recordings import STATES, Recording, recording


@dataclass(frozen=True)
class Expected:
    state: JobState
    code: int | None = None
    cause: Cause | None = None
    reason: str = ""
    """A part of it; empty when there is none at all."""
    alive: bool = False
    there: bool = True


PENDING, RUNNING, FINISHED = JobState.PENDING, JobState.RUNNING, JobState.FINISHED
FAILED, LOST = JobState.FAILED, JobState.LOST

TABLE = {
    "again": Expected(LOST, None, Cause.HOST, "the pod that ran it is gone"),
    "command": Expected(FAILED, 127, Cause.COMMAND, "its program is not there"),
    "creating": Expected(PENDING, alive=True),
    "deadline": Expected(FAILED, None, Cause.TIMEOUT, "DeadlineExceeded: Job was active longer than specified"),
    "drained": Expected(RUNNING, reason="its pod is being deleted", alive=True),
    "ended": Expected(LOST, None, Cause.HOST, "its pod was deleted, and not by envdeck", there=False),
    "ending": Expected(RUNNING, reason="its pod is being deleted", alive=True, there=False),
    "evicted": Expected(LOST, None, Cause.HOST, 'Evicted: Usage of EmptyDir volume "scratch" exceeds the limit "1Mi"'),
    "failed": Expected(FAILED, 7),
    "finished": Expected(FINISHED, 0),
    "image-backoff": Expected(PENDING, None, Cause.IMAGE, "ImagePullBackOff: Back-off pulling image", alive=True),
    "image-name": Expected(PENDING, None, Cause.IMAGE, "InvalidImageName: ", alive=True),
    "image-never": Expected(PENDING, None, Cause.IMAGE, "ErrImageNeverPull: Container image", alive=True),
    "image-pull": Expected(PENDING, None, Cause.IMAGE, "ErrImagePull: rpc error", alive=True),
    "memory": Expected(FAILED, 137, Cause.MEMORY, "OOMKilled: "),
    "memory-child": Expected(FAILED, 137, Cause.MEMORY, "OOMKilled: "),
    "mount": Expected(PENDING, alive=True),
    "no-shell": Expected(FAILED, 128, Cause.COMMAND, 'exec: "/usr/bin/env": stat /usr/bin/env: no such file'),
    "node-dead": Expected(LOST, None, Cause.HOST, "node n1 does not say that the pod ended"),
    "node-silent": Expected(RUNNING, reason="node n1 does not answer", alive=True),
    "not-shared": Expected(FAILED, 1, None, "the pod does not see /data/jobs/"),
    "quota": Expected(PENDING, alive=True),
    "replaced": Expected(LOST, None, Cause.HOST, "the pod that ran it is gone"),
    "running": Expected(RUNNING, alive=True),
    "unschedulable": Expected(PENDING, None, None, "Unschedulable: 0/2 nodes are available", alive=True),
}


def test_every_recording_is_read() -> None:
    assert set(TABLE) == set(STATES)


@pytest.mark.parametrize("name", TABLE)
def test_a_recorded_answer_is_read(name: str) -> None:
    seen, expected = look(recording(name)), TABLE[name]
    status = seen.status
    assert (status.state, status.exit_code, status.cause) == (expected.state, expected.code, expected.cause)
    assert (expected.reason in status.reason) if expected.reason else status.reason == ""
    assert (seen.alive, seen.there) == (expected.alive, expected.there)
    assert seen.unconfirmed == (name == "node-dead")
    assert seen.hopeless == (name in ("image-name", "image-never"))


@pytest.mark.parametrize("name", ["creating", "image-backoff", "mount", "quota"])
def test_where_an_object_does_not_say_why_it_waits_its_events_are_named(name: str) -> None:
    found = recording(name)
    assert look(found).unclear == (found.pods or [found.job])[-1]["metadata"]["name"]
    assert look(recording("unschedulable")).unclear == ""


def test_no_job_and_no_pod_is_a_lost_job() -> None:
    seen = sight(None, [], 0.0)
    assert (seen.status.state, seen.status.cause, seen.alive) == (LOST, Cause.HOST, False)


def test_a_job_that_ended_is_known_by_itself_once_its_pod_is_removed() -> None:
    assert sight(recording("finished").job, [], 0.0).status.state is FINISHED
    failed = sight(recording("failed").job, [], 0.0).status
    assert (failed.state, failed.exit_code, failed.cause) == (LOST, None, Cause.HOST)
    assert failed.reason == "its pod is gone. BackoffLimitExceeded: Job has reached the specified backoff limit"


@pytest.mark.parametrize(
    ("name", "after", "state", "late"),
    [
        ("ending", 0, RUNNING, False),
        ("ending", 12, RUNNING, True),
        ("ending", 250, RUNNING, True),
        ("ending", 400, LOST, False),
    ],
)
def test_a_pod_that_outlives_its_grace_is_asked_again_and_then_given_up(
    name: str, after: float, state: JobState, late: bool
) -> None:
    found = recording(name)
    seen = sight(found.job, found.pods, found.at + after)
    assert (seen.status.state, seen.late, seen.unconfirmed) == (state, late, state is LOST)


def test_a_silent_node_is_given_up_sooner_when_it_fell_silent_after_the_deletion() -> None:
    found = recording("ending")
    (pod,) = found.pods
    for condition in pod["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition.update(status="False", lastTransitionTime=pod["metadata"]["deletionTimestamp"])
    assert sight(found.job, [pod], found.at + 50).status.state is RUNNING
    assert sight(found.job, [pod], found.at + 100).status.state is LOST


def test_a_pod_that_is_deleted_after_it_ended_well_ended_well() -> None:
    found = recording("finished")
    found.pods[0]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert look(found).status.state is FINISHED


def test_the_reason_of_a_disruption_is_told() -> None:
    """Since Kubernetes 1.26, by its documentation of pod disruption conditions; not recorded."""
    found = recording("ended")
    disruption = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    found.pods[0]["status"]["conditions"].append(disruption)
    assert look(found).status.reason == "its pod was deleted, EvictionByEvictionAPI: Eviction API: evicting"


def test_containers_that_the_cluster_puts_beside_ours_do_not_count() -> None:
    found = recording("running")
    ended = {"name": "sidecar", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    found.pods[0]["status"]["containerStatuses"].insert(0, ended)
    assert look(found).status.state is RUNNING


def test_foreign_text_is_made_safe() -> None:
    found = recording("not-shared")
    found.pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = "\x1b[31mred\nrum"
    assert look(found).status.reason == "\\x1b[31mred rum"


def look(found: Recording) -> Sight:
    return sight(found.job, found.pods, found.at)

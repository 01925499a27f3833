"""What Kubernetes says of a Job and its pods, read as the status of a job. Pure; written against real answers.

Those are kept in tests/executors/recorded/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.executors.base import Cause, JobState, JobStatus
from engine.executors.kubernetes_objects import AGAIN, COMMAND, CONTAINER, MEMORY
from engine.text import one_line

__all__ = ["Sight", "sight"]

Json = Mapping[str, Any]

_NO_COMMAND = ("StartError", "ContainerCannotRun")
_NO_IMAGE_EVER = ("ErrImageNeverPull", "InvalidImageName")
_NO_IMAGE = (*_NO_IMAGE_EVER, "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
_LONGEST_REASON = 500
"""Characters: the point of a long message is often at its end."""

_NUDGE = 5
"""Seconds that a pod may outlive its grace before its node is asked again to end it."""
_SILENCE, _SLOWNESS = 60, 300
"""Seconds beyond the grace after which a pod is given up: when its node does not answer, and when it does."""


class Sight(Struct, frozen=True):
    """What the cluster says of a job. Times are seconds since the epoch, by the clocks of the cluster."""

    status: JobStatus
    since: float = 0.0
    """When it started, of a running job; when it was given a node, of a waiting one; 0 when that is not known."""
    there: bool = False
    """Whether there is a Job that nobody has asked to end."""
    alive: bool = False
    """Whether a process of it may be there, or may still be started."""
    late: bool = False
    """Whether it should have ended by now, and its node should be asked again."""
    unconfirmed: bool = False
    """Whether it should have ended long ago, and its node does not say that it has."""
    hopeless: bool = False
    """Whether what it waits for cannot come about."""
    unclear: str = ""
    """The name of the object whose events may say what it waits for, where the object itself does not."""


def sight(job: Json | None, pods: Sequence[Json], now: float) -> Sight:
    """What the Job and its pods, as ``kubectl get -o json`` gives them, say of a job at the time `now`.

    Pods without a Job are on their way out.
    """
    return replace(_sight(job, pods, now), there=job is not None and not job["metadata"].get("deletionTimestamp"))


def _sight(job: Json | None, pods: Sequence[Json], now: float) -> Sight:
    pod = _the_one(pods)
    failed = _condition(job, "Failed") if job else {}
    if pod and not (_terminated(pod) or pod["status"].get("phase") == "Failed"):
        return _living(pod, now)
    if failed.get("reason") == "DeadlineExceeded":
        return _final(JobState.FAILED, pod, cause=Cause.TIMEOUT, reason=_said(failed))
    if pod:
        return _ended(pod)
    if failed:
        # A pod that failed by itself is kept: this one was deleted, by a drain or because its node died.
        return _final(JobState.LOST, None, cause=Cause.HOST, reason=f"its pod is gone. {_said(failed)}")
    if job and _condition(job, "Complete"):
        return _final(JobState.FINISHED, None, code=0)
    if job:
        return Sight(JobStatus(JobState.PENDING), alive=True, unclear=str(job["metadata"]["name"]))
    return _final(JobState.LOST, None, cause=Cause.HOST, reason="its Job was deleted, and not by envdeck")


def _the_one(pods: Sequence[Json]) -> Json | None:
    """The pod that runs the job, or will. A pod whose node went silent is replaced, and it is the first that counts."""
    by_age = sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    has_run = (pod for pod in by_age if _state(pod, "running") or (_terminated(pod) and _word(pod) != AGAIN))
    return next(has_run, by_age[-1] if by_age else None)


def _living(pod: Json, now: float) -> Sight:
    """Of a pod that has not ended."""
    host, running = _host(pod), _state(pod, "running")
    silent_since = _silent_since(pod)
    deleted, late = _time(pod["metadata"].get("deletionTimestamp")), 0.0
    if deleted:
        # It is the end of the grace, which began when the deletion was asked for.
        asked, late = deleted - float(pod["metadata"].get("deletionGracePeriodSeconds") or 0), now - deleted
        if late > (_SILENCE if silent_since else _SLOWNESS) or 0 < silent_since < asked:
            reason = f"node {host} does not say that the pod ended" if host else "its pod is not removed"
            return Sight(JobStatus(JobState.LOST, None, host, Cause.HOST, reason), unconfirmed=True)
    if not running:
        return replace(_waiting(pod), late=late > _NUDGE)
    reason = "its pod is being deleted" if deleted else f"node {host} does not answer" if silent_since else ""
    status = JobStatus(JobState.RUNNING, None, host, reason=reason)
    return Sight(status, _time(running.get("startedAt")), alive=True, late=late > _NUDGE)


def _waiting(pod: Json) -> Sight:
    """Of a pod whose container has not been started."""
    waiting = _state(pod, "waiting") or {}
    why = waiting.get("reason")
    cause = Cause.IMAGE if why in _NO_IMAGE else None
    reason = _said(waiting) if waiting.get("message") else _said(_condition(pod, "PodScheduled", "False"))
    since = _time(_condition(pod, "PodScheduled").get("lastTransitionTime"))
    # It says that it waits for the next attempt, and not why the last one failed.
    unclear = str(pod["metadata"]["name"]) if not reason or why == "ImagePullBackOff" else ""
    status = JobStatus(JobState.PENDING, None, _host(pod), cause, reason)
    return Sight(status, since, alive=True, hopeless=why in _NO_IMAGE_EVER, unclear=unclear)


def _ended(pod: Json) -> Sight:
    """Of a pod whose container has ended, or that has failed without one."""
    end = _terminated(pod)
    if end is None:
        return _final(JobState.LOST, pod, cause=Cause.HOST, reason=_said(pod["status"]))
    code, why, word = int(end.get("exitCode", 0)), end.get("reason"), _word(pod)
    if word == AGAIN:
        reason = "the pod that ran it is gone; its node may have died"
        return _final(JobState.LOST, pod, cause=Cause.HOST, reason=reason)
    if code == 0:
        return _final(JobState.FINISHED, pod, code=0)
    if pod["status"].get("reason") or why == "ContainerStatusUnknown":
        return _final(JobState.LOST, pod, cause=Cause.HOST, reason=_said(pod["status"]) or _said(end))
    if pod["metadata"].get("deletionTimestamp"):
        by = _said(_condition(pod, "DisruptionTarget")) or "and not by envdeck"
        return _final(JobState.LOST, pod, cause=Cause.HOST, reason=f"its pod was deleted, {by}")
    if why == "OOMKilled" or word == MEMORY:
        reason = "OOMKilled: its processes used more memory together than they may"
        return _final(JobState.FAILED, pod, code=code, cause=Cause.MEMORY, reason=reason)
    if why in _NO_COMMAND:
        return _final(JobState.FAILED, pod, code=code, cause=Cause.COMMAND, reason=_said(end))
    if word == COMMAND:
        reason = "its program is not there or cannot be run"
        return _final(JobState.FAILED, pod, code=code, cause=Cause.COMMAND, reason=reason)
    return _final(JobState.FAILED, pod, code=code, reason=word)


def _final(
    state: JobState, pod: Json | None, *, code: int | None = None, cause: Cause | None = None, reason: str = ""
) -> Sight:
    return Sight(JobStatus(state, code, _host(pod) if pod else "", cause, one_line(reason, _LONGEST_REASON)))


def _state(pod: Json, name: str) -> Json | None:
    """What our container, whatever others the cluster puts beside it, says of the state `name`; None of another."""
    states = (each.get("state", {}) for each in pod["status"].get("containerStatuses", ()) if each["name"] == CONTAINER)
    state: Json = next(states, {})
    found: Json | None = state.get(name)
    return found


def _terminated(pod: Json) -> Json | None:
    return _state(pod, "terminated")


def _word(pod: Json) -> str:
    """What was left in the termination log, or else in the log."""
    return str((_terminated(pod) or {}).get("message", "")).strip()


def _silent_since(pod: Json) -> float:
    """When the node of the pod was found not to answer; 0 while it answers.

    The cluster then makes the pod unready, and leaves the rest as the node last said it was.
    """
    said_ready = _condition(pod, "ContainersReady")
    return _time(_condition(pod, "Ready", "False").get("lastTransitionTime")) if said_ready else 0.0


def _condition(thing: Json, kind: str, status: str = "True") -> Json:
    """The condition of that type when it has that status, else nothing."""
    conditions = thing["status"].get("conditions", ())
    return next((each for each in conditions if (each["type"], each["status"]) == (kind, status)), {})


def _said(thing: Json) -> str:
    """The reason that something gives, with its message."""
    return one_line(": ".join(str(thing[name]) for name in ("reason", "message") if thing.get(name)), _LONGEST_REASON)


def _host(pod: Json) -> str:
    return one_line(str(pod["spec"].get("nodeName", "")))


def _time(text: str | None) -> float:
    """Seconds since the epoch; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0

"""Jobs as Jobs of a Kubernetes cluster, driven by ``kubectl`` (executors.md §2.3).

The directory of the jobs has to be on storage that pods see at the same path, because a job prints to a file in its own
directory there: a node keeps the last 10 MiB of what a pod prints, and nothing once the pod is deleted.

What ``kubectl`` has to be allowed in the namespace: create, get, list and delete on jobs.batch; get, list and delete on
pods; and list on events, which say why some pods do not start.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.config.model import ExecutorSettings
from engine.digest import sha256
from engine.errors import Problem
from engine.executors.base import Availability, Cause, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus
from engine.executors.guard import MOST_OUTPUT
from engine.executors.kubernetes_objects import TAKEN, Identity, claim_of, job_object, selector
from engine.executors.kubernetes_status import Sight, sight
from engine.executors.notes import Notes, noted_keys, read_notes, remove_notes, start_notes, write_notes
from engine.executors.tail import follow, make_output, size_of
from engine.executors.tools import last_line, printed, run_tool
from engine.files import StorageError, write_problem
from engine.text import mask_credentials, one_line

__all__ = ["KubernetesExecutor"]

_DIRECTORY, _OUTPUT = "pod", "output"
"""In the directory of a job: what its pod may write to."""

_PULL_PATIENCE = 15.0
"""Seconds until an image that cannot be pulled is given up: two attempts have failed by then."""
_REPORT_PATIENCE = 60.0
"""Seconds within which a node reports that a container runs."""
_UNEXPLAINED = 3.0
"""Seconds that a job waits before the reason is looked for in events."""
_CREATE = ("--filename=-", "--validate=false", "--output=json")
_VERSIONS = (("kubectl", "clientVersion"), ("cluster", "serverVersion"))
_REHEARSAL = "availability"
"""Key and image of a job that is never kept."""
_REQUEST_SECONDS, _CALL_SECONDS = 20, 30.0
_STOP_POLL = 0.2


class KubernetesExecutor:
    """Runs jobs where `settings` say. `environ` is the environment of ``kubectl``, which finds its cluster by it."""

    name = "kubernetes"

    def __init__(self, jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]) -> None:
        self.jobs_dir = jobs_dir
        self.settings = settings
        self.environ = environ
        self._digest = sha256(os.fsencode(jobs_dir.resolve())).hex()[:16]

    def availability(self) -> Availability:
        """Whether the cluster answers and would take jobs, found out by asking it to take one without keeping it."""
        version = ""
        try:
            asked = self._run("version", "--output=json")
            version = _version(asked.stdout)
            printed(asked)
            notes = self._rehearse()
            self._objects(_REHEARSAL)
            for what in ("jobs.batch", "pods"):
                self._must_be_allowed("delete", what)
        except ExecutorError as error:
            return Availability(self.name, version, problem=replace(error.problem, code="executor-unavailable"))
        return Availability(self.name, version, notes)

    def submit(self, spec: JobSpec) -> None:
        """Create the Job. Raises `ExecutorError`, `StorageError`; the job is then unknown, and does not run."""
        notes = read_notes(self.jobs_dir, spec.key)
        if notes and (notes.backend_id or notes.ended):
            return
        if not spec.image:
            message = "Kubernetes runs jobs in container images only, and this job has none"
            raise ExecutorError(Problem("executor-needs-image", message))
        place = self._place()
        notes = notes or start_notes(self.jobs_dir, self.name, spec)
        try:
            self._make_output(spec)
        except OSError as error:
            self._remove(spec.key)
            raise StorageError(write_problem("start the job", self.jobs_dir / spec.key, error)) from error
        try:
            self._create(spec)
        except ExecutorError:
            # It may have arrived all the same, and only where its pod did not start yet that can be prevented.
            if self._take(spec.key):
                with suppress(ExecutorError):
                    self._delete(spec.key)
                self._remove(spec.key)
                raise
        # Read again: somebody may have stopped it meanwhile.
        write_notes(self.jobs_dir, spec.key, read_notes(self.jobs_dir, spec.key) or notes, backend_id=place)

    def status(self, key: str) -> JobStatus:
        """The state of the job now. Raises `JobNotFound`, `ExecutorError`, `StorageError`."""
        notes = self._notes(key)
        if notes.ended and not notes.backend_id:
            return _decided(notes)
        seen = self._look(key, notes)
        if verdict := self._verdict(key, notes, seen):
            self._end(key, notes, seen.status, verdict)
            return self.status(key)
        if notes.ended and seen.alive:
            if seen.there:
                # Whoever decided it was killed before it could tell the cluster.
                self._delete(key)
            elif seen.late:
                # A node that was just starting the pod may have missed it; another grace is news to it.
                self._delete(key, "--grace-period=1")
            return JobStatus(JobState.RUNNING, None, seen.status.host, reason="it is being ended")
        if notes.ended:
            return _decided(write_notes(self.jobs_dir, key, notes, backend_id=""))
        return self._explained(notes, seen)

    def output(self, key: str) -> Iterator[bytes]:
        """The job's output in lines, from its start and as it comes. Raises `JobNotFound`."""
        self._notes(key)
        return follow(self._output(key), lambda: self.status(key).state.final)

    def stop(self, key: str) -> None:
        """Delete the Job and its pod, and return when the pod is gone. Raises `JobNotFound`, `ExecutorError`.

        A node that does not confirm the end of the pod makes the job a lost one.
        """
        while not (status := self.status(key)).state.final:
            notes = self._notes(key)
            if notes.ended is None:
                self._end(key, notes, status, JobStatus(JobState.CANCELLED, reason="stopped"))
            time.sleep(_STOP_POLL)

    def jobs(self) -> tuple[str, ...]:
        return noted_keys(self.jobs_dir, self.name)

    def forget(self, key: str) -> None:
        """Stop the job if need be and remove its objects and files. Raises `ExecutorError`, `StorageError`."""
        if read_notes(self.jobs_dir, key):
            self.stop(key)
            self._delete(key)
            self._remove(key)

    def _verdict(self, key: str, notes: Notes, seen: Sight) -> JobStatus | None:
        """What envdeck decides about a job of which the cluster says `seen`; None when there is nothing to decide."""
        status, now = seen.status, time.time()
        if seen.unconfirmed or (status.state is JobState.LOST and notes.ended is None):
            # So that no replacement of its pod is started, and the pod is ended should its node come back.
            return status
        if notes.ended:
            return None
        # The clocks of the cluster may be behind, but no job started before it was submitted.
        since = now - max(seen.since, notes.submitted_at)
        if status.state is JobState.PENDING and status.cause and (seen.hopeless or since > _PULL_PATIENCE):
            return replace(status, state=JobState.FAILED, reason=self._explained(notes, seen).reason)
        if status.state is JobState.PENDING and now > notes.submitted_at + notes.start_timeout:
            reason = self._explained(notes, seen).reason or "it was given no node"
            return replace(status, state=JobState.FAILED, cause=Cause.START_TIMEOUT, reason=reason)
        if status.state is JobState.RUNNING and since > notes.timeout:
            reason = f"it ran longer than {notes.timeout:g} s"
            return replace(status, state=JobState.FAILED, cause=Cause.TIMEOUT, reason=reason)
        if status.state is JobState.RUNNING and size_of(self._output(key)) > MOST_OUTPUT:
            return replace(status, state=JobState.FAILED, reason=f"it printed more than {MOST_OUTPUT >> 20} MiB")
        return None

    def _end(self, key: str, notes: Notes, status: JobStatus, verdict: JobStatus) -> None:
        """End a job of that status, with `verdict` from then on.

        That is noted before the cluster is told, which then knows nothing of the job any more. A pod that is lost, or
        that will not start the job, is not waited for.
        """
        if self._notes(key).ended is not notes.ended:
            # Somebody else decided while this one looked, perhaps at what that one had deleted.
            return
        gone = verdict.state is JobState.LOST or (status.state is JobState.PENDING and self._take(key))
        place = "" if gone else notes.backend_id
        ended, cause, reason = verdict.state, verdict.cause, verdict.reason
        write_notes(self.jobs_dir, key, notes, backend_id=place, ended=ended, cause=cause, reason=reason)
        self._delete(key)

    def _explained(self, notes: Notes, seen: Sight) -> JobStatus:
        """The status of what is seen, with the reason from events when a job has waited for a while without one."""
        if not seen.unclear or time.time() - notes.submitted_at < _UNEXPLAINED:
            return seen.status
        about = f"--field-selector=involvedObject.name={seen.unclear},type=Warning"
        asked = self._run("get", "events", about, "--output=json")
        if asked.returncode:
            # Not everybody may see them, and a job can do without.
            return seen.status
        events = sorted(_json(asked.stdout)["items"], key=lambda event: str(event.get("lastTimestamp")))
        failures = [str(event.get("message")) for event in events if str(event.get("reason")).startswith("Failed")]
        # "Error: ImagePullBackOff" is what it is called; another one says why.
        said = [message for message in failures if not message.startswith("Error: ")]
        return replace(seen.status, reason=one_line(said[-1], 500)) if said else seen.status

    # Files

    def _notes(self, key: str) -> Notes:
        notes = read_notes(self.jobs_dir, key)
        if notes is None:
            raise JobNotFound(self.name, key)
        return notes

    def _output(self, key: str) -> Path:
        return self.jobs_dir / key / _DIRECTORY / _OUTPUT

    def _make_output(self, spec: JobSpec) -> None:
        """Make the file that the job prints to, in a directory that nobody else can look into."""
        output, user = self._output(spec.key), spec.user
        output.parent.mkdir(mode=0o700, exist_ok=True)
        make_output(output, (user.uid, user.gid) if user else None)
        if user:
            os.chown(output.parent, user.uid, user.gid)

    def _remove(self, key: str) -> None:
        shutil.rmtree(self._output(key).parent, ignore_errors=True)
        # Last: until then the job can still be found.
        remove_notes(self.jobs_dir, key)

    def _taken(self, key: str) -> Path:
        """What the pod makes before it starts the job."""
        return self._output(key).with_name(_OUTPUT + TAKEN)

    def _taken_at(self, key: str) -> float:
        """When a pod took the job, in seconds since the epoch; 0 when none did."""
        taken = self._taken(key)
        try:
            # A listing sees new names at once over NFS, where a look-up may answer from memory for 30 s.
            return taken.lstat().st_mtime if taken in taken.parent.iterdir() else 0.0
        except OSError:
            return 0.0

    def _take(self, key: str) -> bool:
        """Take the job before a pod does, so that none can start it any more; whether that was so."""
        try:
            self._taken(key).touch(exist_ok=False)
        except OSError:
            return False
        return True

    # The cluster

    def _object(self, spec: JobSpec) -> dict[str, Any]:
        user = spec.user
        account = (user.uid, user.gid, user.groups) if user else (os.geteuid(), os.getegid(), os.getgroups())
        identity = Identity(self._digest, spec.key)
        return job_object(spec, self.settings, identity, self._output(spec.key), account, _file_type)

    def _look(self, key: str, notes: Notes) -> Sight:
        """What the cluster says of the job, and the file that its pod makes first, of which the cluster tells later."""
        objects, now = self._objects(key), time.time()
        if not objects and not notes.backend_id:
            return Sight(JobStatus(JobState.PENDING, reason="it is being submitted"))
        if not objects and (place := self._place()) != notes.backend_id:
            message = f"job {key} was submitted to {notes.backend_id}"
            hint = "Let kubectl use the same cluster and namespace again: see its kubeconfig and Envdeck.Kubernetes…"
            raise ExecutorError(Problem("executor-failed", message, found=place, hint=hint))
        job = next((each for each in objects if each["kind"] == "Job"), None)
        seen = sight(job, [each for each in objects if each["kind"] == "Pod"], now)
        if seen.status.state is not JobState.PENDING or not (taken := self._taken_at(key)):
            return seen
        if now > taken + _REPORT_PATIENCE:
            reason = "the pod that ran it is gone; its node may have died"
            return replace(seen, status=replace(seen.status, state=JobState.LOST, cause=Cause.HOST, reason=reason))
        return replace(seen, status=JobStatus(JobState.RUNNING, None, seen.status.host), since=taken)

    def _objects(self, key: str) -> list[Any]:
        """The Job and its pods."""
        return list(_json(self._kubectl("get", "jobs,pods", self._selector(key), "--output=json"))["items"])

    def _place(self) -> str:
        """Which namespace of which cluster ``kubectl`` uses."""
        asked = self._run("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")
        # Without any configuration, in a pod, it uses the cluster of that pod.
        server = mask_credentials(asked.stdout.strip()) or "the cluster of this pod"
        return one_line(f"namespace {self.settings.kubernetes_namespace} of {server}", 500)

    def _create(self, spec: JobSpec) -> None:
        asked = self._run("create", *_CREATE, given=self._object(spec))
        # There already, because somebody else submits it too, or died before that could be noted.
        if "(AlreadyExists)" not in asked.stderr or not self._objects(spec.key):
            printed(asked)

    def _delete(self, key: str, *options: str) -> None:
        """Ask for the end of the job. Its pod too, which otherwise waits for the garbage collector."""
        self._kubectl("delete", "jobs,pods", self._selector(key), "--wait=false", *options)

    def _selector(self, key: str) -> str:
        return f"--selector={selector(Identity(self._digest, key))}"

    def _rehearse(self) -> tuple[str, ...]:
        """Have the cluster check a job such as ours, without keeping it; what an admin should know."""
        notes = []
        if claim_of(self.jobs_dir, self.settings) is None:
            notes.append(f"every node must have {self.jobs_dir} on storage that it shares with this machine")
        spec = JobSpec(_REHEARSAL, ("true",), Path("/"), image=_REHEARSAL)
        asked = self._run("create", *_CREATE, "--dry-run=server", given=self._object(spec))
        if "does not support dry run" in asked.stderr:
            notes.append(f"whether the cluster takes jobs shows when one is submitted: {last_line(asked.stderr)}")
        else:
            printed(asked)
        notes += [line for line in asked.stderr.splitlines() if line.startswith("Warning:")]
        return tuple(one_line(note, 500) for note in notes)

    def _must_be_allowed(self, verb: str, what: str) -> None:
        if self._run("auth", "can-i", verb, what).stdout.strip() != "yes":
            raise ExecutorError(
                Problem(
                    "executor-failed",
                    f"kubectl may not {verb} {what} in the namespace {self.settings.kubernetes_namespace}",
                    hint="Grant create, get, list and delete on jobs.batch, and get, list and delete on pods",
                )
            )

    def _kubectl(self, *arguments: str) -> str:
        return printed(self._run(*arguments))

    def _run(self, *arguments: str, given: object = None) -> subprocess.CompletedProcess[str]:
        """Run ``kubectl`` with `given` as JSON on its standard input. Raises `ExecutorError` when it cannot be run."""
        options = (f"--namespace={self.settings.kubernetes_namespace}", f"--request-timeout={_REQUEST_SECONDS}s")
        command = ["kubectl", *self.settings.kubernetes_options, *options, *arguments]
        return run_tool(command, self.environ, _CALL_SECONDS, json.dumps(given) if given else "")


def _decided(notes: Notes) -> JobStatus:
    assert notes.ended is not None
    return JobStatus(notes.ended, cause=notes.cause, reason=notes.reason)


def _version(said: str) -> str:
    """Of ``kubectl`` and of the cluster, as far as it said."""
    try:
        versions = json.loads(said)
        parts = [f"{name} {versions[part]['gitVersion']}" for name, part in _VERSIONS if part in versions]
    except (ValueError, KeyError, TypeError):
        return ""
    return one_line(", ".join(parts))


def _json(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError as error:
        raise ExecutorError(Problem("executor-failed", "kubectl printed no JSON", found=said)) from error


def _file_type(path: Path) -> str:
    """What a node has to have at `path`, as the type of a hostPath volume: what is there on this machine."""
    if path.is_dir():
        return "Directory"
    return "File" if path.is_file() else ""

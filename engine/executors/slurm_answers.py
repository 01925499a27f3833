"""What Slurm's tools say, read into values. Nothing here runs anything."""

from __future__ import annotations

import re

from msgspec import Struct
from msgspec.structs import replace

from engine.executors.base import Cause, JobState, JobStatus
from engine.text import one_line

__all__ = [
    "JobRecord",
    "NodeCount",
    "cluster_notes",
    "count_nodes",
    "read_config",
    "read_job",
    "read_job_id",
    "read_output",
    "verdict",
]

# man squeue, "JOB STATE CODES". A state that is not here is a phase of a job that is not over.
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_ENDED: dict[str, tuple[JobState, Cause | None, str]] = {
    "COMPLETED": (JobState.FINISHED, None, ""),
    "FAILED": (JobState.FAILED, None, ""),
    "CANCELLED": (JobState.CANCELLED, None, "cancelled in Slurm"),
    "TIMEOUT": (JobState.FAILED, Cause.TIMEOUT, "it ran longer than its time limit in Slurm"),
    "DEADLINE": (JobState.FAILED, Cause.TIMEOUT, "it did not end before its deadline in Slurm"),
    "OUT_OF_MEMORY": (JobState.FAILED, Cause.MEMORY, "it used more memory than it may"),
    "NODE_FAIL": (JobState.LOST, Cause.HOST, "its node failed"),
    "BOOT_FAIL": (JobState.LOST, Cause.HOST, "its node did not boot"),
    "PREEMPTED": (JobState.LOST, Cause.HOST, "its node was given to a job of a higher priority"),
    "REVOKED": (JobState.LOST, Cause.HOST, "another cluster of the federation took it"),
}

# man squeue, "JOB REASON CODES"; the first that a code starts with counts.
_REASONS = (
    ("Resources", "no node has what it asks for free"),
    ("Priority", "other jobs are before it"),
    ("PartitionDown", "its partition is down"),
    ("PartitionInactive", "its partition takes no jobs"),
    ("PartitionNodeLimit", "it asks for more nodes than its partition gives"),
    ("PartitionTimeLimit", "its time limit is above that of its partition"),
    ("ReqNodeNotAvail", "the nodes that it asks for are down, drained or reserved"),
    ("Nodes_required_for_job_are_DOWN", "the nodes that it could run on are down, drained or reserved"),
    ("NodeDown", "a node that it needs is down"),
    ("BadConstraints", "no node can have what its options ask for"),
    ("JobHeldAdmin", "an administrator holds it"),
    ("JobHeldUser", "it is held"),
    ("JobLaunchFailure", "Slurm could not start it on its node"),
    ("launch_failed_requeued_held", "Slurm could not start it on its node, and holds it"),
    ("Dependency", "it waits for another job"),
    ("BeginTime", "it is not to start yet"),
    ("Reservation", "it waits for its reservation"),
    ("Licenses", "no license that it needs is free"),
    ("Prolog", "its node is being prepared"),
    ("Assoc", "a limit of its account is reached"),
    ("QOS", "a limit of its quality of service is reached"),
    ("InvalidAccount", "its account is not valid"),
    ("InvalidQOS", "its quality of service is not valid"),
)
_LAST_SIGNAL = 64

_ID = re.compile(r"(\d+)(?:;\S+)?")
_FIELD = re.compile(r"(?:^|(?<= ))([A-Z][A-Za-z/:]*)=")
_USABLE_NODE = re.compile(r"(?:idle|mixed|allocated|completing|planned)(?!.*\*)")
_NOT_STARTED = re.compile(r"env: |\S*slurm_script: ")
_OVER_MEMORY = re.compile(r"slurmstepd\S*: error: .*exceeded memory limit", re.IGNORECASE)
_RUN_TIME = re.compile(r"(?:(\d+)-)?(\d+):(\d+):(\d+)")


class JobRecord(Struct, frozen=True):
    """A job as the controller knows it, in its words."""

    id: str
    name: str
    state: str
    reason: str
    """Its code; empty for none."""
    exit_code: int
    signal: int
    """Above 64 a code of Slurm's own."""
    host: str
    seconds: int
    """How long it has run."""

    @property
    def active(self) -> bool:
        """Whether anything of it may run or will yet."""
        return self.state not in _ENDED


def read_job_id(said: str) -> str:
    """The id in what ``sbatch --parsable`` printed; empty when there is none."""
    # A filter of the site may print lines of its own before it.
    match = _ID.fullmatch(said.strip().rpartition("\n")[2])
    return match[1] if match else ""


def read_job(said: str) -> JobRecord | None:
    """The job that ``scontrol show job --oneliner`` printed; None when it printed anything else.

    A value may hold blanks and ``=``: those that people choose (Comment, Command, WorkDir, StdOut) all come after the
    ones that are read here, so the first of a name counts.
    """
    places = list(_FIELD.finditer(said))
    ends = [*(place.start() for place in places[1:]), len(said)]
    fields: dict[str, str] = {}
    for place, end in zip(places, ends, strict=False):
        fields.setdefault(place[1], said[place.end() : end].strip())
    try:
        exit_code, _, signal = fields["ExitCode"].partition(":")
        return JobRecord(
            id=fields["JobId"],
            name=fields["JobName"],
            state=fields["JobState"],
            reason="" if fields["Reason"] == "None" else fields["Reason"],
            exit_code=int(exit_code),
            signal=int(signal),
            host=fields.get("BatchHost", ""),
            seconds=_seconds(fields["RunTime"]),
        )
    except (KeyError, ValueError):
        return None


def _seconds(text: str) -> int:
    match = _RUN_TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def verdict(record: JobRecord) -> JobStatus:
    """What the record says of the job."""
    if record.active:
        state = JobState.PENDING if record.state in _WAITING else JobState.RUNNING
        return JobStatus(state, None, record.host, None, _explained(record.reason))
    state, cause, reason = _ENDED[record.state]
    code: int | None = record.exit_code
    if 0 < record.signal <= _LAST_SIGNAL:
        code = 128 + record.signal
    elif record.exit_code == 0 and state is not JobState.FINISHED:
        code = None
    if state is JobState.FAILED and cause is None and code is None:
        reason = _explained(record.reason) or "it failed in Slurm"
    if record.host and state is JobState.LOST:
        reason = f"{reason}: {record.host}"
    return JobStatus(state, code, record.host, cause, reason)


def read_output(status: JobStatus, said: str) -> JobStatus:
    """The status of a job that did not end well, with the cause that only `said` has, the end of its output.

    The batch script says there what it could not start. A cluster that polls the memory of its jobs says so only there.
    """
    lines = said.splitlines()
    if status.exit_code in (126, 127) and lines and _NOT_STARTED.match(lines[-1]):
        return replace(status, cause=Cause.COMMAND, reason=one_line(lines[-1]))
    if status.cause is None and any(map(_OVER_MEMORY.match, lines)):
        return replace(status, state=JobState.FAILED, cause=Cause.MEMORY, reason=_ENDED["OUT_OF_MEMORY"][2])
    return status


def _explained(code: str) -> str:
    """A code of Slurm's in words, with itself."""
    for start, words in _REASONS:
        if code.startswith(start):
            return f"{words} ({one_line(code)})"
    return one_line(code.replace("_", " "))


class NodeCount(Struct, frozen=True):
    """The nodes of a cluster, and how many of them take jobs."""

    usable: int
    all: int


def count_nodes(said: str) -> NodeCount:
    """The nodes in what ``sinfo --Node --noheader --format='%N %T'`` printed, each counted once."""
    # A node has a line for each of its partitions. "*" means that it does not answer.
    states = dict(line.split()[:2] for line in said.splitlines() if len(line.split()) >= 2)
    return NodeCount(sum(_USABLE_NODE.match(state) is not None for state in states.values()), len(states))


def read_config(said: str) -> dict[str, str]:
    """The settings that ``scontrol show config`` printed, by their name in small letters."""
    pairs = (line.partition("=") for line in said.splitlines() if "=" in line)
    return {name.strip().casefold(): value.strip() for name, _, value in pairs}


def cluster_notes(config: dict[str, str]) -> tuple[str, ...]:
    """What an admin should know of a cluster with these settings before builds run there (man slurm.conf)."""
    notes = []
    tracking = config.get("proctracktype", "")
    if tracking != "proctrack/cgroup":
        notes.append(f"a process that detaches itself may outlive its build (ProctrackType is {tracking or 'unknown'})")
    by_cgroup = "cgroup" in config.get("taskplugin", "") and config.get("constrainramspace", "").casefold() == "yes"
    by_polling = "overmemorykill" in config.get("jobacctgatherparams", "").casefold()
    if not by_cgroup and not by_polling:
        notes.append(
            "memory limits choose a node, but are not enforced "
            "(neither ConstrainRAMSpace with task/cgroup, nor JobAcctGatherParams=OverMemoryKill)"
        )
    return tuple(notes)

"""What the tools of Slurm say, and what envdeck makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.executors.base import Cause, JobSpec, JobState, JobStatus
from engine.executors.slurm import batch_script
from engine.executors.slurm_answers import (
    NodeCount,
    cluster_notes,
    count_nodes,
    read_config,
    read_job,
    read_job_id,
    read_output,
    verdict,
)


def answer(
    state: str, exit_code: str = "0:0", reason: str = "None", host: str = "node1", time: str = "00:00:00", end: str = ""
) -> str:
    """A job in the words of Slurm 22.05, shortened."""
    return (
        f"JobId=12 JobName=envdeck-a UserId=root(0) GroupId=root(0) Priority=4294901759 JobState={state} "
        f"Reason={reason} Dependency=(null) BatchFlag=1 ExitCode={exit_code} RunTime={time} TimeLimit=UNLIMITED "
        f"NodeList={host} BatchHost={host} ReqB:S:C:T=0:0:*:* CPUs/Task=1 WorkDir=/ {end}StdOut=/dev/null Power= \n"
    )


VERDICTS = [
    (
        answer("PENDING", reason="Resources"),
        JobState.PENDING,
        None,
        None,
        "no node has what it asks for free (Resources)",
    ),
    (answer("PENDING", reason="Some_new_code"), JobState.PENDING, None, None, "Some new code"),
    (answer("CONFIGURING"), JobState.PENDING, None, None, ""),
    (answer("RUNNING"), JobState.RUNNING, None, None, ""),
    (answer("COMPLETING"), JobState.RUNNING, None, None, ""),
    (answer("A_STATE_TO_COME"), JobState.RUNNING, None, None, ""),
    (answer("COMPLETED"), JobState.FINISHED, 0, None, ""),
    (answer("FAILED", "3:0", "NonZeroExitCode"), JobState.FAILED, 3, None, ""),
    (answer("FAILED", "0:9", "RaisedSignal:9(Killed)"), JobState.FAILED, 137, None, ""),
    (
        answer("FAILED", "0:0", "JobLaunchFailure"),
        JobState.FAILED,
        None,
        None,
        "Slurm could not start it on its node (JobLaunchFailure)",
    ),
    (
        answer("OUT_OF_MEMORY", "0:125", "OutOfMemory"),
        JobState.FAILED,
        None,
        Cause.MEMORY,
        "it used more memory than it may",
    ),
    (
        answer("TIMEOUT", "0:15", "TimeLimit"),
        JobState.FAILED,
        143,
        Cause.TIMEOUT,
        "it ran longer than its time limit in Slurm",
    ),
    (answer("CANCELLED", "0:15"), JobState.CANCELLED, 143, None, "cancelled in Slurm"),
    (answer("NODE_FAIL", "1:0", "NodeDown"), JobState.LOST, 1, Cause.HOST, "its node failed: node1"),
    (answer("PREEMPTED"), JobState.LOST, None, Cause.HOST, "its node was given to a job of a higher priority: node1"),
]


@pytest.mark.parametrize(("said", "state", "code", "cause", "reason"), VERDICTS)
def test_the_state_of_a_job(said: str, state: JobState, code: int | None, cause: Cause | None, reason: str) -> None:
    record = read_job(said)
    assert record is not None
    assert verdict(record) == JobStatus(state, code, "node1", cause, reason)
    assert record.active is not state.final


def test_what_people_chose_cannot_pass_for_what_slurm_says() -> None:
    record = read_job(answer("FAILED", "3:0", end="Comment=JobState=COMPLETED ExitCode=0:0 BatchHost=x "))
    assert record is not None
    assert (record.state, record.exit_code, record.host) == ("FAILED", 3, "node1")


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:00:09", 9), ("01:02:03", 3723), ("2-01:02:03", 176_523), ("INVALID", None)]
)
def test_how_long_a_job_has_run(text: str, seconds: int | None) -> None:
    record = read_job(answer("RUNNING", time=text))
    assert (record.seconds if record else None) == seconds


@given(st.text() | st.lists(st.sampled_from(["JobId=1 ", "JobState=", "ExitCode=x", "RunTime=00:00:00 "])).map("".join))
def test_an_answer_without_sense_is_none(said: str) -> None:
    assert read_job(said) is None


@pytest.mark.parametrize(
    ("said", "job_id"),
    [
        ("17\n", "17"),
        ("17;cluster\n", "17"),
        ("lua: be nice\n17\n", "17"),
        ("Submitted batch job 17\n", ""),
        ("17\nbye\n", ""),
        ("", ""),
    ],
)
def test_the_id_of_a_submitted_job(said: str, job_id: str) -> None:
    assert read_job_id(said) == job_id


ENDS = [
    (JobStatus(JobState.FAILED, 127), "env: 'nosuch': No such file or directory", JobState.FAILED, Cause.COMMAND),
    (JobStatus(JobState.FAILED, 126), "/s/job1/slurm_script: 5: cd: can't cd to /no", JobState.FAILED, Cause.COMMAND),
    (JobStatus(JobState.FAILED, 127), "my own", JobState.FAILED, None),
    (JobStatus(JobState.FAILED, 1), "env: 'nosuch': No such file or directory", JobState.FAILED, None),
    (JobStatus(JobState.FAILED, 127), "", JobState.FAILED, None),
    (
        JobStatus(JobState.CANCELLED),
        "slurmstepd-node1: error: Job 2 exceeded memory limit (5 > 1), being killed\nbye",
        JobState.FAILED,
        Cause.MEMORY,
    ),
]


@pytest.mark.parametrize(("status", "said", "state", "cause"), ENDS)
def test_the_end_of_the_output_tells_what_slurm_does_not(
    status: JobStatus, said: str, state: JobState, cause: Cause | None
) -> None:
    read = read_output(status, said)
    assert (read.state, read.cause) == (state, cause)


def test_a_node_counts_once_and_only_when_it_answers() -> None:
    said = "n1 idle\nn1 idle\nn2 mixed\nn3 idle*\nn4 drained\nn5 down*\nn6 allocated\n\n"
    assert count_nodes(said) == NodeCount(3, 6)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("ProctrackType = proctrack/cgroup\nTaskPlugin = task/affinity,task/cgroup\nConstrainRAMSpace = yes\n", []),
        ("ProctrackType = proctrack/linuxproc\nJobAcctGatherParams = OverMemoryKill\n", ["detaches"]),
        ("ProctrackType = proctrack/cgroup\nTaskPlugin = task/cgroup\nConstrainRAMSpace = no\n", ["memory"]),
        ("nonsense", ["detaches", "memory"]),
    ],
)
def test_what_a_cluster_does_not_do_for_builds_is_said(config: str, told: list[str]) -> None:
    notes = cluster_notes(read_config(config))
    assert len(notes) == len(told)
    assert all(word in note for word, note in zip(told, notes, strict=True))


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.lists(words), st.dictionaries(st.just("A"), words), words)
def test_no_line_of_the_batch_script_is_an_option_or_ends_in_a_carriage_return(
    argv: list[str], env: dict[str, str], name: str
) -> None:
    script = batch_script(JobSpec("a", ("/bin/true", *argv), Path("/", name), env))
    first, *lines = re.split("[\r\n]", script)
    assert first == "#!/bin/sh"
    assert not [line for line in lines if line.startswith("#")]
    assert "\r" not in script

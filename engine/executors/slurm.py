"""Jobs as batch jobs of a Slurm cluster, driven by ``sbatch``, ``scontrol``, ``squeue`` and ``scancel``
(executors.md §2.2).

The directory of the jobs has to be on storage that the nodes see at the same path: a job prints to a file in its own
directory there. A job is called ``envdeck-KEY`` in Slurm, and its comment says which directory it belongs to.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

from msgspec.structs import asdict, replace

from engine.config.model import ExecutorSettings
from engine.digest import sha256
from engine.errors import Problem
from engine.executors.base import Availability, Cause, ExecutorError, JobNotFound, JobSpec, JobState, JobStatus
from engine.executors.guard import MOST_OUTPUT
from engine.executors.notes import Notes, noted_keys, read_notes, remove_notes, start_notes, write_notes
from engine.executors.slurm_answers import (
    JobRecord,
    cluster_notes,
    count_nodes,
    read_config,
    read_job,
    read_job_id,
    read_output,
    verdict,
)
from engine.executors.tail import follow, last_bytes, make_output, size_of
from engine.executors.tools import last_line, printed, run_tool, tool_failed
from engine.files import StorageError, read_json, write_json, write_problem
from engine.text import decode, one_line

__all__ = ["SlurmExecutor"]

_TOOLS = ("sbatch", "scontrol", "squeue", "scancel", "sinfo")
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SLURM_CONF")
"""What the tools get to see of the environment: a variable such as SBATCH_OUTPUT or SCANCEL_INTERACTIVE changes what
they do, and ``sbatch`` hands all of it to the job's node."""
_CALL_SECONDS = 60.0
"""A controller that starts anew answers late."""

_OUTPUT, _VERDICT = "output", "slurm.json"
"""In the directory of a job: what it printed, and how it ended."""
_PREFIX = "envdeck-"
_SUBMIT_SECONDS = 2 * _CALL_SECONDS
"""Within which a job that is being submitted comes to be known."""
_GONE_SECONDS = 180.0
"""A node gives up on a process that does not go away after UnkillableStepTimeout, 60 s by default."""
_RESCUE_SECONDS = 30.0
"""Beyond the grace: by then whoever was ending a job has done it, or was killed over it."""
_POLL = 0.1
_END_SIZE = 4096
"""Bytes of the output in which Slurm's own last words are looked for."""
_NOT_SENT = "Unable to contact slurm controller (connect failure)"
_UNSURE = ("timed out", "Zero Bytes", "Unable to contact", "Unexpected message")
"""In what ``sbatch`` says when the controller may have the job nevertheless."""
_OVER = re.compile("Invalid job id|already complet|being completed", re.IGNORECASE)
"""In what ``scancel`` says of a job that has ended."""


class SlurmExecutor:
    """Runs jobs where `settings` say. `environ` is where the tools are found, and the cluster (``SLURM_CONF``)."""

    name = "slurm"

    def __init__(self, jobs_dir: Path, settings: ExecutorSettings, environ: Mapping[str, str]) -> None:
        self.jobs_dir = jobs_dir
        self.settings = settings
        self.environ = {"PATH": os.defpath} | {name: environ[name] for name in _ENVIRONMENT if name in environ}
        self._comment = f"envdeck:{sha256(os.fsencode(jobs_dir.resolve())).hex()[:16]}"

    def availability(self) -> Availability:
        """Whether the tools are there and the controller answers, and what the cluster does not do for builds."""
        if missing := [tool for tool in _TOOLS if not shutil.which(tool, path=self.environ["PATH"])]:
            problem = Problem(
                "executor-unavailable",
                f"{', '.join(missing)} not found",
                expected="Slurm's tools in a directory that the PATH of envdeck has",
                hint="Install the client tools of the cluster's version of Slurm (Debian: slurm-client)",
            )
            return Availability(self.name, problem=problem)
        version = ""
        try:
            version = one_line(self._tool("sbatch", "--version"))
            ping = self._run("scontrol", "ping")
            if "UP" not in ping.stdout.split():
                said = ping.stderr.strip() or ping.stdout
                raise tool_failed(ping.args, said, "See the log of slurmctld on the host of the controller")
            config = read_config(self._tool("scontrol", "show", "config"))
            nodes = count_nodes(self._tool("sinfo", "--Node", "--noheader", "--format=%N %T"))
        except ExecutorError as error:
            return Availability(self.name, version, problem=replace(error.problem, code="executor-unavailable"))
        notes = (
            f"{nodes.usable} of {nodes.all} nodes of the cluster {one_line(config.get('clustername', ''))} take jobs",
            f"all nodes must see {self.jobs_dir} as this machine does, from the same storage",
            *cluster_notes(config),
        )
        return Availability(self.name, version, notes)

    def submit(self, spec: JobSpec) -> None:
        """Submit the job. Raises `ExecutorError`, `StorageError`.

        A job that Slurm refuses is a failed one from then on. One of which it is not known whether Slurm has it is not
        submitted a second time: `status` finds it, or says that it is lost.
        """
        if read_notes(self.jobs_dir, spec.key):
            return
        notes = start_notes(self.jobs_dir, self.name, spec)
        try:
            make_output(self._output(spec.key), (spec.user.uid, spec.user.gid) if spec.user else None)
        except OSError as error:
            self._remove(spec.key)
            raise StorageError(write_problem("start the job", self._output(spec.key), error)) from error
        done = self._run("sbatch", *self._options(spec), given=batch_script(spec))
        if done.returncode:
            self._refused(spec.key, done.stderr)
        if job_id := read_job_id(printed(done)):
            write_notes(self.jobs_dir, spec.key, notes, backend_id=job_id)

    def status(self, key: str) -> JobStatus:
        """The state of the job now. Raises `JobNotFound`, `ExecutorError`, `StorageError`.

        How a job ended is noted as soon as it is seen, because Slurm forgets it after some minutes (MinJobAge).
        """
        if decided := self._decided(key):
            return decided
        record = self._record(key)
        # After the record: whoever ends a job notes that before, so an end that was seen does not lack its note.
        notes = self._notes(key)
        if record is None:
            return self._unknown(key, notes)
        status = verdict(record)
        if record.active:
            return self._limited(key, notes, record, status)
        if notes.ended:
            status = replace(status, state=notes.ended, cause=notes.cause, reason=notes.reason)
        elif status.state in (JobState.FAILED, JobState.CANCELLED):
            status = read_output(status, decode(last_bytes(self._output(key), _END_SIZE)))
        return self._decide(key, status)

    def output(self, key: str) -> Iterator[bytes]:
        """The job's output in lines, from its start and as it comes. Raises `JobNotFound`.

        While the controller does not answer it goes on waiting.
        """
        self._notes(key)
        return follow(self._output(key), lambda: self.status(key).state.final)

    def stop(self, key: str) -> None:
        """Signal TERM to the job and after its grace KILL, and return when Slurm has nothing of it left.

        Raises `JobNotFound`, and `ExecutorError` when its node does not get rid of it.
        """
        if not self.status(key).state.final:
            self._end(key, JobState.CANCELLED, None, "stopped")

    def jobs(self) -> tuple[str, ...]:
        return noted_keys(self.jobs_dir, self.name)

    def forget(self, key: str) -> None:
        """Stop the job if need be and remove its files. Raises `ExecutorError`, `StorageError`."""
        if read_notes(self.jobs_dir, key):
            self.stop(key)
            self._remove(key)

    # How a job ends

    def _unknown(self, key: str, notes: Notes) -> JobStatus:
        """The state of a job that Slurm does not know."""
        if notes.ended:
            return self._decide(key, JobStatus(notes.ended, None, "", notes.cause, notes.reason))
        if notes.backend_id:
            reason = f"Slurm does not know job {notes.backend_id} any more, and nobody saw its end"
        elif time.time() < notes.submitted_at + _SUBMIT_SECONDS:
            return JobStatus(JobState.PENDING, reason="it is being submitted")
        else:
            reason = "its submission was interrupted, and Slurm knows no job of its name"
        return self._decide(key, JobStatus(JobState.LOST, cause=Cause.HOST, reason=reason))

    def _limited(self, key: str, notes: Notes, record: JobRecord, status: JobStatus) -> JobStatus:
        """The state of a job that Slurm has, once it was ended where it is over a limit."""
        if notes.ended:
            if time.time() > notes.ended_at + notes.grace + _RESCUE_SECONDS:
                self._kill(record.id)
            return replace(status, reason="it is being ended")
        if status.state is JobState.PENDING and time.time() > notes.submitted_at + notes.start_timeout:
            self._end(key, JobState.FAILED, Cause.START_TIMEOUT, status.reason or "Slurm did not look at it")
        elif record.seconds > notes.timeout:
            self._end(key, JobState.FAILED, Cause.TIMEOUT, f"it ran longer than {notes.timeout:g} s")
        elif size_of(self._output(key)) > MOST_OUTPUT:
            self._end(key, JobState.FAILED, None, f"it printed more than {MOST_OUTPUT >> 20} MiB")
        else:
            return status
        return self.status(key)

    def _end(self, key: str, state: JobState, cause: Cause | None, reason: str) -> None:
        """End the job, to be reported as `state` from then on; return when Slurm has nothing of it left."""
        now = time.time()
        notes = self._notes(key)
        write_notes(self.jobs_dir, key, notes, ended=state, cause=cause, reason=reason, ended_at=now)
        record = self._record(key)
        if record is None:
            return
        # To the job's process and its descendants; a job that waits is gone with that. Not plainly `scancel`, which
        # kills after the cluster's KillWait, whatever the grace.
        waiting = verdict(record).state is JobState.PENDING
        self._scancel(record.id, *(() if waiting else ("--signal=TERM", "--full")))
        if not self._gone_within(notes.grace, key):
            self._kill(record.id)
            if not self._gone_within(_GONE_SECONDS, key):
                raise tool_failed(
                    ("scancel", record.id),
                    f"job {record.id} was killed, but is still there",
                    f"See scontrol show job {record.id}, and the log of slurmd on {record.host or 'its node'}",
                )
        self.status(key)

    def _kill(self, job_id: str) -> None:
        # With the job's own process gone, its node kills all others of it at once.
        self._scancel(job_id, "--signal=KILL", "--batch")
        self._scancel(job_id)

    def _gone_within(self, seconds: float, key: str) -> bool:
        end = time.monotonic() + seconds
        while (record := self._record(key)) is not None and record.active:
            if time.monotonic() > end:
                return False
            time.sleep(_POLL)
        return True

    def _refused(self, key: str, said: str) -> None:
        """Note what became of a job that ``sbatch`` failed to submit."""
        if _NOT_SENT in said:
            self._remove(key)
        elif not any(words in said for words in _UNSURE):
            self._decide(key, JobStatus(JobState.FAILED, reason=f"Slurm refused it: {last_line(said)}"))

    # Files

    def _notes(self, key: str) -> Notes:
        notes = read_notes(self.jobs_dir, key)
        if notes is None:
            raise JobNotFound(self.name, key)
        return notes

    def _output(self, key: str) -> Path:
        return self.jobs_dir / key / _OUTPUT

    def _decided(self, key: str) -> JobStatus | None:
        """How the job ended, where that was seen before."""
        self._notes(key)
        record = read_json(self.jobs_dir / key / _VERDICT)
        if record is None:
            return None
        code, cause = record["exit_code"], record["cause"]
        return JobStatus(
            JobState(str(record["state"])),
            code if isinstance(code, int) else None,
            str(record["host"]),
            Cause(str(cause)) if cause else None,
            str(record["reason"]),
        )

    def _decide(self, key: str, status: JobStatus) -> JobStatus:
        write_json(self.jobs_dir / key / _VERDICT, asdict(status))
        return status

    def _remove(self, key: str) -> None:
        try:
            for name in (_OUTPUT, _VERDICT):
                (self.jobs_dir / key / name).unlink(missing_ok=True)
            # Last: until then the job can still be found.
            remove_notes(self.jobs_dir, key)
        except OSError as error:
            raise StorageError(write_problem("remove the files of the job", self.jobs_dir / key, error)) from error

    # The cluster

    def _options(self, spec: JobSpec) -> list[str]:
        """The options of ``sbatch``. The last of a name counts, so an admin may overrule the first ones only."""
        # Slurm counts in minutes: its limit is a backstop for when nobody asks for the status.
        minutes = math.ceil((spec.timeout + spec.grace) / 60) + 1
        filled = (
            option.replace("{python}", spec.python_version).replace("{image}", spec.image)
            for option in self.settings.slurm_options
        )
        return [
            f"--time={minutes}",
            "--ntasks=1",
            *([f"--mem={math.ceil(spec.memory / 2**20)}M"] if spec.memory else []),
            "--propagate=NONE",
            *filled,
            "--parsable",
            f"--job-name={_PREFIX}{spec.key}",
            f"--comment={self._comment}",
            "--chdir=/",
            f"--output={_pattern(self._output(spec.key))}",
            "--open-mode=append",
            "--no-requeue",
            # NONE, or a list, makes the node run the account's login shell for its environment.
            "--export=ALL",
            *([f"--uid={spec.user.uid}", f"--gid={spec.user.gid}"] if spec.user else []),
        ]

    def _record(self, key: str) -> JobRecord | None:
        """What Slurm knows of the job. Raises `JobNotFound` when it has no notes."""
        job_id = self._notes(key).backend_id or self._find(key)
        if not job_id:
            return None
        done = self._run("scontrol", "show", "job", "--oneliner", job_id)
        if done.returncode and "Invalid job id" in done.stderr:
            return None
        record = read_job(printed(done))
        if record is None:
            raise tool_failed(done.args, "an answer without sense", f"Run it by hand: {shlex.join(done.args)}")
        # After a start of the controller without its state, the same number is another job.
        return record if record.name == _PREFIX + key else None

    def _find(self, key: str) -> str:
        """The id of a job that was submitted by someone who could not note it; empty when there is none."""
        name = f"--name={_PREFIX}{key}"
        found = self._tool("squeue", "--noheader", "--states=all", name, "--format=%i %k")
        for line in found.splitlines():
            job_id, _, comment = line.strip().partition(" ")
            if comment == self._comment:
                write_notes(self.jobs_dir, key, self._notes(key), backend_id=job_id)
                return job_id
        return ""

    def _scancel(self, job_id: str, *options: str) -> None:
        done = self._run("scancel", *options, job_id)
        if done.returncode and not _OVER.search(done.stderr):
            printed(done)

    def _tool(self, *command: str) -> str:
        return printed(self._run(*command))

    def _run(self, *command: str, given: str = "") -> CompletedProcess[str]:
        return run_tool(command, self.environ, _CALL_SECONDS, given)


def batch_script(spec: JobSpec) -> str:
    """The script that becomes the job. No line starts with what `spec` holds: ``sbatch`` obeys comments."""
    words = (*(f"{name}={value}" for name, value in spec.env.items()), *spec.argv)
    return "\n".join(
        (
            "#!/bin/sh",
            "umask 022",
            "lf='",
            "'",
            "cr=$(printf '\\015')",
            f"cd -- {_quote(str(spec.cwd))} || exit 126",
            f"exec env -i -- {' '.join(map(_quote, words))}",
            "",
        )
    )


def _pattern(path: Path) -> str:
    """`path` as a file name pattern of ``sbatch``, in which a backslash turns off what the percent sign stands for."""
    text = str(path)
    return text.replace("\\", "\\\\") if "\\" in text else text.replace("%", "%%")


def _quote(word: str) -> str:
    """`word` for a shell, on one line and without a carriage return, which ``sbatch`` refuses."""
    return shlex.quote(word).replace("\n", "'\"$lf\"'").replace("\r", "'\"$cr\"'")

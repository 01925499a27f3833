"""Why a build failed, in one line: the phase, the package at fault, and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec.structs import replace

from engine.builds.model import Fault, Phase
from engine.builds.spec import Job
from engine.errors import Problem
from engine.executors.base import Cause, JobState, JobStatus
from engine.text import one_line

__all__ = ["build_timeout", "explain", "fault_of_job", "fault_of_problem", "start_timeout"]

_NAME = r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)"

# The first pattern that any line matches decides; the more telling ones come first. Written against pip 22 to 26.
# Compiled when a build has failed: the others would wait for it.
_PATTERNS: tuple[tuple[Phase, str, str, str], ...] = (
    (
        Phase.INSTALL,
        r"(?:\[Errno 28\] )?No space left on device",
        "no space left on the device",
        "Free space in the data directory, then build again",
    ),
    (
        Phase.INSTALL,
        r"(?:\[Errno 122\] )?Disk quota exceeded",
        "the disk quota is used up",
        "Free space in the data directory or have its quota raised, then build again",
    ),
    (
        Phase.INSTALL,
        r"(?:\[Errno 30\] )?Read-only file system",
        "the file system is read-only",
        "See `dmesg` for why it was mounted so, which also happens by itself when a disk fails",
    ),
    (
        Phase.RESOLVE,
        r"THESE PACKAGES DO NOT MATCH THE HASHES",
        "a downloaded file does not have the hash that the requirements file demands",
        "Check the --hash options, and that the index is the one they were made from",
    ),
    (
        Phase.RESOLVE,
        r"Name or service not known|Temporary failure in name resolution|Network is unreachable",
        "the package index cannot be reached",
        "Check the network, the proxy, and index-url in pip.conf",
    ),
    (
        Phase.RESOLVE,
        r"CERTIFICATE_VERIFY_FAILED|SSLError",
        "the package index has a certificate that is not trusted",
        "Set cert in pip.conf to the certificate authority's bundle",
    ),
    (
        Phase.RESOLVE,
        rf"Package '{_NAME}' requires a different Python: (?P<detail>.+)",
        "needs another Python: {detail}",
        "Choose a version of it that supports this Python, or another Python for the bundle",
    ),
    (
        Phase.RESOLVE,
        (
            rf"Could not find a version that satisfies the requirement {_NAME}"
            r"(?P<wanted>.*?) \((?:from .*)?from versions: (?P<versions>[^)]*)\)"
        ),
        "",
        "Check the name and version, that this Python is supported, and that the index has it",
    ),
    (
        Phase.RESOLVE,
        rf"No matching distribution found for {_NAME}",
        "no matching distribution",
        "Check the name and version, and that the index has it",
    ),
    (
        Phase.RESOLVE,
        r"Cannot install (?P<detail>.*?) because these package versions have conflicting dependencies",
        "{detail} have conflicting dependencies",
        "Loosen one of the pins that the log names",
    ),
    (
        Phase.RESOLVE,
        rf"Because {_NAME} was not found in the (?:package registry|provided package locations)",
        "the index has nothing of that name for this Python",
        "Check the name and version, that this Python is supported, and that the index has it",
    ),
    (
        Phase.RESOLVE,
        rf"Because there is no version of {_NAME}(?P<detail>[=<>!~]\S*)",
        "no version {detail} for this Python",
        "Check the name and version, that this Python is supported, and that the index has it",
    ),
    (
        Phase.RESOLVE,
        rf"Because (?:all versions of )?{_NAME}\S* depends? on (?P<detail>.+?)(?:,? and |, we can|$)",
        "it needs {detail}, which contradicts other requirements",
        "Loosen one of the pins that the log names",
    ),
    (
        Phase.RESOLVE,
        rf"Hash mismatch for `{_NAME}",
        "a downloaded file does not have the hash that the requirements file demands",
        "Check the --hash options, and that the index is the one they were made from",
    ),
    (
        Phase.RESOLVE,
        r"dns error|tcp connect error|error sending request",
        "the package index cannot be reached",
        "Check the network, the proxy, and index-url in pip.conf",
    ),
    (
        Phase.RESOLVE,
        r"invalid peer certificate",
        "the package index has a certificate that is not trusted",
        "Set cert in pip.conf to the certificate authority's bundle",
    ),
    (
        Phase.INSTALL,
        rf"Failed to (?:download and )?build `{_NAME}",
        "its wheel cannot be built from source",
        "See the compiler's message in the log; a version with a wheel for this Python avoids the build",
    ),
    (
        Phase.RESOLVE,
        r"In --require-hashes mode, all requirements must have",
        "with a --hash on one line, every line and every dependency needs a version pinned with == and a --hash",
        "Pin and hash them all, or remove the hashes",
    ),
    (Phase.RESOLVE, r"ResolutionImpossible", "the requirements contradict each other", "See the log"),
    (
        Phase.RESOLVE,
        r"Invalid requirement: (?P<detail>.+)",
        "pip does not understand {detail}",
        "Correct the line in the requirements file",
    ),
    (
        Phase.INSTALL,
        (
            rf"(?:Failed building wheel for|Could not build wheels for|Failed to build(?! installable)"
            rf"|Failed to build installable wheels for some pyproject\.toml based projects \() ?{_NAME}"
        ),
        "its wheel cannot be built from source",
        "See the compiler's message in the log; a version with a wheel for this Python avoids the build",
    ),
    (
        Phase.RESOLVE,
        r"(?:Preparing metadata|Getting requirements to build wheel|subprocess-exited-with-error)",
        "a package's own build script failed",
        "See the message above it in the log",
    ),
    (
        Phase.RESOLVE,
        r"(?:Connection|Read) ?timed out|ReadTimeoutError|ConnectionError|Max retries exceeded",
        "the package index does not answer",
        "Check the network, the proxy, and index-url in pip.conf",
    ),
    (Phase.INSTALL, r"Permission denied", "permission denied", "Check who owns the data directory"),
)

# uv begins with a word of its own, or a drawn line, what it tells about an error.
_OF_AN_ERROR = re.compile(r"error|^\s*(?:cause:|╰─▶|And because|Because)", re.IGNORECASE)
_LAST_RETRY = re.compile(r"Retrying \(Retry\(total=0\b")
_COLLECTING = re.compile(rf"^Collecting {_NAME}")
_TELLING = re.compile(r"^(?:ERROR|error|Error)\b:? ?(?P<text>.+)")


def explain(lines: Sequence[str], phase: Phase, message: str, installer: str = "pip") -> Fault:
    """The fault of a build that failed in `phase` with `message`, judged by the (cleaned) lines of its log."""
    fault = _explain(lines, phase, message)
    if installer == "uv" and fault.phase in (Phase.RESOLVE, Phase.INSTALL) and "log" in fault.advice:
        # Nothing that would be the same with pip is known to be the reason.
        return replace(fault, advice=f"{fault.advice}. Or let pip do it: allow_uv = false in the manifest")
    return fault


def _explain(lines: Sequence[str], phase: Phase, message: str) -> Fault:
    errors = [line for line in lines if "Errno" in line or _OF_AN_ERROR.search(line)]
    for pattern_phase, pattern, text, advice in _PATTERNS:
        for line in errors:
            if match := re.search(pattern, line):
                groups = {name: value.strip() for name, value in match.groupdict(default="").items()}
                if groups.get("versions") == "none" and (unanswered := _unanswered(errors)):
                    return unanswered
                if "versions" in groups:
                    text = _no_version(groups["wanted"], groups["versions"])
                package = groups.get("package", "") or _last_collected(lines, pattern_phase)
                return Fault(pattern_phase, package, one_line(text.format(**groups), 300), advice)
    telling = [m["text"] for line in lines if (m := _TELLING.match(line.strip())) and m["text"] != message]
    return Fault(phase, "", one_line(telling[0] if telling else message, 300), "See the log")


def _unanswered(lines: Sequence[str]) -> Fault | None:
    """The fault when pip gave up on an index, which it then takes for one that has nothing; None when it did not."""
    last = next((line for line in lines if _LAST_RETRY.search(line)), None)
    if last is None:
        return None
    if "Proxy" in last or "tunnel" in last:
        message = "the proxy does not let pip through to the package index"
        return Fault(Phase.RESOLVE, "", message, "Check proxy in pip.conf, and that the proxy is up")
    message = "the package index does not answer"
    return Fault(Phase.RESOLVE, "", message, "Check the network, the proxy, and index-url in pip.conf")


def _no_version(wanted: str, versions: str) -> str:
    """What pip's list of the versions it found says. pip lists them in ascending order."""
    found = [version.strip() for version in versions.split(",") if version.strip() not in ("", "none")]
    if not found:
        return "the index has nothing of that name for this Python"
    return f"no version {wanted or 'at all'} for this Python; the newest there is {found[-1]}"


def _last_collected(lines: Sequence[str], phase: Phase) -> str:
    """The package pip turned to last, which is the one at fault when the resolver stops without naming it."""
    if phase is not Phase.RESOLVE:
        return ""
    for line in reversed(lines):
        if match := _COLLECTING.match(line):
            return match["package"]
    return ""


def fault_of_problem(problem: Problem, phase: Phase) -> Fault:
    """`problem` as the fault of a build that it ended in `phase`."""
    return Fault(phase, "", one_line(str(replace(problem, hint="")), 300), problem.hint)


def build_timeout(phase: Phase, seconds: float) -> Fault:
    """The fault of a build that ran longer than it may."""
    return Fault(
        phase,
        "",
        f"it took longer than {seconds:g} seconds",
        "Raise BuildTimeout under [Envdeck], or see in the log what it waits for",
    )


def start_timeout(job: Job, reason: str) -> Fault:
    """The fault of a build that was not started in time; `reason` is what the scheduler says it waited for."""
    return Fault(
        Phase.QUEUE,
        "",
        one_line(
            f"{job.executor} did not start it within {job.start_timeout:g} seconds: {reason or 'it says not why'}", 300
        ),
        "Make room for it there, or raise StartTimeout under [Envdeck]",
    )


def fault_of_job(status: JobStatus, phase: Phase, job: Job) -> Fault | None:
    """The fault of a build whose process ended as `status` says; None when only its own words can tell."""
    because = f": {one_line(status.reason, 200)}" if status.reason else ""
    inside = f" in the image {job.image}" if job.image else ""
    if status.state is JobState.LOST:
        machine = f"the machine that it ran on{f', {status.host},' if status.host else ''} died or went away"
        what = "its processes were killed from outside" if job.executor == "local" else machine
        return Fault(phase, "", what + because, "Build again: nothing of this attempt is kept")
    match status.cause:
        case Cause.MEMORY if job.memory:
            return Fault(
                phase,
                "",
                f"it used more memory than it may, which is {job.memory / 1024**2:g} MiB{because}",
                "Raise BuildMemory under [Envdeck]",
            )
        case Cause.MEMORY:
            return Fault(
                phase,
                "",
                f"its machine ran out of memory{because}",
                "Build where there is more, or fewer at once: BuildConcurrency under [Envdeck]",
            )
        case Cause.TIMEOUT:
            return build_timeout(phase, job.timeout)
        case Cause.START_TIMEOUT:
            return start_timeout(job, status.reason)
        case Cause.IMAGE:
            return Fault(
                phase,
                "",
                f"the image {job.image} is not there or cannot be fetched{because}",
                "Correct it in the execution environments file, or fetch it to where builds run",
            )
        case Cause.COMMAND:
            return Fault(
                phase,
                "",
                f"{job.python_path} cannot be run{inside}{because}",
                "Correct its path in the execution environments file" if inside else "See `envdeck installations`",
            )
    return None

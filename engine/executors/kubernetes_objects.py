"""A job as the objects that Kubernetes takes. Pure: plain values in and out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from msgspec import Struct

from engine.config.model import ExecutorSettings
from engine.errors import Problem
from engine.executors.base import ExecutorError, JobSpec, Mount

__all__ = [
    "AGAIN",
    "COMMAND",
    "CONTAINER",
    "MEMORY",
    "TAKEN",
    "Identity",
    "claim_of",
    "job_object",
    "selector",
]

CONTAINER = "job"
"""The name of the container that runs the job."""
TAKEN = ".taken"
"""What the name of the file beside the output ends with that the pod makes before it starts the job."""
AGAIN, COMMAND, MEMORY = "again", "command", "memory"
"""What the pod leaves in its termination log: it was not the first, there was no such command, or not enough memory."""

_DIRECTORY_LABEL, _KEY_LABEL = "envdeck/jobs", "envdeck/key"

_BACKSTOP = 600
"""Seconds that a job may be over its limits before Kubernetes ends it though nobody looks after it any more."""

_SILENCE = 60
"""Seconds that a node may be silent before its pods are given up."""
_SHORTEST_GRACE = 2
"""Seconds, so that there is a shorter one to ask for again."""

_PROGRAM = """\
fail() { echo "$1" >|/dev/termination-log; exit 1; }
cannot_run() { echo command >|/dev/termination-log; }
killed_for_memory() {
    for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        [ -r "$file" ] || continue
        while read -r name count; do
            [ "$name" != oom_kill ] || echo "$count"
        done <"$file"
    done
}
set -C
umask 022
[ -f "$0" ] || fail "the pod does not see $0: its node or volume does not share this directory"
if ! true 2>/dev/null >"$0.taken"; then
    [ ! -e "$0.taken" ] || fail again
    fail "the pod may not write to the directory of $0"
fi
exec >>"$0" 2>&1
envdeck_before=$(killed_for_memory)
trap cannot_run EXIT
shopt -s execfail 2>/dev/null
(
    while sleep 1 2>/dev/null; do
        true >>"$0"
        [ "$(killed_for_memory)" = "$envdeck_before" ] || {
            echo memory >|/dev/termination-log
            kill -KILL $$
        }
    done &
)
exec "$@"
code=$?
cannot_run
exit $code
"""
"""What the container runs: the output goes to the file $0, which exists, and the rest of the arguments is the command.

* The file and not the log of the pod, because a node keeps 10 MiB of that, and nothing when the pod is deleted.
* A job is started once. Kubernetes replaces a pod whose node went silent, which may still run: the second finds
  `$0.taken` and gives up.
* Each second the file is opened and closed for writing, which on NFS makes what was printed visible elsewhere.
* When the kernel ends one process for lack of memory, all end, as newer versions of Kubernetes see to by themselves.
* An `exec` that fails is the only way from the trap on to the end of the shell, so that means: no such command. Only
  bash, told so, goes on behind it, and without the trap.
"""


class Identity(Struct, frozen=True):
    """Which job it is: its key, and a digest of the directory that it was submitted with."""

    directory: str
    key: str


def _job_name(key: str) -> str:
    """What the Job of that key is called."""
    return f"envdeck-{key}"


def selector(identity: Identity) -> str:
    """The label selector of the objects of one job."""
    return f"{_DIRECTORY_LABEL}={identity.directory},{_KEY_LABEL}={identity.key}"


def job_object(
    spec: JobSpec,
    settings: ExecutorSettings,
    identity: Identity,
    output: Path,
    account: tuple[int, int, Sequence[int]],
    file_type: Callable[[Path], str],
) -> dict[str, Any]:
    """The Job (batch/v1) that runs `spec` once and prints to the file `output`, whose directory it may write to.

    `account` is whose rights it has: user, group and all groups. `file_type` tells what a path is here, as the `type`
    of a hostPath volume: ``Directory``, ``File`` or nothing, when it is not known.
    """
    labels = {
        "app.kubernetes.io/managed-by": "envdeck",
        _DIRECTORY_LABEL: identity.directory,
        _KEY_LABEL: identity.key,
    }
    volumes, volume_mounts = _volumes(_mounts(spec, settings, output.parent), settings, file_type)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "command": [_literal(word) for word in _command(spec, output)],
        "workingDir": str(spec.cwd),
        "volumeMounts": volume_mounts,
        "securityContext": {"allowPrivilegeEscalation": False},
        # For what the shell says before the output goes to the file.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if spec.memory:
        amount = {"memory": str(spec.memory)}
        container["resources"] = {"limits": amount, "requests": amount}
    user, group, groups = account
    security: dict[str, Any] = {
        "runAsUser": user,
        "runAsGroup": group,
        "supplementalGroups": list(groups),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if user != 0:
        # What the "restricted" Pod Security Standard asks for; root without its capabilities could not read the mounts.
        security["runAsNonRoot"] = True
        container["securityContext"]["capabilities"] = {"drop": ["ALL"]}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The first process of a namespace ignores TERM unless it asks for it, which Python does not.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": max(_SHORTEST_GRACE, math.ceil(spec.grace)),
        "securityContext": security,
        "tolerations": [
            {"key": f"node.kubernetes.io/{trouble}", "operator": "Exists", "effect": "NoExecute"}
            | {"tolerationSeconds": _SILENCE}
            for trouble in ("not-ready", "unreachable")
        ],
        "containers": [container],
        "volumes": volumes,
    }
    if settings.kubernetes_node_selectors:
        pod["nodeSelector"] = dict(_pair(text) for text in settings.kubernetes_node_selectors)
    if settings.kubernetes_service_account:
        pod["serviceAccountName"] = settings.kubernetes_service_account
    if settings.kubernetes_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in settings.kubernetes_pull_secrets]
    # A build that is moved to another node is a build that is lost.
    annotations = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _job_name(identity.key), "labels": labels},
        "spec": {
            "backoffLimit": 0,
            # Counted from the creation of the Job, so the wait for a node is part of it.
            "activeDeadlineSeconds": math.ceil(spec.start_timeout + spec.timeout + spec.grace) + _BACKSTOP,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
        },
    }


def _command(spec: JobSpec, output: Path) -> list[str]:
    """The command of the container: `env -i` drops what the image and the cluster add to the environment."""
    # The shell passes on only what can be a variable of its own.
    odd = [f"{name}={value}" for name, value in spec.env.items() if not (name.isidentifier() and name.isascii())]
    plain = [f"{name}={value}" for name, value in spec.env.items() if name.isidentifier() and name.isascii()]
    command = ["env", *odd, *spec.argv] if odd else list(spec.argv)
    return ["/usr/bin/env", "-i", *plain, "/bin/sh", "-c", _PROGRAM, str(output), *command]


def _literal(word: str) -> str:
    """`word` so that Kubernetes, which replaces $(NAME) and reads $$ as $, leaves it as it is."""
    return word.replace("$", "$$")


def _mounts(spec: JobSpec, settings: ExecutorSettings, directory: Path) -> list[Mount]:
    """What the pod sees, each path once. The directory of the output is there even when nothing else of the job is."""
    own = {mount.path: mount for mount in spec.mounts}
    own.setdefault(directory, Mount(directory, read_only=False))
    return [*own.values(), *(Mount(path) for path in dict.fromkeys(settings.mounts) if path not in own)]


def _volumes(
    mounts: Sequence[Mount], settings: ExecutorSettings, file_type: Callable[[Path], str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The volumes of the pod, and where in the container each of `mounts` takes its part from."""
    volumes: dict[str, dict[str, Any]] = {}
    volume_mounts = []
    for number, mount in enumerate(mounts):
        place: dict[str, Any] = {"mountPath": str(mount.path), "readOnly": mount.read_only}
        if claim := claim_of(mount.path, settings):
            root, claimed = claim
            name, source = f"claim-{claimed}", {"persistentVolumeClaim": {"claimName": claimed}}
            if mount.path != root:
                place["subPath"] = str(mount.path.relative_to(root))
        else:
            name, source = f"host-{number}", {"hostPath": {"path": str(mount.path), "type": file_type(mount.path)}}
        volumes[name] = source
        volume_mounts.append({"name": name, **place})
    return [{"name": name, **source} for name, source in volumes.items()], volume_mounts


def claim_of(path: Path, settings: ExecutorSettings) -> tuple[PurePath, str] | None:
    """The innermost ``Envdeck.KubernetesVolume`` that holds `path`: its path and claim; None when none does.

    Raises `ExecutorError` for one that is not PATH=CLAIM.
    """
    found = None
    for text in settings.kubernetes_volumes:
        root, claim = PurePath(_pair(text)[0]), _pair(text)[1]
        if not (root.is_absolute() and claim):
            problem = Problem(
                "executor-failed",
                "an Envdeck.KubernetesVolume cannot be understood",
                expected="PATH=CLAIM with an absolute path",
                found=text,
            )
            raise ExecutorError(problem)
        if path.is_relative_to(root) and (found is None or root.is_relative_to(found[0])):
            found = root, claim
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.rpartition("=")
    return name, value

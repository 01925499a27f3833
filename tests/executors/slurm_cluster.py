"""A real Slurm cluster of several nodes on this machine, on loopback only, from Debian's packages.

Debian builds Slurm so that several slurmd run on one host (executors.md §2.2). Every cluster has its own ports, node
names, directory and key, so several run at once. Nothing outside that directory is written, but a directory for sockets
and the cgroups of the jobs. All of it goes with the cluster, and the cluster with the process that started it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from tests.executors.slurm_keeper import guards, kill_all

__all__ = ["PACKAGES", "Cluster", "ClusterError", "start_cluster"]

PACKAGES = ("slurm-wlm", "slurmctld", "slurmd", "slurm-client", "munge")
"""Debian's packages that a cluster needs."""

_DAEMONS = ("munged", "slurmctld", "slurmd")
_DAEMON_SECONDS = 120.0
_CGROUPS = Path("/sys/fs/cgroup")
_FIRST_PORT, _LAST_PORT = 12_000, 32_000
"""Below those of which Linux takes one for every connection."""

_CONFIG = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={sockets}/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmdSpoolDir={sockets}/%n
StateSaveLocation={root}/state
{holding}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MailProg=/bin/true
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
SchedulerParameters=batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=10
{nodes}
PartitionName=build Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
_IN_CGROUPS = "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup"
_BY_POLLING = "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherParams=OverMemoryKill"
"""How Slurm knows the processes of a job and keeps its memory limit. It refuses to do both."""
_CGROUP_CONFIG = "CgroupPlugin=autodetect\nIgnoreSystemd=yes\nConstrainRAMSpace=yes\n"
_NODE = "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=4000 Feature={features}"


class ClusterError(Exception):
    """The cluster cannot be started; the message says why."""


class Cluster:
    """A running cluster. Its tools work in the environment `environ`."""

    def __init__(self, root: Path, sockets: Path, name: str, nodes: int) -> None:
        self.root = root
        self.sockets = sockets
        self.name = name
        self.nodes = tuple(f"{name}n{number}" for number in range(1, nodes + 1))
        self.environ = {**os.environ, "SLURM_CONF": str(root / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def tool(self, *argv: str) -> str:
        """What a tool of Slurm printed. Raises `CalledProcessError` when it failed."""
        return subprocess.run(
            argv, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def start_munge(self) -> None:
        """Start what the daemons know each other by; return once it listens."""
        path, directory = self.sockets / "munge", self.root / "munge"
        directory.mkdir(mode=0o700)
        (directory / "key").touch(mode=0o600)
        (directory / "key").write_bytes(secrets.token_bytes(128))
        files = [f"--{kind}-file={directory / kind}" for kind in ("key", "pid", "log", "seed")]
        options = ("--foreground", "--force", f"--socket={path}", *files)
        daemon = self._daemons["munge"] = start_daemon(directory, self.environ, "munged", *options)
        wait_for(path.exists, "munged does not start", daemon)

    def start_controller(self, *options: str) -> None:
        """Start the controller, with ``-c`` without what it knew of jobs; return once it answers."""
        daemon = self._daemons["controller"] = start_daemon(
            self.root, self.environ, "slurmctld", "-D", *options, log="slurmctld.log"
        )
        wait_for(lambda: "UP" in self.tool("scontrol", "ping").split(), "slurmctld does not answer", daemon)

    def stop_controller(self) -> None:
        """End the controller. It saves what it knows of jobs."""
        end_daemon(self._daemons.pop("controller"))

    def start_nodes(self) -> None:
        """Start the daemons of all nodes that have none, and return once these take jobs."""
        for node in [node for node in self.nodes if node not in self._daemons]:
            log = f"slurmd.{node}.log"
            self._daemons[node] = start_daemon(self.root, self.environ, "slurmd", "-D", "-N", node, log=log)
        up = ("sinfo", "--noheader", "--Node", "--states=idle,mixed,allocated", "--format=%N")
        wait_for(lambda: {*self.nodes} <= {*self.tool(*up).split()}, "not all nodes take jobs")

    def kill_node(self, job_id: str) -> None:
        """Kill the machine under a running job: the daemon, the guard of the job, and the job."""
        node = self.tool("squeue", "--noheader", "--jobs", job_id, "--format=%N").strip()
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        kill_all(process for process in guards(self.root) if f"[{job_id}." in " ".join(process.cmdline()))

    def reap(self) -> None:
        """Collect the daemons, once they have been ended."""
        for daemon in self._daemons.values():
            end_daemon(daemon)


@contextmanager
def start_cluster(root: Path, nodes: int = 3, *, cgroups: bool = True) -> Iterator[Cluster]:
    """A cluster whose files are in the new directory `root`; gone when the context ends.

    The node N has the features ``py3`` and ``node-N``. `cgroups` says whether Slurm holds jobs in cgroups, as clusters
    do; otherwise it polls what they use, and a detached process escapes it. Raises `ClusterError` when the cluster
    cannot be had here.
    """
    _check_machine(cgroups)
    (root / "state").mkdir(parents=True)
    # The path of a socket has at most 107 characters, and the directories of tests are long.
    sockets = Path(tempfile.mkdtemp(prefix="slurm-"))
    cluster = Cluster(root, sockets, f"t{secrets.token_hex(4)}", nodes)
    with ExitStack() as stack:
        keeper = _start_keeper(cluster)
        stack.callback(cluster.reap)
        stack.callback(keeper.communicate)
        sockets.chmod(0o755)
        _configure(cluster, cgroups)
        cluster.start_munge()
        cluster.start_controller()
        cluster.start_nodes()
        yield cluster


def _check_machine(cgroups: bool) -> None:
    if missing := [name for name in _DAEMONS if not find_daemon(name)]:
        raise ClusterError(f"{' and '.join(missing)} not installed (apt-get install {' '.join(PACKAGES)})")
    if os.geteuid() != 0:
        raise ClusterError("only root can run jobs as other accounts")
    first, second = _CGROUPS / "memory" / "tasks", _CGROUPS / "cgroup.subtree_control"
    if cgroups and not any(os.access(file, os.W_OK) for file in (first, second)):
        raise ClusterError("Slurm can make no cgroups here")


def _configure(cluster: Cluster, cgroups: bool) -> None:
    host = socket.gethostname().partition(".")[0]
    port, *ports = _free_ports(1 + len(cluster.nodes))
    nodes = [
        _NODE.format(node=node, host=host, port=port, features=f"py3,node-{number}")
        for number, (node, port) in enumerate(zip(cluster.nodes, ports, strict=True), start=1)
    ]
    config = _CONFIG.format(
        name=cluster.name,
        host=host,
        port=port,
        sockets=cluster.sockets,
        root=cluster.root,
        holding=_IN_CGROUPS if cgroups else _BY_POLLING,
        nodes="\n".join(nodes),
    )
    (cluster.root / "slurm.conf").write_text(config)
    (cluster.root / "cgroup.conf").write_text(_CGROUP_CONFIG)


def _start_keeper(cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start what ends the cluster when its standard input is closed, also by the death of this process."""
    arguments = (str(cluster.root), str(cluster.sockets), cluster.name)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.executors.slurm_keeper", *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        # What ends a whole group of processes, such as an interrupt from the terminal, must not end it.
        start_new_session=True,
    )


def _free_ports(count: int) -> list[int]:
    """Ports that nobody has, and that the system gives to nobody who takes any until they are used."""
    found: set[int] = set()
    while len(found) < count:
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


def find_daemon(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def start_daemon(
    directory: Path, environ: dict[str, str], name: str, *options: str, log: str = "daemon.log"
) -> subprocess.Popen[bytes]:
    """Start the daemon in the foreground in `directory`, where its log goes too."""
    with (directory / log).open("ab") as file:
        return subprocess.Popen(
            [find_daemon(name) or name, *options],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def end_daemon(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        # It saves what it knows of jobs.
        daemon.wait(60)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def wait_for(condition: Callable[[], bool], problem: str, daemon: subprocess.Popen[bytes] | None = None) -> None:
    """Return once the condition holds. Raises `ClusterError` when it takes too long or the daemon has ended."""
    end = time.monotonic() + _DAEMON_SECONDS
    while True:
        with suppress(subprocess.SubprocessError):
            if condition():
                return
        if time.monotonic() > end or (daemon and daemon.poll() is not None):
            raise ClusterError(problem)
        time.sleep(0.05)

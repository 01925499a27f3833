"""Slurm, on a cluster of three nodes that is started for the purpose."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config.model import ExecutorSettings
from engine.executors.notes import read_notes
from engine.executors.slurm import SlurmExecutor
from tests.executors.bench import Bench, Feature, Unavailable
from tests.executors.local_bench import other_account
from tests.executors.slurm_cluster import Cluster, ClusterError, start_cluster

__all__ = ["SlurmBench", "open_bench"]


class SlurmBench(Bench):
    name = "slurm"
    make = SlurmExecutor
    death_patience = 240.0

    def __init__(self, scratch: Path, cluster: Cluster) -> None:
        self.cluster = cluster
        self.jobs_dir = scratch / "jobs"
        self.shared_dir = scratch / "shared"
        for directory in (self.jobs_dir, self.shared_dir):
            directory.mkdir()
        self.shared_dir.chmod(0o777)
        settings = ExecutorSettings(slurm_options=("--constraint=py3",))
        self.arguments = (self.jobs_dir, settings, cluster.environ)
        self.lacks = {Feature.IMAGES: "jobs run with the interpreters of the nodes"}
        self.python = str(Path(sys.base_prefix) / "bin" / "python3")
        self.account, python = other_account(scratch)
        if self.account:
            self.python = python
        else:
            self.lacks[Feature.USER] = "not root, or no other account can run an interpreter"

    def kill_host(self, key: str) -> None:
        notes = read_notes(self.jobs_dir, key)
        assert notes is not None
        self.cluster.kill_node(notes.backend_id)

    def repair(self) -> None:
        self.cluster.start_nodes()

    @contextmanager
    def congestion(self) -> Iterator[Mapping[str, Any]]:
        self.cluster.tool("scontrol", "update", "PartitionName=build", "State=DOWN")
        try:
            yield {}
        finally:
            self.cluster.tool("scontrol", "update", "PartitionName=build", "State=UP")


@contextmanager
def open_bench(scratch: Path) -> Iterator[Bench]:
    try:
        with start_cluster(scratch / "cluster") as cluster:
            yield SlurmBench(scratch, cluster)
    except ClusterError as reason:
        raise Unavailable(str(reason)) from reason

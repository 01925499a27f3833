"""The local executor: nothing to set up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.executors.accounts import Account, build_account, cannot_build_as
from engine.executors.guard import RECORD
from engine.executors.local import LocalExecutor
from tests.executors.bench import Bench, Feature

__all__ = ["LocalBench", "open_bench", "other_account"]

_ACCOUNT = "nobody"
_PROOF = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 8))"


class LocalBench(Bench):
    name = "local"
    make = LocalExecutor
    outlives_submitter = False

    def __init__(self, scratch: Path) -> None:
        self.jobs_dir = scratch / "jobs"
        self.shared_dir = scratch / "shared"
        for directory in (self.jobs_dir, self.shared_dir):
            directory.mkdir()
        self.shared_dir.chmod(0o777)
        self.arguments = (self.jobs_dir,)
        self.lacks = {Feature.IMAGES: "jobs run on this machine itself", Feature.QUEUE: "jobs start at once"}
        self.python = str(Path(sys.base_prefix) / "bin" / "python3")
        self.account, python = other_account(scratch)
        if self.account:
            self.python = python
        else:
            self.lacks[Feature.USER] = f"not root, or no interpreter that {_ACCOUNT} can run"

    def kill_host(self, key: str) -> None:
        guard, _ = json.loads((self.jobs_dir / key / RECORD).read_text())["guard"]
        os.kill(guard, signal.SIGKILL)


def other_account(directory: Path) -> tuple[Account | None, str]:
    """Another account and an interpreter that it can run."""
    account = build_account(_ACCOUNT, {}).account if os.geteuid() == 0 else None
    for python in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if account is None or not Path(python).exists() or cannot_build_as(account, python, directory):
            continue
        if subprocess.run([python, "-I", "-c", _PROOF], capture_output=True, check=False).returncode == 0:
            return account, python
    return None, ""


@contextmanager
def open_bench(scratch: Path) -> Iterator[Bench]:
    yield LocalBench(scratch)

"""The same promises where a PID namespace takes a user namespace, and where the kernel makes none at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.executors import guard

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TESTS = ("test_conformance.py", "test_local_guard.py", "test_local_kills.py")
WITHOUT_THE_RIGHT = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")
# The limit holds for the new user namespace alone.
WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-root-user"),
    *("sh", "-c", 'echo 0 > /proc/sys/user/max_pid_namespaces && exec "$@"', "sh"),
)


@pytest.mark.parametrize(
    ("isolation", "wrapper"),
    [
        pytest.param(guard.USER_NAMESPACE, WITHOUT_THE_RIGHT, id="user-namespace"),
        pytest.param(guard.NO_NAMESPACE, WITHOUT_NAMESPACES, id="none"),
    ],
)
def test_with_less_isolation(isolation: str, wrapper: tuple[str, ...]) -> None:
    if shutil.which(wrapper[0]) is None or subprocess.run([*wrapper, "true"], capture_output=True).returncode != 0:
        pytest.skip(f"`{' '.join(wrapper[:3])}` cannot be used here")
    check = [*wrapper, sys.executable, "-I", "-S", "-c", guard.START, guard.__file__, "--check"]
    assert subprocess.run(check, capture_output=True, text=True, check=True).stdout == isolation
    tests = [str(Path(__file__).with_name(name)) for name in TESTS]
    command = [*wrapper, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]

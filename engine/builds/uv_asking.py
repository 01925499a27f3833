"""What uv is asked for on this machine, where pip's configuration and its paths are to be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.builds.pip_config import configuration, pip_files
from engine.builds.spec import UvRun
from engine.errors import Severity
from engine.executors.accounts import BuildAccount
from engine.files import is_there
from engine.packages.installer import UvTool
from engine.packages.uv_request import UvRequest, uv_request

__all__ = ["uv_obstacles", "uv_run"]

_SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)


def uv_obstacles(requirements: str, constraints: str, who: BuildAccount) -> tuple[str, ...]:
    """What of `requirements` and `constraints`, the files for pip, and of the pip configuration of `who` uv cannot do
    as pip does it."""
    files = pip_files(who.home, account=who.account)
    broken = tuple(f.problem.message for f in files if f.problem and f.problem.severity is Severity.ERROR)
    return broken + _request(requirements, constraints, who).obstacles


def uv_run(requirements: str, constraints: str, who: BuildAccount, tool: UvTool, environ: Mapping[str, str]) -> UvRun:
    """What a build hands to the uv `tool` for `requirements` and `constraints`; ask for the obstacles first."""
    request = _request(requirements, constraints, who)
    env = dict(request.env)
    if not {*env, *environ} & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        # uv brings certificates of its own along, pip heeds the machine's, where a company puts its own.
        there = next((path for path in _SYSTEM_CERTIFICATES if is_there(Path(path))), None)
        env |= {"SSL_CERT_FILE": there} if there else {}
    return UvRun(tool.path, request.requirements, request.config, env)


def _request(requirements: str, constraints: str, who: BuildAccount) -> UvRequest:
    options = configuration(who.home, account=who.account)
    # The cache of an account is for that account to write in, and its environments are not. Without one, whoever can
    # write in the cache can write in the environments too.
    shares = who.account is None
    return uv_request(requirements, constraints, options, lambda path: is_there(Path(path)), shares=shares)

"""A server in everyday use: what there is in it, and what was done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_values import (
    CANDIDATES,
    DATA,
    NOW,
    audited,
    build,
    bundle,
    config,
    entry,
    environment,
    installation,
    match,
)

from engine import (
    AuditAction,
    AuditPage,
    AuditResult,
    Availability,
    BuildState,
    BundleEntry,
    Check,
    CheckStatus,
    EnvironmentState,
    ExecutorChoice,
    Nearest,
    Problem,
    ProvenanceStep,
    Snapshot,
    StepStanding,
    Verdict,
    Where,
)
from tests.records import replace

STEPS = (
    ProvenanceStep("environment.python.requires", StepStanding.ABSENT, "", "", "the manifest has no constraint"),
    ProvenanceStep("python.version", StepStanding.DECIDES, "3.11.2", "3.11.2", "the configured rule compares it"),
    ProvenanceStep(".python-version", StepStanding.REJECTED, "pypy3.11", "", "it names an implementation of Python"),
    ProvenanceStep("pyproject.toml", StepStanding.PASSED_OVER, ">=3.10", ">=3.10", "what a client takes"),
    ProvenanceStep("manifest.json", StepStanding.WARNING, ">=3.10", ">=3.10", "write the manifest again"),
)

AUDIT = AuditPage(
    (
        audited(AuditAction.CONFIG_LOAD, {"files": "/etc/envdeck/envdeck.gcfg"}, 7200, command="envdeck config check"),
        audited(
            AuditAction.REAP,
            {"key": "e2d9910bKq7rT5yUa7bXc9", "bundle": "old-report", "bytes": 210_000_000},
            3600,
            command="envdeck reap e2d9910bKq7rT5yUa7bXc9",
        ),
        audited(
            AuditAction.BUILD_CANCEL,
            {"bundle": "flask-old", "started by": "alice", "build": "20250615-090000-c9d0"},
            1800,
            "bob",
            command="envdeck cancel 20250615-090000-c9d0",
        ),
        audited(
            AuditAction.CONTENT_REMOVE,
            {"content": "board", "bundles": 2, "guid": "guid-of-board"},
            60,
            "bob",
            result=AuditResult.REFUSED,
            code="content-running",
            why="the content board is running. End it first",
            command="envdeck content remove guid-of-board",
        ),
    )
)

EXECUTORS = ExecutorChoice(
    "local",
    "Envdeck.Executor is auto, content runs on this machine",
    (
        Availability("local", "this machine", ("builds end with it",)),
        Availability("container", "podman version 4.3.1"),
        Availability(
            "slurm",
            problem=Problem(
                "executor-missing", "there is no sbatch here", hint="Install Slurm's client tools on this host"
            ),
        ),
        Availability("kubernetes", problem=Problem("executor-failed", "no cluster answers", found="refused")),
    ),
)


def snapshot(**changes: Any) -> Snapshot:
    """A server in everyday use."""
    flask = bundle(
        "flask-api", "3.11.2", ("flask==3.0.0", "requests[socks]>=2.31", "pip==23.0"), title="a miss: nothing built yet"
    )
    dash = bundle("dash-sales", "3.11.7", ("dash", "pandas==2.2.0"))
    plumber = bundle("etl-nightly", None, ("numpy",), requires=">=3.11,<3.12")
    legacy = bundle("legacy-report", "2.7.18", ("six",))
    ready = environment("9f3ac1d2Wq7rT5yUa7bXc9", "dash-sales")
    near = Nearest(environment("77ab20c4Kq7rT5yUa7bXc9", "flask-old"), ("flask==3.0.0",), ("flask==2.3.3", "gunicorn"))
    no_match = match(
        "2.7.18", None, [(v, Verdict.REJECTED, f"{v.rpartition('.')[0]} is not 2.7") for v, _, _ in CANDIDATES]
    )
    running = build("20250615-115900-c3d4", "etl-nightly")
    base = Snapshot(
        generation=1,
        taken_at=NOW,
        host="web01.example.org",
        user="alice",
        config=config(),
        installations=(
            installation("3.8.18", warning="is past its end of life since 2024-10"),
            installation("3.11.4"),
            installation("3.11.7"),
            installation("3.11.9", "No module named 'ensurepip'"),
            installation("3.12.4"),
            replace(
                installation(None, "/opt/python/3.13.0/bin/python3: no such file"),
                checks=(Check("exists", CheckStatus.FAILED, "no such file", "correct the path or take the line out"),),
            ),
        ),
        environments=(
            ready,
            environment("51b0aa7eHq7rT5yUa7bXc9", "plumber-etl", size=87 * 1024 * 1024, built_at=NOW - 86400 * 3),
            environment(
                "0c77de19Jq7rT5yUa7bXc9",
                "dash-risk",
                "3.9.5",
                state=EnvironmentState.STALE,
                reason="Python 3.9.5 is not configured any more",
                built_at=NOW - 86400 * 63,
            ),
            environment(
                "77ab20c4Kq7rT5yUa7bXc9", "flask-old", state=EnvironmentState.DAMAGED, reason="pyvenv.cfg is missing"
            ),
        ),
        builds=(
            running,
            build("20250615-110000-e5f6", "dash-sales", BuildState.DONE, packages_done=12, message="published"),
            build("20250615-100000-a7b8", "broken-app", BuildState.FAILED, by="bob"),
            build("20250615-090000-c9d0", "flask-old", BuildState.CANCELLED, message="cancelled by bob"),
        ),
        bundles=(
            entry(flask, nearest=near),
            entry(dash, environment=ready, match=match("3.11.7", "3.11.7", CANDIDATES), key=ready.key),
            entry(plumber, running=running, match=match(None, "3.11.7", CANDIDATES, ">=3.11,<3.12")),
            entry(legacy, match=no_match, installation=None, key="", problem=no_match.problem),
            BundleEntry(
                Path("/srv/bundles/torn.tar.gz"),
                "torn",
                False,
                None,
                Problem(
                    "manifest-missing",
                    "the archive has no manifest.json",
                    where=Where("/srv/bundles/torn.tar.gz"),
                    hint="write one with `envdeck capture`",
                ),
            ),
        ),
        data_dir=DATA,
        audit=AUDIT,
    )
    return replace(base, **changes)

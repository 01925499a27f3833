"""What the supervisor reads is what was to be built."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.builds.model import Expectation, Phase
from engine.builds.spec import Job, UvRun, read_job, write_job
from engine.builds.vitals import Machine
from engine.config.model import ExecutorSettings
from engine.executors.accounts import Account
from engine.executors.base import Mount
from tests.records import replace

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
names = st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True)
paths = names.map(lambda name: Path("/srv") / name)
word_lists = st.lists(words, max_size=3).map(tuple)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    return Job(
        attempt=draw(names),
        key=draw(words),
        installer=draw(words),
        target=draw(words),
        python_version=draw(words),
        python_path=draw(words),
        pip_version=tuple(draw(st.lists(st.integers(0, 99), max_size=3))),
        data_dir=draw(paths),
        key_dir=draw(paths),
        requirements=draw(words),
        constraints=draw(words),
        lines=draw(word_lists),
        ingredients=draw(st.dictionaries(words, words, max_size=3)),
        bundle=draw(words),
        by=draw(words),
        submitted_at=draw(st.floats(0, 2e9)),
        timeout=draw(st.floats(0, 1e6)),
        env=draw(st.dictionaries(words, words, max_size=3)),
        replaces=draw(words),
        replay=draw(words),
        fresh=draw(st.booleans()),
        overlay=draw(words),
        executor=draw(words),
        executors=ExecutorSettings(
            mounts=tuple(draw(st.lists(paths, max_size=2))),
            container_command=draw(words),
            slurm_options=draw(word_lists),
            kubernetes_volumes=draw(word_lists),
        ),
        image=draw(words),
        mounts=tuple(draw(st.lists(st.builds(Mount, paths, st.booleans()), max_size=2))),
        memory=draw(st.integers(0, 2**50)),
        start_timeout=draw(st.floats(0, 1e6)),
        space_reserve=draw(st.integers(0, 2**50)),
        concurrency=draw(st.integers(1, 100)),
        expected=draw(st.none() | st.just(Expectation({Phase.VENV: 0.25, Phase.INSTALL: 20.0}, 7, "one build"))),
        machine=Machine(draw(words), draw(words)),
        mark=draw(words),
    )


@settings(max_examples=30)
@given(jobs())
def test_a_job_is_read_as_it_was_written(job: Job) -> None:
    with tempfile.TemporaryDirectory() as directory:
        # The directories of a job are where its data directory says.
        job = _below(job, Path(directory))
        job.job_dir.mkdir(parents=True)
        write_job(job)
        assert read_job(job.job_dir) == job


def _below(job: Job, directory: Path) -> Job:
    return replace(job, data_dir=directory)


def test_an_account_is_kept(tmp_path: Path) -> None:
    job = _below(_plain(), tmp_path)
    job = replace(job, account=Account("me", os.getuid(), os.getgid(), (os.getgid(),), Path("/home/me")))
    job.job_dir.mkdir(parents=True)
    write_job(job)
    assert read_job(job.job_dir) == job


def test_what_uv_is_handed_is_kept_and_for_the_account_of_the_build_alone(tmp_path: Path) -> None:
    run = UvRun(
        "/usr/bin/uv", "a\n", '[pip]\nindex-url = "https://me:s3cret@h/s"\n', {"https_proxy": "http://me:s3cret@p"}
    )
    job = replace(_below(_plain(), tmp_path), installer="uv", uv=run)
    job.job_dir.mkdir(parents=True)
    write_job(job)
    assert read_job(job.job_dir) == job
    assert (job.job_dir / "requirements.txt").read_text() == run.requirements
    assert (job.job_dir / "uv.toml").read_text() == run.config
    assert (job.job_dir / "uv.toml").stat().st_mode & 0o077 == 0
    assert "s3cret" not in (job.job_dir / "spec.json").read_text()


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.pop("key"),
        lambda spec: spec.pop("attempt_dir"),
        lambda spec: spec.update(attempt_dir=7),
        lambda spec: spec.update(attempt_dir="/somewhere/else"),
        lambda spec: spec.update(mounts=["/srv"]),
        lambda spec: spec.update(lines=None),
        lambda spec: spec.update(executors={"unknown": 1}),
        lambda spec: spec.update(account={"name": "x"}),
    ],
)
def test_a_record_that_makes_no_sense_is_no_job(tmp_path: Path, change) -> None:
    job = _below(_plain(), tmp_path)
    job.job_dir.mkdir(parents=True)
    write_job(job)
    path = job.job_dir / "spec.json"
    spec = json.loads(path.read_text())
    change(spec)
    path.write_text(json.dumps(spec))
    assert read_job(job.job_dir) is None


def test_a_record_of_before_executors_is_a_local_job(tmp_path: Path) -> None:
    job = _below(_plain(), tmp_path)
    job.job_dir.mkdir(parents=True)
    write_job(job)
    path = job.job_dir / "spec.json"
    spec = json.loads(path.read_text())
    for name in ("executor", "executors", "image", "mounts", "host", "machine", "memory", "concurrency"):
        del spec[name]
    path.write_text(json.dumps(spec))
    read = read_job(job.job_dir)
    assert read is not None
    assert (read.executor, read.machine) == ("local", Machine())


def test_what_may_hold_a_password_is_for_its_owner_alone(tmp_path: Path) -> None:
    job = _below(_plain(), tmp_path)
    job.job_dir.mkdir(parents=True)
    write_job(job)
    for name in ("requirements.txt", "constraints.txt", "request.json", "env.json"):
        assert (job.job_dir / name).stat().st_mode & 0o077 == 0
    assert "s3cret" not in (job.job_dir / "spec.json").read_text()


def _plain() -> Job:
    return Job(
        attempt="20261121-120000-aaaaaa",
        key="k",
        installer="pip",
        target="Local",
        python_version="3.12.1",
        python_path="/usr/bin/python3",
        pip_version=(24, 0),
        data_dir=Path("/nowhere"),
        key_dir=Path("/nowhere/python-environments/pip/3.12.1/k"),
        requirements="--index-url https://me:s3cret@host/simple\n",
        constraints="a==1\n",
        lines=("a",),
        ingredients={"format": 1},
        bundle="app",
        by="me",
        submitted_at=1.0,
        env={"https_proxy": "http://me:s3cret@proxy"},
    )

"""Building once more what a build was for, for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine import BuildPlan, BuildState, InputError, LogLine, RebuildPlan, Refused


def ended(engine, outcome):
    return engine.wait(outcome.build.id, 300)


def test_a_corrected_bundle_is_built_with_its_correction(server, make_wheel) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    bundle = server.bundle("alpah==1.0")
    failed = ended(engine, engine.execute(engine.plan_build(engine.open_bundle(str(bundle)))))
    assert (failed.state, failed.bundle_path) == (BuildState.FAILED, str(bundle))
    requirements = next(Path(bundle).glob("requirements.txt"))
    requirements.write_text(requirements.read_text().replace("alpah", "alpha"))
    plan = engine.plan_retry(failed.id)
    assert isinstance(plan, BuildPlan)
    assert plan.key != failed.key
    done = ended(engine, engine.execute(plan))
    assert done.state is BuildState.DONE

    lines = list(engine.read_log(failed.id))
    assert all(isinstance(line, LogLine) for line in lines)
    assert lines[-1].text.startswith("failed: ")

    again = engine.execute(engine.plan_rebuild([done.key]))[0]
    assert engine.wait(again.id, 300).replaces == done.id
    plan = engine.plan_retry(again.id)
    assert isinstance(plan, RebuildPlan)
    assert [item.environment.key for item in plan.items] == [done.key]

    for path in bundle.iterdir():
        path.unlink()
    bundle.rmdir()
    with pytest.raises(InputError):
        engine.plan_retry(failed.id)


def test_what_goes_on_or_has_no_bundle_cannot_be_retried(server) -> None:
    engine = server.engine()
    jobs = server.data_dir / "jobs"
    (jobs / "20250101-000000-aaaaaa").mkdir(parents=True)
    (jobs / "20250101-000000-aaaaaa" / "spec.json").write_text('{"key": "k", "bundle": "old"}')
    (jobs / "20250101-000000-aaaaaa" / "result.json").write_text('{"state": "failed"}')
    with pytest.raises(Refused, match="nothing says where the bundle old"):
        engine.plan_retry("aaaaaa")


def test_the_build_of_a_deployment_is_planned_again_with_the_settings_of_its_content(server) -> None:
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    bundle = server.bundle("nosuchthing==1.0")
    content = engine.deploy(engine.plan_deploy(engine.open_bundle(str(bundle)), name="sales"))
    assert content.key == ""
    engine.execute(engine.plan_set("sales", management=True))
    with pytest.raises(Refused, match="build"):
        engine.deploy(engine.plan_deploy(engine.open_bundle(str(bundle)), name="sales"))
    (failed,) = engine.refresh().builds
    assert (failed.state, failed.content) == (BuildState.FAILED, content.guid)
    plan = engine.plan_retry(failed.id)
    assert (plan.key, plan.management.managed) == (failed.key, True)
    engine.execute(engine.plan_set("sales", management=None))
    assert not engine.plan_retry(failed.id).management.managed, "the settings count as they are now"
    engine.execute(engine.plan_remove("sales"))
    assert not engine.plan_retry(failed.id).management.managed, "content that is gone has no settings"


@pytest.mark.slow
def test_the_build_that_content_needed_to_run_is_planned_again_as_running_plans_it(server, make_wheel) -> None:
    wheel = make_wheel(server.packages, "alpha")
    engine = server.engine()
    content = engine.deploy(engine.plan_deploy(engine.open_bundle(str(server.bundle("alpha==1.0"))), name="sales"))
    shutil.rmtree(engine.refresh().environments[0].key_dir)
    shutil.rmtree(server.data_dir / "wheels", ignore_errors=True)
    wheel.unlink()
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    with pytest.raises(Refused, match="build"):
        engine.run(engine.plan_run("sales"), ["python", "-V"])
    failed = engine.refresh().builds[0]
    plan = engine.plan_retry(failed.id)
    # What was decided about management at deployment stays, and the bundle has its name, not that of its directory.
    assert (plan.bundle.name, plan.key, plan.management.managed) == ("app", content.key, True)
    engine.execute(engine.plan_remove("sales"))
    with pytest.raises(InputError):
        engine.plan_retry(failed.id)

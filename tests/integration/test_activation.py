"""Going back to an earlier bundle of content, for real."""

from __future__ import annotations

import json
import shutil

import pytest

from engine import AuditResult, BuildState, InputError, Refused
from engine.audit.reading import AuditReader
from engine.content.store import ContentStore, hold_shared


def deployed(engine, bundle, **to):
    return engine.deploy(engine.plan_deploy(engine.open_bundle(str(bundle)), **to))


def codes(plan) -> list[str]:
    return [reason.code for reason in plan.reasons]


def told(server):
    found = AuditReader(server.data_dir).tail(999).records
    return [record.event for record in found if record.event.action == "content.activate"]


def refused(engine, plan) -> str:
    with pytest.raises(Refused) as caught:
        engine.activate(plan)
    return caught.value.problem.code


@pytest.mark.slow
def test_the_bundle_before_becomes_active_in_the_environment_that_is_still_there(server, make_wheel) -> None:
    for version in ("1.0", "2.0"):
        make_wheel(server.packages, "alpha", version)
    engine = server.engine()
    first = deployed(engine, server.bundle("alpha==1.0"))
    second = deployed(engine, server.bundle("alpha==2.0"))
    plan = engine.plan_activate("app")
    assert (plan.bundle.number, plan.builds, plan.problem) == (1, False, None)
    assert codes(plan) == ["takes-over", "python-same", "environment-there"]
    with hold_shared(ContentStore(server.data_dir).use_path(second.guid)):
        assert engine.plan_activate("app").running
        back = engine.activate(plan)
    assert (back.active, back.key, len(back.bundles)) == (1, first.key, 2)
    (event,) = told(server)
    assert event.what["number"] == "2 -> 1"
    assert event.command.endswith(f"content activate {back.guid} 1")
    assert engine.resolve(back).key == first.key
    assert refused(engine, plan) == "content-bundle-active"
    # Forward is the same way.
    assert engine.activate(engine.plan_activate("app", 2)).key == second.key
    assert [event.result for event in told(server)] == [AuditResult.OK, AuditResult.REFUSED, AuditResult.OK]


@pytest.mark.slow
def test_an_environment_that_went_away_is_built_first_and_a_failed_build_changes_nothing(server, make_wheel) -> None:
    wheel = make_wheel(server.packages, "alpha")
    engine = server.engine()
    content = deployed(engine, server.bundle("alpha==1.0"))
    deployed(engine, server.bundle())
    (environment,) = [one for one in engine.refresh().environments if one.key == content.key]
    shutil.rmtree(environment.key_dir)
    shutil.rmtree(server.data_dir / "wheels", ignore_errors=True)
    hidden = wheel.rename(server.root / wheel.name)
    engine.refresh()
    plan = engine.plan_activate("app", 1)
    assert plan.builds
    assert codes(plan)[-1] == "environment-built"
    assert plan.reasons[-1].text.endswith("it is not there any more")
    started = []
    with pytest.raises(Refused) as caught:
        engine.activate(plan, started.append)
    assert caught.value.problem.code == "build-failed"
    assert engine.content("app").active == 2
    assert told(server)[-1].result is AuditResult.FAILED
    hidden.rename(wheel)
    back = engine.activate(engine.plan_activate("app", 1), started.append)
    assert (back.active, back.key, len(started)) == (1, content.key, 2)
    assert engine.build(started[1].id).state is BuildState.DONE


def test_what_is_not_managed_any_more_runs_on_the_installation_itself(server) -> None:
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    content = deployed(engine, server.bundle("nosuchthing==1.0"))
    deployed(engine, server.bundle("nosuchthing==2.0"))
    path = server.data_dir / "content" / content.guid / "content.json"
    record = json.loads(path.read_text())
    record["bundles"][0] |= {"key": "former", "python_version": "3.1.4"}
    path.write_text(json.dumps(record))
    engine.refresh()
    plan = engine.plan_activate(content.guid, 1)
    assert codes(plan) == ["takes-over", "python-other", "not-managed"]
    assert "it had Python 3.1.4" in plan.reasons[1].text
    assert "it had the environment former" in plan.reasons[2].text
    back = engine.activate(plan)
    assert (back.active, back.key, back.managed) == (1, "", False)
    assert back.active_bundle is not None
    assert back.active_bundle.python_version != "3.1.4"


def test_what_changed_since_it_was_planned_is_refused_and_what_is_gone_is_told(server) -> None:
    server.configure("EnvironmentManagement = false", "[Applications]", "BundleRetentionLimit = 2")
    engine = server.engine()
    bundle = server.bundle("nosuchthing==1.0")
    content = deployed(engine, bundle)
    with pytest.raises(InputError, match="no bundle before the active one"):
        engine.plan_activate("app")
    deployed(engine, bundle)
    plan = engine.plan_activate("app", 1)
    deployed(engine, bundle)  # which drops bundle 1
    with pytest.raises(InputError, match="app has no bundle 1") as caught:
        engine.activate(plan)
    assert caught.value.problem.found == "2, 3 (active)"
    plan = engine.plan_activate("app", 2)
    with_deployment = engine.plan_activate("app", 2)
    engine.activate(plan)
    engine.activate(engine.plan_activate("app", 3))
    assert engine.activate(with_deployment).active == 2, "it is as it was when it was planned"
    stored = server.data_dir / "content" / content.guid / "bundles" / "3" / "manifest.json"
    stored.unlink()
    broken = engine.plan_activate("app", 3)
    assert broken.problem is not None
    assert broken.problem.code == "manifest-missing"
    assert refused(engine, broken) == "manifest-missing"
    assert engine.content("app").active == 2

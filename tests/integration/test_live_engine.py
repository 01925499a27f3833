"""The live picture: what changes on disk appears in the snapshot by itself."""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import EnvironmentState, InputError, Refused, Rule, Snapshot, Usability, Verdict
from engine.engine import Engine

Wait = Callable[..., None]


def settled(engine: Engine, wait_until: Wait) -> Snapshot:
    wait_until(lambda: not engine.snapshot().probing, what="probing to end")
    return engine.snapshot()


def test_start_returns_at_once_and_the_installations_appear(server, wait_until: Wait) -> None:
    engine = server.engine()
    assert [i.usability for i in engine.snapshot().installations] == [Usability.PROBING]
    assert not engine.snapshot().looked
    changes = threading.Semaphore(0)
    engine.subscribe(changes.release)
    engine.start()
    assert changes.acquire(timeout=300)
    (installation,) = settled(engine, wait_until).installations
    assert engine.snapshot().looked
    assert installation.usability is Usability.USABLE
    assert str(installation.version) == ".".join(map(str, sys.version_info[:3]))


def test_a_saved_config_takes_effect_by_itself_and_environments_follow(server, wait_until: Wait, make_wheel) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    bundle = engine.open_bundle(str(server.bundle("alpha")))
    outcome = engine.execute(engine.plan_build(bundle))
    engine.wait(outcome.build.id, 300)
    engine.start()
    settled(engine, wait_until)
    wait_until(lambda: [e.state for e in engine.snapshot().environments] == [EnvironmentState.READY])
    server.configure("VersionMatching = exact", executables=())
    wait_until(lambda: engine.snapshot().installations == (), what="the removed interpreter to go")
    wait_until(lambda: engine.snapshot().environments[0].state is EnvironmentState.STALE)
    snapshot = engine.snapshot()
    assert "is not configured" in snapshot.environments[0].reason
    (entry,) = [b for b in snapshot.bundles if b.path == bundle.path]
    assert entry.plan.problem.code == "no-matching-installation"
    assert snapshot.config.settings.version_matching is Rule.EXACT
    assert set(snapshot.config.changed) == {"Python.Executable", "Python.VersionMatching"}


def test_read_only_in_the_config_counts_as_soon_as_it_is_saved_and_says_where(server, wait_until: Wait) -> None:
    engine = server.engine()
    engine.start()
    assert engine.snapshot().read_only == ""
    server.configure("[Envdeck]", "ReadOnly = yes")
    wait_until(lambda: engine.snapshot().read_only, what="the setting to count")
    assert engine.snapshot().read_only == f"Envdeck.ReadOnly is on ({server.config}:7)"
    with pytest.raises(Refused, match="ReadOnly is on"):
        engine.execute(engine.plan_reap(None))
    server.configure()
    wait_until(lambda: not engine.snapshot().read_only, what="writing to be allowed again")


def test_a_broken_config_keeps_the_last_good_settings_until_it_is_mended(server, wait_until: Wait) -> None:
    engine = server.engine()
    engine.start()
    settled(engine, wait_until)
    good = server.config.read_text()
    server.save(good + "VersionMatching = nearest\n[oops\n")
    wait_until(lambda: engine.snapshot().config.errors, what="the errors to show")
    config = engine.snapshot().config
    assert config.settings.version_matching is Rule.MAJOR_MINOR
    assert len(config.settings.executables) == 1
    assert [(p.where.line, p.where.file) for p in config.errors] == [
        (5 + 1, str(server.config)),
        (5 + 2, str(server.config)),
    ] or len(config.errors) == 2
    server.save(good + "VersionMatching = exact\n")
    wait_until(lambda: engine.snapshot().config.settings.version_matching is Rule.EXACT)
    assert engine.snapshot().config.problems == ()


def test_an_equal_picture_is_not_announced(server, wait_until: Wait) -> None:
    engine = server.engine()
    engine.refresh()
    announced: list[int] = []
    engine.subscribe(lambda: announced.append(engine.snapshot().generation))
    before = engine.snapshot().generation
    engine.refresh()
    assert engine.snapshot().generation == before
    assert announced == []


def test_a_callback_can_be_taken_back(server) -> None:
    engine = server.engine()
    announced: list[int] = []
    end = engine.subscribe(lambda: announced.append(1))
    end()
    engine.refresh()
    assert announced == []


def test_match_can_be_asked_for_a_version_and_another_rule(server) -> None:
    from packaging.version import Version

    engine = server.engine()
    here = Version(".".join(map(str, sys.version_info[:3])))
    assert engine.match(here).chosen is not None
    other = Version(f"{here.major}.{here.minor}.{here.micro + 1}")
    assert engine.match(other).judgements[0].verdict is Verdict.CHOSEN
    assert engine.match(other, rule=Rule.EXACT).judgements[0].verdict is Verdict.REJECTED


def test_disabled_python_serves_nothing_and_says_so(server) -> None:
    server.config.write_text(server.config.read_text().replace("Enabled = true", "Enabled = false"))
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    assert plan.problem is not None
    assert plan.problem.code == "python-disabled"
    with pytest.raises(Refused, match="disabled"):
        engine.execute(plan)


def test_a_data_directory_that_cannot_be_written_makes_everything_read_only(server, tmp_path: Path) -> None:
    blocked = tmp_path / "file-in-the-way"
    blocked.write_text("")
    server.data_dir = blocked / "data"
    server.configure()
    engine = server.engine()
    plan = engine.plan_build(engine.open_bundle(str(server.bundle("alpha"))))
    assert "cannot make it" in engine.snapshot().read_only
    with pytest.raises(Refused, match="cannot make it"):
        engine.execute(plan)


def test_bundles_of_the_configured_directories_are_on_the_shelf_good_or_bad(server) -> None:
    server.bundle("alpha", name="good")
    broken = server.root / "bundles" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    server.configure("[Envdeck]", f"BundleDir = {server.root / 'bundles'}")
    engine = server.engine()
    entries = {b.name: b for b in engine.refresh().bundles}
    assert set(entries) == {"good", "broken"}
    assert entries["good"].plan is not None
    assert entries["broken"].problem is not None
    assert entries["broken"].problem.code == "manifest-not-json"
    (broken / "manifest.json").write_text((server.root / "bundles" / "good" / "manifest.json").read_text())
    (broken / "requirements.txt").write_text("six\n")
    assert {b.name: b.problem for b in engine.refresh().bundles} == {"good": None, "broken": None}


def test_without_other_bundles_the_samples_are_offered(server) -> None:
    snapshot = server.engine().refresh()
    assert len(snapshot.bundles) >= 5
    assert all(b.is_sample and b.problem is None for b in snapshot.bundles)


def test_an_unknown_bundle_is_an_error_that_names_the_samples(server) -> None:
    with pytest.raises(InputError, match=r"The samples are .*flask-api"):
        server.engine().open_bundle("no-such-sample")


def test_the_embedded_default_names_the_interpreters_of_this_machine(server) -> None:
    engine = Engine([], server.environ | {"ENVDECK_CONFIG": ""})
    try:
        if engine.snapshot().config.files:
            pytest.skip("this machine has a system-wide configuration")
        assert engine.snapshot().config.is_default
        text = engine.default_config()
    finally:
        engine.close()
    server.config.write_text(text)
    again = server.engine()
    assert again.snapshot().config.problems == ()
    assert all(i.usability is Usability.USABLE for i in again.installations())


def test_an_unknown_build_is_an_error(server) -> None:
    with pytest.raises(InputError, match="there is no build nope"):
        server.engine().build("nope")


def test_a_job_directory_with_garbage_in_it_is_passed_over(server) -> None:
    job = server.data_dir / "jobs" / "20260101-000000-abcdef"
    job.mkdir(parents=True)
    (job / "spec.json").write_text("[]")
    other = server.data_dir / "jobs" / "20260101-000001-abcdef"
    other.mkdir()
    (other / "spec.json").write_text(json.dumps({"key": "k\x1b[31m", "bundle": 7, "submitted_at": "x"}))
    (other / "events.jsonl").write_text('nonsense\n{"type":"phase","phase":[]}\n[1]\n{"type":"progress","done":"x"}\n')
    (build,) = server.engine().refresh().builds
    assert build.key == "k\\x1b[31m"


def test_requirements_with_passwords_are_written_for_the_builder_alone(server, make_wheel) -> None:
    make_wheel(server.packages, "alpha")
    engine = server.engine()
    outcome = engine.execute(engine.plan_build(engine.open_bundle(str(server.bundle("alpha")))))
    engine.wait(outcome.build.id, 300)
    mode = (outcome.build.directory / "requirements.txt").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_a_data_directory_that_goes_is_missed_until_it_is_back(server, wait_until: Wait) -> None:
    engine = server.engine()
    server.data_dir.mkdir(parents=True, exist_ok=True)
    engine.start()
    settled(engine, wait_until)
    assert [one.code for one in engine.snapshot().obstacles] == []
    away = server.data_dir.rename(server.data_dir.with_name("away"))
    wait_until(lambda: [one.code for one in engine.snapshot().obstacles] == ["data-dir-gone"], what="the obstacle")
    away.rename(server.data_dir)
    wait_until(lambda: engine.snapshot().obstacles == (), what="the obstacle to go")


def test_while_every_look_fails_the_picture_says_why_and_recovers(
    server, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = server.engine()
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            raise OSError(5, "Input/output error")

        broken.setattr("engine.world.World.environments", fail)
        engine.start()
        wait_until(lambda: [one.code for one in engine.snapshot().obstacles] == ["look-failed"], what="the obstacle")
        assert "Input/output error" in engine.snapshot().obstacles[0].message
        assert not engine.snapshot().looked
        (installation,) = settled(engine, wait_until).installations
        assert installation.usability is Usability.USABLE, "it has nothing to do with the data directory"
    wait_until(lambda: engine.snapshot().looked, what="a look that succeeds")
    assert engine.snapshot().obstacles == ()

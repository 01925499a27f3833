"""What a change of the configuration does to content: told before it is saved, and after."""

from __future__ import annotations

import sys
from pathlib import Path

from engine import ImpactKind, Rule, Subject

OTHER = "{}.{}.{}".format(*sys.version_info[:2], sys.version_info[2] + 1)


def deployed(server, engine, name: str) -> None:
    """Content that runs on the installation itself, so that nothing needs to be built."""
    engine.deploy(engine.plan_deploy(engine.open_bundle(str(server.bundle(name=name))), name=name))


def test_a_file_is_judged_by_what_it_would_do_before_it_is_in_force(server) -> None:
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    deployed(server, engine, "app")
    new = server.root / "new.gcfg"
    new.write_text(server.config.read_text().replace("Enabled = true", "Enabled = false"))
    state = engine.read_config([new])
    found = engine.impact_of(state)
    (item,) = [one for one in found.items if one.subject is Subject.CONTENT]
    assert (item.name, item.kind, item.after) == ("app", ImpactKind.BREAKS, "cannot run")
    assert "disabled" in item.reason
    assert engine.snapshot().config.settings.python_enabled, "nothing was taken over"
    same = engine.impact_of(engine.read_config([server.config]))
    assert same.items == ()
    assert same.unchanged > 0


def test_the_last_load_tells_what_it_did(server) -> None:
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    deployed(server, engine, "app")
    assert engine.impact_of_load() is None, "nothing was loaded since the start"
    server.configure("EnvironmentManagement = false", executables=("/nowhere/python3",))
    engine._world.reload()
    engine.refresh()
    found = engine.impact_of_load()
    assert found is not None
    (item,) = [one for one in found.items if one.subject is Subject.CONTENT]
    assert (item.kind, item.after) == (ImpactKind.BREAKS, "cannot run")
    assert item.before.startswith("Python ")
    assert "Python.Executable" in found.after.changed


def test_another_data_directory_takes_all_content_out_of_sight(server, tmp_path: Path) -> None:
    server.configure("EnvironmentManagement = false")
    engine = server.engine()
    deployed(server, engine, "app")
    new = server.root / "new.gcfg"
    new.write_text(server.config.read_text().replace(f"DataDir = {server.data_dir}", f"DataDir = {tmp_path}/else"))
    (item,) = [one for one in engine.impact_of(engine.read_config([new])).items if one.subject is Subject.CONTENT]
    assert (item.kind, item.after) == (ImpactKind.BREAKS, "not seen any more")


def test_a_bundle_on_offer_tells_what_it_would_get_under_the_other_rule(server) -> None:
    engine = server.engine()
    engine.open_bundle(str(server.bundle(name="asks-later", python=OTHER)))
    new = server.root / "new.gcfg"
    new.write_text(server.config.read_text() + "VersionMatching = exact\n")
    state = engine.read_config([new])
    assert state.settings.version_matching is Rule.EXACT
    (item,) = [one for one in engine.impact_of(state).items if one.name == "asks-later"]
    assert (item.subject, item.kind, item.after) == (Subject.BUNDLE, ImpactKind.BREAKS, "no installation")
    assert "exact" in item.reason

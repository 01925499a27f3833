"""Rebuilding: python-posit.txt, "Upgrading Python"; connect.md §6.8; who builds: builds.md, section G."""

from __future__ import annotations

import os
import pwd
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actions.rebuild import PlannedRebuild, RebuildPlan, judge_rebuild
from engine.builds.launch import build_environment
from engine.builds.model import Build, BuildState, Fault, Phase
from engine.environments.model import Environment, EnvironmentState
from engine.errors import InputError, Problem, Refused
from engine.executors.accounts import Account, build_account
from engine.packages.key import environment_key
from engine.rebuilds.lists import RebuildLists
from engine.rebuilds.model import ItemState, RebuildItem, RebuildList, Runner, pick, progress, settle, summary
from engine.rebuilds.run import BulkResult, run
from tests.records import replace

INTERPRETER = {"version": "3.11.7", "base_prefix": "/opt/python/3.11.7"}
INTERPRETERS = {"/opt/python/3.11.7/bin/python3": INTERPRETER}
INGREDIENTS: dict[str, object] = {
    "interpreter": INTERPRETER,
    "index": {"index-url": "https://****@mirror/simple"},
    "requirements": ["flask"],
    "source": "",
}


def environment(ingredients: Mapping[str, object] = INGREDIENTS, target: str = "Local") -> Environment:
    key = environment_key(ingredients)
    return Environment(
        key=key,
        attempt="20261121-000000-abcdef",
        place="/data",
        installer="pip",
        python_version="3.11.7",
        python_path="/opt/python/3.11.7/bin/python3",
        target=target,
        state=EnvironmentState.READY,
        reason="",
        lines=("flask",),
        packages=(),
        size=1,
        files=1,
        built_at=1.0,
        built_by="admin",
        seconds=2.0,
        bundle="app",
        ingredients=ingredients,
    )


HERE = {
    "interpreters": INTERPRETERS,
    "index": {"index-url": "https://user:s3cret@mirror/simple"},
    "request": True,
    "source": False,
    "overlay": True,
}


@pytest.mark.parametrize(
    ("of", "changes", "codes"),
    [
        (environment(), {}, []),
        (environment(), {"interpreters": {"/elsewhere/python": INTERPRETER}}, []),
        (environment(), {"index": {"index-url": "https://other:password@mirror/simple"}}, []),
        (environment(), {"interpreters": {}}, ["rebuild-interpreter-gone"]),
        # Replaced in place by another patch release.
        (
            environment(),
            {"interpreters": {"/opt/python/3.11.7/bin/python3": {**INTERPRETER, "version": "3.11.8"}}},
            ["rebuild-interpreter-gone"],
        ),
        (environment(), {"index": {}}, ["rebuild-index-changed"]),
        (environment(), {"request": False}, ["rebuild-no-request"]),
        (environment(), {"overlay": False}, ["rebuild-no-overlay"]),
        (environment({**INGREDIENTS, "source": "abc"}), {"source": True}, []),
        (environment({**INGREDIENTS, "source": "abc"}), {}, ["rebuild-no-source"]),
        (environment(target="image:1"), {"interpreters": {}}, ["rebuild-not-local"]),
        (replace(environment(), ingredients={}), {}, ["rebuild-no-record"]),
        (replace(environment(), key="anotherkey"), {}, ["rebuild-no-record"]),
        (
            environment(),
            {"interpreters": {}, "index": {}, "request": False},
            ["rebuild-interpreter-gone", "rebuild-index-changed", "rebuild-no-request"],
        ),
    ],
)
def test_an_environment_is_rebuilt_only_as_what_its_key_says(of: Environment, changes, codes: list[str]) -> None:
    problems = judge_rebuild(of, **{**HERE, **changes})
    assert [problem.code for problem in problems] == codes
    assert all(problem.hint and "s3cret" not in str(problem) for problem in problems)


S = ItemState
ITEMS = tuple(RebuildItem(state.value.lower(), state) for state in ItemState)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {S.NEEDS_BUILD, S.RUNNING}),
        ({"retry": True}, {S.NEEDS_BUILD, S.RUNNING, S.ERROR, S.ABORTED}),
        ({"everything": True}, set(S)),
        ({"retry": True, "everything": True}, set(S)),
    ],
)
def test_a_run_picks_what_its_options_say_in_the_order_of_the_list(options, expected: set[ItemState]) -> None:
    """connect.md §6.8; what is RUNNING without a run is one that was killed, whose builds went on: it is waited for."""
    assert pick(ITEMS, **options) == tuple(item.key for item in ITEMS if item.state in expected)


def build(state: BuildState, fault: Fault | None = None) -> Build:
    return Build(
        id="20261121-000000-abcdef",
        key="k",
        state=state,
        phase=Phase.RESOLVE,
        bundle="app",
        python_version="3.11.7",
        python_path="/p",
        by="admin",
        submitted_at=1.0,
        started_at=2.0,
        finished_at=3.0 if state.final else None,
        packages_done=0,
        packages_total=0,
        message="what was said",
        fault=fault,
        directory=Path("/jobs/x"),
    )


@pytest.mark.parametrize(
    ("found", "state", "message"),
    [
        (build(BuildState.QUEUED), S.RUNNING, ""),
        (build(BuildState.RUNNING), S.RUNNING, ""),
        (build(BuildState.DONE), S.COMPLETE, "what was said"),
        (build(BuildState.FAILED, Fault(Phase.RESOLVE, "six", "no index")), S.ERROR, "resolve: six: no index"),
        (build(BuildState.CANCELLED), S.ERROR, "what was said"),
        (build(BuildState.LOST), S.ABORTED, "what was said"),
        (None, S.ABORTED, "its build left no trace"),
    ],
)
def test_what_a_killed_run_left_running_is_settled_by_its_build(found, state: ItemState, message: str) -> None:
    settled = settle(RebuildItem("k", S.RUNNING, "20261121-000000-abcdef"), found)
    assert (settled.state, settled.message) == (state, message)


@pytest.mark.parametrize("state", sorted(set(S) - {S.RUNNING}))
def test_what_is_not_running_is_left_alone(state: ItemState) -> None:
    item = RebuildItem("k", state)
    assert settle(item, build(BuildState.DONE)) is item


def test_the_progress_and_the_last_line_read_as_admins_know_them() -> None:
    items = [RebuildItem(str(n), S.COMPLETE) for n in range(3)] + [RebuildItem("r", S.RUNNING)]
    reached = progress([*items, RebuildItem("p"), RebuildItem("q"), RebuildItem("e", S.ERROR)])
    assert str(reached) == "Running = 1, Pending = 2, Success = 3, Error = 1"
    assert summary(reached, 3725.9) == "3/7 environment builds completed in 1:02:05"
    assert summary(reached, 59) == "3/7 environment builds completed in 0:00:59"
    assert summary(reached, 360_000) == "3/7 environment builds completed in 100:00:00"


@pytest.mark.parametrize(
    ("count", "listed", "codes"), [(8, False, []), (9, False, ["rebuild-too-many"]), (900, True, [])]
)
def test_so_many_that_each_would_wait_in_a_process_are_for_a_list(count: int, listed: bool, codes: list[str]) -> None:
    plan = RebuildPlan((PlannedRebuild(environment(), None),) * count, listed=listed)
    assert [problem.code for problem in plan.problems] == codes
    assert [problem.code for problem in (plan.problem, plan.too_many) if problem] == 2 * codes


def test_what_keeps_several_from_being_rebuilt_is_said_once() -> None:
    gone, moved = Problem("a", "it is gone"), Problem("b", "it moved")
    items = [PlannedRebuild(environment(), None, problems=problems) for problems in ((gone,), (gone, moved), (moved,))]
    assert RebuildPlan(tuple(items)).problems == (gone, moved)


def test_a_key_that_is_put_on_the_list_again_is_to_be_built_again_but_not_torn_from_a_run() -> None:
    rebuilds = RebuildList("l", (RebuildItem("a", S.COMPLETE, "b1"), RebuildItem("r", S.RUNNING, "b2")))
    assert [(i.key, i.state, i.build_id) for i in rebuilds.with_keys(["r", "new", "a"]).items] == [
        ("a", S.NEEDS_BUILD, ""),
        ("r", S.RUNNING, "b2"),
        ("new", S.NEEDS_BUILD, ""),
    ]


items = st.builds(
    RebuildItem,
    key=st.text("abcXYZ-_", min_size=1, max_size=22),
    state=st.sampled_from(ItemState),
    build_id=st.text("0123456789-", max_size=10),
    changed_at=st.floats(0, 1e10),
    message=st.text("abc äö", max_size=30).map(lambda text: " ".join(text.split())),
)


@given(st.lists(items, unique_by=lambda item: item.key, max_size=5))
def test_a_list_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, given_items) -> None:
    lists = RebuildLists(tmp_path_factory.getbasetemp() / "lists")
    written = RebuildList("all-3.8", tuple(given_items))
    lists.write(written)
    assert lists.read("all-3.8") == written
    assert lists.all() == (written,)


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../up", "x" * 65, "a b", "a\n"])
def test_a_name_that_is_no_plain_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as refused:
        RebuildLists(tmp_path).read(name)
    assert refused.value.problem.code == "rebuild-list-name"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"items": 7, "runner": []}', '{"items": [1, {"key": 7}, {}]}'])
def test_a_list_with_garbage_in_it_is_a_problem_or_an_empty_list(tmp_path: Path, text: str) -> None:
    lists = RebuildLists(tmp_path)
    lists.directory.mkdir()
    (lists.directory / "x.json").write_text(text)
    if text.startswith('{"'):
        assert lists.read("x") == RebuildList("x")
        return
    with pytest.raises(InputError) as damaged:
        lists.read("x")
    assert damaged.value.problem.code == "rebuild-list-damaged"
    assert lists.all() == ()


class Builds:
    """Builds that end when they are told to."""

    def __init__(self) -> None:
        self.by_id: dict[str, Build] = {}

    def start(self, key: str) -> Build:
        if key == "gone":
            raise InputError(Problem("environment-unknown", "there is no environment gone"))
        begun = replace(build(BuildState.RUNNING), id=f"build-{len(self.by_id)}", key=key)
        self.by_id[begun.id] = begun
        return begun

    def end(self, build_id: str, state: BuildState = BuildState.DONE) -> None:
        self.by_id[build_id] = replace(self.by_id[build_id], state=state, finished_at=9.0)

    def run(self, lists: RebuildLists, *keys: str, parallelism: int = 1, **options: Any) -> BulkResult:
        def choose(there: RebuildList) -> tuple[RebuildList, tuple[str, ...]]:
            added = there.with_keys(keys)
            return added, pick(added.items)

        given = {"start": self.start, "look": self.by_id.get, "by": "admin", "parallelism": parallelism}
        return run(lists, "all", choose, **{**given, **options})


def states(lists: RebuildLists) -> list[tuple[str, str]]:
    return [(item.key, item.state.value) for item in lists.read("all").items]


def test_no_more_builds_at_a_time_than_asked_for(tmp_path: Path) -> None:
    builds, lists, seen = Builds(), RebuildLists(tmp_path), []

    def look(build_id: str) -> Build | None:
        found = builds.by_id[build_id]
        builds.end(build_id)
        return found

    result = builds.run(lists, *"abcde", "gone", parallelism=2, look=look, on_progress=seen.append)
    assert max(reached.running for reached in seen) == 2
    assert [(i.key, i.state.value) for i in result.items] == states(lists)
    assert states(lists) == [*((key, "COMPLETE") for key in "abcde"), ("gone", "ERROR")]
    assert str(seen[-1]) == "Running = 0, Pending = 0, Success = 5, Error = 1"
    assert [reached.item.key for reached in seen if reached.item and reached.item.state is S.ERROR] == ["gone"]


def test_an_interrupted_run_says_aborted_and_lets_go_of_the_list(tmp_path: Path) -> None:
    """connect.md §6.8: ABORTED when interrupted; the server keeps building."""
    builds, lists = Builds(), RebuildLists(tmp_path)

    def interrupt(_build_id: str) -> None:
        assert lists.read("all").alive
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builds.run(lists, "a", "b", look=interrupt)
    assert states(lists) == [("a", "ABORTED"), ("b", "NEEDS_BUILD")]
    there = lists.read("all")
    assert (there.runner, there.alive) == (None, False)


def test_what_is_interrupted_while_it_is_written_is_aborted_too(tmp_path: Path) -> None:
    builds = Builds()

    class Interrupted(RebuildLists):
        def write(self, rebuilds: RebuildList) -> None:
            super().write(rebuilds)
            if rebuilds.runner and rebuilds.items[0].state is S.RUNNING:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builds.run(Interrupted(tmp_path), "a")
    assert states(RebuildLists(tmp_path)) == [("a", "ABORTED")]


def test_a_run_can_be_stopped_from_outside(tmp_path: Path) -> None:
    builds, lists = Builds(), RebuildLists(tmp_path)
    result = builds.run(lists, "a", "b", stop=lambda: bool(builds.by_id))
    assert [(i.key, i.state.value) for i in result.items] == [("a", "ABORTED"), ("b", "NEEDS_BUILD")]
    assert not result.ok


def test_a_second_run_is_refused_unless_it_takes_the_list_over(tmp_path: Path) -> None:
    """connect.md §6.8: refused while a build is marked running, unless forced."""
    builds, lists = Builds(), RebuildLists(tmp_path)
    first: list[str] = []

    def work() -> None:
        try:
            builds.run(lists, "a", "b", by="first")
        except Refused as refused:
            first.append(refused.problem.code)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while ("a", "RUNNING") not in states(lists):
        assert time.monotonic() < deadline
    with pytest.raises(Refused) as refused:
        builds.run(lists)
    assert refused.value.problem.code == "rebuild-running"
    assert f"process {os.getpid()} of first" in refused.value.problem.found

    def look(build_id: str) -> Build | None:
        builds.end(build_id)
        return builds.by_id[build_id]

    result = builds.run(lists, force=True, look=look)
    thread.join(30)
    assert first == ["rebuild-taken-over"]
    assert result.ok
    assert states(lists) == [("a", "COMPLETE"), ("b", "COMPLETE")]
    assert [started.key for started in builds.by_id.values()] == ["a", "b"], "what was running was waited for"


def test_a_list_of_a_process_that_is_gone_needs_no_force(tmp_path: Path) -> None:
    builds, lists = Builds(), RebuildLists(tmp_path)
    gone = Runner("token", "somebody", "elsewhere", 7, 1.0)
    lists.write(RebuildList("all", (RebuildItem("a"), RebuildItem("b", S.COMPLETE)), gone))
    assert not lists.read("all").alive
    result = builds.run(lists, look=lambda _: build(BuildState.DONE))
    assert [item.key for item in result.items] == ["a"]
    assert states(lists) == [("a", "COMPLETE"), ("b", "COMPLETE")]


ROOT = pwd.getpwuid(0).pw_name
OTHER = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))
ENVIRON = {"HOME": "/home/admin"}


@pytest.mark.parametrize(
    ("run_as", "uid", "name", "home", "changes", "note"),
    [
        ("", 0, ROOT, "/home/admin", False, ""),
        (ROOT, 0, ROOT, "/home/admin", False, ""),
        (OTHER.pw_name, 0, OTHER.pw_name, OTHER.pw_dir, True, ""),
        (OTHER.pw_name, OTHER.pw_uid, OTHER.pw_name, "/home/admin", False, ""),
        (ROOT, OTHER.pw_uid, OTHER.pw_name, "/home/admin", False, "only root can change to"),
        ("", 4_000_001, "uid 4000001", "/home/admin", False, ""),
    ],
)
def test_only_root_builds_as_another_account_and_others_say_so(run_as, uid, name, home, changes, note) -> None:
    """package-management-posit.txt, "Configuring pip": builds run under ``Applications.RunAs``."""
    who = build_account(run_as, ENVIRON, uid)
    assert (who.name, who.home, who.account is not None, who.problem) == (name, Path(home), changes, None)
    assert note in who.note
    assert bool(who.note) == bool(note)


@pytest.mark.parametrize("uid", [0, 4_000_001])
def test_an_account_that_does_not_exist_is_a_problem(uid: int) -> None:
    problem = build_account("no-such-account", ENVIRON, uid).problem
    assert problem is not None
    assert problem.code == "run-as-unknown"
    assert "no-such-account" in problem.message


def test_the_environment_of_a_build_is_that_of_its_account_and_holds_nothing_of_the_admins() -> None:
    """builds.md, section G."""
    admin = {
        "HOME": "/root",
        "PATH": "/root/bin:/bin",
        "LANG": "de_DE.UTF-8",
        "PIP_INDEX_URL": "https://x",
        "LD_PRELOAD": "x",
        "XDG_CONFIG_HOME": "/root/.config",
        "AWS_SECRET": "s",
        "https_proxy": "http://proxy",
    }
    account = Account("connect", 999, 999, (999,), Path("/home/connect"))
    common = {"LANG": "de_DE.UTF-8", "https_proxy": "http://proxy"}
    common |= {"GIT_TERMINAL_PROMPT": "0", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    assert build_environment(admin) == {**common, "HOME": "/root", "PATH": "/root/bin:/bin"}
    assert build_environment(admin, account) == {
        **common,
        "HOME": "/home/connect",
        "LOGNAME": "connect",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "USER": "connect",
    }

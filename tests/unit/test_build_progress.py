"""How far a build is and how long it will still take: packages, bytes, phases, and what earlier builds say."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cli import render
from app.cli.units import about
from engine.builds import pip_output, uv_output
from engine.builds.estimate import expect, expectation_record, read_expectation
from engine.builds.job import append_event, fold
from engine.builds.model import Build, BuildState, Expectation, Phase
from engine.builds.progress import Progress, bytes_in
from engine.builds.transcript import Transcript
from tests.records import replace


def after_pip(*lines: str) -> Progress:
    return reduce(pip_output.read_line, lines, Progress())


def after_uv(*lines: str) -> Progress:
    return reduce(uv_output.read_line, lines, Progress())


def test_bytes_add_up_over_files_with_and_without_raw_progress() -> None:
    lines = ["Collecting a", "  Downloading a-1-py3-none-any.whl (2.0 kB)"]
    assert (after_pip(*lines).bytes_done, after_pip(*lines).bytes_total) == (0, 2000)
    # The next file begins when the one before is there.
    lines += ["Collecting b", "  Using cached b-1.whl (1.5 MB)", "Collecting c", "  Downloading c.whl (10 bytes)"]
    assert after_pip(*lines).bytes_done == 1_502_000
    lines += ["Progress 4 of 12"]
    assert (after_pip(*lines).bytes_done, after_pip(*lines).bytes_total) == (1_502_004, 1_502_012)
    lines += ["Installing collected packages: a, b, c"]
    progress = after_pip(*lines)
    assert (progress.bytes_done, progress.bytes_total, progress.installing) == (1_502_012, 1_502_012, 3)


def test_uv_says_how_many_packages_there_are_before_it_fetches_any() -> None:
    lines = ["Using Python 3.11.7 environment at: e", "Resolved 8 packages in 383ms"]
    assert (after_uv(*lines).phase, after_uv(*lines).installing) == (Phase.INSTALL, 8)
    lines += ["Downloading numpy (16.1MiB)", "Downloading pandas (1.0KiB)", " Downloaded pandas"]
    assert (after_uv(*lines).bytes_done, after_uv(*lines).bytes_total) == (1024, 1024 + 16_882_074)
    lines += [" Downloaded numpy", "Prepared 8 packages in 273ms", "Installed 8 packages in 28ms"]
    progress = after_uv(*lines)
    assert (progress.installed, progress.bytes_done, progress.fetching) == (8, 1024 + 16_882_074, ())
    assert progress.message == "Compiling the bytecode of 8 packages"


def test_uv_counts_one_package_too() -> None:
    assert after_uv("Resolved 1 package in 1ms", "Installed 1 package in 2ms").installed == 1


@settings(max_examples=40)
@given(
    st.lists(st.text(max_size=60) | st.from_regex(r"(Downloading|Progress) [\w.]+ (\(|of )[\d.]+ ?\w*\)?"), max_size=20)
)
def test_no_output_whatever_breaks_the_progress(lines: list[str]) -> None:
    for progress in (after_pip(*lines), after_uv(*lines)):
        assert 0 <= progress.bytes_done <= progress.bytes_total


def test_units() -> None:
    assert [bytes_in("1.5", unit) for unit in ("kB", "MiB", "bytes", "parsecs")] == [1500, 1_572_864, 2, 0]


def build(**changes: object) -> Build:
    plain = Build(
        id="b",
        key="k",
        state=BuildState.RUNNING,
        phase=Phase.INSTALL,
        bundle="app",
        python_version="3.12.1",
        python_path="/python",
        by="me",
        submitted_at=0.0,
        started_at=100.0,
        finished_at=None,
        packages_done=0,
        packages_total=0,
        message="",
        fault=None,
        directory=Path("/jobs/b"),
        requested=10,
        phases={Phase.VENV: 100.0, Phase.RESOLVE: 101.0, Phase.INSTALL: 105.0},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def done(**changes: object) -> Build:
    """One that took 1, 4, 20, 1 and 2 seconds."""
    phases = {
        Phase.VENV: 100.0,
        Phase.RESOLVE: 101.0,
        Phase.INSTALL: 105.0,
        Phase.VERIFY: 125.0,
        Phase.PUBLISH: 126.0,
    }
    return build(
        **{
            "state": BuildState.DONE,
            "phase": Phase.PUBLISH,
            "phases": phases,
            "finished_at": 128.0,
            "packages_done": 40,
            "packages_total": 40,
        }
        | changes
    )


def test_events_tell_when_each_phase_began_and_how_many_bytes_are_there() -> None:
    events: list[dict[str, object]] = [
        {"type": "started", "at": 10},
        {"type": "phase", "phase": "venv", "at": 11},
        {"type": "phase", "phase": "resolve", "at": 12.5},
        {"type": "progress", "done": 3, "total": 0, "bytes": 70, "bytes_total": 100},
        {"type": "phase", "phase": "resolve", "at": 13},
        {"type": "progress", "done": -1, "total": "x", "bytes": 1 << 70},
    ]
    told = fold(build(phases={}, started_at=None), events)
    assert told.phases == {Phase.VENV: 11.0, Phase.RESOLVE: 12.5}
    assert (told.packages_done, told.bytes_done, told.bytes_total) == (3, 70, 100)
    assert told.phase_seconds(20.5) == {Phase.VENV: 1.5, Phase.RESOLVE: 8.0}


def test_the_last_build_of_the_same_environment_is_the_best_judge() -> None:
    slow = done(id="x", finished_at=228.0)
    others = [done(key="other", finished_at=500.0), done(), slow]
    expected = expect(others, key="k", installer="pip", image="", requested=10)
    assert expected is not None
    assert (expected.basis, expected.packages, expected.total) == ("the last build of this environment", 40, 28.0)
    assert expected.seconds[Phase.INSTALL] == 20.0


def test_what_was_made_from_a_lock_judges_only_what_may_be_made_so_again() -> None:
    replayed = done(phases={Phase.VENV: 100.0, Phase.VERIFY: 100.5, Phase.PUBLISH: 100.75}, finished_at=101.0)
    history = [replayed, done()]
    for known, total in ((None, 1.0), (True, 1.0), (False, 28.0)):
        expected = expect(history, key="k", installer="pip", image="", requested=10, replayed=known)
        assert expected is not None
        assert expected.total == total
    of_others = expect(history, key="other", installer="pip", image="", requested=10)
    assert of_others is not None
    assert (of_others.basis, of_others.total) == ("one build of similar size", 28.0)
    from_a_lock = expect(history, key="other", installer="pip", image="", requested=10, replayed=True)
    assert from_a_lock is not None
    assert (from_a_lock.basis, from_a_lock.total) == ("one build of similar size", 1.0)


def test_packages_that_are_there_before_the_installer_begins_count_as_done(tmp_path: Path) -> None:
    with Transcript(tmp_path, "mark") as transcript:
        transcript.supplied(140)
        transcript.enter(Phase.RESOLVE)
        for line in (b"Collecting a", b"Collecting b", b"Installing collected packages: a, b"):
            transcript.take(line)
        transcript.installed(1)
        events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        told = fold(build(phases={}), events)
        assert (told.packages_done, told.packages_total, told.packages_supplied) == (141, 142, 140)
        transcript.take(b"Successfully installed a-1 b-2")
        events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert fold(told, events).packages_done == 142


def test_an_event_that_came_in_half_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, {"type": "started"})
    with path.open("a") as file:
        file.write('{"type": "phase", "pha')
    append_event(path, {"type": "phase", "phase": "install"})
    append_event(path, {"type": "phase", "phase": "verify"})
    lines = path.read_text().splitlines()
    assert [json.loads(lines[number])["type"] for number in (0, 2, 3)] == ["started", "phase", "phase"]
    assert len(lines) == 4


def test_without_one_similar_builds_are_asked_and_their_median_counts() -> None:
    ends = [128.0, 138.0, 158.0]
    similar = [done(key=str(end), finished_at=end, requested=7) for end in ends]
    unlike = [
        done(key="far larger", finished_at=900.0, requested=100),
        done(key="in an image", finished_at=900.0, image="r.io/x"),
        done(key="of uv", finished_at=900.0, installer="uv"),
        done(key="reused", finished_at=900.0, reused=True),
        done(key="failed", finished_at=900.0, state=BuildState.FAILED),
    ]
    expected = expect([*unlike, *similar], key="k", installer="pip", image="", requested=10)
    assert expected is not None
    assert expected.basis == "3 builds of similar size"
    assert expected.seconds[Phase.PUBLISH] == 12.0
    assert expect(unlike, key="k", installer="pip", image="", requested=10) is None


EXPECTED = Expectation({Phase.VENV: 1.0, Phase.RESOLVE: 4.0, Phase.INSTALL: 20.0, Phase.VERIFY: 3.0}, 40, "it")


@pytest.mark.parametrize(
    ("changes", "now", "left"),
    [
        ({"phase": Phase.RESOLVE, "phases": {Phase.RESOLVE: 101.0}}, 103.0, 2 + 20 + 3),
        ({}, 105.0, 20 + 3),
        # Twice as many packages as those earlier builds had: the work that is left is scaled.
        ({"packages_total": 80}, 105.0, 2 * (20 + 3)),
        # Half of it is there after 4 s: its own pace says 4 s more, history says 16 s more.
        ({"packages_done": 20, "packages_total": 40}, 109.0, 4 / 2 + 16 / 2 + 3),
        # What came from the store says nothing about the pace: half of what is to be installed is there.
        ({"packages_done": 93, "packages_total": 106, "packages_supplied": 80, "expected": None}, 109.0, 4),
        ({"packages_done": 80, "packages_total": 100, "packages_supplied": 80}, 105.0, 0.5 * (20 + 3)),
        # Far later than expected: nothing is left of this phase, but time never runs backwards.
        ({}, 400.0, 3),
        ({"state": BuildState.DONE}, 110.0, None),
        ({"state": BuildState.QUEUED, "started_at": None}, 110.0, None),
        ({"expected": None}, 110.0, None),
        ({"expected": None, "packages_done": 1, "packages_total": 40}, 110.0, None),
        ({"expected": None, "packages_done": 10, "packages_total": 40}, 110.0, 15),
    ],
)
def test_the_time_left(changes: dict[str, object], now: float, left: float | None) -> None:
    judged = build(**{"expected": EXPECTED} | changes)
    assert judged.left(now) == (left if left is None else pytest.approx(left))


@given(
    st.sampled_from(list(Phase)),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 1e7),
    st.none() | st.just(EXPECTED),
)
def test_an_estimate_is_never_negative_and_a_fraction_never_more_than_all(
    phase: Phase, done_: int, total: int, now: float, expected: Expectation | None
) -> None:
    judged = build(phase=phase, packages_done=done_, packages_total=total, expected=expected)
    assert (judged.left(now) or 0.0) >= 0.0
    assert 0.0 <= (judged.fraction(now) or 0.0) <= 1.0


def test_an_expectation_survives_its_record_and_nonsense_is_none() -> None:
    assert read_expectation(expectation_record(EXPECTED)) == EXPECTED
    record = expectation_record(EXPECTED)
    assert record is not None
    for nonsense in (
        None,
        7,
        {},
        record | {"seconds": 3},
        record | {"packages": "x"},
        record | {"seconds": {"venv": -1}},
    ):
        assert read_expectation(nonsense) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"),
        (3.2, "4 s"),
        (38.0, "40 s"),
        (57.4, "55 s"),
        (58.0, "1 min"),
        (150.0, "2 min"),
        (7800.0, "2 h 10 min"),
    ],
)
def test_an_estimate_is_told_no_finer_than_it_is(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_the_line_of_a_running_build_has_bar_packages_bytes_and_the_time_left() -> None:
    running = build(
        packages_done=20, packages_total=40, bytes_done=30_000_000, bytes_total=30_000_000, expected=EXPECTED
    )
    text = render.progress(running, 109.0).plain
    assert "20/40 packages  30.0 MB  9.0 s, about 15 s left" in text
    assert text.count("━") + text.count("─") == 16
    assert "━" not in render.progress(build(), 109.0).plain

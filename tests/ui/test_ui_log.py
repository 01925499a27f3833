"""The live log: follows, never steals the place, searches."""

from __future__ import annotations

from fake_engine import FakeEngine
from fake_server import snapshot

from engine import LogLine
from tests.records import replace

RUNNING = "20250615-115900-c3d4"


async def open_log(d, lines: int = 200) -> None:
    d.engine.write(RUNNING, *(f"line {i} of pip" for i in range(lines)))
    await d.press("4", "enter")
    await d.until(lambda: f"line {lines - 1} of pip" in d.text, "the end of the log")


async def look_at_the_ring(d) -> None:
    """What the page does ten times a second."""
    d.app.page._poll()
    await d.settle()


async def test_the_end_is_followed_until_one_moves_up(desk) -> None:
    async with desk() as d:
        await open_log(d)
        d.engine.write(RUNNING, "the newest line")
        await d.until(lambda: "the newest line" in d.text, "the newest line")
        await d.press("k")
        assert "following" not in d.lines[1]
        before = d.text
        d.engine.write(RUNNING, *(f"more {i}" for i in range(50)))
        await look_at_the_ring(d)
        assert d.text.splitlines()[4:20] == before.splitlines()[4:20], "the place is not stolen"
        await d.press("G")
        assert "more 49" in d.text
        assert "following" in d.lines[1]


async def test_f_turns_following_off_and_on(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("f")
        assert "following" not in d.lines[1]
        d.engine.write(RUNNING, "unseen")
        await look_at_the_ring(d)
        assert "unseen" not in d.text
        await d.press("f")
        assert "unseen" in d.text


async def test_searching_counts_and_goes_round(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("g", "slash", *"/line 4/", "enter")
        assert "1/11 //line 4/" in d.lines[1]
        await d.press("n")
        assert "2/11" in d.lines[1]
        assert "line 40 of pip" in d.text
        await d.press("N", "N")
        assert "11/11" in d.lines[1]
        assert "line 49 of pip" in d.text


async def test_a_search_without_a_match_says_so(desk) -> None:
    async with desk() as d:
        await open_log(d)
        await d.press("slash", *"zebra", "enter")
        assert "zebra is not in the log" in d.status


async def test_a_search_takes_the_grammar_of_the_lists(desk) -> None:
    async with desk(size=(100, 24)) as d:
        await open_failed(d, *PIP)
        for typed, found in (
            ("nump flask", 0),
            ("nump version", 2),
            ("!nump", 3),
            (r"/^error:.*nump==\d/", 2),
            (r"!/^error:/ nump", 1),
        ):
            await d.press("g", "slash", "ctrl+u", *typed, "enter")
            told = f"1/{found} /{typed}" if found else f"0 found /{typed}"
            assert told in d.lines[1], typed
        await d.press("slash", *"/(/", "enter")
        assert "/(/ is not a regular expression" in d.status
        assert r"1/1 /!/^error:/ nump" in d.lines[1], "what was found before is still there"


async def test_a_search_says_which_lines_it_has_not_seen(desk) -> None:
    async with desk(size=(120, 24)) as d:
        ring = d.engine.ring(RUNNING)
        ring.skip(450_000)
        ring.extend([LogLine(0.0, f"line {i}") for i in range(450_000, 450_100)])
        await d.press("4", "enter")
        await d.until(lambda: "line 450099" in d.text, "the end")
        await d.press("slash", *"/9$/", "enter")
        assert d.status == "10 found; 450000 older lines not searched, `envdeck log --grep` does"
        await d.press("slash", *"zebra", "enter")
        assert d.status.startswith("! zebra is not in what is shown of the log; 450000 older lines not searched")
        await d.press("&", *"zebra", "enter")
        assert "no line is zebra; Esc shows all again; 450000 older lines not searched" in d.status


async def test_times_can_be_shown(desk) -> None:
    async with desk() as d:
        await open_log(d, 3)
        plain = d.lines[4]
        await d.press("t")
        assert d.lines[4].strip().endswith(plain.strip())
        assert d.lines[4].strip()[2] == ":"


async def test_long_lines_can_be_scrolled_sideways(desk) -> None:
    async with desk() as d:
        d.engine.write(RUNNING, "x" * 70 + "the far end" + "y" * 40)
        await d.press("4", "enter")
        await d.until(lambda: "xxx" in d.text, "the line")
        assert "the far end" not in d.text
        await d.press("right", "right")
        assert "the far end" in d.text


async def test_a_flood_is_bounded(desk) -> None:
    async with desk() as d:
        await open_log(d, 5)
        ring = d.engine.ring(RUNNING)
        for start in range(0, 120_000, 20_000):
            ring.extend([LogLine(0.0, f"flood {start + i}") for i in range(20_000)])
            await look_at_the_ring(d)
        await d.until(lambda: "flood 119999" in d.text, "the end of the flood")
        assert d.app.page.log_view.count <= 60_000
        await d.press("g")
        assert "flood" in d.text


FAILED = "20250615-100000-a7b8"
PIP = (
    "Collecting flask==3.0.0",
    "  Downloading flask-3.0.0-py3-none-any.whl",
    "WARNING: a newer pip is there",
    "ERROR: Could not find a version that satisfies nump==9.9",
    "ERROR: No matching distribution found for nump==9.9",
    "failed: resolve: nump: no version matches nump==9.9",
)


async def open_failed(d, *lines: str) -> None:
    d.engine.write(FAILED, *lines)
    d.engine.ring(FAILED).finish()
    await d.press("4", "j", "j", "l")
    await d.until(lambda: "q back" in d.text, "the end of the log")


async def test_the_end_says_the_verdict_and_what_to_do(desk) -> None:
    async with desk() as d:
        await open_failed(d, *PIP)
        assert "✗ failed  after 0:31" in d.text
        assert "e first error, line 4   r retry   s save   q back" in d.text
        assert "try check the spelling of the name" in d.lines[4]


async def test_errors_are_gone_through_from_the_first_and_round(desk) -> None:
    async with desk() as d:
        await open_failed(d, *PIP)
        await d.press("e")
        assert "1/3 errors" in d.lines[1]
        assert "▸ ERROR: Could not find" in d.text
        assert "! WARNING" in d.text
        await d.press("E")
        assert "3/3 errors" in d.lines[1]
        await d.press("e")
        assert "1/3 errors" in d.lines[1]


async def test_without_an_error_that_is_said(desk) -> None:
    async with desk() as d:
        await open_log(d, 3)
        await d.press("e")
        assert "no line that is shown tells of an error" in d.status


async def test_lines_can_be_chosen_and_left_out(desk) -> None:
    async with desk() as d:
        await open_failed(d, *PIP)
        await d.press("&", *"flask", "enter")
        assert "2 of 6 &flask" in d.lines[1]
        assert "ERROR" not in "\n".join(d.lines[5:-2])
        await d.press("&", "ctrl+u", *"!flask", "enter")
        assert "4 of 6 &!flask" in d.lines[1]
        await d.press("slash", *"nump", "enter")
        assert "1/3 /nump" in d.lines[1]
        await d.press("escape")
        assert "/nump" not in d.lines[1]
        await d.press("escape")
        assert "Collecting flask" in d.text
        await d.press("escape")
        assert d.app.current_mode == "builds"
        assert "PHASE" in d.text


async def test_a_choice_that_leaves_nothing_says_how_to_get_back(desk) -> None:
    async with desk() as d:
        await open_failed(d, *PIP)
        await d.press("&", *"zebra", "enter")
        assert "no line is zebra; Esc shows all again" in d.status


async def test_what_comes_is_chosen_from_too(desk) -> None:
    async with desk() as d:
        await open_log(d, 30)
        await d.press("&", *"beta", "enter")
        d.engine.write(RUNNING, "alpha 1", "beta 2", "alpha 3")
        await d.until(lambda: "beta 2" in d.text, "the new line")
        assert "alpha" not in d.text


async def test_long_lines_can_be_wrapped_and_the_place_is_kept(desk) -> None:
    async with desk() as d:
        d.engine.write(RUNNING, *(f"{i} " + "x" * 200 + " far" for i in range(100)))
        await d.press("4", "enter")
        await d.until(lambda: "99 xxx" in d.text, "the end")
        await d.press("g", "j", "j")
        assert d.lines[4].startswith("  2 xx")
        await d.press("w")
        assert d.lines[4].startswith("  2 xx")
        assert "far" in d.text
        assert d.lines[7].startswith("  3 xx")
        await d.press("t")
        assert d.lines[4].partition("2 xx")[0].strip().count(":") == 2
        await d.press("w", "t", "G")
        assert "99 xxx" in d.text


async def test_what_is_shown_is_saved_and_nothing_is_overwritten_unasked(desk, tmp_path, monkeypatch) -> None:
    path = tmp_path / "saved.log"
    monkeypatch.chdir(tmp_path)
    async with desk() as d:
        await open_failed(d, *PIP)
        await d.press("s")
        assert d.status == f"save the log to: envdeck-{FAILED}.log"
        await d.press("ctrl+u", *"saved.log", "enter")
        await d.until(lambda: "saved 6 lines to" in d.status, "the file")
        assert path.read_text() == "".join(f"{line}\n" for line in PIP)
        await d.press("&", *"flask", "enter", "t", "s", "ctrl+u", *"saved.log", "enter")
        await d.until(lambda: d.status.startswith("Replace saved.log ("), "the question")
        d.wait_guard()
        await d.press("n")
        assert len(path.read_text().splitlines()) == 6
        await d.press("s", "ctrl+u", *"saved.log", "enter")
        await d.until(lambda: d.status.startswith("Replace saved.log ("), "the question")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "saved 2 lines to" in d.status, "the file")
        assert path.read_text().startswith("2025-06-15T15:06:40Z Collecting flask")
        await d.press("s", "ctrl+u", *"no/where", "enter")
        await d.until(lambda: "not saved, " in d.status, "the failure")
        assert "No such file or directory" in d.status


async def test_lines_that_are_only_on_the_disk_are_told(desk) -> None:
    async with desk() as d:
        ring = d.engine.ring(RUNNING)
        ring.skip(450_000)
        ring.extend([LogLine(0.0, f"line {i}") for i in range(450_000, 450_100)])
        await d.press("4", "enter")
        await d.until(lambda: "line 450099" in d.text, "the end")
        assert "following" in d.lines[1]
        await d.press("g")
        assert "the first 450000 lines are only in the file" in d.lines[4]
        assert "line 450001/450100" in d.lines[1]


async def test_the_description_of_a_build_is_a_key_away_with_the_errors_of_its_log(desk) -> None:
    async with desk(size=(100, 40)) as d:
        await open_failed(d, *PIP)
        await d.press("d")
        await d.until(lambda: "Errors in the log" in d.text, "the description")
        assert "4  ERROR: Could not find" in d.text
        await d.press("q", "q", "d")
        await d.until(lambda: "Errors in the log" in d.text, "the same from the list")


async def test_a_build_that_failed_is_retried_from_its_log(desk) -> None:
    async with desk() as d:
        d.engine.publish(
            builds=tuple(
                replace(one, bundle="flask-api") if one.id == FAILED else one for one in d.engine.current.builds
            )
        )
        await open_failed(d, *PIP)
        await d.press("r")
        await d.until(lambda: d.status.startswith("Build flask-api on 3.11.7"), "the question")
        d.wait_guard()
        await d.press("enter")
        assert d.engine.executed == []
        await d.press("r")
        d.wait_guard()
        await d.press("y")
        await d.until(lambda: "↻ running  flask-api" in d.text, "the new log")
        assert len(d.engine.executed) == 1
        await d.press("q")
        assert d.app.page.table.total == 5, "the list: the log of the failed build has given way to the new one"


async def test_a_log_whose_build_goes_away_says_so_and_stays(desk) -> None:
    async with desk() as d:
        await open_log(d)
        d.engine.publish(builds=())
        await d.until(lambda: "no longer there" in d.lines[2], "the news")
        assert "etl-nightly" in d.lines[2]
        assert "its record and its log were deleted; this is what was read before" in d.lines[3]
        assert "line 199 of pip" in d.text


async def test_cancelling_and_retrying_are_in_sight_beneath_a_log_of_80_columns(desk) -> None:
    async with desk() as d:
        await open_log(d)
        assert "c cancel" in d.lines[-1]
        assert "r retry" in d.lines[-1]


async def test_without_anything_to_say_the_line_above_a_log_has_no_gap(desk) -> None:
    base = snapshot()
    silent = replace(base.builds[0], message="")
    async with desk(FakeEngine(replace(base, builds=(silent, *base.builds[1:])))) as d:
        await open_log(d)
        assert set(d.lines[3].strip()) == {"╌"}


async def test_what_is_said_while_a_log_is_being_opened_is_there_with_it(desk) -> None:
    async with desk() as d:
        d.app.open_log(RUNNING)
        d.app.say("bundle 2 is active")
        await d.settle()
        assert "bundle 2 is active" in d.status
        d.app.open_log(RUNNING)
        d.app.be_quiet()
        await d.settle()
        assert "bundle 2 is active" not in d.text


async def test_two_logs_that_are_opened_at_once_leave_the_later_one(desk) -> None:
    async with desk() as d:
        other = next(build.id for build in d.engine.current.builds if build.id != RUNNING)
        d.app.open_log(other)
        d.app.open_log(RUNNING)
        await d.settle()
        assert d.app.page.build_id == RUNNING
        await d.press("q")
        assert d.app.page.view.value == "installations", "the other log is not beneath it"


async def test_leaving_while_a_log_is_being_opened_is_no_defect(desk) -> None:
    async with desk() as d:
        d.app.open_log(RUNNING)
        d.app.actions.do_quit("")

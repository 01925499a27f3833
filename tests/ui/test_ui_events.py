"""The Events page: what everybody did, with this session's messages, and the command line to do it again."""

from __future__ import annotations

import json

import pytest
from fake_engine import FakeEngine
from fake_server import AUDIT, snapshot
from fake_values import NOW, audited

from app.tui import clipboard
from engine import AuditAction, AuditPage, Problem, Severity
from tests.records import replace


def table_rows(d) -> list[str]:
    """The lines of the list, without its head."""
    return [line.rstrip() for line in d.lines[3:-3] if line.strip()]


def current(d) -> str:
    return d.app.page.table.current.action


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_everybodys_actions_and_own_messages_are_one_list_the_newest_last(desk, size) -> None:
    async with desk(size=size) as d:
        d.app.say("looked at everything")
        await d.press("exclamation_mark")
        rows = table_rows(d)
        assert [row.split()[1] for row in rows] == ["alice", "alice", "bob", "bob", "session"]
        words = [
            ("config.load", "ok", "/etc/envdeck"),
            ("reap", "ok", "e2d9910b"),
            ("build.cancel", "ok", "flask-old"),
            ("content.remove", "refused", "board"),
            ("message", "note", "looked at"),
        ]
        for row, expected in zip(rows, words, strict=True):
            assert all(word in row for word in expected), (row, expected)
        assert current(d) == "message", "the cursor is on the newest"
        assert max(len(line) for line in d.lines) == size[0]


async def test_a_refusal_says_why_below_the_list_and_in_full_on_its_page(desk) -> None:
    async with desk() as d:
        await d.press("exclamation_mark", "g", "G")
        assert "the content board is running" in d.lines[-3]
        await d.press("enter")
        for words in (
            "Event content.remove",
            "⊘ refused",
            "content-running",
            "the content board is running. End it first",
            "bob  with the rights of root",
            "192.0.2.7",
            "pts/3",
            "web01",
            "4121",
            "envdeck content remove guid-of-board",
        ):
            assert words in d.text, words


async def test_a_login_under_another_name_is_told(desk) -> None:
    one = audited(AuditAction.PIN, {"key": "k"}, 5)
    spoofed = replace(one, who=replace(one.who, user="carol", login="mallory"))
    async with desk(FakeEngine(snapshot(audit=AuditPage((spoofed,))))) as d:
        await d.press("exclamation_mark", "enter")
        assert "Logged in as" in d.text
        assert "mallory" in d.text


@pytest.mark.parametrize(
    ("typed", "actions"),
    [
        ("who:bob", ["build.cancel", "content.remove"]),
        ("result:refused", ["content.remove"]),
        ("action:re", ["reap", "content.remove"]),
        ("old-report", ["reap"]),
        ("!who:bob who:alice bundle", ["reap"]),
    ],
)
async def test_the_list_is_filtered_by_who_what_and_result(desk, typed: str, actions: list[str]) -> None:
    async with desk() as d:
        await d.press("exclamation_mark", "slash")
        await d.type(typed)
        await d.press("enter")
        shown = d.app.page.table
        assert [row.action for row in shown._shown] == actions
        await d.press("escape")
        assert shown.count == len(AUDIT.records), "Esc takes the filter off before it leaves the page"


async def test_the_command_line_can_be_copied_from_the_list_and_from_the_page(desk, monkeypatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(clipboard, "copy", lambda text, *_: copied.append(text) or "copied")
    async with desk() as d:
        await d.press("exclamation_mark", "k", "y", "c")
        await d.press("G", "k", "k", "enter", "y", "c")
        assert copied == ["envdeck cancel 20250615-090000-c9d0"] * 2


async def test_a_record_is_the_same_json_as_on_the_command_line(desk, monkeypatch) -> None:
    copied: list[str] = []
    monkeypatch.setattr(clipboard, "copy", lambda text, *_: copied.append(text) or "copied")
    async with desk() as d:
        d.app.say("hello")
        await d.press("exclamation_mark", "y", "g", "y", "j")
        message, record = map(json.loads, copied)
        assert message["message"] == "hello"
        assert record["action"] == "config.load"
        assert record["who"]["ssh"] == "192.0.2.7"


async def test_new_records_appear_and_the_end_is_followed_only_from_the_end(desk) -> None:
    engine = FakeEngine()
    async with desk(engine) as d:
        await d.press("exclamation_mark")
        engine.publish(audit=AuditPage((*AUDIT.records, audited(AuditAction.PIN, {"key": "new1"}, 1))))
        await d.until(lambda: "new1" in d.text, "the new record")
        assert current(d) == "pin"
        await d.press("k")
        engine.publish(audit=AuditPage((*AUDIT.records[1:], audited(AuditAction.UNPIN, {"key": "new2"}, 0))))
        await d.until(lambda: "new2" in d.text, "the newer record")
        assert current(d) == "content.remove", "a cursor elsewhere stays on its row"


async def test_an_own_message_appears_at_once(desk) -> None:
    async with desk() as d:
        await d.press("exclamation_mark")
        d.app.say("something happened")
        await d.settle()
        assert "something happened" in table_rows(d)[-1]


async def test_older_records_and_broken_lines_are_told(desk) -> None:
    page = replace(AUDIT, complete=False, broken=3)
    async with desk(FakeEngine(snapshot(audit=page)), size=(120, 40)) as d:
        await d.press("exclamation_mark")
        assert "events 4, older ones: envdeck audit, 3 broken" in d.lines[1]


async def test_what_the_audit_lacks_is_told_once(desk) -> None:
    engine = FakeEngine()
    problem = Problem("audit-write", "the audit could not be written: No space left", severity=Severity.WARNING)
    async with desk(engine, size=(120, 40)) as d:
        engine.publish(audit_problem=problem)
        await d.until(lambda: "No space left" in d.status, "the warning")
        engine.publish(taken_at=NOW + 1)
        await d.press("exclamation_mark")
        assert sum("No space left" in row for row in table_rows(d)) == 1
        engine.publish(audit=replace(AUDIT, problem=Problem("audit-read", "the audit cannot be read: denied")))
        await d.until(lambda: "cannot be read" in d.status, "the other warning")


async def test_nothing_yet_says_so(desk) -> None:
    async with desk(FakeEngine(snapshot(audit=AuditPage()))) as d:
        await d.press("exclamation_mark")
        assert "Nothing has happened yet." in d.text


async def test_the_page_is_opened_once_however_often_it_is_asked_for(desk) -> None:
    async with desk() as d:
        await d.press("exclamation_mark", "enter", "exclamation_mark", "exclamation_mark")
        assert len(d.app.screen_stack) == 2
        await d.press("q")
        assert len(d.app.screen_stack) == 1

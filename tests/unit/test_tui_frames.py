"""What is sent for a frame turns the terminal into the same picture as sending all of it, for fewer bytes."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.geometry import Region, Size
from textual.strip import Strip

from app.tui.frames import Frames

WIDTH, HEIGHT = 24, 4
SIZE = Size(WIDTH, HEIGHT)
STYLES = (
    None,
    Style(color="default", bgcolor="default"),
    Style(color="red", bgcolor="default", bold=True),
    Style(reverse=True),
    Style(bgcolor="#203040", color="color(200)"),
    Style(dim=True, underline=True),
)
CONSOLE = Console(color_system="truecolor", force_terminal=True, width=WIDTH)

segments = st.lists(
    st.tuples(st.text("ab  ✓世é", min_size=1, max_size=8), st.sampled_from(STYLES)).map(lambda both: Segment(*both)),
    max_size=5,
)
LEFT = 11
"""Two panes side by side, of this width and the rest."""


def pane(width: int) -> st.SearchStrategy[Strip]:
    return segments.map(lambda parts: Strip(parts).crop_extend(0, width, None))


panes = st.tuples(pane(LEFT), pane(WIDTH - LEFT)).map(list)
screens = st.lists(panes, min_size=HEIGHT, max_size=HEIGHT)
wholes = screens.map(lambda lines: LayoutUpdate(lines, Region(0, 0, WIDTH, HEIGHT)))
spans = st.lists(
    st.tuples(st.integers(0, HEIGHT - 1), st.sampled_from([(0, LEFT), (LEFT, WIDTH), (0, WIDTH)])),
    min_size=1,
    unique_by=lambda span: span[0],
)
parts = st.builds(
    lambda lines, spans: ChopsUpdate(
        [{0: left, LEFT: right} for left, right in lines],
        [(y, *columns) for y, columns in sorted(spans)],
        [[LEFT, WIDTH]] * HEIGHT,
    ),
    screens,
    spans,
)


class Watcher:
    """A terminal, as pyte understands it."""

    def __init__(self, height: int = HEIGHT) -> None:
        self.height = height
        self.screen = pyte.Screen(WIDTH, height)
        self.stream = pyte.Stream(self.screen)

    def cells(self) -> list[list[tuple[object, ...]]]:
        """What can be seen: the ink of a blank cannot."""
        shown = []
        for y in range(self.height):
            row = [self.screen.buffer[y][x] for x in range(WIDTH)]
            shown.append(
                [
                    (cell.data, cell.bg, cell.reverse, cell.underscore)
                    if cell.data in (" ", "") and not cell.reverse and not cell.underscore
                    else (cell.data, cell.fg, cell.bg, cell.bold, cell.reverse, cell.underscore)
                    for cell in row
                ]
            )
        return shown


@settings(max_examples=30)
@given(st.lists(wholes | parts, min_size=1, max_size=5))
def test_the_terminal_shows_what_was_drawn(updates: list[CompositorUpdate]) -> None:
    everything, difference, frames = Watcher(), Watcher(), Frames(erases_in_colour=True)
    # The first frame of an app is a whole one.
    for update in [LayoutUpdate([[Strip.blank(WIDTH)]] * HEIGHT, Region(0, 0, WIDTH, HEIGHT)), *updates]:
        everything.stream.feed(update.render_segments(CONSOLE))
        difference.stream.feed(frames.reduce(update, CONSOLE, SIZE))
        assert difference.cells() == everything.cells()


@settings(max_examples=30)
@given(wholes | parts)
def test_what_is_there_already_is_not_sent_again(update: CompositorUpdate) -> None:
    frames = Frames()
    frames.reduce(update, CONSOLE, SIZE)
    assert frames.reduce(update, CONSOLE, SIZE) == ""


@settings(max_examples=30)
@given(wholes, wholes)
def test_after_forgetting_and_on_another_size_all_is_sent(first: LayoutUpdate, second: LayoutUpdate) -> None:
    fresh = Frames().reduce(second, CONSOLE, SIZE)
    frames = Frames()
    frames.reduce(first, CONSOLE, SIZE)
    frames.forget()
    assert frames.reduce(second, CONSOLE, SIZE) == fresh
    frames.reduce(first, CONSOLE, Size(WIDTH + 1, HEIGHT))
    assert frames.reduce(second, CONSOLE, SIZE) == fresh


@settings(max_examples=30)
@given(screens, st.integers(1, WIDTH), st.integers(1, HEIGHT))
def test_what_was_drawn_for_a_larger_terminal_is_cut(lines: list[list[Strip]], width: int, height: int) -> None:
    # The terminal has its new size before the screen is laid out for it.
    size, region = Size(width, height), Region(0, 0, width, height)
    frames = Frames()
    fitting = LayoutUpdate([[Strip.blank(width)]] * height, region)
    shown, blank = Watcher(), Watcher()
    for watcher in (shown, blank):
        watcher.screen.resize(height, width)
    shown.stream.feed(frames.reduce(LayoutUpdate(lines, Region(0, 0, WIDTH, HEIGHT)), CONSOLE, size))
    shown.stream.feed(frames.reduce(fitting, CONSOLE, size))
    assert [row[:width] for row in shown.screen.display[:height]] == blank.screen.display


TALL = 12


@settings(max_examples=30)
@given(
    st.lists(st.text("ab世", min_size=1, max_size=6), min_size=TALL, max_size=TALL),
    st.integers(-TALL, TALL),
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(st.text("cd", max_size=4), min_size=TALL, max_size=TALL),
)
def test_lines_that_move_are_moved(words: list[str], by: int, top: int, bottom: int, fresh: list[str]) -> None:
    """Between some that stay at both ends; the last column is a thumb that does not move along."""
    size, region = Size(WIDTH, TALL), Region(0, 0, WIDTH, TALL)
    part = words[top : TALL - bottom]
    moved = part[by:] + fresh[: min(by, len(part))] if by >= 0 else (fresh[:-by] + part)[: len(part)]
    after = [*words[:top], *moved[: len(part)], *words[TALL - bottom :]]

    def screen(texts: list[str], thumb: int) -> LayoutUpdate:
        ends = ["▐" if y == thumb else " " for y in range(TALL)]
        strips = [Strip([Segment(text, STYLES[2])]).crop_extend(0, WIDTH - 1, None) for text in texts]
        return LayoutUpdate([[strip, Strip([Segment(end)])] for strip, end in zip(strips, ends, strict=True)], region)

    everything, difference, frames = Watcher(TALL), Watcher(TALL), Frames()
    for update in (screen(words, 1), screen(after, 4), screen(words, 2)):
        everything.stream.feed(update.render_segments(CONSOLE))
        difference.stream.feed(frames.reduce(update, CONSOLE, size))
        assert difference.cells() == everything.cells()


def test_a_line_more_at_the_end_of_a_log_costs_little_more_than_itself() -> None:
    size, region = Size(WIDTH, TALL), Region(0, 0, WIDTH, TALL)

    def log(first: int) -> LayoutUpdate:
        texts = [f"line {first + y} of a log" for y in range(TALL)]
        return LayoutUpdate([[Strip([Segment(text)]).crop_extend(0, WIDTH, None)] for text in texts], region)

    frames = Frames()
    frames.reduce(log(100), CONSOLE, size)
    sent = frames.reduce(log(101), CONSOLE, size)
    assert sent == "\x1b[1;12r\x1b[12;1H\n\x1b[r\x1b[12;1Hline 112 of a log"
    back = frames.reduce(log(100), CONSOLE, size)
    assert back == "\x1b[1;12r\x1b[1;1H\x1bM\x1b[r\x1b[1;1Hline 100 of a log"


def line(text: str, style: Style | None = None, y: int = 0) -> ChopsUpdate:
    strip = Strip([Segment(text, style)]).crop_extend(0, WIDTH, None)
    return ChopsUpdate([{0: strip}] * HEIGHT, [(y, 0, WIDTH)], [[WIDTH]] * HEIGHT)


@pytest.mark.parametrize(
    ("before", "after", "sent"),
    [
        ("ready", "ready", ""),
        ("ready 1", "ready 2", "\x1b[1;7H2"),
        ("a long line", "a", "\x1b[1;2H\x1b[K"),
        ("", "new", "\x1b[1;1Hnew"),
        # Across a few cells that are the same it is shorter to send them.
        ("1 of 5 done", "2 of 6 done", "\x1b[1;1H2 of 6"),
        # Where terminals disagree about the width, nothing but the whole line is safe.
        ("世 1", "世 2", "\x1b[1;1H世 2\x1b[K"),
    ],
)
def test_few_bytes(before: str, after: str, sent: str) -> None:
    frames = Frames()
    frames.reduce(line(before), CONSOLE, SIZE)
    assert frames.reduce(line(after), CONSOLE, SIZE) == sent


def test_defaults_are_not_named_and_ink_is_set_once() -> None:
    frames = Frames()
    bold = Style(color="default", bgcolor="default", bold=True)
    strip = Strip([Segment("ab", bold), Segment("cd", Style(bold=True)), Segment("e", None)])
    update = ChopsUpdate([{0: strip}] * HEIGHT, [(0, 0, 5)], [[5]] * HEIGHT)
    assert frames.reduce(update, CONSOLE, SIZE) == "\x1b[1;1H\x1b[1mabcd\x1b[me"


@pytest.mark.parametrize("erases_in_colour", [False, True])
def test_a_background_is_erased_only_where_the_terminal_can(erases_in_colour: bool) -> None:
    frames = Frames(erases_in_colour=erases_in_colour)
    painted = line(" " * WIDTH, Style(color="red", bgcolor="blue"))
    sent = frames.reduce(painted, CONSOLE, SIZE)
    assert sent == "\x1b[1;1H\x1b[44m" + ("\x1b[K" if erases_in_colour else " " * WIDTH) + "\x1b[m"
    underlined = line(" " * WIDTH, Style(underline=True, bgcolor="blue"))
    assert "\x1b[K" not in frames.reduce(underlined, CONSOLE, SIZE)

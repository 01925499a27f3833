"""Through every view, page, question and line that shows foreign text: it is shown, and does nothing."""

from __future__ import annotations

import itertools
import random
import unicodedata

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from poison import poison, poisoned_engine
from rich.segment import Segment
from textual.events import Paste

from app.tui.describe.draft import describe_draft
from app.tui.screens.editing import DraftPage
from engine import ConfigDraft, Problem, Severity, Where

BIDI = frozenset("\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
PARTS = (
    # Colours, clearing the screen, the clipboard, the title, a reset; unterminated; with 8-bit introducers.
    *("\x1b[31m", "\x1b[2J", "\x1b]52;c;aGFja2Vk\x07", "\x1b]0;title\x1b\\", "\x1bc", "\x1b", "\x1b]52;c;eA=="),
    *("\x9b31m", "\x9d52;c;eA==\x9c", "\x90q\x9c"),
    *("\r", "\n", "\t", "\b", "\x07", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff"),
    *("[/foo]", "[/]", "[", "[bold on magenta]", "[@click=app.quit]x[/]", "[link=file:///etc]y[/link]", "{x}", "%s"),
    *("世界", "🙂", "e\u0301", "\U000e0041", "\udcff", "\ud800", "requests[socks]", "word", " ", "\\[", "x" * 90),
)


def hostile_texts(seed: int) -> list[str]:
    """Forty of them. By a seed, since drawing each would make a run of the whole app part of every step of a shrink."""
    dice = random.Random(seed)
    return ["".join(dice.choices(PARTS, k=dice.randint(1, 6))) for _ in range(40)]


MARKUP = "[on magenta]odd "
"""Before each of them: read as markup it would colour what follows."""

WALKS = (
    *(f"{view} j d escape v escape G d escape v escape" for view in "12345"),
    "2 x n",  # the question of a reap
    "2 d G escape",
    "3 tab G tab b n t",
    "4 c n l G g f w t d escape escape",
    "5 tab G tab x G escape e",
    "colon c o n t e n t enter d escape v escape escape",
    "question_mark G escape",
    "exclamation_mark g d escape escape",
    "f1 escape",
    "o escape y escape",
)


def check(d, where: str) -> None:
    strips = d.app.screen._compositor.render_strips()
    for number, strip in enumerate(strips):
        for segment in strip:
            place = f"{where}, line {number}: {segment.text!r}"
            assert harmless(segment), place
        assert strip.cell_length == d.app.size.width, f"{where}, line {number}"


def harmless(segment: Segment) -> bool:
    if any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or one in BIDI for one in segment.text):
        return False
    style = segment.style
    if style is None:
        return True
    coloured = style.bgcolor is not None and style.bgcolor.name == "magenta"
    return not coloured and style.link is None and "@click" not in style.meta


async def walk_everywhere(desk, texts: list[str], size: tuple[int, int]) -> None:
    numbers = itertools.count()
    engine = poisoned_engine(lambda: f"{MARKUP}{(n := next(numbers))} {texts[n % len(texts)]}")
    async with desk(engine, size=size) as d:
        # Without the last gate: nothing may depend on it.
        d.app._line_filters.clear()
        d.app.refresh(layout=True)
        for walk in WALKS:
            for key in walk.split():
                d.wait_guard()
                await d.press(key)
                check(d, f"{key} of {walk}")
            assert "[on" in d.text or walk[0] not in "12345", walk
            while d.app.page.prompt.busy:
                await d.press("escape")
            while len(d.app.screen_stack) > 1:
                await d.press("escape")
        text = texts[0]
        d.app.say(text)
        check(d, "the status line")
        await d.press("colon")
        d.app.screen.post_message(Paste(text))
        await d.settle()
        check(d, "a line being typed")
        await d.press("escape")
        problem = Problem(text, text, text, text, Where(text, 3, 4), text, Severity.WARNING)
        config = poison(d.app.snapshot.config, lambda: text)
        state = type(config)(**{**{n: getattr(config, n) for n in config.__slots__}, "problems": (problem,)})
        draft = ConfigDraft(engine.current.data_dir, text.encode("utf-8", "surrogateescape"), True)
        assert describe_draft(draft, b"other", state)
        d.app.push_screen(DraftPage(draft, b"other\n" + draft.text, state))
        await d.settle()
        check(d, "an edited configuration")


ONCE = settings(
    max_examples=1, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@ONCE
@given(seed=st.integers(0, 2**32))
async def test_foreign_text_is_shown_and_does_nothing(desk, seed: int) -> None:
    await walk_everywhere(desk, hostile_texts(seed), (120, 40))


@pytest.mark.slow
@settings(ONCE, max_examples=3)
@given(seed=st.integers(1, 2**32), size=st.sampled_from([(80, 24), (160, 50), (60, 16)]))
async def test_foreign_text_is_shown_and_does_nothing_at_any_size(desk, seed: int, size: tuple[int, int]) -> None:
    await walk_everywhere(desk, hostile_texts(seed), size)

"""The one line that speaks and asks: status messages, the filter, the command line and questions share it.

It is always laid out, so that opening it moves nothing and costs a few hundred bytes (textual.md §3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from rich.text import Text
from textual.events import Key, Paste

from app.tui.text import cut, safe
from app.tui.widgets.one_line import OneLine

__all__ = ["Editing", "Prompt", "Question"]

_TYPED = 12
"""Cells kept for what is typed beside a long question."""
_MORE = "  Tab more"
_GUARD = 0.3
"""Seconds a question ignores keys, so that a key that is still held cannot answer it."""


def _ignore(_text: str) -> None:
    pass


class Editing(Struct):
    """A line of text being typed."""

    prefix: str
    """What stands before the text, always in full."""
    done: Callable[[str], None]
    changed: Callable[[str], object] = _ignore
    cancelled: Callable[[], None] = lambda: None
    complete: Callable[[str], Sequence[str] | None] = lambda _text: ()
    """The whole texts that the text could become; None while that is being found out, see `Prompt.complete_again`."""
    name: Callable[[str], str] = lambda text: text.rpartition(" ")[2]
    """What of such a text tells it from the others."""
    history: Sequence[str] = ()
    recall_hint: bool = False
    """Whether an empty line says what Up brings back."""
    moved: Callable[[str], None] | None = None
    """Takes the up and down keys, in place of `history`."""
    text: str = ""
    cursor: int = 0
    completing: bool = False
    """Whether Tab waits for what the text could become."""
    recalled: int = 0
    """How many entries back in `history` the text was taken from."""
    still: bool = False
    """Whether the list stays as it is while one types, since the text is about the row under the cursor."""
    question: str = ""
    """What stands before that, as far as there is room."""
    dangerous: bool = False
    """True where the text confirms something: nothing may change under it, and only typed keys count."""


class Question(Struct):
    """Something that is done only after an answer. Enter is never a yes."""

    text: str
    answers: Mapping[str, tuple[str, Callable[[], None]]]
    """Key to (what it does, in one word; what to call)."""
    dangerous: bool = True
    """False for a mere choice, which need not wait until keys are released."""
    no: str = "no"
    details: Callable[[], None] | None = None
    """Shows the whole of what is asked about on a page above; the question stays open beneath it."""
    opens_at: float = 0.0
    first: int = 0
    """From which answer on they are shown, where there is not room for all; Tab goes on to the others."""


class Prompt(OneLine):
    """Status line, line editor and question in one."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._message = Text("")
        self._mode: Editing | Question | None = None

    @property
    def busy(self) -> bool:
        """Whether keys belong to the prompt now."""
        return self._mode is not None

    @property
    def asking(self) -> bool:
        """Whether something is being decided: nothing may move under it."""
        mode = self._mode
        return isinstance(mode, Question) or (isinstance(mode, Editing) and (mode.still or mode.dangerous))

    def say(self, message: Text) -> None:
        """Show `message` while nothing is being typed or asked."""
        if message == self._message and message.style == self._message.style:
            return
        self._message = message
        if self._mode is None:
            self._draw()

    def edit(self, editing: Editing) -> None:
        """Take a line of text."""
        editing.cursor = len(editing.text)
        self._mode = editing
        self._draw()

    def ask(self, question: Question) -> None:
        """Ask; answers count once the guard time has passed without a key."""
        self._mode = question
        self.hold()
        self._draw()

    def hold(self) -> None:
        """Let an open question wait until keys are released, as when it is opened."""
        if isinstance(self._mode, Question) and self._mode.dangerous:
            self._mode.opens_at = self._monotonic() + _GUARD

    def cancel(self) -> None:
        """Leave whatever is open, as Esc does."""
        mode, self._mode = self._mode, None
        self._draw()
        if isinstance(mode, Editing):
            mode.cancelled()

    def take_key(self, event: Key) -> None:
        """Give a key to what is open. Call only while `busy`."""
        if event.key == "ctrl+c":
            self.cancel()
        elif isinstance(self._mode, Question):
            self._answer(self._mode, event)
        elif isinstance(self._mode, Editing):
            self._type(self._mode, event)

    def take_paste(self, event: Paste) -> None:
        """Put pasted text into the line being typed: its first line, and never into a question."""
        if isinstance(self._mode, Editing) and not self._mode.dangerous:
            first = event.text.splitlines()[0] if event.text else ""
            self._insert(self._mode, "".join(filter(str.isprintable, first)))

    def _answer(self, question: Question, event: Key) -> None:
        now = self._monotonic()
        if event.key == "escape":
            self.cancel()
        elif now < question.opens_at:
            question.opens_at = now + _GUARD
        elif event.key == "tab" and not question.dangerous:
            question.first = _next_answers(question, self.size.width)
            self._draw()
        elif event.key in question.answers:
            self._mode = None
            self._draw()
            question.answers[event.key][1]()
        elif question.details is not None and (event.key == "d" or event.character == "?"):
            question.details()
        elif event.key in ("n", "q", "enter"):
            self.cancel()

    def complete_again(self) -> None:
        """There is something new to complete to: show it, and do what Tab has waited for."""
        if isinstance(self._mode, Editing):
            if self._mode.completing:
                self._complete(self._mode)
            self._draw()

    def _type(self, editing: Editing, event: Key) -> None:
        text, at = editing.text, editing.cursor
        editing.completing = False
        match event.key:
            case "escape":
                self.cancel()
                return
            case "enter":
                self._mode = None
                self._draw()
                editing.done(text)
                return
            case "backspace" if not text:
                self.cancel()
                return
            case "backspace":
                self._set(editing, text[: max(0, at - 1)] + text[at:], max(0, at - 1))
            case "delete" | "ctrl+d":
                self._set(editing, text[:at] + text[at + 1 :], at)
            case "ctrl+u":
                self._set(editing, text[at:], 0)
            case "ctrl+k":
                self._set(editing, text[:at], at)
            case "ctrl+w":
                start = text[:at].rstrip().rfind(" ") + 1
                self._set(editing, text[:start] + text[at:], start)
            case "left" | "ctrl+b":
                self._set(editing, text, max(0, at - 1))
            case "right" | "ctrl+f" if at < len(text):
                self._set(editing, text, at + 1)
            case "home" | "ctrl+a":
                self._set(editing, text, 0)
            case "end" | "ctrl+e":
                self._set(editing, text, len(text))
            case "up" | "down" if editing.moved is not None:
                editing.moved(event.key)
            case "pageup" | "pagedown" if editing.moved is not None:
                editing.moved(event.key.replace("page", "page-"))
            case "up":
                self._recall(editing, editing.recalled + 1)
            case "down":
                self._recall(editing, editing.recalled - 1)
            case "tab" | "right":
                self._complete(editing)
            case _ if event.character is not None and event.is_printable:
                self._insert(editing, event.character)

    def _insert(self, editing: Editing, text: str) -> None:
        at = editing.cursor
        self._set(editing, editing.text[:at] + text + editing.text[at:], at + len(text))

    def _recall(self, editing: Editing, back: int) -> None:
        if 0 <= back <= len(editing.history):
            editing.recalled = back
            text = editing.history[-back] if back else ""
            self._set(editing, text, len(text))

    def _complete(self, editing: Editing) -> None:
        found = editing.complete(editing.text)
        editing.completing = found is None
        if found:
            text = _common_start(found)
            if len(found) == 1 and not text.endswith("/"):
                text += " "
            if len(text) > len(editing.text):
                self._set(editing, text, len(text))

    def _set(self, editing: Editing, text: str, cursor: int) -> None:
        changed = text != editing.text
        editing.text, editing.cursor = text, cursor
        if changed:
            editing.changed(text)
        self._draw()

    # Drawing

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        width = max(1, self.size.width)
        if isinstance(self._mode, Question):
            text = _draw_question(self._mode, width)
        elif isinstance(self._mode, Editing):
            text = _draw_editing(self._mode, width)
        else:
            text = Text(" ", end="")
            text.append_text(self._message)
        self.show(text)


def _draw_question(question: Question, width: int) -> Text:
    if not question.dangerous:
        return _draw_choice(question, width)
    pairs = [(key, word) for key, (word, _call) in question.answers.items()]
    plan = [("d", "plan")] if question.details is not None else []
    answers = "  ".join(f"{key}={word}" for key, word in [*pairs, *plan, ("n", question.no)])
    room = max(0, width - len(answers) - 4)
    line = Text(" ", end="", style="reverse red")
    asked = safe(question.text)
    line.append_text(cut(asked, room) if asked.cell_len > room else asked)
    line.append(f"  {answers}")
    return cut(line, width)


def _draw_choice(question: Question, width: int) -> Text:
    line = Text(f" {question.text}", end="", style="reverse")
    shown = _choices(question, width)
    for key, word in shown:
        line.append(f"  {key} {word}")
    if len(shown) < len(question.answers):
        line.append(_MORE)
    return cut(line, width)


def _choices(question: Question, width: int) -> list[tuple[str, str]]:
    """The answers of a mere choice that fit: all of them, or some with the way to the others."""
    pairs = [(key, word) for key, (word, _call) in question.answers.items()]
    room = width - len(question.text) - 2
    if sum(len(key) + len(word) + 3 for key, word in pairs) <= room:
        return pairs
    shown: list[tuple[str, str]] = []
    room -= len(_MORE)
    for key, word in pairs[question.first :]:
        room -= len(key) + len(word) + 3
        if room < 0 and shown:
            break
        shown.append((key, word))
    return shown


def _next_answers(question: Question, width: int) -> int:
    """From which answer on to show them after Tab."""
    following = question.first + len(_choices(question, width))
    return following if following < len(question.answers) else 0


def _draw_editing(editing: Editing, width: int) -> Text:
    line = Text(" ", style="reverse red" if editing.dangerous else "bold", end="")
    if editing.question:
        asked = safe(editing.question)
        room = max(0, width - len(editing.prefix) - _TYPED)
        line.append_text(cut(asked, room) if asked.cell_len > room else asked)
        line.append(" ")
    line.append(editing.prefix)
    # Keep the cursor in sight: show the end of what is before it.
    room = max(1, width - len(line.plain) - 2)
    start = max(0, editing.cursor - room)
    before, after = editing.text[start : editing.cursor], editing.text[editing.cursor :]
    line.append_text(safe(before, "not bold"))
    line.append_text(safe(after[:1] or " ", "reverse not bold"))
    line.append_text(safe(after[1:], "not bold"))
    if not editing.text and editing.recall_hint and editing.history:
        line.append_text(safe(f"  Up {editing.history[-1]}", "dim not bold"))
    if editing.cursor == len(editing.text):
        found = [text for text in editing.complete(editing.text) or () if text != editing.text]
        # There may be ten thousand; each takes three cells or more.
        names = "".join(f"  {editing.name(text)}" for text in found[: width // 3 + 1])
        line.append_text(safe(names, "dim not bold"))
    return cut(line, width)


def _common_start(texts: Sequence[str]) -> str:
    shortest, longest = min(texts), max(texts)
    for index, character in enumerate(shortest):
        if character != longest[index]:
            return shortest[:index]
    return shortest

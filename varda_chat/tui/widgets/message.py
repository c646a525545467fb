"""One message in the conversation: the person's, Varda's, or a line from the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from varda_chat.session.turn import Turn
from varda_chat.text import sanitize
from varda_chat.transcripts import StoredTurn
from varda_chat.tui.bindings import shown
from varda_chat.tui.widgets.change_line import ChangeLine, change_lines

if TYPE_CHECKING:
    from textual.widgets.markdown import MarkdownStream

    from varda_chat.tui.widgets.markdown import AnswerMarkdown

SHOWN_CHARACTERS = 4000
SHOWN_LINES = 24
STAR = "✦"
SHOWN_ANSWER = 50_000
"""Characters of an answer that are laid out; more of one would take seconds."""


class UserMessage(Static):
    """What the person sent. Of a long text the beginning is shown; a click shows all of it, or less again."""

    def __init__(self, text: str, *, turn_id: int | None = None) -> None:
        self.text = sanitize(text)
        self.turn_id = turn_id
        self._beginning = _beginning(self.text)
        self._unfolded = False
        self._waits = ""
        super().__init__(self._content())

    def wait_for(self, what: str) -> None:
        """Say that it waits for ``what``; "" where it waits no longer."""
        self._waits = what
        self.set_class(bool(what), "-waiting")
        self.update(self._content())

    def on_click(self) -> None:
        """Unfold or fold a long message."""
        if len(self._beginning) < len(self.text) <= 20 * SHOWN_CHARACTERS:
            self._unfolded = not self._unfolded
            self.update(self._content())

    def _content(self) -> Content:
        waits = Content.styled(f"\n… waits for {self._waits}", "$quiet italic") if self._waits else Content("")
        return self._words() + waits

    def _words(self) -> Content:
        if self._unfolded:
            return Content(self.text) + Content.styled("\n▴ less", "$quiet italic")
        hidden = self.text[len(self._beginning) :]
        if not hidden:
            return Content(self.text)
        lines = hidden.count("\n")
        more = f"{lines:,} more lines" if lines > 1 else f"{len(hidden):,} more characters"
        return Content(self._beginning) + Content.styled(f"\n… and {more}", "$quiet italic")


def _beginning(text: str) -> str:
    """As much of ``text`` as is shown folded: all, where only a little would be hidden."""
    lines = text.split("\n", SHOWN_LINES)
    if len(lines) > SHOWN_LINES and lines[-1].count("\n") > 2:
        text = "\n".join(lines[:-1])
    return text[:SHOWN_CHARACTERS]


class Notice(Static):
    """A line from the program itself; ``-error`` for what went wrong, with what to do about it beneath."""

    def __init__(self, text: str, hint: str = "", *, error: bool = False) -> None:
        content = Content(sanitize(text))
        if hint:
            content += Content.styled(f"\n{hint}", "$quiet")
        super().__init__(content, classes="-error" if error else "")


class VardaMessage(Horizontal, can_focus=True):
    """Varda's answer: written as it comes, then closed by a thin line on what was recalled and by a line for each
    memory that was stored or deleted."""

    FOCUS_ON_CLICK = False  # a click must not take the cursor away from the composer
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("enter,space", "sources", "What it was recalled from", id="answer.sources"),
        Binding("w", "why", "Why: what it would be without its memories", id="answer.why"),
        Binding("c", "copy", "Copy this answer", id="answer.copy"),
        Binding("r", "branch(False)", "Answer again, in a branch", id="answer.again"),
        Binding("e", "branch(True)", "Edit its message, in a branch", id="answer.edit"),
        Binding("u", "undo", "Undo what was stored or deleted with it", id="answer.restore"),
        Binding("up,k", "app.focus_previous", "Earlier", show=False, id="answer.earlier"),
        Binding("down,j", "app.focus_next", "Later", show=False, id="answer.later"),
    ]

    @dataclass
    class Opened(Message):
        """The person wants to see what this answer was recalled from; ``why``: and what was looked at and not used."""

        answer: VardaMessage
        why: bool = False

    @dataclass
    class Branched(Message):
        """The person wants the session to branch before this answer; ``edit``: with another message."""

        answer: VardaMessage
        edit: bool

    @dataclass
    class Copied(Message):
        """The person wants ``text`` in the clipboard; ``what`` says what it is."""

        text: str
        what: str

    def __init__(self, text: str = "", *, turn: Turn | None = None, meta: Content | None = None) -> None:
        super().__init__()
        self.text = sanitize(text)
        self.turn = turn
        self.turn_id = None if turn is None else turn.turn_id
        self._meta = meta
        self._stream: MarkdownStream | None = None

    @classmethod
    def of_stored(cls, stored: StoredTurn) -> VardaMessage:
        """An answer as the transcript has it."""
        turn = Turn.from_stored(stored)
        finished = stored.state in ("done", "stopped")
        return cls(turn.reply, turn=turn, meta=meta_line(turn) if finished else _UNFINISHED)

    def compose(self) -> ComposeResult:
        star = Static(STAR, classes="gutter", markup=False)
        star.tooltip = "Copy this answer"
        yield star
        with Vertical(classes="body"):
            done = self._meta is not None
            waiting = Static("(no answer)" if done else "thinking …", classes="waiting", markup=False)
            waiting.display = not self.text.strip()
            yield waiting
            # imported here, so that a session's first screen does not wait for it
            from varda_chat.tui.widgets.markdown import AnswerMarkdown

            yield AnswerMarkdown(_shown(self.text))
            meta = Static(self._meta or "", classes="meta")
            meta.display = done and bool(self._meta)
            yield meta
            with Vertical(classes="changes"):
                yield from change_lines(self.turn) if self.turn is not None else ()

    async def write(self, delta: str) -> None:
        """Show the next piece of the answer."""
        self.text += delta
        if len(self.text) > SHOWN_ANSWER:
            return  # the rest is counted, at the end
        if self._stream is None:
            if not self.text.strip():
                return
            self.query_one(".waiting").display = False
            answer = self._answer()
            self._stream = answer.get_stream(answer)
            delta = self.text
        await self._stream.write(delta[:SHOWN_ANSWER])

    async def finish(self, turn: Turn) -> None:
        """Show the whole answer and what the turn did."""
        self.text = sanitize(turn.reply)
        self.turn, self.turn_id = turn, turn.turn_id
        await self._settle("(nothing was written)" if turn.stopped else "(an empty answer)")
        self._show_meta(meta_line(turn))
        if lines := change_lines(turn):
            await self.query_one(".changes").mount_all(lines)

    async def fail(self) -> None:
        """Keep what was written before the turn failed, marked as unfinished."""
        await self._settle("(no answer)")
        self._show_meta(_UNFINISHED)

    def on_focus(self) -> None:
        """Say what can be done here."""
        meta = self._meta or Content("")
        hints = [("answer.sources", "what it was recalled from"), ("answer.why", "why"), ("answer.copy", "copy")]
        if self.query(ChangeLine):
            hints.append(("answer.restore", "undo"))
        keys = Content("  ").join(
            Content.assemble((shown(self.app, key), "$foreground"), (f" {does}", "$quiet")) for key, does in hints
        )
        self._draw_meta(Content.assemble(meta, "   " if meta.plain else "", keys))

    def on_blur(self) -> None:
        """Say what the memory did, and no more."""
        self._draw_meta(self._meta or Content(""))

    def on_click(self, event: events.Click) -> None:
        """The star copies the answer, a code block its code, and the thin line opens the answer."""
        widget = event.widget
        if widget is None or self.screen.get_selected_text():
            return
        from textual.widgets.markdown import MarkdownFence

        fence = next((each for each in widget.ancestors_with_self if isinstance(each, MarkdownFence)), None)
        if fence is not None:
            self.post_message(self.Copied(fence.code, "The code"))
        elif isinstance(widget, Widget) and widget.has_class("gutter"):
            self.action_copy()
        elif isinstance(widget, Widget) and widget.has_class("meta"):
            self.action_sources()

    def action_sources(self) -> None:
        """Open the answer."""
        if self.turn is not None:
            self.post_message(self.Opened(self))

    def action_why(self) -> None:
        """Open the answer, with what was looked at and not used."""
        if self.turn is not None:
            self.post_message(self.Opened(self, why=True))

    def action_undo(self) -> None:
        """Undo what the turn stored or deleted; where that is more than one memory, walk to the first."""
        lines = list(self.query(ChangeLine))
        if len(lines) == 1:
            lines[0].action_undo()
        elif lines:
            lines[0].focus()

    def action_branch(self, edit: bool) -> None:
        """Branch before the answer, into a session of its own."""
        if self.turn is not None:
            self.post_message(self.Branched(self, edit))

    def action_copy(self) -> None:
        """Copy the answer, as its Markdown."""
        if self.text:
            self.post_message(self.Copied(self.text, "The answer"))

    def _answer(self) -> AnswerMarkdown:
        from varda_chat.tui.widgets.markdown import AnswerMarkdown

        return self.query_one(AnswerMarkdown)

    async def _settle(self, when_empty: str) -> None:
        if self._stream is not None:
            await self._stream.stop()
        waiting = self.query_one(".waiting", Static)
        waiting.display = not self.text.strip()
        waiting.update(Content(when_empty))
        answer = self._answer()
        # Streaming can leave the last rows of a table out; the whole text at once cannot.
        if answer.has_table or answer.source != _shown(self.text):
            await answer.update(_shown(self.text))

    def _show_meta(self, line: Content) -> None:
        self._meta = line
        self._draw_meta(line)

    def _draw_meta(self, line: Content) -> None:
        meta = self.query_one(".meta", Static)
        meta.update(line)
        meta.display = bool(line.plain)


def _shown(text: str) -> str:
    """As much of an answer as is laid out, and no line so long that laying it out takes seconds."""
    if len(text) > SHOWN_ANSWER:
        text = f"{text[:SHOWN_ANSWER]}\n\n… and {len(text) - SHOWN_ANSWER:,} more characters (/copy copies all)"
    return text


def meta_line(turn: Turn) -> Content:
    """The thin line under an answer; empty where nothing was recalled and nothing stopped it."""
    parts: list[Content] = []
    if turn.stopped:
        parts.append(Content.styled("■ stopped", "$warning"))
    if turn.recalled:
        parts.append(Content.styled(f"↺ recalled {len(turn.recalled)}", "$accent"))
    return Content.styled("  ·  ", "$quiet").join(parts)


_UNFINISHED = Content.styled("✕ not finished", "$error")

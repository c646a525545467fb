"""One message in the conversation: the person's, Varda's, or a line from the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from varda_chat.sanitize import sanitize
from varda_chat.tui.widgets.markdown import AnswerMarkdown

if TYPE_CHECKING:
    from varda_chat.session import Turn

SHOWN_CHARACTERS = 4000
STAR = "✦"


class UserMessage(Static):
    """What the person sent. A very long text is shown by its beginning."""

    def __init__(self, text: str) -> None:
        text = sanitize(text)
        content = Content(text[:SHOWN_CHARACTERS])
        if len(text) > SHOWN_CHARACTERS:
            hidden = f"\n… and {len(text) - SHOWN_CHARACTERS:,} more characters"
            content += Content.styled(hidden, "$quiet italic")
        super().__init__(content)


class Notice(Static):
    """A line from the program itself; ``-error`` for what went wrong, with what to do about it beneath."""

    def __init__(self, text: str, hint: str = "", *, error: bool = False) -> None:
        content = Content(sanitize(text))
        if hint:
            content += Content.styled(f"\n{hint}", "$quiet")
        super().__init__(content, classes="-error" if error else "")


class VardaMessage(Horizontal):
    """Varda's answer: written as it comes, then closed by a thin line that says what the memory did."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._stream: MarkdownStream | None = None

    def compose(self) -> ComposeResult:
        yield Static(STAR, classes="gutter", markup=False)
        with Vertical(classes="body"):
            yield Static("thinking …", classes="waiting", markup=False)
            yield AnswerMarkdown()
            yield Static("", classes="meta", markup=False)

    async def write(self, delta: str) -> None:
        """Show the next piece of the answer."""
        self.text += delta
        if self._stream is None:
            if not self.text.strip():
                return
            self.query_one(".waiting").display = False
            self._stream = Markdown.get_stream(self.query_one(AnswerMarkdown))
            delta = self.text
        await self._stream.write(delta)

    async def finish(self, turn: Turn) -> None:
        """Show the whole answer and what the turn did."""
        self.text = sanitize(turn.reply)
        await self._settle("(nothing was written)" if turn.stopped else "(an empty answer)")
        self._show_meta(meta_line(turn))

    async def fail(self) -> None:
        """Keep what was written before the turn failed, marked as unfinished."""
        await self._settle("(no answer)")
        self._show_meta(Content.styled("✕ not finished", "$error"))

    async def _settle(self, when_empty: str) -> None:
        if self._stream is not None:
            await self._stream.stop()
        waiting = self.query_one(".waiting", Static)
        waiting.display = not self.text.strip()
        waiting.update(Content(when_empty))
        # Streaming can leave the last rows of a table out; the whole text at once cannot.
        await self.query_one(AnswerMarkdown).update(self.text)

    def _show_meta(self, line: Content) -> None:
        meta = self.query_one(".meta", Static)
        meta.update(line)
        meta.display = bool(line.plain)


def meta_line(turn: Turn) -> Content:
    """The thin line under an answer; empty if the turn did nothing to speak of."""
    parts: list[Content] = []
    if turn.stopped:
        parts.append(Content.styled("■ stopped", "$warning"))
    if turn.recalled:
        parts.append(Content.styled(f"↺ recalled {len(turn.recalled)}", "$accent"))
    if turn.stored:
        parts.append(Content.styled(f"+ stored {len(turn.stored)}", "$success"))
    if turn.deleted:
        parts.append(Content.styled(f"− deleted {len(turn.deleted)}", "$error"))
    return Content.styled("  ·  ", "$quiet").join(parts)

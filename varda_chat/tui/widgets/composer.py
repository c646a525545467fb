"""Where the person writes: Enter sends, Ctrl+J breaks the line, Up and Down at the edges walk history."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import TextArea

from varda_chat.sanitize import sanitize
from varda_chat.tui.history import InputHistory
from varda_chat.tui.slash import completion
from varda_chat.tui.state import ChatState

_PLACEHOLDERS = {
    ChatState.LOADING: "Waking up … you can already write",
    ChatState.FAILED: "Send a message to try loading again",
    ChatState.SAVING: "Good night",
}
_NEWLINE_KEYS = {"shift+enter", "ctrl+j", "alt+enter"}


class Composer(TextArea):
    """A text area that sends."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("pageup", "scroll_conversation(-1)", "Scroll up", show=False),
        Binding("pagedown", "scroll_conversation(1)", "Scroll down", show=False),
        Binding("ctrl+shift+z", "redo", "Redo", show=False),
    ]

    state: reactive[ChatState] = reactive(ChatState.LOADING)

    @dataclass
    class Sent(Message):
        """The person pressed Enter on a text that is not blank."""

        text: str

    @dataclass
    class Scrolled(Message):
        """The person asked the conversation to move by ``pages``."""

        pages: int

    def __init__(self, history: InputHistory) -> None:
        super().__init__(
            soft_wrap=True,
            highlight_cursor_line=False,
            compact=False,
            placeholder=_placeholder(ChatState.LOADING),
        )
        self._history = history

    def on_mount(self) -> None:
        self._history.load()

    def watch_state(self, state: ChatState) -> None:
        self.placeholder = _placeholder(state)
        if state is ChatState.THINKING:
            hints = [("Esc", "stop")]
        elif state is ChatState.SAVING:
            hints = [("Ctrl+Q", "leave at once")]
        else:
            hints = [("Enter", "send"), ("Ctrl+J", "new line")]
        self.border_subtitle = Content.assemble(
            *(part for key, does in hints for part in ((f" {key}", "$foreground"), (f" {does} ", "$quiet")))
        )

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self._send()
        elif event.key in _NEWLINE_KEYS:
            event.stop()
            event.prevent_default()
            self.insert("\n")
        elif event.key == "tab" and self.suggestion:
            event.stop()
            event.prevent_default()
            self.insert(self.suggestion)

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = sanitize(event.text)

    def _send(self) -> None:
        text = sanitize(self.text).strip()
        if text:
            self.post_message(self.Sent(text))

    def take(self, text: str) -> None:
        """``text`` was accepted: empty the composer and remember it. Raises OSError as history does."""
        self.clear()
        self._history.add(text)

    def put(self, text: str) -> None:
        """Replace what stands here by ``text``, with the cursor at its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)
        self.update_suggestion()

    def update_suggestion(self) -> None:
        self.suggestion = completion(self.text) if self.cursor_at_end_of_text else ""

    def render_line(self, y: int) -> Strip:
        # Textual wraps the placeholder to the width, and fails where a fold leaves it no width at all.
        if self.content_size.width < 1:
            return Strip.blank(self.size.width)
        return super().render_line(y)

    def action_cursor_up(self, select: bool = False) -> None:
        if not select and self.navigator.is_first_wrapped_line(self.cursor_location):
            older = self._history.older(self.text)
            if older is not None:
                self.put(older)
                return
        super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if not select and self.navigator.is_last_wrapped_line(self.cursor_location):
            newer = self._history.newer()
            if newer is not None:
                self.put(newer)
                return
        super().action_cursor_down(select)

    def action_scroll_conversation(self, pages: int) -> None:
        self.post_message(self.Scrolled(pages))


def _placeholder(state: ChatState) -> Content:
    return Content(_PLACEHOLDERS.get(state, "Message Varda"))

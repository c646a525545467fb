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

from varda_chat.text import sanitize
from varda_chat.tui.bindings import shown
from varda_chat.tui.commands import Command, find, parse
from varda_chat.tui.controllers.history import InputHistory
from varda_chat.tui.controllers.pastes import Pastes
from varda_chat.tui.state import ChatState
from varda_chat.tui.widgets.command_menu import CommandMenu

_PLACEHOLDERS = {
    ChatState.LOADING: "Waking up … you can already write",
    ChatState.FAILED: "Send a message to try loading again",
    ChatState.SAVING: "Good night",
}
_ROOM_FOR_HINTS = 50
"""Cells from which all hints have room below the composer."""
_MENU_KEYS = {"enter", "tab", "up", "down"}
_NEWLINE_KEYS = {"shift+enter", "ctrl+j", "alt+enter"}


class Composer(TextArea):
    """A text area that sends."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("pageup", "scroll_conversation(-1)", "Scroll the conversation up", id="scroll_up"),
        Binding("pagedown", "scroll_conversation(1)", "Scroll the conversation down", id="scroll_down"),
        Binding("ctrl+shift+z,alt+z", "redo", "Redo", id="redo"),
        Binding("ctrl+o", "unfold", "Show a large paste that is folded", id="unfold"),
    ]

    state: reactive[ChatState] = reactive(ChatState.LOADING)
    editing: reactive[bool] = reactive(False)
    """Whether the last message is being changed."""

    @dataclass
    class Sent(Message):
        """The person pressed Enter on a text that is not blank, and it has left the composer; ``edited``: it takes the
        last message's place."""

        text: str
        edited: bool = False

    @dataclass
    class Mistyped(Message):
        """The person pressed Enter on a command that there is not; it stands there still."""

        name: str

    @dataclass
    class Scrolled(Message):
        """The person asked the conversation to move by ``pages``."""

        pages: int

    def __init__(self, history: InputHistory, menu: CommandMenu) -> None:
        super().__init__(
            soft_wrap=True,
            highlight_cursor_line=False,
            compact=False,
            placeholder=_placeholder(ChatState.LOADING),
        )
        self._history = history
        self._menu = menu
        self._pastes = Pastes()
        self._closed_for = ""

    def on_mount(self) -> None:
        self._history.load()

    def use_history(self, history: InputHistory) -> None:
        """Walk another history from here on."""
        self._history = history
        history.load()

    @property
    def whole_text(self) -> str:
        """The message, with pasted texts instead of their labels."""
        return self._pastes.unfold(self.text)

    def watch_state(self, state: ChatState) -> None:
        self.placeholder = _placeholder(state)
        self.show_hints()

    def watch_editing(self) -> None:
        self.set_class(self.editing, "-editing")
        self.show_hints()

    def on_text_area_changed(self) -> None:
        self._closed_for = ""
        self._menu.show_for(self.text)
        self.show_hints()
        self._paint()

    def _paint(self) -> None:
        """Paint what was typed now and nothing else: the next frame, with all that an answer changes on the screen,
        may be two sixtieths of a second away, and takes as long to make."""
        screen, app = self.screen, self.app
        if not screen.is_current:
            return
        others, held = screen._dirty_widgets - {self}, app._batch_count
        app._batch_count = 0  # a batch holds back what is half made; the composer is not
        try:
            screen._compositor.update_widgets({self})
            screen._compositor_refresh()
        finally:
            app._batch_count = held
            screen._dirty_widgets |= others

    def on_resize(self) -> None:
        self.show_hints()

    def show_hints(self) -> None:
        """Name the keys that count now."""
        typed = parse(self.text) if self.text.startswith("/") and self.is_mounted else None
        command = find(typed[0]) if typed is not None else None
        if self.state is ChatState.SAVING:
            hints = [(shown(self.app, "quit"), "leave at once")]
        elif command is not None and command.argument:
            hints = [(command.usage, command.help)]
        elif self._menu.display:
            hints = [("Tab", "complete"), ("Enter", "run"), ("Esc", "close")]
        elif self.editing:
            hints = [("Enter", "send in its place"), ("Esc", "leave it as it was")]
        elif self.whole_text != self.text:  # a label may have been deleted
            hints = [(shown(self.app, "unfold"), "show what was pasted"), ("Enter", "send")]
        elif self.state is ChatState.THINKING:
            hints = [(shown(self.app, "stop"), "stop")]
        else:
            hints = [("Enter", "send"), ("Ctrl+J", "new line"), ("/", "commands")]
            if self.size.width < _ROOM_FOR_HINTS:
                del hints[2:]
        self.border_subtitle = Content.assemble(
            *(part for key, does in hints for part in ((f" {key}", "$foreground"), (f" {does} ", "$quiet")))
        )

    async def _on_key(self, event: events.Key) -> None:
        if not self._handle(event):
            return
        event.stop()
        event.prevent_default()

    def _handle(self, event: events.Key) -> bool:
        """Do what ``event`` means here; False where it means what it does in any text area."""
        if event.key in _MENU_KEYS and self.text != self._closed_for:
            self._menu.show_for(self.text)  # keys may come faster than the message that the text has changed
        chosen = self._menu.chosen
        if event.key == "enter":
            self._enter(chosen)
        elif event.key in _NEWLINE_KEYS:
            self.insert("\n")
        elif chosen is not None and event.key in ("up", "down"):
            move = self._menu.action_cursor_up if event.key == "up" else self._menu.action_cursor_down
            move()
        elif chosen is not None and event.key == "tab":
            self.complete(chosen)
        elif chosen is not None and event.key == "escape":
            self._menu.display = False
            self._closed_for = self.text
            self.show_hints()
        elif event.key == "escape" and self.editing:
            self.leave_editing()
        else:
            return False
        return True

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = self._pastes.fold(sanitize(event.text))

    def paste(self, text: str) -> None:
        """Insert ``text`` as a paste does."""
        self.insert(self._pastes.fold(sanitize(text)))

    def _enter(self, chosen: Command | None) -> None:
        if chosen is not None and self.text.strip().lower() != f"/{chosen.name}":
            self.complete(chosen)
            if chosen.needs_argument:
                return
        elif chosen is not None and chosen.needs_argument:
            self.complete(chosen)
            return
        text = sanitize(self.whole_text).strip()
        typed = parse(text)
        if typed is not None and find(typed[0]) is None:
            self.post_message(self.Mistyped(typed[0]))
        elif text:
            edited = self.editing
            self._empty()  # at once: the next keys may be here already, and they begin the next message
            self.post_message(self.Sent(text, edited))

    def complete(self, command: Command) -> None:
        """Write the command out."""
        self.put(f"/{command.name}{' ' if command.argument else ''}")

    def _empty(self) -> None:
        self.editing = False
        self.clear()
        self._pastes.clear()
        self._menu.show_for("")

    def remember(self, text: str) -> None:
        """Let Up bring ``text`` back. Raises OSError as history does."""
        self._history.add(text)

    def edit_last(self, text: str) -> None:
        """Let the person change ``text``, their last message."""
        self.editing = True
        self.put(text)

    def leave_editing(self) -> None:
        """Leave the last message as it was."""
        self.editing = False
        self.put("")

    def put(self, text: str) -> None:
        """Replace what stands here by ``text``, with the cursor at its end."""
        self._pastes.clear()
        self.load_text(self._pastes.fold(text))
        self.move_cursor(self.document.end)

    def action_unfold(self) -> None:
        """Show pasted texts where their labels stand."""
        text = self.whole_text
        self._pastes.clear()
        self.load_text(text)
        self.move_cursor(self.document.end)

    def render_line(self, y: int) -> Strip:
        # Textual wraps the placeholder to the width, and fails where a fold leaves it no width at all.
        if self.content_size.width < 1:
            return Strip.blank(self.size.width)
        return super().render_line(y)

    def action_cursor_up(self, select: bool = False) -> None:
        if not select and self.navigator.is_first_wrapped_line(self.cursor_location):
            older = self._history.older(self.whole_text)
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

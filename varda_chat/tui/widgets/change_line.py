"""What a turn stored or deleted, in words, under its answer: a line a memory, each with its own undo."""

from __future__ import annotations

from dataclasses import dataclass

from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from varda_chat.session.turn import Remembered, Turn
from varda_chat.text import one_line
from varda_chat.tui.bindings import shown

SHOWN = 8
"""So many of what one turn stored, and of what it deleted, stand under its answer."""
_CHARACTERS = 300


class ChangeLine(Static, can_focus=True):
    """A memory that a turn stored (+) or deleted (−). A click or a key takes that back, and another does it again.

    memory: which one. stored: whether the turn stored it. in_memory: whether it is in memory, as far as is known here.
    """

    FOCUS_ON_CLICK = False  # a click must not take the cursor away from the composer
    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("u", "undo", "Undo it, or do it again", id="change.undo"),
        Binding("up,k", "app.focus_previous", "Earlier", show=False, id="change.earlier"),
        Binding("down,j", "app.focus_next", "Later", show=False, id="change.later"),
    ]

    @dataclass
    class Toggled(Message):
        """The person wants ``line``'s memory out of the memory, or back in it."""

        line: ChangeLine

    def __init__(self, memory: Remembered, *, stored: bool) -> None:
        super().__init__(classes="-stored" if stored else "-deleted")
        self.memory = memory
        self.stored = stored
        self.in_memory = stored

    def on_mount(self) -> None:
        self.show()

    def watch_has_focus(self, focused: bool) -> None:
        """Name the key of the act, or the act alone."""
        super().watch_has_focus(focused)
        self.show()

    def on_click(self) -> None:
        """Take it back, or do it again."""
        if not self.screen.get_selected_text():
            self.action_undo()

    def action_undo(self) -> None:
        """Take it back, or do it again."""
        self.post_message(self.Toggled(self))

    def note(self, *, in_memory: bool) -> None:
        """Show that it is in memory, or not."""
        self.in_memory = in_memory
        self.show()

    def show(self) -> None:
        """Draw the line as things are now."""
        sign, colour = ("+", "$success") if self.stored else ("−", "$error")
        words = f"“{one_line(self.memory.text, _CHARACTERS)}”"
        taken_back = self.in_memory != self.stored
        parts: list[Content | tuple[str, str]] = [
            (f"{sign} ", f"{colour} bold"),
            (words, "$foreground" if self.in_memory else "strike $text-muted"),
        ]
        if taken_back:
            parts.append((" undone" if self.stored else " restored", "$text-muted italic"))
        act = "redo" if taken_back else "undo"
        key = shown(self.app, "change.undo")
        parts += [(f"  {key} ", "$foreground bold"), (act, "$quiet")] if self.has_focus else [(f"  {act}", "$quiet")]
        self.update(Content.assemble(*parts))


def change_lines(turn: Turn) -> list[Static]:
    """Lines for what ``turn`` stored and deleted, and how many more there are than are shown."""
    lines: list[Static] = []
    for memories, stored in ((turn.stored, True), (turn.deleted, False)):
        lines += [ChangeLine(each, stored=stored) for each in memories[:SHOWN]]
        more = len(memories) - SHOWN
        if more > 0:
            lines.append(Static(Content.styled(f"  and {more:,} more {'stored' if stored else 'deleted'}", "$quiet")))
    return lines

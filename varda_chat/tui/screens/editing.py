"""Other words for a statement, which the model then reads in place of the old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Static, TextArea

from varda_chat.text import sanitize
from varda_chat.tui.screens.card import Card

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement


class Words(TextArea):
    """What is pasted passes the same door as all text from outside."""

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = sanitize(event.text)
        await super()._on_paste(event)


class EditScreen(Card[str | None]):
    """Answers the new words, None where they shall stay as they are."""

    BINDINGS = [  # noqa: RUF012 - Textual's own declaration
        Binding("enter", "save", "Save", priority=True, id="edit.save"),
    ]

    def __init__(self, statement: Statement) -> None:
        super().__init__()
        self._text = sanitize(statement.text)

    def compose(self) -> ComposeResult:
        hints = (
            (self.key("edit.save"), "save"),
            (self.key("card.close"), "leave" if self.is_narrow else "leave it as it was"),
        )
        with self.card("Edit", hints, name="edit"):
            yield Static("Varda reads the new words in place of the old.", classes="note", markup=False)
            yield Words(self._text, soft_wrap=True, show_line_numbers=False)

    def on_mount(self) -> None:
        words = self.query_one(Words)
        words.focus()
        words.move_cursor(words.document.end)

    def action_save(self) -> None:
        """Take the new words, if there are any."""
        text = sanitize(self.query_one(Words).text).strip()
        if not text:
            self.notify("The new text is empty.", severity="warning", markup=False)
        else:
            self.dismiss(None if text == self._text.strip() else text)

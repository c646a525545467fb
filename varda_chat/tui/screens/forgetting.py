"""What is about to be forgotten, word for word, before it happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from varda_chat.text import one_line
from varda_chat.tui.screens.card import Card

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement

_SHOWN = 100
_TEXT_CHARACTERS = 300


class ForgetScreen(Card[bool]):
    """Answers whether it shall be forgotten."""

    BINDINGS = [Binding("y", "confirm", "Forget", id="forget.confirm")]  # noqa: RUF012 - Textual's own declaration

    def __init__(self, statements: Sequence[Statement]) -> None:
        super().__init__()
        self._statements = statements

    def compose(self) -> ComposeResult:
        count = len(self._statements)
        pinned = sum(each.pinned for each in self._statements)
        does = "forget it" if count == 1 else f"forget {count:,}"
        hints = ((self.key("forget.confirm"), does), (self.key("card.close"), "change nothing"))
        with self.card("Forget", hints, name="forget"):
            if pinned:
                note = (
                    "This is pinned."
                    if count == 1
                    else f"{pinned:,} of these {count:,} {'is' if pinned == 1 else 'are'} pinned."
                )
                yield Static(note, classes="note", markup=False)
            with VerticalScroll():
                for each in self._statements[:_SHOWN]:
                    line = Content.assemble(("− ", "$error bold"), one_line(each.text, _TEXT_CHARACTERS))
                    yield Static(line, classes="going")
                if count > _SHOWN:
                    yield Static(f"and {count - _SHOWN:,} more", classes="quiet", markup=False)

    def action_confirm(self) -> None:
        """Let it be forgotten."""
        self.dismiss(True)

    def action_close(self) -> None:
        """Change nothing."""
        self.dismiss(False)

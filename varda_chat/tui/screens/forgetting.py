"""What is about to be forgotten or purged, word for word, before it happens."""

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
_PURGE_NOTE = "It leaves every file: the memory, backups, sessions, what was typed. This cannot be undone."


class ForgetScreen(Card[bool]):
    """Answers whether it shall be forgotten, or (``purge``) leave every file of the profile for good."""

    BINDINGS = [Binding("y", "confirm", "Forget", id="forget.confirm")]  # noqa: RUF012 - Textual's own declaration

    def __init__(self, statements: Sequence[Statement], *, purge: bool = False) -> None:
        super().__init__()
        self._statements = statements
        self._purge = purge

    def compose(self) -> ComposeResult:
        count = len(self._statements)
        pinned = sum(each.pinned for each in self._statements)
        act = "purge" if self._purge else "forget"
        does = f"{act} it" if count == 1 else f"{act} {count:,}"
        hints = ((self.key("forget.confirm"), does), (self.key("card.close"), "change nothing"))
        with self.card(act.capitalize(), hints, name="forget"):
            if self._purge:
                yield Static(_PURGE_NOTE, classes="note", markup=False)
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

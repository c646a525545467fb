"""The frame of our dialogs: a card in the middle with a title above and the keys beneath, closed by Esc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from varda_chat.tui import bindings

T = TypeVar("T")
WIDE_FROM = 64
_FOOT_EDGES = 6
"""Columns of a card's foot that hold no words."""
_CARD_CELLS = 88
"""The widest a card is (dialogs.tcss)."""


class Card(ModalScreen[T]):
    """What is between ``with self.card(...)`` stands on the card."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE_FROM, "-wide")]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [Binding("escape", "close", "Close", id="card.close")]  # noqa: RUF012 - Textual's own declaration
    _foot: tuple[tuple[str, str], ...] = ()

    def card(self, title: str, hints: Sequence[tuple[str, str]], *, name: str) -> Vertical:
        """The card; ``hints``, keys and what they do, are shown at its foot."""
        card = Vertical(id=name, classes="card")
        card.border_title = Content(f"✦ {title}")
        self._foot = tuple(hints)
        card.border_subtitle = self._foot_line()
        return card

    def show_hints(self, hints: Sequence[tuple[str, str]]) -> None:
        """Show other ``hints`` at the foot of the card."""
        self._foot = tuple(hints)
        self.query_one(".card").border_subtitle = self._foot_line()

    def _foot_line(self) -> Content:
        """As many of the hints as the foot holds: the last one says how to leave, so it stays."""
        hints = list(self._foot)
        room = min(self.app.size.width, _CARD_CELLS) - _FOOT_EDGES
        while len(hints) > 1 and key_line(hints).cell_length > room:
            del hints[-2]
        return key_line(hints)

    def on_resize(self) -> None:
        """Show as many hints as there is room for now."""
        if self._foot:
            self.query_one(".card").border_subtitle = self._foot_line()

    @property
    def is_narrow(self) -> bool:
        """Whether what belongs together cannot stand on one line; known before the card is laid out."""
        return self.app.size.width < WIDE_FROM

    def key(self, binding_id: str) -> str:
        """The key of a binding as it is now, as a person reads it."""
        return bindings.shown(self.app, binding_id)

    def action_close(self) -> None:
        """Leave without choosing."""
        self.dismiss(None)


def key_line(hints: Sequence[tuple[str, str]]) -> Content:
    """Keys and what they do, on one line."""
    return Content.assemble(
        *(part for key, does in hints for part in ((f" {key}", "$foreground"), (f" {does} ", "$quiet")))
    )

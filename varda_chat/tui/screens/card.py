"""The frame of our dialogs: a card in the middle with a title above and the keys beneath, closed by Esc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

T = TypeVar("T")


class Card(ModalScreen[T]):
    """What is between ``with self.card(...)`` stands on the card."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (64, "-wide")]  # noqa: RUF012 - Textual's own declaration
    BINDINGS = [Binding("escape", "close", "Close", show=False)]  # noqa: RUF012 - Textual's own declaration

    def card(self, title: str, keys: Sequence[tuple[str, str]], *, name: str) -> Vertical:
        """The card; ``keys`` and what they do are shown at its foot."""
        card = Vertical(id=name, classes="card")
        card.border_title = Content(f"✦ {title}")
        card.border_subtitle = key_line(keys)
        return card

    def action_close(self) -> None:
        """Leave without choosing."""
        self.dismiss(None)


def key_line(keys: Sequence[tuple[str, str]]) -> Content:
    """Keys and what they do, on one line."""
    return Content.assemble(
        *(part for key, does in keys for part in ((f" {key}", "$foreground"), (f" {does} ", "$quiet")))
    )

"""What the session's threads tell the screen, each message named for what happened."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.message import Message

from varda_chat.tui.state import MemoryView, Progress, SessionDetails

if TYPE_CHECKING:
    from varda_chat.memory.records import Statement
    from varda_chat.session.turn import Turn


@dataclass
class LoadProgressed(Message):
    """Opening the session got further."""

    progress: Progress


@dataclass
class SessionOpened(Message):
    """The model and the memory are there."""

    details: SessionDetails
    memory: MemoryView


@dataclass
class OpenFailed(Message):
    """The session could not be opened; ``sentence`` says why."""

    sentence: str


@dataclass
class ReplyDelta(Message):
    """The next piece of the answer, sanitized. ``speed``: tokens a second so far, 0 where it cannot be told yet."""

    text: str
    speed: float = 0.0


@dataclass
class DeletesAsked(Message):
    """The turn would delete ``going``, and waits for ``answer``."""

    going: tuple[Statement, ...]
    chosen: Collection[int] = ()
    answered: threading.Event = field(default_factory=threading.Event)

    def answer(self, chosen: Collection[int]) -> None:
        """Let these go, and keep the others."""
        self.chosen = chosen
        self.answered.set()


@dataclass
class ReplyFinished(Message):
    """A turn is over, to its end or stopped; its stores and deletes are on disk. ``notices``: new ones."""

    turn: Turn
    memory: MemoryView
    notices: tuple[str, ...] = ()


@dataclass
class ReplyFailed(Message):
    """The turn failed; ``sentence`` says why. The prompt can be sent again."""

    sentence: str


@dataclass
class HungUp(Message):
    """The terminal, or the page that the chat is shown in, is closed."""

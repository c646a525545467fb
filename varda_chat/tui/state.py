"""What the chat is doing just now, and what the screen knows about the session: plain values, no widgets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varda_chat.session.session import MemoryEvent


class ChatState(Enum):
    """One word for what the person is waiting for."""

    LOADING = "loading"
    READY = "ready"
    THINKING = "thinking"
    STOPPED = "stopped"
    FAILED = "failed"
    SAVING = "saving"

    @property
    def can_answer(self) -> bool:
        """Whether a prompt may be handed to the session now."""
        return self in (ChatState.READY, ChatState.STOPPED)


class PanelPlace(Enum):
    """Where the memory panel is: beside the conversation, out of sight, or in the conversation's place."""

    BESIDE = "beside"
    FOLDED = "folded"
    OVER = "over"


@dataclass(frozen=True)
class SessionDetails:
    """What seldom changes while a session is open. ``window``: tokens that the model reads at once."""

    model_name: str
    profile: str
    parameters: int = 0
    incognito: bool = False
    read_only: bool = False
    notices: tuple[str, ...] = ()
    window: int = 0


@dataclass(frozen=True)
class MemoryView:
    """The memory as it was left last. ``memories``: statements; ``size``, ``capacity``: vectors; ``events``: newest
    first; ``sizes``: vectors after each of the last turns, the oldest first."""

    memories: int = 0
    size: int = 0
    capacity: int = 0
    events: tuple[MemoryEvent, ...] = ()
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Vitals:
    """How the model does. ``speed``: tokens a second; ``context``: tokens of its window that are in use;
    ``lookup_seconds``: of one search of the memory."""

    speed: float = 0.0
    context: int = 0
    lookup_seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far the session is open. ``share``: 0..1."""

    what: str = ""
    share: float = 0.0

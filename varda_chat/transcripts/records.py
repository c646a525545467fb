"""What comes out of sessions.db, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from varda_chat.text import one_line

NAME_LENGTH = 60
TurnState = Literal["open", "done", "stopped", "failed"]
"""open: the answer is being written, or never came to its end, as after a kill."""


@dataclass(frozen=True)
class SessionInfo:
    """One session. Times are unix seconds; ``named``: by the person, not after its first words; ``branch_of``: the id
    of the session that it branches from, None for none."""

    id: int
    name: str
    named: bool
    created_at: float
    updated_at: float
    turns: int
    branch_of: int | None = None


@dataclass(frozen=True)
class StoredTurn:
    """One turn as it was. ``at``: unix seconds of the prompt. ``details``: what the memory did, as Turn.details."""

    id: int
    session_id: int
    prompt: str
    reply: str
    state: TurnState
    at: float
    details: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The turn as the object that an export and ``--json`` hold."""
        return asdict(self)


@dataclass(frozen=True)
class FoundTurn:
    """A turn that a search found. ``role``: who said ``excerpt``, a piece of text around the first word found."""

    session_id: int
    session_name: str
    turn_id: int
    at: float
    role: Literal["user", "assistant"]
    excerpt: str


def name_after(first_words: str) -> str:
    """What a session is called that begins with ``first_words``, until the person names it."""
    return one_line(first_words, NAME_LENGTH) or "(no words)"

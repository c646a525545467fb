"""ChatSession: one turn = read -> generate -> remember. (Contract; the implementation follows.)"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recalled:
    """A statement that was read for an answer. ``weight``: 0..1, its largest share of any token of the reply."""
    id: int
    text: str
    weight: float


@dataclass(frozen=True)
class Remembered:
    """A statement that was stored or deleted; ``id`` is its statement id."""
    id: int
    text: str


@dataclass(frozen=True)
class Turn:
    """One user message and the answer to it, with what the memory did. ``to_json()`` is design §6's object."""
    prompt: str
    reply: str
    recalled: tuple[Recalled, ...]
    stored: tuple[Remembered, ...]
    deleted: tuple[Remembered, ...]
    memory_size: int
    prompt_tokens: int
    reply_tokens: int
    seconds: float
    stopped: bool = False


@dataclass(frozen=True)
class MemoryEvent:
    """A past store or delete, newest first in ``ChatSession.recent``. ``kind``: "stored" | "deleted"; ``at``: unix seconds."""
    kind: str
    id: int
    text: str
    at: float


class ChatSession:
    model_name: str            # e.g. "default"
    parameters: int            # count
    profile: str
    profile_dir: Path
    incognito: bool
    read_only: bool
    memory_size: int           # vectors in memory
    memory_capacity: int
    notices: list[str]         # one-line things to tell the user at start ("the index was rebuilt ...")

    @classmethod
    def open(cls, profile_dir: Path, checkpoint: str | Path | None = None, *, incognito: bool = False,
             generation: object | None = None, read_only: bool = False,
             on_progress: Callable[[str, float], None] | None = None) -> ChatSession:
        """Load the model and the memory. on_progress(what, share 0..1) is called from the calling thread."""
        raise NotImplementedError

    def reply(self, prompt: str, *, on_text: Callable[[str], None] | None = None,
              stop: threading.Event | None = None) -> Turn:
        """Run one turn; on_text gets each new piece of the reply in the calling thread. Blocking."""
        raise NotImplementedError

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """Recent stores and deletes, newest first. May be called from any thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the index, release the lock. Idempotent."""
        raise NotImplementedError

"""What the parts of a session share: the model, its memory, the transcript, and how it answers."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from varda_chat.config import persona
from varda_chat.errors import StorageError, VardaError
from varda_chat.memory.antecedents import in_context

if TYPE_CHECKING:
    from varda_chat.config.defaults import GenerationSettings
    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import ChatFormat, EncodedMessage
    from varda_chat.models.checkpoint import Checkpoint
    from varda_chat.transcripts.recording import Recording

BESIDE = 160
"""Tokens of a line's end that a statement is read beside: more than those of any line that the reranker has learned
from. A long line would be read as often as there are statements."""


@dataclass
class SessionState:
    """One set of values that every part of a session reads, so that a change counts for all of them at once.

    use_memory: False where nothing is read of it. confirm_deletes: one of CONFIRM_DELETES. persona: what follows
    the system prompt. opened_at: when it was opened, as its name where it is in no transcript.
    """

    checkpoint: Checkpoint
    store: MemoryStore
    recording: Recording
    generation: GenerationSettings
    incognito: bool = False
    use_memory: bool = True
    confirm_deletes: str = "auto"
    persona: str = ""
    opened_at: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S"))

    def __post_init__(self) -> None:
        self._impersonal = self.checkpoint.chat

    @property
    def chat(self) -> ChatFormat:
        """How the model's conversations are written as tokens."""
        return self.checkpoint.chat

    @property
    def model(self) -> Any:
        """The model itself."""
        return self.checkpoint.model

    @property
    def name(self) -> str:
        """The session's name in the records: its id in the transcripts, or else when it was opened."""
        session_id = self.recording.session_id
        return self.opened_at if session_id is None else str(session_id)

    @property
    def searched(self) -> MemoryStore | None:
        """The memory that a turn searches; None where there is nothing to find."""
        return self.store if self.use_memory and self.store.size else None

    @property
    def may_write(self) -> bool:
        """Whether the memory may change."""
        return not (self.incognito or self.store.read_only)

    def check_writable(self, what: str) -> None:
        """Raise VardaError, which begins with ``what`` ("Nothing was forgotten"), where the memory may not change."""
        if self.incognito:
            raise VardaError(f"{what}: this session is incognito.")
        if self.store.read_only:
            raise StorageError(f"{what}: this memory is open read-only.")

    def set_persona(self, text: str) -> None:
        """As ``ChatSession.set_persona``."""
        clean = persona.checked(text)
        if clean and not self._impersonal.takes_system_prompt:
            raise VardaError(persona.NOT_HERE)
        if clean == self.persona:
            return
        chat = copy.copy(self._impersonal)
        chat.opening = self._impersonal.opening_with(clean)
        self.persona = clean
        self.checkpoint = replace(self.checkpoint, chat=chat)

    @property
    def room(self) -> int:
        """Tokens that a prompt may have, so that a whole reply fits behind it."""
        chat = self.chat
        positions: int = self.model.config.n_positions - len(chat.opening) - len(chat.reply_prompt) + 1
        return max(positions - self.generation.max_new_tokens - chat.note_room, positions // 2)

    def shortened(self, message: EncodedMessage) -> EncodedMessage:
        """``message``, without its beginning where it is longer than the window: what is asked stands at the end."""
        return _end_of(message, self.room - 1)

    def as_read(self, statement: int, text: str) -> tuple[str, tuple[int, ...]]:
        """``text``, that of a statement, behind those that it leans on, as the model reads it; and their ids, as far as
        a line of a note has room for them."""
        before = list(self.store.antecedents(statement))
        while before and not self.chat.fits_a_note(in_context([each.text for each in before], text)):
            del before[0]
        return in_context([each.text for each in before], text), tuple(each.id for each in before)

    def reads_beside(self, message: EncodedMessage) -> Callable[[Sequence[int]], list[tuple[float, float]]] | None:
        """What the model's reranker says of statements: the probabilities that each answers ``message``, and that
        ``message`` ends it; None for a model without one."""
        chat, model = self.chat, self.model
        if getattr(model, "reranker", None) is None:
            return None
        line = _end_of(message, BESIDE)

        def judge(statements: Sequence[int]) -> list[tuple[float, float]]:
            read = zip(statements, self.store.texts(statements), strict=True)  # looked at, and not used yet
            texts = [self.as_read(id_, text)[0] for id_, text in read]
            pairs = [[*line.ids, *chat.note("recalled", (text,)), *chat.reply_prompt] for text in texts]
            chances: list[list[float]] = model.reranker(model, pairs).sigmoid().tolist()
            return [(answers, ends) for answers, ends in chances]

        return judge

    def statement_ids(self, ids: Any) -> Any:
        """The statements (numpy) that vectors' ids (a tensor of the same shape) belong to."""
        return self.store.statement_ids(ids.cpu().numpy())


def _end_of(message: EncodedMessage, tokens: int) -> EncodedMessage:
    """``message``, without its beginning where it has more than so many ``tokens``."""
    excess = len(message.ids) - tokens
    return message if excess <= 0 else message.part(message.header + excess, len(message.ids))

"""ChatSession: one turn = read -> generate -> remember. The memory is changed once a turn, durably, after the reply."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varda_chat.config import DEFAULT_MEMORY_SIZE, GenerationSettings
from varda_chat.errors import VardaError
from varda_chat.memory.records import MemoryEvent, NewStatement, Statement, TurnApplied, TurnChanges
from varda_chat.paths import bundled_checkpoint, profile_dir
from varda_chat.sanitize import sanitize

if TYPE_CHECKING:
    from varda_chat.memory import MemoryStore
    from varda_chat.model.chat_format import EncodedMessage
    from varda_chat.model.checkpoint import Checkpoint
    from varda_chat.model.modeling import Memory

Progress = Callable[[str, float], None]

RECALLED_SHARE = 0.1
"""A statement counts as recalled when it gave at least this share of some token's probability."""


@dataclass(frozen=True)
class Recalled:
    """A statement that was read for an answer. ``weight``: 0 to 1, its largest share of any token of the reply."""

    id: int
    text: str
    weight: float


@dataclass(frozen=True)
class Remembered:
    """A statement that was stored or deleted."""

    id: int
    text: str


@dataclass(frozen=True)
class Turn:
    """One user message and the answer to it, with what the memory did.

    memory_size: vectors in memory afterwards. prompt_tokens: of the whole context that was read. seconds: from the
    message to the durable memory. stopped: the reply was stopped and is partial.
    """

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

    def to_json(self) -> dict[str, Any]:
        """The turn as the object that ``--json`` prints."""
        return {
            "prompt": self.prompt,
            "reply": self.reply,
            "recalled": [{"id": r.id, "text": r.text, "weight": round(r.weight, 4)} for r in self.recalled],
            "stored": [{"id": s.id, "text": s.text} for s in self.stored],
            "deleted": [{"id": d.id, "text": d.text} for d in self.deleted],
            "memory_size": self.memory_size,
            "prompt_tokens": self.prompt_tokens,
            "reply_tokens": self.reply_tokens,
            "seconds": round(self.seconds, 4),
        }


class ChatSession:
    """A conversation with one model over one memory. One turn at a time; ``recent`` may be called from any thread.

    >>> with ChatSession.open() as session:                              # doctest: +SKIP
    ...     print(session.reply("My dog is called Rimba.").stored)
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        store: MemoryStore,
        *,
        incognito: bool = False,
        generation: GenerationSettings | None = None,
        use_memory: bool = True,
    ) -> None:
        """Most callers want :meth:`open`. ``use_memory=False`` reads nothing (a control for measurements)."""
        self.checkpoint = checkpoint
        self.generation = generation or GenerationSettings()
        self.incognito = incognito
        self.use_memory = use_memory
        self._store = store
        self._history: list[EncodedMessage] = []
        self._name = time.strftime("%Y-%m-%dT%H:%M:%S")
        if self.generation.seed is not None:
            import torch

            torch.manual_seed(self.generation.seed)

    @classmethod
    def open(
        cls,
        profile: str | Path = "default",
        checkpoint: str | Path | None = None,
        *,
        incognito: bool = False,
        generation: GenerationSettings | None = None,
        read_only: bool = False,
        memory_size: int = DEFAULT_MEMORY_SIZE,
        forgetfulness_factor: float = 0.0,
        on_progress: Progress | None = None,
    ) -> ChatSession:
        """Load the model and the memory.

        Args:
            profile: a profile's name, or the folder of one.
            checkpoint: folder or hub id; None for the bundled model.
            incognito: read the memory, write none of it.
            read_only: as incognito, where another process writes the memory.
            memory_size: capacity in vectors.
            forgetfulness_factor: share (0..1) of the unpinned statements forgotten at random when the session ends.
            on_progress: called with what is being done and the share (0 to 1) that is done.

        Raises CheckpointError, MemoryLockedError, StorageError or another VardaError, each with what to do.
        """
        report = on_progress or (lambda what, share: None)
        report("loading torch", 0.05)
        import torch
        import transformers

        # the chat has a progress display of its own
        transformers.utils.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
        report("loading the model", 0.5)
        from varda_chat.model.checkpoint import load_checkpoint

        loaded = load_checkpoint(checkpoint if checkpoint is not None else bundled_checkpoint())
        report("opening the memory", 0.85)
        from varda_chat.memory import MemoryStore

        folder = profile if isinstance(profile, Path) else profile_dir(profile)
        store = MemoryStore.open(
            folder,
            embedding_dim=loaded.model.config.memory_dim,
            fingerprint=loaded.fingerprint,
            memory_size=memory_size,
            read_only=incognito or read_only,
            forgetfulness_factor=forgetfulness_factor,
        )
        try:
            session = cls(loaded, store, incognito=incognito, generation=generation)
            with torch.inference_mode():
                session._read_again(report)
        except BaseException:
            store.close()
            raise
        report("ready", 1.0)
        return session

    # what the panel and the status line show

    @property
    def model_name(self) -> str:
        return self.checkpoint.name

    @property
    def parameters(self) -> int:
        return self.checkpoint.parameters

    @property
    def profile(self) -> str:
        return self._store.folder.name

    @property
    def profile_dir(self) -> Path:
        return self._store.folder

    @property
    def read_only(self) -> bool:
        return self._store.read_only

    @property
    def memory_size(self) -> int:
        return self._store.size

    @property
    def memory_capacity(self) -> int:
        return self._store.capacity

    @property
    def notices(self) -> list[str]:
        """One line each on what the user should know about how the memory was opened."""
        return self._store.notices

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first."""
        return self._store.recent(limit)

    # a turn

    def reply(
        self,
        prompt: str,
        *,
        on_text: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Turn:
        """Run one turn. What the returned turn says was stored or deleted is on disk.

        Args:
            prompt: the user's message; control codes are dropped.
            on_text: gets the reply in pieces, in this thread, while it is written.
            stop: once set, ends the reply; what was written is kept, and only the user's words are remembered.

        Raises StorageError where the memory could not be written; the conversation is then as before the turn.
        """
        import torch

        from varda_chat.model.blank import BlankMemory
        from varda_chat.model.generation import generate_reply

        prompt = sanitize(prompt).strip()
        if not prompt:
            raise VardaError("There is nothing to answer: the message is empty.")
        started = time.perf_counter()
        chat, model = self.checkpoint.chat, self.checkpoint.model
        memory: Memory = self._store if self.use_memory and self._store.size else BlankMemory()
        whole = chat.encode("user", prompt)
        message = self._shortened(whole)
        history = self._fitting_history(len(message.ids) + 1)
        context = [token for past in history for token in past.ids] + message.ids
        reply_ids = generate_reply(model, chat, [*context, chat.assistant_id], memory, self.generation, on_text, stop)
        stopped = stop is not None and stop.is_set()
        text = sanitize(chat.decode(reply_ids)).strip()
        answer = chat.encode("assistant", text)
        with torch.inference_mode():
            recalled, changes = self._decide(history, message, answer, memory, stopped)
            if len(message.ids) < len(whole.ids):
                early = self._read_beginning(whole, len(whole.ids) - len(message.ids), stop)
                changes = replace(changes, stores=(*early, *changes.stores))
        stored: tuple[Remembered, ...] = ()
        deleted: tuple[Remembered, ...] = ()
        if not self._store.read_only:
            applied = self._store.apply(changes, session=self._name)
            stored = tuple(Remembered(s.id, s.text) for s in applied.stored)
            deleted = tuple(Remembered(d.id, d.text) for d in applied.deleted)
        self._history = [*history, message, answer]
        return Turn(
            prompt=prompt,
            reply=text,
            recalled=recalled,
            stored=stored,
            deleted=deleted,
            memory_size=self._store.size,
            prompt_tokens=len(context) + 1,
            reply_tokens=len(reply_ids),
            seconds=time.perf_counter() - started,
            stopped=stopped,
        )

    def statement(self, statement_id: int) -> Statement:
        """One statement of the memory; raises VardaError where there is none of that id."""
        return self._store.statement(statement_id)

    def search(self, text: str, limit: int = 10) -> tuple[Recalled, ...]:
        """What the memory has on ``text``, read as a message of the user, the best match first; changes nothing.

        ``weight``: the largest share of what any token of the message, or the reply about to begin, reads.
        """
        import torch

        from varda_chat.remembering import matches

        message = self._shortened(self.checkpoint.chat.encode("user", sanitize(text).strip()))
        with torch.inference_mode():
            found = matches(self.checkpoint.model, self.checkpoint.chat, message, self._store, self._statements)
        best = sorted(found.items(), key=lambda item: -item[1])[:limit]
        return tuple(Recalled(id_, self._store.statement(id_).text, weight) for id_, weight in best)

    def learn(self, role: str, text: str) -> TurnApplied:
        """Read ``text``, outside of the conversation, and store durably what the model finds worth it."""
        import torch

        message = self.checkpoint.chat.encode(role, sanitize(text).strip())
        with torch.inference_mode():
            stores = self._read_beginning(message, len(message.ids) - 2, None)
        return self._store.apply(TurnChanges(stores=tuple(stores)), session=self._name)

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        return self._store.passages_learned(digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        self._store.set_passages_learned(digest, passages)

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again."""
        self._store.close()

    def __enter__(self) -> ChatSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # within

    def _room(self) -> int:
        """Tokens that a prompt may have, so that a whole reply fits behind it."""
        positions: int = self.checkpoint.model.config.n_positions
        return max(positions - self.generation.max_new_tokens, positions // 2)

    def _shortened(self, message: EncodedMessage) -> EncodedMessage:
        """``message``, without its beginning where it is longer than the window: what is asked stands at the end."""
        excess = len(message.ids) + 1 - self._room()
        return message if excess <= 0 else message.part(1 + excess, len(message.ids))

    def _fitting_history(self, needed: int) -> list[EncodedMessage]:
        """The latest whole turns that fit beside ``needed`` tokens: the oldest leave the window, the memory stays."""
        history = list(self._history)
        while history and sum(len(past.ids) for past in history) + needed > self._room():
            del history[:2]
        return history

    def _read_beginning(self, message: EncodedMessage, cut: int, stop: threading.Event | None) -> list[NewStatement]:
        """What is worth storing of the first ``cut`` tokens of a message too long for the window, read piece by piece
        (until ``stop`` is set)."""
        from varda_chat.remembering import read_messages, statements_to_store

        chat, model = self.checkpoint.chat, self.checkpoint.model
        size = self._room() - 1
        found: list[NewStatement] = []
        for start in range(1, cut + 1, size):
            if stop is not None and stop.is_set():
                break
            piece = message.part(start, min(start + size, cut + 1))
            output = read_messages(model, [piece])
            found += statements_to_store(output, piece, 0, chat, model.config.store_threshold)
        return found

    def _decide(
        self,
        history: list[EncodedMessage],
        message: EncodedMessage,
        answer: EncodedMessage,
        memory: Memory,
        stopped: bool,
    ) -> tuple[tuple[Recalled, ...], TurnChanges]:
        """What the model read for the answer, and what it wants stored and deleted, from one pass over the turn."""
        from varda_chat.remembering import deletions, read_messages, recalls, statements_to_store

        model = self.checkpoint.model
        output = read_messages(model, [*history, message, answer], memory)
        start = sum(len(past.ids) for past in history)
        replied = start + len(message.ids)
        stores = statements_to_store(output, message, start, self.checkpoint.chat, model.config.store_threshold)
        if not stopped:
            stores += statements_to_store(output, answer, replied, self.checkpoint.chat, model.config.store_threshold)
        shares = recalls(output, replied, self._statements)
        recalled = tuple(
            Recalled(statement, self._store.statement(statement).text, share)
            for statement, share in sorted(shares.items(), key=lambda item: -item[1])
            if share >= RECALLED_SHARE
        )
        gone = deletions(model, output, start, self._statements)
        return recalled, TurnChanges(
            stores=tuple(stores),
            delete_statements=frozenset(gone),
            recalled=frozenset(r.id for r in recalled),
        )

    def _statements(self, ids: Any) -> Any:
        """The statements (numpy) that vectors' ids (a tensor of the same shape) belong to."""
        return self._store.statement_ids(ids.cpu().numpy())

    def _read_again(self, report: Progress) -> None:
        """Read the source texts of statements that another model stored through this one, which then knows them too."""
        from varda_chat.remembering import read_messages, statements_to_store

        foreign = self._store.foreign_statements()
        chat, model = self.checkpoint.chat, self.checkpoint.model
        for number, statement in enumerate(foreign):
            report(f"reading {len(foreign)} memories of another model", 0.85 + 0.15 * number / len(foreign))
            message = self._shortened(chat.encode(statement.role, statement.text))
            output = read_messages(model, [message])
            found = statements_to_store(output, message, 0, chat, model.config.store_threshold)
            # the other model found it worth storing: keep at least what this one finds the most so
            found = found or statements_to_store(output, message, 0, chat, threshold=None)
            vectors = [vector for part in found for vector in part.vectors]
            if vectors:
                self._store.replace_vectors(statement.id, vectors)


__all__ = ["ChatSession", "MemoryEvent", "Recalled", "Remembered", "Turn"]

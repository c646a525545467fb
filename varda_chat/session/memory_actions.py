"""What a person asks of a session's memory beside the talk: look, remember, forget, pin, undo, read files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory.records import MemoryEvent, NewStatement, Removed, Statement, TurnApplied, TurnChanges, Undone
from varda_chat.session.lengths import check_length
from varda_chat.session.turn import Recalled, Turn
from varda_chat.text import sanitize

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from varda_chat.memory import MemoryStore
    from varda_chat.models.chat_format import EncodedMessage
    from varda_chat.models.checkpoint import Checkpoint

NEAR_WEIGHT = 0.1
"""What the model finds for a text counts as meant by it when it gets at least this share of its reading."""


class SessionMemory:
    """The part of ChatSession that is about its memory, and not about a turn."""

    checkpoint: Checkpoint
    incognito: bool
    _store: MemoryStore
    _open_to_write: Callable[[], MemoryStore] | None

    @property
    def memory_store(self) -> MemoryStore:
        """The store itself, for who only reads in it."""
        return self._store

    @property
    def read_only(self) -> bool:
        """Whether the memory was opened without being able to write it."""
        return self._store.read_only

    @property
    def memory_size(self) -> int:
        """Vectors in memory."""
        return self._store.size

    @property
    def memory_count(self) -> int:
        """Memories, as a person counts them: statements."""
        return self._store.statement_count

    @property
    def memory_capacity(self) -> int:
        """The most vectors that the memory holds."""
        return self._store.capacity

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first."""
        return self._store.recent(limit)

    def statement(self, statement_id: int) -> Statement:
        """One statement of the memory; raises VardaError where there is none of that id."""
        return self._store.statement(statement_id)

    def statements(self) -> tuple[Statement, ...]:
        """All statements of the memory, the newest first."""
        return self._store.statements()

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted and can still be brought back, the last first."""
        return self._store.removed()

    def means(self, statement_ids: Iterable[int]) -> tuple[Any, Any]:
        """Those of ``statement_ids`` that the model can find, ascending (n,), and the means of their vectors (n, dim),
        both numpy."""
        return self._store.means(statement_ids)

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """The tokens that a statement's vectors were taken at."""
        return self._store.tokens(statement_id)

    def look_up(self, statement_id: int) -> tuple[Statement | None, Removed | None]:
        """A statement, or else what was deleted under that id and can be brought back; (None, None) for neither."""
        try:
            return self._store.statement(statement_id), None
        except VardaError:
            return None, next((each for each in self._store.removed() if each.id == statement_id), None)

    def search(self, text: str, limit: int = 10) -> tuple[Recalled, ...]:
        """What the memory has on ``text``, read as a message of the user, the best match first; changes nothing.

        ``weight``: the largest share of what any token of the message, or the reply about to begin, reads.
        """
        import torch

        from varda_chat.session.remembering import matches

        if not self.memory_size:
            return ()
        message = self._shortened(self.checkpoint.chat.encode("user", sanitize(text).strip()))
        with torch.inference_mode():
            found = matches(self.checkpoint.model, self.checkpoint.chat, message, self._store, self._statements, limit)
        best = sorted(found.items(), key=lambda item: -item[1])[:limit]
        return tuple(Recalled(id_, self._store.statement(id_).text, weight) for id_, weight in best)

    def not_used(self, turn: Turn, limit: int = 8) -> tuple[Recalled, ...]:
        """What the model finds for the message of ``turn`` in the memory as it is now, as ``search`` does, and neither
        recalled for the answer nor stored in that turn; of the best ``limit``."""
        used = turn.mentions | {id_ for each in turn.sources for id_, _ in each.shares}
        return tuple(each for each in self.search(turn.prompt, limit) if each.id not in used)

    def candidates(self, text: str, limit: int = 12) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The statements that a person may mean by ``text``: those that hold it word for word, the newest first, and
        others that the model finds for it. Without a text: the newest, and none."""
        wanted = sanitize(text).strip()
        if not wanted:
            return self._store.statements(limit), ()
        exact = [each for each in self._store.statements() if wanted.casefold() in each.text.casefold()]
        known = {each.id for each in exact}
        found = self.search(wanted, limit)
        near = [self._store.statement(each.id) for each in found if each.id not in known and each.weight >= NEAR_WEIGHT]
        return tuple(exact[:limit]), tuple(near[: max(0, limit - len(exact))])

    def learn(self, role: str, text: str, *, at: float | None = None, memory: bool = False) -> TurnApplied:
        """Read ``text``, outside of the conversation, and store durably what the model finds worth it.

        at: unix seconds of when it was said; None for now. memory: it is a memory of another program, so every sentence
        is stored.
        """
        return self._take_in(role, text, all_of_it=memory, at=at)

    def would_learn(self, role: str, text: str, *, memory: bool = False) -> tuple[NewStatement, ...]:
        """What ``learn`` would store, whether it is known already or not; changes nothing."""
        import torch

        message = self.checkpoint.chat.encode(role, sanitize(text).strip())
        cut = len(message.ids) - message.header - message.footer
        with torch.inference_mode():
            return tuple(self._read_beginning(message, cut, None, all_of_it=memory))

    def remember(self, text: str) -> TurnApplied:
        """Store every sentence of ``text`` durably, as told by the user, whatever the model thinks it is worth.

        Raises VardaError for an empty or too long text, and while incognito.
        """
        if not sanitize(text).strip():
            raise VardaError("There is nothing to remember: the text is empty.")
        check_length(text)
        self.check_writable("Nothing was stored")
        return self._take_in("user", text, all_of_it=True)

    def forget(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Delete statements, pinned ones too; ``undo`` brings them back. Raises VardaError while incognito."""
        self.check_writable("Nothing was forgotten")
        forgotten = self._store.forget(statement_ids)
        self._leave_window(each.id for each in forgotten)
        return forgotten

    def purge(self, statement_ids: Iterable[int]) -> tuple[str, ...]:
        """Take statements, also deleted ones, out of every file of the profile, for good, and with them whatever else
        holds their words; returns these words. Raises VardaError, which names what could not be cleaned (the next start
        finishes that), and while incognito."""
        from varda_chat.session.purging import purge

        self.check_writable("Nothing was purged")
        ids = frozenset(statement_ids)
        gone, words = purge(self._store, ids, ())
        self._leave_window(ids | {each.id for each in gone})
        return words.texts

    def bring_back(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Put deleted statements back. Raises VardaError while incognito."""
        self.check_writable("Nothing was brought back")
        return self._store.bring_back(statement_ids)

    def pin(self, statement_id: int, pinned: bool = True) -> Statement:
        """Keep a statement from being dropped (or, False, no longer). Raises VardaError while incognito."""
        self.check_writable("The pin was not set")
        self._store.pin(statement_id, pinned)
        return self._store.statement(statement_id)

    def pin_all(self, statement_ids: Iterable[int], pinned: bool = True) -> int:
        """``pin`` for many at once; returns how many of them there are."""
        self.check_writable("The pins were not set")
        return self._store.pin_all(statement_ids, pinned)

    def edit(self, statement_id: int, text: str) -> Statement:
        """Give a statement other words, which the model reads at once (cut off, the next start does). Raises VardaError
        for an empty text, where there is no such statement, and while incognito."""
        import torch

        clean = sanitize(text).strip()
        if not clean:
            raise VardaError("The new text is empty.")
        check_length(clean)
        self.check_writable("Nothing was changed")
        waiting = self._store.edit(statement_id, clean)
        with torch.inference_mode():
            self._read_statement(waiting)
        return self._store.statement(statement_id)

    def export(self, path: Path, statement_ids: Iterable[int]) -> int:
        """Write these statements to ``path``, as ``varda-chat memory export`` does; returns how many there were. Raises
        OSError."""
        from varda_chat.memory.export import format_of, write_export

        return write_export(path, self._store.exported(statement_ids), vectors=True, kind=format_of(path))

    def exported_lines(self, statement_ids: Iterable[int]) -> Iterator[bytes]:
        """The lines of such a file."""
        from varda_chat.memory.export import lines_of

        return lines_of(self._store.exported(statement_ids), vectors=True)

    def undo(self) -> Undone:
        """Take back the last stores and deletes. Raises VardaError while incognito."""
        self.check_writable("Nothing was undone")
        return self._store.undo_last()

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        return self._store.passages_learned(digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        self._store.set_passages_learned(digest, passages)

    # within

    def _take_back(self, turn: Turn) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Undo what ``turn`` stored and deleted, as far as it is still so; returns the ids of what was removed and of
        what was brought back."""
        if self.incognito or self._store.read_only or not (turn.stored or turn.deleted):
            return (), ()
        removed = self._store.forget(each.id for each in turn.stored)
        restored = self._store.bring_back(each.id for each in turn.deleted)
        return tuple(each.id for each in removed), tuple(each.id for each in restored)

    def _put_back(self, taken: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        """Take back a ``_take_back``."""
        removed, restored = taken
        if removed:
            self._store.bring_back(removed)
        if restored:
            self._store.forget(restored)

    def check_writable(self, what: str) -> None:
        """Raise VardaError, which begins with ``what`` ("Nothing was forgotten"), where the memory may not change."""
        if self.incognito:
            raise VardaError(f"{what}: this session is incognito.")
        if self._store.read_only:
            raise StorageError(f"{what}: this memory is open read-only.")

    def _take_in(self, role: str, text: str, *, all_of_it: bool, at: float | None = None) -> TurnApplied:
        stores = self.would_learn(role, text, memory=all_of_it)
        return self._store.apply(TurnChanges(stores=stores), session=self._name, said_at=at)

    def _leave_copy(self) -> None:
        """Switch to the memory itself in place of its copy in RAM. Raises as ``MemoryStore.open`` does, VardaError
        where that may not be; nothing has changed then."""
        if self._open_to_write is None:
            raise VardaError("This memory was opened read-only: nothing can be stored in it.")
        store = self._open_to_write()
        copy, self._store = self._store, store
        try:
            self._read_again(lambda what, share: None)
        except BaseException:
            self._store = copy
            store.close()
            raise
        store.notices[:0] = copy.notices
        copy.close()

    def _read_again(self, report: Callable[[str, float], None]) -> None:
        """Read the source texts of statements that another model stored through this one, which then knows them too."""
        import torch

        foreign = self._store.foreign_statements()
        what = f"reading {len(foreign):,} {'memory' if len(foreign) == 1 else 'memories'} of another model"
        for number, statement in enumerate(foreign):
            report(what, 0.85 + 0.15 * number / len(foreign))
            with torch.inference_mode():
                self._read_statement(statement)

    def _read_statement(self, statement: Statement) -> None:
        """Read the source text of a statement, and store vectors of this model for it."""
        from varda_chat.session.remembering import read_messages, statements_to_store

        chat, model = self.checkpoint.chat, self.checkpoint.model
        message = self._shortened(chat.encode(statement.role, statement.text))
        output = read_messages(model, [message], opening=chat.opening)
        found = statements_to_store(output, message, 0, chat, model.config.store_threshold)
        # it was found worth storing once: keep at least what this model finds the most so
        found = found or statements_to_store(output, message, 0, chat, threshold=None)
        vectors = [vector for part in found for vector in part.vectors]
        if vectors:
            self._store.replace_vectors(statement.id, vectors)

    @property
    def _name(self) -> str:
        raise NotImplementedError

    def _leave_window(self, statement_ids: Iterable[int]) -> None:
        raise NotImplementedError

    def _shortened(self, message: EncodedMessage) -> EncodedMessage:
        raise NotImplementedError

    def _room(self) -> int:
        raise NotImplementedError

    def _read_beginning(
        self, message: EncodedMessage, cut: int, stop: threading.Event | None, *, all_of_it: bool = False
    ) -> list[NewStatement]:
        """What is worth storing of the first ``cut`` tokens of a message, read in pieces of the window's size (until
        ``stop`` is set); ``all_of_it``: of every sentence at least the token the likeliest to be stored."""
        from varda_chat.session.remembering import read_messages, statements_to_store

        chat, model = self.checkpoint.chat, self.checkpoint.model
        size = self._room() - 1
        found: list[NewStatement] = []
        first = message.header
        for start in range(first, cut + first, size):
            if stop is not None and stop.is_set():
                break
            piece = message.part(start, min(start + size, cut + first))
            output = read_messages(model, [piece], opening=chat.opening)
            found += statements_to_store(output, piece, 0, chat, model.config.store_threshold, all_of_it=all_of_it)
        return found

    def _statements(self, ids: Any) -> Any:
        """The statements (numpy) that vectors' ids (a tensor of the same shape) belong to."""
        return self._store.statement_ids(ids.cpu().numpy())


__all__ = ["SessionMemory"]

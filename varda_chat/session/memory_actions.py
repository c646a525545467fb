"""What a person asks of a session's memory beside the talk: look, remember, forget, pin, undo, read files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from varda_chat.errors import VardaError
from varda_chat.memory.records import (
    MemoryEvent,
    NewStatement,
    Removed,
    Statement,
    TurnApplied,
    TurnChanges,
    Undone,
    normal_form,
)
from varda_chat.session.lengths import check_length
from varda_chat.session.turn import Recalled, Turn
from varda_chat.text import sanitize

if TYPE_CHECKING:
    from pathlib import Path

    from varda_chat.memory import MemoryStore
    from varda_chat.session.context import ContextWindow
    from varda_chat.session.reading import TextReader
    from varda_chat.session.state import SessionState

NEAR_WEIGHT = 0.1
"""What the model finds for a text counts as meant by it when it gets at least this share of its reading."""


class SessionMemory:
    """A session's memory, outside of its turns. What changes it is on disk when the method returns."""

    def __init__(self, state: SessionState, context: ContextWindow, reader: TextReader) -> None:
        self._state = state
        self._context = context
        self._reader = reader

    @property
    def store(self) -> MemoryStore:
        """The store itself, for who only reads in it."""
        return self._state.store

    @property
    def read_only(self) -> bool:
        """Whether the memory was opened without being able to write it."""
        return self.store.read_only

    @property
    def size(self) -> int:
        """Vectors in memory."""
        return self.store.size

    @property
    def count(self) -> int:
        """Memories, as a person counts them: statements."""
        return self.store.reader.statement_count

    @property
    def capacity(self) -> int:
        """The most vectors that the memory holds."""
        return self.store.capacity

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first."""
        return self.store.reader.recent(limit)

    def statement(self, statement_id: int) -> Statement:
        """One statement of the memory; raises VardaError where there is none of that id."""
        return self.store.statement(statement_id)

    def statements(self) -> tuple[Statement, ...]:
        """All statements of the memory, the newest first."""
        return self.store.statements()

    def present(self, statement_ids: Iterable[int]) -> frozenset[int]:
        """Those of ``statement_ids`` that are in memory."""
        return frozenset(each.id for each in self.store.reader.present(statement_ids))

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted and can still be brought back, the last first."""
        return self.store.removed()

    def means(self, statement_ids: Iterable[int]) -> tuple[Any, Any]:
        """Those of ``statement_ids`` that the model can find, ascending (n,), and the means of their vectors (n, dim),
        both numpy."""
        return self.store.reader.means(statement_ids)

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """The tokens that a statement's vectors were taken at."""
        return self.store.reader.tokens(statement_id)

    def look_up(self, statement_id: int) -> tuple[Statement | None, Removed | None]:
        """A statement, or else what was deleted under that id and can be brought back; (None, None) for neither."""
        try:
            return self.store.statement(statement_id), None
        except VardaError:
            return None, next((each for each in self.store.removed() if each.id == statement_id), None)

    def search(self, text: str, limit: int = 10, *, read: bool = True) -> tuple[Recalled, ...]:
        """What the memory has on ``text``, read as a message of the user, the best match first; changes nothing.
        ``read``: the first are read beside the text, where the model has a reranker.

        ``weight``: the largest share of what any token of the message, or the reply about to begin, reads.
        """
        import torch

        from varda_chat.session.remembering import matches

        if not self.size:
            return ()
        state = self._state
        words = sanitize(text).strip()
        message = state.shortened(state.chat.encode("user", words))
        with torch.inference_mode():
            found = matches(
                state.model, state.chat, message, self.store, state.statement_ids, limit,
                state.reads_beside(message) if read else None, words,
            )  # fmt: skip
        best = sorted(found.items(), key=lambda item: -item[1])[:limit]
        return tuple(Recalled(id_, self.store.statement(id_).text, weight) for id_, weight in best)

    def not_used(self, turn: Turn, limit: int = 8) -> tuple[Recalled, ...]:
        """What the model finds for the message of ``turn`` in the memory as it is now, as ``search`` does, and neither
        recalled for the answer nor stored in that turn; of the best ``limit``."""
        used = {each.id for each in (*turn.stored, *turn.recalled)}
        used |= {id_ for each in turn.sources for id_, _ in each.shares}
        return tuple(each for each in self.search(turn.prompt, limit) if each.id not in used)

    def candidates(self, text: str, limit: int = 12) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The statements that a person may mean by ``text``: all that hold it word for word, the newest first, and,
        where these are fewer than ``limit``, others that the model finds for it. Without a text: all that are pinned,
        then the newest ``limit`` of the others, and none."""
        wanted = sanitize(text).strip()
        statements = self.store.statements()
        if not wanted:
            pinned = [each for each in statements if each.pinned]
            others = [each for each in statements if not each.pinned]
            return (*pinned, *others[:limit]), ()
        exact = [each for each in statements if wanted.casefold() in each.text.casefold()]
        known = {each.id for each in exact}
        found = self.search(wanted, limit, read=False)  # words out of it, rather than a question
        near = [self.store.statement(each.id) for each in found if each.id not in known and each.weight >= NEAR_WEIGHT]
        return tuple(exact), tuple(near[: max(0, limit - len(exact))])

    def learn(
        self, role: str, text: str, *, at: float | None = None, memory: bool = False, act: int | None = None
    ) -> TurnApplied:
        """Read ``text``, outside of the conversation, and store durably what the model finds worth it.

        at: unix seconds of when it was said; None for now. memory: it is a memory of another program, so every sentence
        is stored. act: as ``MemoryStore.apply`` has it. Raises VardaError while incognito.
        """
        return self._take_in(role, text, all_of_it=memory, at=at, act=act)

    def would_learn(self, role: str, text: str, *, memory: bool = False) -> tuple[NewStatement, ...]:
        """What ``learn`` would store, whether it is known already or not; changes nothing."""
        return self._reader.stores_of(role, text, all_of_it=memory)

    def remember(self, text: str) -> TurnApplied:
        """Store every sentence of ``text`` durably, as told by the user, whatever the model thinks it is worth.

        Raises VardaError for an empty or too long text, and while incognito.
        """
        if not sanitize(text).strip():
            raise VardaError("There is nothing to remember: the text is empty.")
        check_length(text)
        return self._take_in("user", text, all_of_it=True)

    def forget(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Delete statements, pinned ones too; ``undo`` brings them back. Raises VardaError while incognito."""
        self.check_writable("Nothing was forgotten")
        forgotten = self.store.forget(statement_ids)
        self._context.leave(each.id for each in forgotten)
        return forgotten

    def would_purge(self, statement_ids: Iterable[int]) -> tuple[tuple[Statement, ...], tuple[Removed, ...]]:
        """All that ``purge`` erases: what is in memory, and what was deleted before. Changes nothing."""
        return self.store.purging.would_wipe(statement_ids)

    def purge(self, statement_ids: Iterable[int]) -> tuple[str, ...]:
        """Take statements, also deleted ones, out of every file of the profile, for good, and with them whatever else
        holds their words, also those before an edit; returns these words. Raises VardaError, which names what could not
        be cleaned (the next start finishes that), and while incognito."""
        from varda_chat.session.purging import purge

        self.check_writable("Nothing was purged")
        ids = frozenset(statement_ids)
        left = ids
        try:
            purged, words = purge(self.store, ids, ())
            left |= {each.id for each in purged}
        finally:
            self._context.leave(left)
        return words.texts

    def bring_back(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Put deleted statements back; returns what now says them, which has another id where it was told again since.
        Raises VardaError while incognito."""
        self.check_writable("Nothing was brought back")
        return self.store.bring_back(statement_ids)

    def pin(self, statement_id: int, pinned: bool = True) -> Statement:
        """Keep a statement from being dropped (or, False, no longer). Raises VardaError while incognito."""
        self.check_writable("The pin was not set")
        self.store.pin(statement_id, pinned)
        return self.store.statement(statement_id)

    def pin_all(self, statement_ids: Iterable[int], pinned: bool = True) -> int:
        """``pin`` for many at once; returns how many of them there are."""
        self.check_writable("The pins were not set")
        return self.store.pin_all(statement_ids, pinned)

    def edit(self, statement_id: int, text: str) -> Statement:
        """Give a statement other words, which the model reads at once (cut off, the next start does). Raises VardaError
        for an empty text, where there is no such statement, and while incognito."""
        clean = sanitize(text).strip()
        if not clean:
            raise VardaError("The new text is empty.")
        check_length(clean)
        self.check_writable("Nothing was changed")
        self._reader.read_statement(self.store.edit(statement_id, clean))
        return self.store.statement(statement_id)

    def export(self, path: Path, statement_ids: Iterable[int]) -> int:
        """Write these statements to ``path``, as ``varda-chat memory export`` does; returns how many there were. Raises
        OSError."""
        from varda_chat.memory.export import format_of, write_export

        return write_export(path, self.store.reader.exported(statement_ids), vectors=True, kind=format_of(path))

    def exported_lines(self, statement_ids: Iterable[int]) -> Iterator[bytes]:
        """The lines of such a file."""
        from varda_chat.memory.export import lines_of

        return lines_of(self.store.reader.exported(statement_ids), vectors=True)

    def undo(self) -> Undone:
        """Take back the last stores and deletes. Raises VardaError while incognito."""
        self.check_writable("Nothing was undone")
        return self.store.undo_last()

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        return self.store.importing.passages_learned(digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        self.store.importing.set_passages_learned(digest, passages)

    def check_writable(self, what: str) -> None:
        """As ``SessionState.check_writable``."""
        self._state.check_writable(what)

    # for a turn that is answered again

    def take_back(self, turn: Turn) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Undo what ``turn`` stored and deleted, as far as it is still so: what has been pinned or edited since stays,
        and what has its id in a memory that was reset. Returns the ids of what was removed and of what was brought
        back and not told again before. Raises StorageError; the memory is then as before."""
        if not self._state.may_write or not (turn.stored or turn.deleted):
            return (), ()
        said = {each.id: normal_form(each.text) for each in (*turn.stored, *turn.deleted)}
        stored = self.store.reader.present(each.id for each in turn.stored)
        going = [each.id for each in stored if not each.pinned and normal_form(each.text) == said[each.id]]
        deleted = {each.id for each in turn.deleted}
        coming = [each.id for each in self.removed() if each.id in deleted and normal_form(each.text) == said[each.id]]
        removed = tuple(each.id for each in self.store.forget(going))
        try:
            back = self.store.bring_back(coming)
            return removed, tuple(each.id for each in back if each.id in coming)
        except VardaError:
            self.put_back((removed, ()))
            raise

    def put_back(self, taken: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
        """Take back a ``take_back``."""
        removed, restored = taken
        if restored:  # first: what comes back is merged into what says the same
            self.store.forget(restored)
        if removed:
            self.store.bring_back(removed)

    def _take_in(
        self, role: str, text: str, *, all_of_it: bool, at: float | None = None, act: int | None = None
    ) -> TurnApplied:
        self.check_writable("Nothing was stored")
        stores = self.would_learn(role, text, memory=all_of_it)
        return self.store.apply(TurnChanges(stores=stores), session=self._state.name, said_at=at, act=act)

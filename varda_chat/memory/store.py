"""MemoryStore: one profile's memory. What ``apply`` has returned is on disk, and the index agrees with it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from varda_chat.errors import VardaError
from varda_chat.memory import queries, undo
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.export import Importing
from varda_chat.memory.index.arrays import Ids, share_of
from varda_chat.memory.indexing import Indexing
from varda_chat.memory.opening import open_for_reading, open_for_writing
from varda_chat.memory.purge import Purging
from varda_chat.memory.reading import MemoryReader
from varda_chat.memory.records import (
    Removed,
    SearchResults,
    Statement,
    TurnApplied,
    TurnChanges,
    Undone,
    check_text,
    checked,
)
from varda_chat.memory.schema import MemorySettings, Wanted, bump_generation, settle
from varda_chat.memory.turn import apply_turn
from varda_chat.storage.sqlite import disk_errors, transaction


class MemoryStore:
    """A memory that is open: ``MemoryStore.open`` or ``open_records``. Any thread may call any method.

    Methods raise VardaError for arguments they cannot accept and after ``close``, StorageError where the disk
    refuses a write or the store is read-only; either way memory and disk are as before the call.

    reader: looks at it; what models and sessions ask most often is handed on here. importing: adds what comes from
    other memories and from files. indexing: changes how it is searched. purging: takes statements out of every file.
    capacity: the most vectors that it holds after a store. notices: one line each for the user, on how the memory was
    opened or closed.
    """

    def __init__(self, core: OpenMemory, settings: MemorySettings) -> None:
        """Not for callers: ``open`` them."""
        self.core = core
        self.directory = core.directory
        self.read_only = core.read_only
        self.notices = core.notices
        self.reader = MemoryReader(core)
        self.importing = Importing(core)
        self.indexing = Indexing(core)
        self.purging = Purging(core)
        self.capacity = settings.size
        self.forgetfulness_factor = settings.forgetfulness

    @classmethod
    def open(
        cls,
        directory: str | Path,
        *,
        embedding_dim: int,
        fingerprint: str,
        memory_size: int | None = None,
        read_only: bool = False,
        forgetfulness_factor: float | None = None,
        begin_with: MemorySettings | None = None,
        vocabulary: int | None = None,
        wait: float = 0.0,
    ) -> MemoryStore:
        """Open the memory in ``directory``, creating it where there is none.

        Args:
            directory: the profile's directory; it and its files are made private (0700, 0600).
            embedding_dim: floats a vector.
            fingerprint: of the model; only its vectors are searched, others are ``reader.foreign_statements``.
            memory_size: capacity in vectors from now on (None: its own). More may be there; the next store makes room.
            read_only: work on a copy in RAM of the memory as it is now. Takes no lock and writes nothing.
            forgetfulness_factor: share (0..1) of the unpinned statements that ``close`` forgets, at random (None: its
                own).
            begin_with: what a new memory's own settings are.
            vocabulary: how many tokens the model knows; statements with others are foreign too.
            wait: seconds to wait for another process that is writing it.

        Raises MemoryLockedError where another process is writing it, StorageError where the disk does not
        allow it, VardaError where a newer varda-chat wrote it. A damaged database raises nothing: see
        ``notices``.
        """
        from varda_chat.memory.index.registry import check_index_type  # FAISS loads here

        if embedding_dim < 1 or not fingerprint:
            raise VardaError("A memory needs a dimension of at least 1, and a model's fingerprint.")
        new = begin_with or MemorySettings()
        check_index_type(new.index_type)
        wanted = Wanted(memory_size, forgetfulness_factor)
        store = cls._from(Path(directory), read_only, new, wanted, (embedding_dim, fingerprint), wait)
        try:
            store.core.keep_to(vocabulary)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open_records(
        cls,
        directory: str | Path,
        *,
        read_only: bool = False,
        begin_with: MemorySettings | None = None,
        wait: float = 0.0,
    ) -> MemoryStore:
        """Open the memory without a model or FAISS, to list, show, pin and forget; raises as ``open``. ``close`` then
        forgets nothing."""
        return cls._from(Path(directory), read_only, begin_with, Wanted(forgetfulness=0.0), None, wait)

    @classmethod
    def _from(
        cls,
        directory: Path,
        read_only: bool,
        new: MemorySettings | None,
        wanted: Wanted,
        model: tuple[int, str] | None,
        wait: float,
    ) -> MemoryStore:
        with disk_errors(f"The memory in {directory} cannot be opened"):
            opened = open_for_reading(directory) if read_only else open_for_writing(directory, wait)
            try:
                settings = settle(opened.db, new, wanted)
                return cls(OpenMemory(opened, model), settings)
            except BaseException:
                opened.close()
                raise

    # Looking: as the reader's

    @property
    def size(self) -> int:
        """As ``MemoryReader.size``."""
        return self.reader.size

    def search(self, query: Any, k: int) -> SearchResults:
        """As ``MemoryReader.search``."""
        return self.reader.search(query, k)

    def search_words(self, text: str, k: int) -> SearchResults:
        """As ``MemoryReader.search_words``."""
        return self.reader.search_words(text, k)

    def successors(self, ids: Any) -> tuple[Any, Any]:
        """As ``MemoryReader.successors``."""
        return self.reader.successors(ids)

    def vectors_of(self, ids: Any) -> tuple[Any, None]:
        """As ``MemoryReader.vectors_of``."""
        return self.reader.vectors_of(ids)

    def statement_ids(self, ids: Any) -> Ids:
        """As ``MemoryReader.statement_ids``."""
        return self.reader.statement_ids(ids)

    def statement(self, statement_id: int) -> Statement:
        """As ``MemoryReader.statement``."""
        return self.reader.statement(statement_id)

    def statements(self, limit: int | None = None, newest_first: bool = True) -> tuple[Statement, ...]:
        """As ``MemoryReader.statements``."""
        return self.reader.statements(limit, newest_first)

    def antecedents(self, statement_id: int) -> tuple[Statement, ...]:
        """As ``MemoryReader.antecedents``."""
        return self.reader.antecedents(statement_id)

    def texts(self, statement_ids: Sequence[int]) -> list[str]:
        """As ``MemoryReader.texts``."""
        return self.reader.texts(statement_ids)

    def removed(self) -> tuple[Removed, ...]:
        """As ``MemoryReader.removed``."""
        return self.reader.removed()

    # Turns

    def apply(
        self, changes: TurnChanges, *, session: str, said_at: float | None = None, act: int | None = None
    ) -> TurnApplied:
        """Make all of a turn's changes, durably, or none of them.

        said_at: unix seconds of when it was said; None for now. act: that of the changes made last, to be undone
        together with them; None for a new one.

        Pinned statements are not deleted unless a person agreed, and ids that are not there are passed
        over. A memory that would hold more than ``capacity`` vectors drops the statements least worth keeping
        (``retention.least_worth``), never pinned ones. New statements that do not fit beside what is pinned
        are refused, the weakest first. A statement that is there already is not stored twice but refreshed
        (``sameness``). All of it is of one act, which ``undo_last`` takes back.
        """
        dim = self.core.index().memory.embedding_dim
        new = replace(changes, stores=tuple(checked(statement, dim) for statement in changes.stores))
        with self.core.changing("The turn was not stored"):
            applied = apply_turn(
                self.core.db, self.core.index(), self.capacity, new, session=session, said_at=said_at, act=act
            )
            self.core.write_now_and_then()
            return applied

    def forget(self, statement_ids: Iterable[int], *, purge: bool = False) -> tuple[Statement, ...]:
        """Delete statements, pinned ones too, and return them; ids that are not there are passed over.

        They can be brought back for a while. With ``purge`` they cannot: what they say leaves every file of the
        memory, the backups and set-aside databases too; ``statement_ids`` may then also be of statements deleted
        before. A purge that stops half-way stays among ``purging.begun``.
        """
        if purge:
            begun = self.purging.begin(statement_ids)
            forgotten = self.purging.wipe(begun)
            self.purging.end(begun)
            return forgotten
        with self.core.changing("Nothing was forgotten"):
            forgotten = queries.statements_of(self.core.db, statement_ids)
            if forgotten:
                self.core.delete(forgotten)
            return forgotten

    def undo_last(self) -> Undone:
        """Take back one part of the last act: bring back what it deleted or, where that is done, remove what it
        stored.

        Called again, it takes back the other part, then the act before. Acts older than ``tombstones`` keeps are past
        undoing. May pass ``capacity``: the next ``apply`` makes room.
        """
        with self.core.changing("Nothing was undone"):
            with transaction(self.core.db):
                act = undo.last_act(self.core.db)
                if act is None:
                    return Undone()
                done = undo.undo(self.core.db, act, time.time())
                bump_generation(self.core.db)
            self.core.follow(done.restored, done.removed)
            return done

    def bring_back(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Put deleted statements (of ``removed``) back into memory, and return them. One that was told again since is
        merged into what says the same, which is returned in its place."""
        with self.core.changing("Nothing was brought back"):
            with transaction(self.core.db):
                restored = undo.bring_back(self.core.db, statement_ids, time.time())
                bump_generation(self.core.db)
            self.core.follow(restored, ())
            return restored

    def edit(self, statement_id: int, text: str) -> Statement:
        """Give a statement other words. It then waits among ``reader.foreign_statements`` to be read again."""
        check_text(text)
        with self.core.changing("The memory was not changed"):
            with transaction(self.core.db):
                statement = queries.statement(self.core.db, int(statement_id))
                if statement is None:
                    raise VardaError(f"There is no memory with the id {statement_id}.")
                queries.set_text(self.core.db, statement, text, time.time())
                bump_generation(self.core.db)
            self.core.follow((), (statement,))
            return replace(statement, text=text, vector_count=0)

    def forget_randomly(self, share: float, seed: int | None = None) -> tuple[Statement, ...]:
        """Delete a random ``share`` (0..1) of the unpinned statements and return them.

        A part of a statement counts as its chance of going, so the share holds on average for small memories
        too.
        """
        if not 0.0 <= share <= 1.0:
            raise VardaError(f"The share to forget is {share}; it goes from 0 to 1.")
        with self.core.changing("Nothing was forgotten"):
            free = [each for each in queries.statements(self.core.db, None, newest_first=False) if not each.pinned]
            forgotten = tuple(free[place] for place in share_of(len(free), share, np.random.default_rng(seed)))
            if forgotten:
                self.core.delete(forgotten)
            return forgotten

    def pin(self, statement_id: int, pinned: bool = True) -> None:
        """Keep a statement from being deleted by a turn or by a full memory (or, False, no longer)."""
        if not self.pin_all([statement_id], pinned):
            raise VardaError(f"There is no memory with the id {statement_id}.")

    def pin_all(self, statement_ids: Iterable[int], pinned: bool = True) -> int:
        """``pin`` for many at once; returns how many of them there are."""
        with self.core.changing("The pin was not set"), transaction(self.core.db):
            return queries.set_pinned(self.core.db, statement_ids, pinned)

    # Ending

    def close(self) -> None:
        """Forget ``forgetfulness_factor``, write the index and let go of the memory. May be called again. Raises
        nothing: see ``notices``."""
        if self.forgetfulness_factor and self.core.is_open and not self.read_only:
            try:
                self.forget_randomly(self.forgetfulness_factor)
            except VardaError as error:
                self.notices.append(str(error))
        self.core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

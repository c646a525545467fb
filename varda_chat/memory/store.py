"""MemoryStore: one profile's memory. What ``apply`` has returned is on disk, and the index agrees with it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import StorageError, VardaError
from varda_chat.memory import rows, tombstones
from varda_chat.memory.arrays import is_tensor, same_kind
from varda_chat.memory.checks import check_text, checked, checked_vector
from varda_chat.memory.database import connect_reader, disk_errors, transaction
from varda_chat.memory.files import DATABASE, INDEX
from varda_chat.memory.mirror import IndexMirror
from varda_chat.memory.opening import Opened, open_for_reading, open_for_writing
from varda_chat.memory.purge import wipe_backups, wipe_rows, wipe_set_aside
from varda_chat.memory.records import (
    Imported,
    MemoryEvent,
    NewStatement,
    NewVector,
    Record,
    Removed,
    SearchResults,
    Statement,
    TurnApplied,
    TurnChanges,
    Undone,
)
from varda_chat.memory.retention import share_of
from varda_chat.memory.room import make_room
from varda_chat.memory.sameness import statement_key
from varda_chat.memory.schema import bump_generation

if TYPE_CHECKING:
    from typing import Self

Ids = npt.NDArray[np.int64]


class MemoryStore:
    """A memory that is open: ``MemoryStore.open`` or ``open_records``. Any thread may call any method.

    Methods raise VardaError for arguments they cannot accept and after ``close``, StorageError where the disk
    refuses a write or the store is read-only; either way memory and disk are as before the call.

    notices: one line each for the user, on how the memory was opened or closed.
    """

    def __init__(self, opened: Opened, capacity: int, model: tuple[int, str] | None) -> None:
        """Not for callers. ``model``: embedding_dim and fingerprint, None to go without the index."""
        self.folder = opened.folder
        self.capacity = capacity
        self.read_only = opened.lock is None
        self.notices = opened.notices
        self._db = opened.db
        self._opened = opened
        self._lock = threading.RLock()
        self._open = True
        self._mirror: IndexMirror | None = None
        if model is not None:
            self._mirror, notices = IndexMirror.load(
                self._db, self.folder / INDEX, embedding_dim=model[0], fingerprint=model[1]
            )
            self.notices += notices

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        embedding_dim: int,
        fingerprint: str,
        memory_size: int = 10_000,
        read_only: bool = False,
    ) -> MemoryStore:
        """Open the memory in ``folder``, creating it where there is none.

        Args:
            folder: the profile's folder; it and its files are made private (0700, 0600).
            embedding_dim: floats a vector.
            fingerprint: of the model; only its vectors are searched, others are ``foreign_statements``.
            memory_size: capacity in vectors. More may be there already; the next store makes room.
            read_only: work on a copy in RAM of the memory as it is now. Takes no lock and writes nothing.

        Raises MemoryLockedError where another process is writing it, StorageError where the disk does not
        allow it, VardaError where a newer varda-chat wrote it. A damaged database raises nothing: see
        ``notices``.
        """
        if embedding_dim < 1 or memory_size < 1 or not fingerprint:
            raise VardaError("A memory needs a dimension and a size of at least 1, and a model's fingerprint.")
        return cls._from(Path(folder), read_only, memory_size, (embedding_dim, fingerprint))

    @classmethod
    def open_records(cls, folder: str | Path, *, read_only: bool = False) -> MemoryStore:
        """Open the memory without a model or FAISS, to list, show, pin and forget; raises as ``open``."""
        return cls._from(Path(folder), read_only, 0, None)

    @classmethod
    def _from(cls, folder: Path, read_only: bool, capacity: int, model: tuple[int, str] | None) -> MemoryStore:
        with disk_errors(f"The memory in {folder} cannot be opened"):
            opened = open_for_reading(folder) if read_only else open_for_writing(folder)
            try:
                return cls(opened, capacity, model)
            except BaseException:
                opened.close()
                raise

    # Searching

    def search(self, query: Any, k: int) -> SearchResults:
        """The ``k`` nearest vectors of each query (..., dim), numpy or torch, with their tokens; see SearchResults."""
        with self._reading():
            index = self._index()
            found = index.memory.search(query, k)
            ids = found.ids.cpu().numpy() if is_tensor(found.ids) else found.ids
            return replace(found, token_ids=same_kind(index.token_ids(ids), query))

    def successors(self, ids: Any) -> tuple[Any, Any]:
        """The vectors stored next in the statements of ``ids`` (numpy or torch, of any shape), and the tokens they were
        taken at, in kind; -1 where there is none."""
        with self._reading():
            index = self._index()
            after = index.successors(ids.cpu().numpy() if is_tensor(ids) else ids)
            return same_kind(after, ids), same_kind(index.token_ids(after), ids)

    def vectors_of(self, ids: Any) -> tuple[Any, None]:
        """The vectors of ``ids`` (numpy or torch, any shape), as float32 of that shape and (dim,), 0 for -1. The None
        is for memories that hold vectors with some probability."""
        with self._reading():
            memory = self._index().memory
            wanted = ids.cpu().numpy() if is_tensor(ids) else np.asarray(ids)
            vectors = np.zeros((*wanted.shape, memory.embedding_dim), dtype=np.float32)
            there = wanted >= 0
            if there.any():
                vectors[there] = memory.vectors_of(wanted[there])
            return same_kind(vectors, ids), None

    def token_ids(self, ids: Any) -> Ids:
        """The token each vector was taken at, in the shape of ``ids``; -1 where that is -1 or unknown."""
        with self._reading():
            return self._index().token_ids(ids)

    def statement_ids(self, ids: Any) -> Ids:
        """The statement of each vector, in the shape of ``ids``; -1 where that is -1 or unknown."""
        with self._reading():
            return self._index().statement_ids(ids)

    # Looking

    @property
    def size(self) -> int:
        """Vectors that can be searched (without a model: all vectors). Also once closed."""
        if self._mirror is not None:
            return len(self._mirror)
        with self._reading():
            return int(self._db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    def get(self, vector_id: int) -> Record:
        """The record of a vector; raises VardaError where there is none of that id."""
        with self._reading():
            record = rows.record(self._db, int(vector_id))
        if record is None:
            raise VardaError(f"There is no vector {vector_id} in this memory.")
        return record

    def statement(self, statement_id: int) -> Statement:
        """One statement; raises VardaError where there is none of that id."""
        with self._reading():
            statement = rows.statement(self._db, int(statement_id))
        if statement is None:
            raise VardaError(f"There is no statement {statement_id} in this memory.")
        return statement

    def statements(self, limit: int | None = None, newest_first: bool = True) -> tuple[Statement, ...]:
        """All statements, or the first ``limit`` of them in that order."""
        with self._reading():
            return rows.statements(self._db, limit, newest_first)

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """The tokens that the vectors of a statement were taken at."""
        with self._reading():
            return rows.tokens(self._db, int(statement_id))

    def fingerprints(self) -> dict[str, int]:
        """How many statements each model's vectors belong to; those under '' wait to be read."""
        with self._reading():
            return rows.fingerprints(self._db)

    def exported(self) -> Iterator[Imported]:
        """All statements, the oldest first, with all that another memory can take in."""
        with self._reading():
            yield from rows.exported(self._db)

    def foreign_statements(self) -> tuple[Statement, ...]:
        """Statements without vectors of this model, the oldest first: ``replace_vectors`` is for them."""
        with self._reading():
            return rows.foreign_statements(self._db, self._index().fingerprint)

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first. Does not wait for a search or store under way."""
        self._check_open()
        with disk_errors("The recent events cannot be read"):
            if not self.read_only:
                with closing(connect_reader(self.folder / DATABASE, in_use=True)) as db:
                    return rows.events(db, limit)
            with self._reading():
                return rows.events(self._db, limit)

    # Changing

    def apply(self, changes: TurnChanges, *, session: str) -> TurnApplied:
        """Make all of a turn's changes, durably, or none of them.

        Pinned statements are not deleted, and ids that are not there are passed over. A memory that would
        hold more than ``capacity`` vectors drops the statements least worth keeping
        (``retention.least_worth``), never pinned ones. New statements that do not fit beside what is pinned
        are refused, the weakest first. A statement that is there already is not stored twice but refreshed
        (``sameness``). All of it is one act, which ``undo_last`` takes back.
        """
        dim = self._index().memory.embedding_dim
        new = [checked(statement, dim) for statement in changes.stores]
        now = time.time()
        with self._changing("The turn was not stored"):
            index = self._index()
            reread: list[tuple[int, list[int], NewStatement]] = []
            with transaction(self._db):
                act = tombstones.next_act(self._db)
                asked = rows.statements_of(self._db, changes.delete_statements)
                deleted = [statement for statement in asked if not statement.pinned]
                tombstones.remove(self._db, deleted, now, act)
                rows.mark_recalled(self._db, changes.recalled, now)
                fresh, again = self._told_again(new, {statement.id for statement in deleted})
                for statement_id, told in again:
                    rows.refresh(self._db, statement_id, rows.strength(told.vectors), now)
                    if told.vectors and not rows.has_vectors(self._db, statement_id, index.fingerprint):
                        ids = rows.replace_vectors(self._db, statement_id, told.vectors, index.fingerprint)
                        reread.append((statement_id, ids, told))
                fitting, dropped = make_room(
                    self._db, index, self.capacity, fresh, [statement.id for statement in deleted], now
                )
                tombstones.remove(self._db, dropped, now, act)
                deleted += dropped
                stored = [
                    rows.insert_statement(
                        self._db, fresh[place], session=session, fingerprint=index.fingerprint, now=now, act=act
                    )
                    for place in fitting
                ]
                refreshed = rows.statements_of(self._db, [statement_id for statement_id, _ in again])
                if stored or deleted or reread:
                    bump_generation(self._db)
            for statement_id, ids, told in reread:
                index.add_statement(statement_id, ids, told.vectors)
            index.remove_statements([statement.id for statement in deleted])
            for place, (statement, ids) in zip(fitting, stored, strict=True):
                index.add_statement(statement.id, ids, fresh[place].vectors)
            self._write_now_and_then()
            return TurnApplied(
                stored=tuple(statement for statement, _ in stored),
                deleted=tuple(deleted),
                size=len(index),
                refused=tuple(fresh[place] for place in range(len(fresh)) if place not in fitting),
                refreshed=refreshed,
            )

    def forget(self, statement_ids: Iterable[int], *, purge: bool = False) -> tuple[Statement, ...]:
        """Delete statements, pinned ones too, and return them; ids that are not there are passed over.

        They can be brought back for a while. With ``purge`` they cannot: what they say leaves every file of the
        folder that is ours, the backups and set-aside databases too; ``statement_ids`` may then also be of
        statements deleted before.
        """
        with self._changing("Nothing was forgotten"):
            ids = [int(id_) for id_ in statement_ids]
            gone = rows.statements_of(self._db, ids)
            if gone:
                self._delete(gone)
            if purge:
                with transaction(self._db):
                    texts = wipe_rows(self._db, ids)
                self._wipe_traces()
                wipe_set_aside(self.folder)
                wipe_backups(self.folder, texts)
            return gone

    def undo_last(self) -> Undone:
        """Take back the last act: bring back what it deleted, take out what it stored.

        Called again, it takes back the act before. Acts older than ``tombstones`` keeps are past undoing. May
        pass ``capacity``: the next ``apply`` makes room.
        """
        with self._changing("Nothing was undone"):
            with transaction(self._db):
                act = tombstones.last_act(self._db)
                if act is None:
                    return Undone()
                restored, removed = tombstones.undo(self._db, act, time.time())
                bump_generation(self._db)
            self._follow(restored, removed)
            return Undone(restored, removed)

    def bring_back(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Put deleted statements (of ``removed``) back into memory, and return them."""
        with self._changing("Nothing was brought back"):
            with transaction(self._db):
                restored = tombstones.bring_back(self._db, statement_ids, time.time())
                bump_generation(self._db)
            self._follow(restored, ())
            return restored

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted and can still be brought back, the last first."""
        with self._reading():
            return tombstones.removed(self._db)

    def edit(self, statement_id: int, text: str) -> Statement:
        """Give a statement other words. It then waits among ``foreign_statements`` to be read again."""
        check_text(text)
        with self._changing("The statement was not changed"):
            with transaction(self._db):
                statement = rows.statement(self._db, int(statement_id))
                if statement is None:
                    raise VardaError(f"There is no statement {statement_id} in this memory.")
                rows.set_text(self._db, statement, text, time.time())
                bump_generation(self._db)
            self._follow((), (statement,))
            return replace(statement, text=text, vector_count=0)

    def forget_randomly(self, share: float, seed: int | None = None) -> tuple[Statement, ...]:
        """Delete a random ``share`` (0..1) of the unpinned statements and return them.

        A part of a statement counts as its chance of going, so the share holds on average for small memories
        too.
        """
        if not 0.0 <= share <= 1.0:
            raise VardaError(f"The share to forget is {share}; it goes from 0 to 1.")
        with self._changing("Nothing was forgotten"):
            free = [each for each in rows.statements(self._db, None, newest_first=False) if not each.pinned]
            gone = tuple(free[place] for place in share_of(len(free), share, np.random.default_rng(seed)))
            if gone:
                self._delete(gone)
            return gone

    def pin(self, statement_id: int, pinned: bool = True) -> None:
        """Keep a statement from being deleted by a turn or by a full memory (or, False, no longer)."""
        with self._changing("The pin was not set"), transaction(self._db):
            if not rows.set_pinned(self._db, int(statement_id), pinned):
                raise VardaError(f"There is no statement {statement_id} in this memory.")

    def replace_vectors(self, statement_id: int, vectors: Sequence[NewVector]) -> None:
        """Put ``vectors``, of this model, in place of all that the statement had; the old stay until then.

        May pass ``capacity``: the next ``apply`` makes room. In a read-only store only the copy in RAM
        changes.
        """
        statement_id, dim = int(statement_id), self._index().memory.embedding_dim
        new = tuple(checked_vector(vector, dim) for vector in vectors)
        with self._changing("The statement was not read again", also_in_ram=True):
            index = self._index()
            with transaction(self._db):
                if rows.statement(self._db, statement_id) is None:
                    raise VardaError(f"There is no statement {statement_id} in this memory.")
                ids = rows.replace_vectors(self._db, statement_id, new, index.fingerprint)
                bump_generation(self._db)
            index.remove_statements([statement_id])
            index.add_statement(statement_id, ids, new)

    # Files that were read into memory

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        with self._reading():
            return rows.passages_learned(self._db, digest)

    def set_passages_learned(self, digest: str, passages: int) -> None:
        """Note how far a file has been read into memory."""
        with self._changing("It was not noted how far the file was read"), transaction(self._db):
            rows.set_passages_learned(self._db, digest, passages)

    def take_in(self, records: Iterable[Imported]) -> tuple[int, int]:
        """Take in statements of another memory, all or none of them; returns how many were new and how many are
        here already.

        Vectors are kept; statements without any wait among ``foreign_statements``. May pass ``capacity``: the
        next ``apply`` makes room.
        """
        now = time.time()
        added, known = [], 0
        with self._changing("Nothing was imported"):
            with transaction(self._db):
                act = tombstones.next_act(self._db)
                for record in records:
                    if rows.statement_like(self._db, record.new.role, record.new.text) is None:
                        added.append(rows.insert_imported(self._db, record, now, act))
                    else:
                        known += 1
                bump_generation(self._db)
            self._follow(added, ())
        return len(added), known

    # Ending

    def flush_index(self) -> None:
        """Write memory.faiss, so that the next start need not make it anew. Raises StorageError."""
        with self._changing("The index was not written"):
            self._index().write(self._db, self.folder / INDEX)

    def close(self) -> None:
        """Write the index and let go of the memory. May be called again. Raises nothing: see ``notices``."""
        with self._lock:
            if not self._open:
                return
            try:
                if not self.read_only and self._mirror is not None:
                    self.flush_index()
            except VardaError as error:
                self.notices.append(f"{error} The memory itself is safe; the index is made anew at the next start.")
            finally:
                self._open = False
                self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Within

    def _check_open(self) -> None:
        if not self._open:
            raise VardaError("This memory is closed.")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, disk_errors("The memory cannot be read"):
            self._check_open()
            yield

    @contextmanager
    def _changing(self, what: str, also_in_ram: bool = False) -> Iterator[None]:
        with self._lock, disk_errors(what):
            self._check_open()
            if self.read_only and not also_in_ram:
                raise StorageError(f"{what}: this memory is open read-only.")
            yield

    def _index(self) -> IndexMirror:
        if self._mirror is None:
            raise VardaError("This memory was opened without a model, so it can be neither searched nor added to.")
        return self._mirror

    def _delete(self, gone: Sequence[Statement]) -> None:
        with transaction(self._db):
            tombstones.remove(self._db, gone, time.time(), tombstones.next_act(self._db))
            bump_generation(self._db)
        self._follow((), gone)

    def _follow(self, restored: Sequence[Statement], removed: Sequence[Statement]) -> None:
        """Let the index follow what memory.db has committed."""
        if self._mirror is not None:
            self._mirror.remove_statements([statement.id for statement in removed])
            self._mirror.add_from(self._db, [statement.id for statement in restored])

    def _told_again(
        self, new: Sequence[NewStatement], deleted: set[int]
    ) -> tuple[list[NewStatement], list[tuple[int, NewStatement]]]:
        """``new`` parted into what is new, and what is there already with the id of that. What the turn itself
        says twice is new once."""
        fresh: dict[int, NewStatement] = {}
        again = []
        for each in new:
            same = rows.statement_like(self._db, each.role, each.text)
            if same is None:
                twin = self._index().twin(each)
                same = None if twin is None or twin in deleted else rows.statement(self._db, twin)
            if same is not None and same.role == each.role:
                again.append((same.id, each))
            else:
                fresh.setdefault(statement_key(each.role, each.text), each)
        return list(fresh.values()), again

    def _write_now_and_then(self) -> None:
        """Keep memory.faiss from falling so far behind that the start after a crash would be slow."""
        if self._index().is_far_from_its_file:
            with suppress(OSError):  # only a cache: the turn is safe without it, and close tells
                self._index().write(self._db, self.folder / INDEX)

    def _wipe_traces(self) -> None:
        """Take what was just deleted out of the write-ahead log and the index file too."""
        path = self.folder / INDEX
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if self._mirror is None:
                path.unlink(missing_ok=True)
            else:
                self._mirror.write(self._db, path)
        except (OSError, sqlite3.OperationalError):
            path.unlink(missing_ok=True)  # it is forgotten either way: the old index must not keep it

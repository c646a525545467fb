"""The searchable side of a store, in RAM: loaded from memory.faiss, or rebuilt from memory.db."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import IndexFileError
from varda_chat.memory import queries
from varda_chat.memory.index.arrays import Ids
from varda_chat.memory.index.serialization import Label, Snapshot, packed, unpacked
from varda_chat.memory.records import NewVector, Statement
from varda_chat.memory.schema import bump_generation, generation, index_type, num_clusters, was_once
from varda_chat.storage.container import read_container
from varda_chat.storage.sqlite import transaction
from varda_chat.text import numbered

if TYPE_CHECKING:
    from varda_chat.memory.vector_memory import AssociativeMemory

REWRITE = 4096  # vectors changed, at least, before the index file is written in the middle of a session
_BATCH = 4096  # vectors handed to the index at once while it is rebuilt


class IndexMirror:
    """The vectors of one model; whoever commits to memory.db calls here next, so that the two agree."""

    def __init__(
        self,
        memory: AssociativeMemory,
        columns: VectorColumns,
        fingerprint: str,
        written: Label | None = None,
    ) -> None:
        self.memory = memory
        self.columns = columns
        self.fingerprint = fingerprint
        self._written = written
        self._changed = 0  # vectors, since the file was written

    @classmethod
    def load(
        cls, db: sqlite3.Connection, path: Path, *, embedding_dim: int, fingerprint: str
    ) -> tuple[IndexMirror, list[str]]:
        """From the file at ``path`` where it was written from ``db``, now or some time ago; else from ``db``.

        Returns it with what to tell the user. Raises sqlite3.Error.
        """
        try:
            mirror = cls._from_file(db, path, embedding_dim, fingerprint)
            return mirror, mirror._catch_up(db)
        except IndexFileError as error:
            unheard = not path.exists()  # of a new memory, an import without the model, a kill before the first writing
            mirror, notices = cls.rebuilt(db, embedding_dim, fingerprint, str(error))
            return mirror, notices[1:] if unheard else notices

    @classmethod
    def rebuilt(
        cls, db: sqlite3.Connection, embedding_dim: int, fingerprint: str, reason: str
    ) -> tuple[IndexMirror, list[str]]:
        """From ``db`` alone; ``reason`` is what to tell the user of why. Raises sqlite3.Error."""
        from varda_chat.memory.vector_memory import AssociativeMemory  # FAISS loads here, not with the module

        memory = AssociativeMemory(
            memory_size=sys.maxsize,
            embedding_dim=embedding_dim,
            index_type=index_type(db),
            num_clusters=num_clusters(db),
        )
        mirror = cls(memory, VectorColumns.from_rows([]), fingerprint)
        notices = mirror._catch_up(db)
        return mirror, [f"{reason} It was rebuilt from memory.db; nothing is lost.", *notices]

    @classmethod
    def _from_file(cls, db: sqlite3.Connection, path: Path, embedding_dim: int, fingerprint: str) -> IndexMirror:
        from varda_chat.memory.vector_memory import AssociativeMemory

        container = read_container(path)
        label = container.header.get("label", {})
        if label.get("model") != fingerprint:
            raise IndexFileError("The index file belongs to another model of the memory.")
        if not was_once(db, label.get("generation"), label.get("history")):
            raise IndexFileError("The index file belongs to another history of the memory.")
        memory, kept = unpacked(AssociativeMemory, container, None)
        if memory.index_type != index_type(db):
            raise IndexFileError("The index file is of another index type.")
        current = label == _label(db, fingerprint)
        if (
            kept.keys() != {"statement_ids", "token_ids"}
            or memory.embedding_dim != embedding_dim
            or (current and memory.size() != queries.vector_count(db, fingerprint))
        ):
            raise IndexFileError("The index file does not hold the vectors of the memory.")
        columns = VectorColumns(memory.ids(), kept["statement_ids"], kept["token_ids"])
        return cls(memory, columns, fingerprint, label)

    def _catch_up(self, db: sqlite3.Connection) -> list[str]:
        """Follow what ``db`` has that is not here, and has no longer; returns what to tell the user.

        An id is given once, and a vector under it never changes: so ids say all. Raises IndexFileError where that does
        not hold.
        """
        if self._written is not None and self._written == _label(db, self.fingerprint):
            return []
        now = VectorColumns.from_rows(queries.vectors_of_model(db, self.fingerprint))
        removed, new = np.setdiff1d(self.columns.ids, now.ids), np.setdiff1d(now.ids, self.columns.ids)
        if len(new) and len(self.columns) and new[0] <= self.columns.ids[-1]:
            raise IndexFileError("The index file does not hold the vectors of the memory.")
        self.memory.remove(removed)
        damaged = _fill(self.memory, db, self.fingerprint, int(new[0]) - 1) if len(new) else set()
        self.columns = now
        self._changed += len(removed) + len(new)
        if not damaged:
            return []
        with transaction(db):
            queries.mark_unreadable(db, damaged)
            bump_generation(db)
        self.columns.remove(self.columns.of_statements(sorted(damaged)))
        self.memory.remove(np.setdiff1d(self.memory.ids(), self.columns.ids))  # their intact vectors
        return [
            f"{numbered(len(damaged), 'memory')} with vectors that are damaged or of another dimension "
            "will be read again."
        ]

    def __len__(self) -> int:
        return len(self.columns)

    def statement_ids(self, ids: Any) -> Ids:
        """Statement of each vector id, -1 for -1 and for ids that are not here; any shape."""
        return self.columns.look_up(self.columns.statement_ids, ids)

    def token_ids(self, ids: Any) -> Ids:
        """Token of each vector id, likewise."""
        return self.columns.look_up(self.columns.token_ids, ids)

    def successors(self, ids: Any) -> Ids:
        """The vector stored next in the statement of each vector id, likewise."""
        return self.columns.successors(ids)

    def with_unknown_tokens(self, vocabulary: int) -> list[int]:
        """The statements that have a token outside of 0 to ``vocabulary``, ascending."""
        tokens = self.columns.token_ids
        unknown: list[int] = np.unique(self.columns.statement_ids[(tokens < 0) | (tokens >= vocabulary)]).tolist()
        return unknown

    def remove_statements(self, statement_ids: Sequence[int]) -> None:
        """Remove the vectors of statements that memory.db no longer has."""
        removed = self.columns.of_statements(statement_ids)
        self.memory.remove(removed)
        self.columns.remove(removed)
        self._changed += len(removed)

    def add_statement(self, statement_id: int, ids: Sequence[int], new: Sequence[NewVector]) -> None:
        """Add vectors that memory.db has stored under ``ids``."""
        if ids:
            self._changed += len(ids)
            self.memory.add(np.stack([vector.vector for vector in new]), np.array(ids, dtype=np.int64))
            self.columns.append(
                np.array(ids, dtype=np.int64),
                np.full(len(ids), statement_id, dtype=np.int64),
                np.array([vector.token_id for vector in new], dtype=np.int64),
            )

    def add_from(self, db: sqlite3.Connection, statements: Sequence[Statement]) -> list[int]:
        """Add the vectors that memory.db has of statements, where they are of this model and not here yet; returns the
        ids of statements whose vectors are damaged, which stay out."""
        damaged = []
        for each in statements:
            ids, vectors = queries.intact_vectors(db, each.id, self.fingerprint, self.memory.embedding_dim)
            if len(ids) == each.vector_count:
                if ids and ids[0] not in self.memory:
                    self.add_statement(each.id, ids, vectors)
            elif queries.has_vectors(db, each.id, self.fingerprint):
                damaged.append(each.id)
        return damaged

    def snapshot(self, db: sqlite3.Connection) -> Snapshot:
        """The index as it is now; ``note_written`` once it is on disk."""
        self._changed = 0
        label, ids = _label(db, self.fingerprint), self.memory.ids()
        columns = {"statement_ids": self.statement_ids(ids), "token_ids": self.token_ids(ids)}
        return Snapshot(label, packed(self.memory, label, columns))

    def note_written(self, snapshot: Snapshot) -> None:
        """The index file is that of ``snapshot`` now."""
        self._written = snapshot.label

    def is_written(self, db: sqlite3.Connection) -> bool:
        """Whether the index file, if it is there, is of this state."""
        return self._written == _label(db, self.fingerprint)

    @property
    def is_far_from_its_file(self) -> bool:
        """Whether so much has changed that after a crash it would take long to rebuild the file.

        The threshold grows with the memory, so that writing stays a small part of the work of storing.
        """
        return self._changed >= max(REWRITE, len(self) // 4)


class VectorColumns:
    """Three arrays (n,) in step, sorted by vector id. They are views: copy what must outlive a change."""

    def __init__(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        """From arrays (n,) in step, in any order."""
        order = np.argsort(ids, kind="stable")
        self._table: Ids = np.stack([ids, statement_ids, token_ids])[:, order]  # (3, room), room >= n
        self._count = len(ids)

    @classmethod
    def from_rows(cls, rows: list[tuple[int, int, int]]) -> VectorColumns:
        """From (id, statement id, token id) a vector, in any order."""
        return cls(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)

    def __len__(self) -> int:
        return self._count

    @property
    def ids(self) -> Ids:
        """The vectors' ids."""
        return self._table[0, : self._count]

    @property
    def statement_ids(self) -> Ids:
        """Their statements."""
        return self._table[1, : self._count]

    @property
    def token_ids(self) -> Ids:
        """The tokens they were taken at."""
        return self._table[2, : self._count]

    def of_statements(self, statement_ids: Sequence[int]) -> Ids:
        """Ids (n,) of the vectors of ``statement_ids``."""
        ids: Ids = self.ids[np.isin(self.statement_ids, np.array(statement_ids, dtype=np.int64))]
        return ids

    def remove(self, ids: Ids) -> None:
        """Leave out ``ids``."""
        if len(ids):
            self._table = self._table[:, : self._count][:, ~np.isin(self.ids, ids)]
            self._count = self._table.shape[1]

    def append(self, ids: Ids, statement_ids: Ids, token_ids: Ids) -> None:
        """Put vectors at the end; every id is greater than those already here, and they ascend."""
        count = self._count + len(ids)
        if count > self._table.shape[1]:  # room for a quarter more, so that not every append copies all
            grown = np.empty((3, count + count // 4), dtype=np.int64)
            grown[:, : self._count] = self._table[:, : self._count]
            self._table = grown
        self._table[:, self._count : count] = ids, statement_ids, token_ids
        self._count = count

    def look_up(self, column: Ids, ids: Any) -> Ids:
        """The entries of ``column`` at vector ``ids`` of any shape; -1 at ids that are not here."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not self._count:
            return np.full(wanted.shape, -1, dtype=np.int64)
        own = self.ids
        places = np.minimum(np.searchsorted(own, wanted), self._count - 1)
        return np.where(own[places] == wanted, column[places], -1)

    def successors(self, ids: Any) -> Ids:
        """The vector stored next in the statement of each of ``ids``, of any shape; -1 where there is none."""
        wanted = np.asarray(ids, dtype=np.int64)
        if self._count < 2:
            return np.full(wanted.shape, -1, dtype=np.int64)
        own, statements = self.ids, self.statement_ids
        places = np.minimum(np.searchsorted(own, wanted), self._count - 2)
        same = (own[places] == wanted) & (statements[places] == statements[places + 1])
        return np.where(same, own[places + 1], -1)


def _label(db: sqlite3.Connection, fingerprint: str) -> Label:
    count, stamp = generation(db)
    # "model" before the others: when it differs, it is the reason to tell
    return {"model": fingerprint, "generation": count, "history": stamp}


def _fill(memory: AssociativeMemory, db: sqlite3.Connection, fingerprint: str, after: int) -> set[int]:
    """Add the vectors of ``fingerprint`` beyond the id ``after`` to ``memory``; returns the statements of damaged."""
    damaged: set[int] = set()
    ids: list[int] = []
    batch: list[npt.NDArray[np.float32]] = []

    def hand_over() -> None:
        if ids:
            memory.add(np.stack(batch), np.array(ids, dtype=np.int64))
            ids.clear()
            batch.clear()

    for id_, statement_id, vector in queries.all_vectors(db, fingerprint, memory.embedding_dim, after):
        if vector is None:
            damaged.add(statement_id)
            continue
        ids.append(id_)
        batch.append(vector)
        if len(ids) == _BATCH:
            hand_over()
    hand_over()
    return damaged

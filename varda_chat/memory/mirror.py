"""The searchable side of a store, in RAM: loaded from memory.faiss, or made anew from memory.db."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import IndexFileError
from varda_chat.memory import rows
from varda_chat.memory.columns import VectorColumns
from varda_chat.memory.database import transaction
from varda_chat.memory.records import NewStatement, NewVector
from varda_chat.memory.sameness import NEARLY_NOTHING
from varda_chat.memory.schema import bump_generation, generation

if TYPE_CHECKING:
    from varda_chat.memory.associative import AssociativeMemory

Ids = npt.NDArray[np.int64]
Label = dict[str, str | int]

_REWRITE = 4096  # vectors changed, at least, before the index file is written in the middle of a session
_BATCH = 4096  # vectors handed to the index at once while it is made anew


class IndexMirror:
    """The vectors of one model; whoever commits to memory.db calls here next, so that the two agree."""

    def __init__(
        self, memory: AssociativeMemory, columns: VectorColumns, fingerprint: str, written: Label | None
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
        """From the file at ``path`` where it was written from ``db`` as it is now, else from ``db``.

        Returns it with what to tell the user. Raises sqlite3.Error.
        """
        from varda_chat.memory.associative import AssociativeMemory  # FAISS loads here, not with the module

        columns = VectorColumns.from_rows(rows.vector_rows(db, fingerprint))
        label = _label(db, fingerprint)
        try:
            memory = AssociativeMemory.read(path, label)
            if memory.embedding_dim != embedding_dim or not np.array_equal(np.sort(memory.ids()), columns.ids):
                raise IndexFileError("The index file does not hold the vectors of the memory.")
            return cls(memory, columns, fingerprint, label), []
        except IndexFileError as error:
            reason = str(error)
        memory = AssociativeMemory(memory_size=sys.maxsize, embedding_dim=embedding_dim)
        damaged = _fill(memory, db, fingerprint)
        notices = []
        if damaged:
            with transaction(db):
                rows.mark_unreadable(db, damaged)
                bump_generation(db)
            columns.remove(columns.of_statements(sorted(damaged)))
            memory.remove(np.setdiff1d(memory.ids(), columns.ids))  # their intact vectors
            notices.append(
                f"{len(damaged)} statements have vectors that are damaged or of another dimension; "
                "they will be read again from their texts."
            )
        if len(columns) or path.exists():
            notices.insert(0, f"{reason} It was made anew from memory.db; nothing is lost.")
        return cls(memory, columns, fingerprint, None), notices

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

    def remove_statements(self, statement_ids: Sequence[int]) -> None:
        """Take out the vectors of statements that memory.db no longer has."""
        gone = self.columns.of_statements(statement_ids)
        self.memory.remove(gone)
        self.columns.remove(gone)
        self._changed += len(gone)

    def add_statement(self, statement_id: int, ids: Sequence[int], new: Sequence[NewVector]) -> None:
        """Take in vectors that memory.db has stored under ``ids``."""
        if ids:
            self._changed += len(ids)
            self.memory.add(np.stack([vector.vector for vector in new]), np.array(ids, dtype=np.int64))
            self.columns.append(
                np.array(ids, dtype=np.int64),
                np.full(len(ids), statement_id, dtype=np.int64),
                np.array([vector.token_id for vector in new], dtype=np.int64),
            )

    def add_from(self, db: sqlite3.Connection, statement_ids: Sequence[int]) -> None:
        """Take in the vectors that memory.db has of statements, where they are of this model."""
        for statement_id in statement_ids:
            ids, vectors = rows.intact_vectors(db, statement_id, self.fingerprint, self.memory.embedding_dim)
            self.add_statement(statement_id, ids, vectors)

    def write(self, db: sqlite3.Connection, path: Path) -> None:
        """Write the index as ``path``, unless that is there already. Raises OSError."""
        label = _label(db, self.fingerprint)
        if label != self._written or not path.exists():
            self.memory.write(path, label)
            self._written = label
            self._changed = 0

    @property
    def is_far_from_its_file(self) -> bool:
        """Whether so much has changed that after a crash it would take long to make the file anew.

        The threshold grows with the memory, so that writing stays a small part of the work of storing.
        """
        return self._changed >= max(_REWRITE, len(self) // 4)

    def twin(self, new: NewStatement) -> int | None:
        """The statement that has, vector for vector, the tokens and (nearly) the vectors of ``new``."""
        if not new.vectors or not len(self):
            return None
        first = new.vectors[0].vector
        nearest = self.memory.search(first, 1)
        if not _nearly_same(float(nearest.distances[0]), first):
            return None
        statement_id = int(self.statement_ids(nearest.ids)[0])
        ids = self.columns.of_statements([statement_id])
        if len(ids) != len(new.vectors) or self.token_ids(ids).tolist() != [each.token_id for each in new.vectors]:
            return None
        for id_, each in zip(ids.tolist(), new.vectors, strict=True):
            gap = self.memory[id_] - each.vector
            if not _nearly_same(float(gap @ gap), each.vector):
                return None
        return statement_id


def _nearly_same(squared_distance: float, vector: npt.NDArray[Any]) -> bool:
    return squared_distance <= NEARLY_NOTHING * float(vector @ vector)


def _label(db: sqlite3.Connection, fingerprint: str) -> Label:
    count, stamp = generation(db)
    # "model" before the others: when it differs, it is the reason to tell
    return {"model": fingerprint, "generation": count, "history": stamp}


def _fill(memory: AssociativeMemory, db: sqlite3.Connection, fingerprint: str) -> set[int]:
    """Add the vectors of ``fingerprint`` to ``memory``; returns the statements of those that are damaged."""
    damaged: set[int] = set()
    ids: list[int] = []
    batch: list[npt.NDArray[np.float32]] = []

    def hand_over() -> None:
        if ids:
            memory.add(np.stack(batch), np.array(ids, dtype=np.int64))
            ids.clear()
            batch.clear()

    for id_, statement_id, vector in rows.vectors(db, fingerprint, memory.embedding_dim):
        if vector is None:
            damaged.add(statement_id)
            continue
        ids.append(id_)
        batch.append(vector)
        if len(ids) == _BATCH:
            hand_over()
    hand_over()
    return damaged

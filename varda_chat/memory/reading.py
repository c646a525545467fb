"""MemoryReader: searching an open memory, and looking at what its id map keeps. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory import queries, schema, undo
from varda_chat.memory.core import MemoryCore
from varda_chat.memory.index.arrays import is_tensor, same_kind
from varda_chat.memory.records import Imported, MemoryEvent, Record, Removed, SearchResults, Statement
from varda_chat.storage.files import DATABASE
from varda_chat.storage.sqlite import connect_reader, disk_errors

if TYPE_CHECKING:
    from varda_chat.memory.index.comparison import TypeSearch

Ids = npt.NDArray[np.int64]


class MemoryReader(MemoryCore):
    """The methods of MemoryStore that only look."""

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

    @property
    def statement_count(self) -> int:
        """Statements in memory, those that the model has not read yet among them."""
        with self._reading():
            return int(self._db.execute("SELECT count(*) FROM statements").fetchone()[0])

    def get(self, vector_id: int) -> Record:
        """The record of a vector; raises VardaError where there is none of that id."""
        with self._reading():
            record = queries.record(self._db, int(vector_id))
        if record is None:
            raise VardaError(f"There is no vector {vector_id} in this memory.")
        return record

    def statement(self, statement_id: int) -> Statement:
        """One statement; raises VardaError where there is none of that id."""
        with self._reading():
            statement = queries.statement(self._db, int(statement_id))
        if statement is None:
            raise VardaError(f"There is no memory with the id {statement_id}.")
        return statement

    def statements(self, limit: int | None = None, newest_first: bool = True) -> tuple[Statement, ...]:
        """All statements, or the first ``limit`` of them in that order."""
        with self._reading():
            return queries.statements(self._db, limit, newest_first)

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """The tokens that the vectors of a statement were taken at."""
        with self._reading():
            return queries.tokens(self._db, int(statement_id))

    def fingerprints(self) -> dict[str, int]:
        """How many statements each model's vectors belong to; those under '' wait to be read."""
        with self._reading():
            return queries.fingerprints(self._db)

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted and can still be brought back, the last first."""
        with self._reading():
            return undo.removed(self._db)

    def exported(self, statement_ids: Iterable[int] | None = None) -> Iterator[Imported]:
        """All statements (or those of these ids), the oldest first, with all that another memory can import."""
        with self._reading():
            yield from queries.exported(self._db, statement_ids)

    def means(self, statement_ids: Iterable[int]) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Those of ``statement_ids`` that have vectors of this model, ascending (n,), and the means of these vectors
        (n, dim)."""
        with self._reading():
            index = self._index()
            return queries.vector_means(self._db, index.fingerprint, index.memory.embedding_dim, statement_ids)

    def foreign_statements(self) -> tuple[Statement, ...]:
        """Statements without vectors of this model, the oldest first: ``replace_vectors`` is for them."""
        with self._reading():
            return queries.foreign_statements(self._db, self._index().fingerprint)

    def index_type(self) -> str:
        """The type of index that this memory is searched with."""
        with self._reading():
            return schema.index_type(self._db)

    def compare_index_types(self) -> tuple[TypeSearch, ...]:
        """How every index type would search this memory; takes seconds for thousands of vectors."""
        from varda_chat.memory.index.comparison import compare_index_types  # FAISS loads here

        with self._reading():
            return compare_index_types(self._db)

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first. Does not wait for a search or store under way."""
        self._check_open()
        with disk_errors("The recent events cannot be read"):
            if not self.read_only:
                with closing(connect_reader(self.folder / DATABASE, in_use=True)) as db:
                    return queries.events(db, limit)
            with self._reading():
                return queries.events(self._db, limit)

    def passages_learned(self, digest: str) -> int:
        """How many passages of the file whose content has that digest are in memory."""
        with self._reading():
            return queries.passages_learned(self._db, digest)

"""MemoryReader: searching an open memory, and looking at what its id map keeps. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory import queries, schema, undo
from varda_chat.memory.antecedents import MOST_BEFORE, leans
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.index.arrays import Ids, is_tensor, same_kind
from varda_chat.memory.indexing import TypeSearch, compare_index_types
from varda_chat.memory.records import Imported, MemoryEvent, Removed, SearchResults, Statement, StoredVector
from varda_chat.storage.files import DATABASE
from varda_chat.storage.sqlite import connect_reader, disk_errors


class MemoryReader:
    """A memory as one looks at it: searching it, and what is known of each statement. Nothing of it changes the memory.

    core: what is open.
    """

    def __init__(self, core: OpenMemory) -> None:
        self.core = core

    # Searching

    def search(self, query: Any, k: int) -> SearchResults:
        """The ``k`` nearest vectors of each query (..., dim), numpy or torch, with their tokens; see SearchResults."""
        with self.core.reading():
            index = self.core.index()
            found = index.memory.search(query, k)
            ids = found.ids.cpu().numpy() if is_tensor(found.ids) else found.ids
            return replace(found, token_ids=same_kind(index.token_ids(ids), query))

    def search_words(self, text: str, k: int) -> SearchResults:
        """The vectors (n,) of the ``k`` statements that share the most telling words with ``text``, the best statement
        first, numpy; ``distances``: the BM25 score of each one's statement, negated."""
        with self.core.reading():
            index = self.core.index()
            scores = self.core.words.search(text, k, index.fingerprint)
            ids = index.columns.of_statements(list(scores))
            distances = np.array([-scores[each] for each in index.statement_ids(ids).tolist()], dtype=np.float32)
            ids = ids[np.argsort(distances, kind="stable")]
            distances.sort(kind="stable")
            return SearchResults(ids, distances, index.memory.vectors_of(ids), index.token_ids(ids))

    def successors(self, ids: Any) -> tuple[Any, Any]:
        """The vectors stored next in the statements of ``ids`` (numpy or torch, of any shape), and the tokens they were
        taken at, in kind; -1 where there is none."""
        with self.core.reading():
            index = self.core.index()
            after = index.successors(ids.cpu().numpy() if is_tensor(ids) else ids)
            return same_kind(after, ids), same_kind(index.token_ids(after), ids)

    def vectors_of(self, ids: Any) -> tuple[Any, None]:
        """The vectors of ``ids`` (numpy or torch, any shape), as float32 of that shape and (dim,), 0 for -1. The None
        is for memories that hold vectors with some probability."""
        with self.core.reading():
            memory = self.core.index().memory
            wanted = ids.cpu().numpy() if is_tensor(ids) else np.asarray(ids)
            vectors = np.zeros((*wanted.shape, memory.embedding_dim), dtype=np.float32)
            there = wanted >= 0
            if there.any():
                vectors[there] = memory.vectors_of(wanted[there])
            return same_kind(vectors, ids), None

    def token_ids(self, ids: Any) -> Ids:
        """The token each vector was taken at, in the shape of ``ids``; -1 where that is -1 or unknown."""
        with self.core.reading():
            return self.core.index().token_ids(ids)

    def statement_ids(self, ids: Any) -> Ids:
        """The statement of each vector, in the shape of ``ids``; -1 where that is -1 or unknown."""
        with self.core.reading():
            return self.core.index().statement_ids(ids)

    # Looking

    @property
    def size(self) -> int:
        """Vectors that can be searched (without a model: all vectors). Also once closed."""
        if self.core.mirror is not None:
            return len(self.core.mirror)
        with self.core.reading():
            return int(self.core.db.execute("SELECT count(*) FROM vectors").fetchone()[0])

    @property
    def statement_count(self) -> int:
        """Statements in memory, those that the model has not read yet among them."""
        with self.core.reading():
            return int(self.core.db.execute("SELECT count(*) FROM statements").fetchone()[0])

    def get(self, vector_id: int) -> StoredVector:
        """What is known of a vector; raises VardaError where there is none of that id."""
        with self.core.reading():
            vector = queries.stored_vector(self.core.db, int(vector_id))
        if vector is None:
            raise VardaError(f"There is no vector {vector_id} in this memory.")
        return vector

    def statement(self, statement_id: int) -> Statement:
        """One statement; raises VardaError where there is none of that id."""
        with self.core.reading():
            statement = queries.statement(self.core.db, int(statement_id))
        if statement is None:
            raise VardaError(f"There is no memory with the id {statement_id}.")
        return statement

    def antecedents(self, statement_id: int) -> tuple[Statement, ...]:
        """The statements that one leans on, the oldest first: those right before it in its message, back to one that
        leans on none. Raises as ``statement`` does."""
        found: list[Statement] = []
        latest = self.statement(statement_id)
        with self.core.reading():
            while len(found) < MOST_BEFORE and leans(latest.text):
                earlier = queries.statement_before(self.core.db, latest.id)
                if earlier is None:
                    break
                found.insert(0, earlier)
                latest = earlier
        return tuple(found)

    def texts(self, statement_ids: Sequence[int]) -> list[str]:
        """The words of statements, for those who judge whether to use them; raises as ``statement`` does."""
        return [self.statement(each).text for each in statement_ids]

    def statements(self, limit: int | None = None, newest_first: bool = True) -> tuple[Statement, ...]:
        """All statements, or the first ``limit`` of them in that order."""
        with self.core.reading():
            return queries.statements(self.core.db, limit, newest_first)

    def present(self, statement_ids: Iterable[int]) -> tuple[Statement, ...]:
        """Those of ``statement_ids`` that are in memory, the oldest first."""
        with self.core.reading():
            return queries.statements_of(self.core.db, statement_ids)

    def tokens(self, statement_id: int) -> tuple[str, ...]:
        """The tokens that the vectors of a statement were taken at."""
        with self.core.reading():
            return queries.tokens(self.core.db, int(statement_id))

    def fingerprints(self) -> dict[str, int]:
        """How many statements each model's vectors belong to; those under '' wait to be read."""
        with self.core.reading():
            return queries.fingerprints(self.core.db)

    def removed(self) -> tuple[Removed, ...]:
        """What was deleted and can still be brought back, the last first."""
        with self.core.reading():
            return undo.removed(self.core.db)

    def exported(self, statement_ids: Iterable[int] | None = None) -> Iterator[Imported]:
        """All statements (or those of these ids), the oldest first, with all that another memory can import."""
        with self.core.reading():
            yield from queries.exported(self.core.db, statement_ids)

    def means(self, statement_ids: Iterable[int]) -> tuple[Ids, npt.NDArray[np.float32]]:
        """Those of ``statement_ids`` that have vectors of this model, ascending (n,), and the means of these vectors
        (n, dim)."""
        with self.core.reading():
            index = self.core.index()
            return queries.vector_means(self.core.db, index.fingerprint, index.memory.embedding_dim, statement_ids)

    def foreign_statements(self) -> tuple[Statement, ...]:
        """Statements without vectors of this model, the oldest first: ``Indexing.replace_vectors`` is for them."""
        with self.core.reading():
            return queries.foreign_statements(self.core.db, self.core.index().fingerprint)

    def index_type(self) -> str:
        """The type of index that this memory is searched with."""
        with self.core.reading():
            return schema.index_type(self.core.db)

    def compare_index_types(self) -> tuple[TypeSearch, ...]:
        """How every index type would search this memory; takes seconds for thousands of vectors."""
        with self.core.reading():
            return compare_index_types(self.core.db)

    def recent(self, limit: int = 20) -> list[MemoryEvent]:
        """The last stores and deletes, newest first. Does not wait for a search or store under way."""
        self.core.check_open()
        with disk_errors("The recent events cannot be read"):
            if not self.core.read_only:
                with closing(connect_reader(self.core.directory / DATABASE, in_use=True)) as db:
                    return queries.events(db, limit)
            with self.core.reading():
                return queries.events(self.core.db, limit)

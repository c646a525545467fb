"""How a memory is searched: changing that, never what the memory says; and measuring it on the memory's own vectors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory import queries, schema
from varda_chat.memory.core import OpenMemory
from varda_chat.memory.index_cache import IndexMirror
from varda_chat.memory.records import NewVector, checked_vector
from varda_chat.memory.schema import bump_generation
from varda_chat.storage.sqlite import transaction

if TYPE_CHECKING:
    from varda_chat.memory.index.arrays import Ids, Vectors
    from varda_chat.memory.vector_memory import AssociativeMemory


MOST = 12_000
"""Vectors compared at most: enough for every type to have learned, few enough to wait for."""

QUERIES = 100
RESULTS = 5


class Indexing:
    """The type of the index, the vectors in it and its file. Raises as the methods of MemoryStore do."""

    def __init__(self, core: OpenMemory) -> None:
        self._core = core

    def set_type(self, name: str) -> None:
        """Search this memory with an index of another type from now on; it is rebuilt. Raises VardaError for a type
        that there is not."""
        from varda_chat.memory.index.registry import check_index_type  # FAISS loads here

        check_index_type(name)
        core = self._core
        with core.changing("The index type was not changed"):
            core.background.stop_writing()
            with transaction(core.db):
                schema.set_index_type(core.db, name)
            if core.mirror is not None:
                dim, fingerprint = core.mirror.memory.embedding_dim, core.mirror.fingerprint
                core.mirror, _ = IndexMirror.rebuilt(core.db, dim, fingerprint, "")

    def replace_vectors(self, statement_id: int, vectors: Sequence[NewVector]) -> None:
        """Put ``vectors``, of this model, in place of all that the statement had; the old stay until then.

        May pass ``capacity``: the next ``apply`` makes room. In a read-only store only the copy in RAM changes.
        """
        core = self._core
        statement_id, dim = int(statement_id), core.index().memory.embedding_dim
        new = tuple(checked_vector(vector, dim) for vector in vectors)
        with core.changing("The memory was not read again", also_in_ram=True):
            index = core.index()
            with transaction(core.db):
                if queries.statement(core.db, statement_id) is None:
                    raise VardaError(f"There is no memory with the id {statement_id}.")
                ids = queries.replace_vectors(core.db, statement_id, new, index.fingerprint)
                bump_generation(core.db)
            index.remove_statements([statement_id])
            index.add_statement(statement_id, ids, new)

    def flush(self) -> None:
        """Write memory.faiss, so that the next start need not rebuild it. Raises StorageError."""
        with self._core.changing("The index was not written"):
            self._core.write_index()


@dataclass(frozen=True)
class TypeSearch:
    """How an index type searches ``vectors`` vectors of the memory.

    recall: share of the RESULTS exact nearest that are found, over QUERIES of the memory's own vectors.
    milliseconds: of one search for one query, the median.
    """

    index_type: str
    vectors: int
    recall: float
    milliseconds: float


def compare_index_types(db: sqlite3.Connection) -> tuple[TypeSearch, ...]:
    """Every index type on the vectors of the model that most statements are of; none where there are no vectors.

    Of a larger memory, MOST vectors drawn at random. Raises sqlite3.Error.
    """
    models = {name: count for name, count in queries.fingerprints(db).items() if name}
    if not models:
        return ()
    vectors = queries.vector_sample(db, max(models, key=lambda name: models[name]), MOST)
    if not len(vectors):
        return ()
    from varda_chat.memory.index.registry import INDEX_TYPES  # FAISS loads here

    return tuple(_measured(kind, vectors) for kind in INDEX_TYPES)


def _measured(kind: str, vectors: Vectors) -> TypeSearch:
    from varda_chat.memory.vector_memory import AssociativeMemory

    memory = AssociativeMemory(memory_size=len(vectors), embedding_dim=vectors.shape[1], index_type=kind)
    memory.add(vectors)
    seconds = []
    for query in vectors[:: max(1, len(vectors) // 20)][:20]:
        started = time.perf_counter()
        memory.search(query, RESULTS)
        seconds.append(time.perf_counter() - started)
    recall = search_recall(memory, QUERIES, RESULTS)
    return TypeSearch(kind, len(vectors), recall, 1000 * float(np.median(seconds)))


def search_recall(memory: AssociativeMemory, sample: int = 100, k: int = 5) -> float:
    """Recall@k of ``memory.search`` against exact search, 0 to 1.

    Asks for the ``k`` nearest neighbours of ``sample`` of the memory's own vectors (of all, where it has fewer;
    the same ones each time), the vector itself left out. A result counts where it is as near as the k-th of the
    exact search. 1 where no vector has a neighbour. Raises VardaError for a ``sample`` or ``k`` below 1.
    """
    if sample < 1 or k < 1:
        raise VardaError("Recall is measured with at least one query and one result.")
    size = memory.size()
    width = min(k, size - 1)
    if width < 1:
        return 1.0
    own = memory.ids()[np.sort(np.random.default_rng(0).choice(size, size=min(sample, size), replace=False))]
    queries = memory.vectors_of(own)
    found = _neighbour_distances(memory, own, queries, width, exact=False)
    true = _neighbour_distances(memory, own, queries, width, exact=True)
    return float((found <= true[:, -1:]).mean())


def _neighbour_distances(
    memory: AssociativeMemory, own: Ids, queries: Vectors, k: int, *, exact: bool
) -> npt.NDArray[np.float32]:
    """Distances (n, k) of the nearest others, ascending."""
    from varda_chat.memory.index.exact import nearest

    ids, distances, _ = nearest(memory.index, queries, k + 1, exact=exact)
    distances = np.where(ids == own[:, None], np.float32(np.inf), distances)
    return np.sort(distances, axis=1)[:, :k]

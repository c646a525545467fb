"""How well each index type would search a memory: recall against exact search, measured on the memory's own vectors."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import numpy as np

from varda_chat.memory import queries
from varda_chat.memory.index.exact import search_recall
from varda_chat.memory.index.registry import INDEX_TYPES
from varda_chat.memory.vector_memory import AssociativeMemory

MOST = 12_000
"""Vectors compared at most: enough for every type to have learned, few enough to wait for."""

QUERIES = 100
RESULTS = 5


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
    return tuple(_measured(kind, vectors) for kind in INDEX_TYPES)


def _measured(kind: str, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> TypeSearch:
    memory = AssociativeMemory(memory_size=len(vectors), embedding_dim=vectors.shape[1], index_type=kind)
    memory.add(vectors)
    seconds = []
    for query in vectors[:: max(1, len(vectors) // 20)][:20]:
        started = time.perf_counter()
        memory.search(query, RESULTS)
        seconds.append(time.perf_counter() - started)
    recall = search_recall(memory, QUERIES, RESULTS)
    return TypeSearch(kind, len(vectors), recall, 1000 * float(np.median(seconds)))

"""GraphIndex: each vector linked with near ones, along which a search walks (FAISS' HNSW); removal by hiding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Piece, Vectors, batches, ids_in, piece_of
from varda_chat.memory.index.base import IndexSettings, faiss, restored, serialized

_LINKS = 32
"""Links of a vector (HNSW's M), FAISS' own default; twice as many on the lowest level."""

_MOST_HIDDEN = 0.2
"""Share of hidden slots at which the graph is rebuilt."""

_WIDER = 8  # times as many slots are looked at where too few of the nearest are left


class GraphIndex:
    """A VectorIndex over slots, which FAISS numbers in the order of adding and cannot remove.

    A removed vector's slot is hidden: searches walk through it and leave it out of what they found. The graph is
    rebuilt without its hidden slots when they are many, and before it is serialized.
    """

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self._graph = self._empty()
        self._ids: Ids = np.zeros(0, dtype=np.int64)  # id of each slot, -1 where it is hidden
        if pieces is not None:
            ids, graph = pieces
            self._ids, self._graph = ids_in(ids), restored(graph, self._graph)
            if self._graph.ntotal != len(self._ids):
                raise RuntimeError("a graph with other slots than ids")
        self._slots = {int(id_): slot for slot, id_ in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._slots)

    def ids(self) -> Ids:
        living: Ids = self._ids[self._ids >= 0]
        return living

    def add(self, ids: Ids, vectors: Vectors) -> None:
        first = len(self._ids)
        self._graph.add(vectors)
        self._ids = np.concatenate([self._ids, ids])
        self._slots.update(zip(ids.tolist(), range(first, len(self._ids)), strict=True))

    def remove(self, ids: Ids) -> None:
        self._ids[[self._slots.pop(id_) for id_ in ids.tolist()]] = -1
        if len(self._ids) - len(self._slots) >= _MOST_HIDDEN * len(self._ids):
            self._rebuild()

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        return self._compared(queries, k) if exact else self._walked(queries, k, max(self._settings.ef_search, k))

    def vectors(self, ids: Ids) -> Vectors:
        slots = np.array([self._slots[id_] for id_ in ids.tolist()], dtype=np.int64)
        vectors: Vectors = self._graph.reconstruct_batch(slots)
        return vectors

    def compact(self) -> None:
        if len(self._slots) < len(self._ids):
            self._rebuild()

    def serialize(self) -> tuple[Piece, ...]:
        self.compact()
        return piece_of(self._ids), serialized(self._graph)

    def _empty(self) -> Any:
        dim = self._settings.embedding_dim
        if self._settings.half_precision:
            graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, _LINKS)
        else:
            graph = faiss.IndexHNSWFlat(dim, _LINKS)
        graph.hnsw.efConstruction = self._settings.ef_construction
        return graph

    def _walked(self, queries: Vectors, k: int, breadth: int) -> Ids:
        """Ids (n, k) of the nearest among the ``breadth`` nearest slots, of more where too many of those are hidden."""
        if breadth >= len(self._ids):
            return self._compared(queries, k)
        width = breadth if len(self._slots) < len(self._ids) else k
        slots = self._graph.search(queries, width, params=faiss.SearchParametersHNSW(efSearch=breadth))[1]
        ids = np.where(slots >= 0, self._ids[slots], -1)
        living_first = np.argsort(ids < 0, axis=1, kind="stable")[:, :k]
        nearest: Ids = np.take_along_axis(ids, living_first, axis=1)
        short = (nearest < 0).any(axis=1)
        if short.any():
            nearest[short] = self._walked(queries[short], k, _WIDER * breadth)
        return nearest

    def _compared(self, queries: Vectors, k: int) -> Ids:
        """Ids (n, k) of the true nearest: every vector is looked at."""
        seen = faiss.IDSelectorBitmap(np.packbits(self._ids >= 0, bitorder="little"))
        storage = faiss.downcast_index(self._graph.storage)
        nearest: Ids = self._ids[storage.search(queries, k, params=faiss.SearchParameters(sel=seen))[1]]
        return nearest

    def _rebuild(self) -> None:
        """Build the graph from what is not hidden, in the same order."""
        graph, ids = self._empty(), self.ids()
        for some in batches(ids):
            graph.add(self.vectors(some))
        self._graph, self._ids = graph, ids
        self._slots = {int(id_): slot for slot, id_ in enumerate(ids)}

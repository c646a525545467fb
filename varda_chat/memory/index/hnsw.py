"""GraphIndex: each vector linked with near ones, along which a search walks (FAISS' HNSW); removal by hiding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss, restored
from varda_chat.memory.index.clusters import batches
from varda_chat.storage.container import Parts, Piece

_LINKS = 32
"""Links of a vector (HNSW's M), FAISS' own default; twice as many on the lowest level."""

_MOST_HIDDEN = 0.2
"""Share of hidden slots at which the graph is rebuilt."""


class GraphIndex:
    """A VectorIndex over slots, which FAISS numbers in the order of adding and cannot remove.

    A removed vector's slot is hidden: searches walk through it and do not report it. It takes on the vector of a
    living neighbour, so that the way through it still leads there and what was removed is nowhere kept.
    """

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self._graph: Any
        if pieces is None:
            self._ids: Ids = np.zeros(0, dtype=np.int64)  # id of each slot, -1 where it is hidden
            self._graph = self._empty()
        else:
            ids, piece = pieces
            self._ids = ids.view("<i8").astype(np.int64)
            self._graph = restored(piece, type(self._empty()), settings)
            if self._graph.ntotal != len(self._ids):
                raise RuntimeError("a graph with other slots than ids")
            self._graph.hnsw.efConstruction = settings.ef_construction
        self._slots = {int(id_): slot for slot, id_ in enumerate(self._ids) if id_ >= 0}

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
        slots = [self._slots.pop(id_) for id_ in ids.tolist()]
        self._ids[slots] = -1
        if len(self._ids) - len(self._slots) >= _MOST_HIDDEN * len(self._ids):
            self._rebuild()
        else:
            self._overwrite(slots)

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        hidden = len(self._slots) < len(self._ids)
        seen = faiss.IDSelectorBitmap(np.packbits(self._ids >= 0, bitorder="little")) if hidden else None
        if exact:
            slots = self._storage().search(queries, k, params=faiss.SearchParameters(sel=seen))[1]
        else:
            breadth = faiss.SearchParametersHNSW(sel=seen, efSearch=max(self._settings.ef_search, k))
            slots = self._graph.search(queries, k, params=breadth)[1]
        ids: Ids = np.where(slots >= 0, self._ids[slots], -1)
        short = (ids < 0).any(axis=1)
        if not exact and short.any():  # a part of the graph that no link leads to any more
            ids[short] = self.search(queries[short], k, exact=True)
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        slots = np.array([self._slots[id_] for id_ in ids.tolist()], dtype=np.int64)
        vectors: Vectors = self._graph.reconstruct_batch(slots)
        return vectors

    def compact(self) -> None:
        if len(self._slots) < len(self._ids):
            self._rebuild()

    def serialize(self) -> tuple[Piece | Parts, ...]:
        return self._ids.astype("<i8").view(np.uint8), faiss.serialize_index(self._graph)

    def _empty(self) -> Any:
        dim = self._settings.embedding_dim
        if self._settings.half_precision:
            graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_fp16, _LINKS)
        else:
            graph = faiss.IndexHNSWFlat(dim, _LINKS)
        graph.hnsw.efConstruction = self._settings.ef_construction
        return graph

    def _storage(self) -> Any:
        return faiss.downcast_index(self._graph.storage)

    def _rebuild(self) -> None:
        """Build the graph from what is not hidden, in the same order."""
        graph, ids = self._empty(), self._ids[self._ids >= 0]
        for some in batches(ids):
            graph.add(self.vectors(some))
        self._graph, self._ids = graph, ids
        self._slots = {int(id_): slot for slot, id_ in enumerate(ids)}

    def _overwrite(self, slots: Sequence[int]) -> None:
        """Put the vector of the nearest living neighbour, or of any living one, into ``slots``, which were removed."""
        storage, hnsw = self._storage(), self._graph.hnsw
        codes = faiss.rev_swig_ptr(storage.codes.data(), len(self._ids) * storage.code_size)
        codes = codes.reshape(len(self._ids), storage.code_size)
        offsets = faiss.rev_swig_ptr(hnsw.offsets.data(), len(self._ids) + 1)
        links = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
        some_living = int(np.argmax(self._ids >= 0))
        for slot in slots:
            near = links[offsets[slot] : offsets[slot] + hnsw.nb_neighbors(0)].astype(np.int64)
            near = near[near >= 0]
            near = near[self._ids[near] >= 0]
            heir = some_living
            if len(near):
                gaps = self._graph.reconstruct_batch(near) - self._graph.reconstruct(int(slot))
                heir = int(near[np.argmin(np.einsum("nd,nd->n", gaps, gaps))])
            codes[slot] = codes[heir]

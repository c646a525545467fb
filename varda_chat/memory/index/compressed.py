"""CompressedIndex: a search over a few bytes a vector (FAISS' IVF-PQ), beside the exact vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss, restored
from varda_chat.memory.index.clusters import (
    PER_CENTROID,
    SAMPLE_PER_CENTROID,
    batches,
    clusters_for,
    is_due,
    is_outgrown,
    probes,
    sample,
)
from varda_chat.memory.index.flat import FlatIndex
from varda_chat.memory.index.gpu import GpuCopy
from varda_chat.storage.container import Parts, Piece

_BITS = 8
_LEAST = PER_CENTROID * 2**_BITS  # each byte of a code has 2**_BITS centroids of its own to learn


class CompressedIndex:
    """A VectorIndex that searches codes once there are enough vectors to learn them from.

    The codes only choose candidates, several for every result asked for; who is nearest is decided by the
    exact vectors, which are kept too.
    """

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self._gpu = GpuCopy(settings.gpu_device)
        self._codes: Any = None
        self._learned_from = 0
        if pieces is None:
            self._exact = FlatIndex(settings)
            return
        state, ids, rows, *codes = pieces
        self._exact = FlatIndex(settings, [ids, rows])
        self._learned_from = int(state.view("<i8")[0])
        if self._learned_from:
            self._codes = restored(codes[0], faiss.IndexIVFPQ, settings)

    def __len__(self) -> int:
        return len(self._exact)

    def ids(self) -> Ids:
        return self._exact.ids()

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        self._exact.add(ids, vectors)
        if is_due(len(self), self._learned_from, _LEAST):
            self._learn()
        elif self._codes is not None:
            self._codes.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        self._exact.remove(ids)
        if self._codes is not None:
            self._codes.remove_ids(faiss.IDSelectorArray(ids))  # by its table of ids; another selector would scan

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        if exact or self._codes is None:
            return self._exact.search(queries, k)
        wanted = min(candidates_for(k, len(self)), len(self))
        looked_into = faiss.SearchParametersIVF(nprobe=probes(self._codes.nlist))
        ids: Ids = self._gpu.of(lambda: self._codes, wanted).search(queries, wanted, params=looked_into)[1]
        short = (ids >= 0).sum(axis=1) < k
        if short.any():
            ids[short, :k] = self._exact.search(queries[short], k)
            ids[short, k:] = -1
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        return self._exact.vectors(ids)

    def compact(self) -> None:
        if is_outgrown(len(self), self._learned_from):
            self._gpu.drop()
            if len(self) >= _LEAST:
                self._learn()
            else:
                self._codes, self._learned_from = None, 0

    def serialize(self) -> tuple[Piece | Parts, ...]:
        state = np.array([self._learned_from], dtype="<i8").view(np.uint8)
        codes = () if self._codes is None else (faiss.serialize_index(self._codes),)
        return (state, *self._exact.serialize(), *codes)

    def _learn(self) -> None:
        """Learn clusters and codes again from what is there."""
        ids = np.sort(self._exact.ids())
        dim, clusters = self._settings.embedding_dim, clusters_for(len(ids), self._settings.num_clusters)
        code_bytes = next(count for count in range(min(self._settings.m, dim), 0, -1) if dim % count == 0)
        codes = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, clusters, code_bytes, _BITS, faiss.METRIC_L2)
        codes.cp.max_points_per_centroid = codes.pq.cp.max_points_per_centroid = SAMPLE_PER_CENTROID
        codes.train(sample(ids, self._exact.vectors, max(clusters, 2**_BITS)))
        codes.set_direct_map_type(faiss.DirectMap.Hashtable)
        for some in batches(ids):
            codes.add_with_ids(self._exact.vectors(some), some)
        self._codes, self._learned_from = codes, len(ids)


def candidates_for(k: int, count: int) -> int:
    """How many candidates the codes choose for ``k`` results: more among more vectors, whose codes are more alike."""
    return max(200, 20 * k, count // 1000)

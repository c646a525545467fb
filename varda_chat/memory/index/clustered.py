"""IvfIndex and CompressedIndex: vectors in clusters, of which a query looks into the nearest (FAISS' inverted file)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from faiss.contrib.inspect_tools import get_invlist

from varda_chat.memory.index.arrays import Ids, Piece, Vectors, batches, ids_in, piece_of
from varda_chat.memory.index.base import IndexSettings, faiss, restored, serialized
from varda_chat.memory.index.flat import FlatIndex
from varda_chat.memory.index.gpu import GpuCopy

_PER_CENTROID = 39
"""Vectors that FAISS asks for to learn one centroid (ClusteringParameters.min_points_per_centroid)."""

_SAMPLE_PER_CENTROID = 64
"""Vectors that a centroid is learned from at most; more take longer and change little."""

_FIRST_CLUSTERS = 64
"""Clusters worth searching by; with fewer vectors than these need, looking at every vector is as fast."""

_GROWTH = 4
"""The clusters are learned again when the memory has grown by this since."""

_BITS = 8  # of each part of a code, which has a centroid for each value


class _ClusteredIndex(ABC):
    """A VectorIndex that is flat until there are enough vectors to learn clusters from."""

    keeps_flat: ClassVar[bool]
    """Whether the exact vectors stay beside the clusters, which hold something shorter then."""

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self._gpu = GpuCopy(settings.gpu_device)
        self._flat: FlatIndex | None = None
        self._clusters: Any = None
        self._learned_from = 0
        if pieces is None:
            self._flat = FlatIndex(settings)
            return
        state, flat, clusters = pieces
        (self._learned_from,) = ids_in(state).tolist()
        if self.keeps_flat or not self._learned_from:
            self._flat = FlatIndex(settings, [flat])
        if self._learned_from:
            self._clusters = restored(clusters, self._untrained(1))

    @abstractmethod
    def _untrained(self, clusters: int) -> Any:
        """FAISS' index of that many clusters, which has learned nothing yet."""

    @abstractmethod
    def _least(self) -> int:
        """How many vectors the first clusters are learned from."""

    @abstractmethod
    def _candidates(self, k: int) -> int:
        """How many vectors the clusters are asked for to find ``k`` results."""

    def __len__(self) -> int:
        return int(self._clusters.ntotal) if self._flat is None else len(self._flat)

    def ids(self) -> Ids:
        if self._flat is not None:
            return self._flat.ids()
        return np.concatenate([get_invlist(self._clusters.invlists, n)[0] for n in range(self._clusters.nlist)])

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        if self._flat is not None:
            self._flat.add(ids, vectors)
        if self._clusters is not None:
            self._clusters.add_with_ids(vectors, ids)
        if len(self) >= (_GROWTH * self._learned_from or self._least()):
            self._learn()

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        if self._flat is not None:
            self._flat.remove(ids)
        if self._clusters is not None:
            self._clusters.remove_ids(faiss.IDSelectorArray(ids))  # by its table of ids; another selector would scan

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        if self._flat is not None and (exact or self._clusters is None):
            return self._flat.search(queries, k)
        count = self._clusters.nlist
        looked_into = faiss.SearchParametersIVF(nprobe=count if exact else min(count, max(8, count // 8)))
        wanted = k if exact else self._candidates(k)
        index = self._clusters if exact else self._gpu.of(self._clusters, wanted)
        ids: Ids = index.search(queries, wanted, params=looked_into)[1]
        short = (ids >= 0).sum(axis=1) < k
        if not exact and short.any():
            ids[short, :k] = self.search(queries[short], k, exact=True)
            ids[short, k:] = -1
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        if self._flat is not None:
            return self._flat.vectors(ids)
        vectors: Vectors = self._clusters.reconstruct_batch(ids)
        return vectors

    def compact(self) -> None:
        if self._clusters is not None and len(self) * _GROWTH <= self._learned_from:  # they no longer fit what is left
            self._gpu.drop()
            if len(self) >= self._least():
                self._learn()
            else:
                self._unlearn()
        if self._flat is not None:
            self._flat.compact()

    def serialize(self) -> tuple[Piece, ...]:
        nothing = np.zeros(0, dtype=np.uint8)
        (flat,) = (nothing,) if self._flat is None else self._flat.serialize()
        clusters = nothing if self._clusters is None else serialized(self._clusters)
        return piece_of(np.array([self._learned_from])), flat, clusters

    def _learn(self) -> None:
        """Divide what is there into new clusters."""
        ids = np.sort(self.ids())
        clusters = self._untrained(max(1, min(self._settings.num_clusters, len(ids) // _PER_CENTROID)))
        clusters.cp.max_points_per_centroid = _SAMPLE_PER_CENTROID
        most = _SAMPLE_PER_CENTROID * max(clusters.nlist, self._least() // _PER_CENTROID)
        some = ids if len(ids) <= most else np.random.default_rng(0).choice(ids, size=most, replace=False)
        clusters.train(self.vectors(np.sort(some)))
        clusters.set_direct_map_type(faiss.DirectMap.Hashtable)
        for batch in batches(ids):
            clusters.add_with_ids(self.vectors(batch), batch)
        self._clusters, self._learned_from = clusters, len(ids)
        if not self.keeps_flat:
            self._flat = None

    def _unlearn(self) -> None:
        """Be flat again."""
        if self._flat is None:
            flat = FlatIndex(self._settings)
            for batch in batches(self.ids()):
                flat.add(batch, self.vectors(batch))
            self._flat = flat
        self._clusters, self._learned_from = None, 0


class IvfIndex(_ClusteredIndex):
    """Clusters of the vectors themselves."""

    keeps_flat = False

    def _untrained(self, clusters: int) -> Any:
        dim = self._settings.embedding_dim
        if self._settings.half_precision:
            # without residuals, so that a vector reads the same in whatever cluster it lies
            half = faiss.ScalarQuantizer.QT_fp16
            return faiss.IndexIVFScalarQuantizer(faiss.IndexFlatL2(dim), dim, clusters, half, faiss.METRIC_L2, False)
        return faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, clusters, faiss.METRIC_L2)

    def _least(self) -> int:
        return _PER_CENTROID * min(self._settings.num_clusters, _FIRST_CLUSTERS)

    def _candidates(self, k: int) -> int:
        return k


class CompressedIndex(_ClusteredIndex):
    """Clusters of a few bytes a vector (FAISS' IVF-PQ), beside the exact vectors.

    The codes only choose candidates, several for every result asked for; who is nearest is decided by the exact
    vectors.
    """

    keeps_flat = True

    def _untrained(self, clusters: int) -> Any:
        dim = self._settings.embedding_dim
        code_bytes = next(count for count in range(min(self._settings.m, dim), 0, -1) if dim % count == 0)
        codes = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, clusters, code_bytes, _BITS, faiss.METRIC_L2)
        codes.pq.cp.max_points_per_centroid = _SAMPLE_PER_CENTROID
        return codes

    def _least(self) -> int:
        return _PER_CENTROID << _BITS

    def _candidates(self, k: int) -> int:
        count = len(self)
        return min(count, max(200, 20 * k, count // 1000))  # more among more vectors, whose codes are more alike

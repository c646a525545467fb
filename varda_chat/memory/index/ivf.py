"""IvfIndex: vectors divided into clusters, of which a query looks into the nearest (FAISS' inverted file)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss, restored
from varda_chat.memory.index.clusters import (
    FIRST_CLUSTERS,
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


class IvfIndex:
    """A VectorIndex that is flat until there are enough vectors to learn clusters from."""

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self._least = PER_CENTROID * min(settings.num_clusters, FIRST_CLUSTERS)
        self._kind = faiss.IndexIVFScalarQuantizer if settings.half_precision else faiss.IndexIVFFlat
        self._gpu = GpuCopy(settings.gpu_device)
        self._flat: FlatIndex | None = None
        self._ivf: Any = None
        self._learned_from = 0
        if pieces is None:
            self._flat = FlatIndex(settings)
            return
        state, *rest = pieces
        self._learned_from = int(state.view("<i8")[0])
        if self._learned_from:
            self._ivf = restored(rest[0], self._kind, settings)
        else:
            self._flat = FlatIndex(settings, rest)

    def __len__(self) -> int:
        return int(self._ivf.ntotal) if self._flat is None else len(self._flat)

    def ids(self) -> Ids:
        if self._flat is not None:
            return self._flat.ids()
        lists = self._ivf.invlists
        sizes = [(which, lists.list_size(which)) for which in range(self._ivf.nlist)]
        parts = [np.array(faiss.rev_swig_ptr(lists.get_ids(which), size)) for which, size in sizes if size]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        if self._flat is not None:
            self._flat.add(ids, vectors)
        else:
            self._ivf.add_with_ids(vectors, ids)
        if is_due(len(self), self._learned_from, self._least):
            self._learn()

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        if self._flat is not None:
            self._flat.remove(ids)
        else:
            self._ivf.remove_ids(faiss.IDSelectorArray(ids))  # by its table of ids; another selector would scan

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        if self._flat is not None:
            return self._flat.search(queries, k)
        looked_into = self._ivf.nlist if exact else probes(self._ivf.nlist)
        index = self._ivf if exact else self._gpu.of(lambda: self._ivf, k)
        ids: Ids = index.search(queries, k, params=faiss.SearchParametersIVF(nprobe=looked_into))[1]
        short = (ids < 0).any(axis=1)
        if not exact and short.any():
            ids[short] = self.search(queries[short], k, exact=True)
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        if self._flat is not None:
            return self._flat.vectors(ids)
        vectors: Vectors = self._ivf.reconstruct_batch(ids)
        return vectors

    def compact(self) -> None:
        if self._flat is None and is_outgrown(len(self), self._learned_from):
            self._gpu.drop()
            if len(self) >= self._least:
                self._learn()
            else:
                flat, ids = FlatIndex(self._settings), self.ids()
                for some in batches(ids):
                    flat.add(some, self.vectors(some))
                self._flat, self._ivf, self._learned_from = flat, None, 0

    def serialize(self) -> tuple[Piece | Parts, ...]:
        state = np.array([self._learned_from], dtype="<i8").view(np.uint8)
        if self._flat is not None:
            return (state, *self._flat.serialize())
        return (state, faiss.serialize_index(self._ivf))

    def _learn(self) -> None:
        """Divide what is there into new clusters."""
        ids = np.sort(self.ids())
        dim, clusters = self._settings.embedding_dim, clusters_for(len(ids), self._settings.num_clusters)
        quantizer = faiss.IndexFlatL2(dim)
        if self._settings.half_precision:
            # without residuals, so that a vector reads the same in whatever cluster it lies
            half = faiss.ScalarQuantizer.QT_fp16
            ivf = faiss.IndexIVFScalarQuantizer(quantizer, dim, clusters, half, faiss.METRIC_L2, False)
        else:
            ivf = faiss.IndexIVFFlat(quantizer, dim, clusters, faiss.METRIC_L2)
        ivf.cp.max_points_per_centroid = SAMPLE_PER_CENTROID
        ivf.train(sample(ids, self.vectors, clusters))
        ivf.set_direct_map_type(faiss.DirectMap.Hashtable)
        for some in batches(ids):
            ivf.add_with_ids(self.vectors(some), some)
        self._flat, self._ivf, self._learned_from = None, ivf, len(ids)

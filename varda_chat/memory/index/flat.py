"""FlatIndex: exact search over every vector, in single or half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Piece, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss, restored, serialized
from varda_chat.memory.index.gpu import GpuCopy


class FlatIndex:
    """A VectorIndex that compares a query with every vector: FAISS' exact index, with a table of ids."""

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._gpu = GpuCopy(settings.gpu_device)
        self._index = faiss.IndexIDMap2(_exact_index(settings))
        if pieces is not None:
            (piece,) = pieces
            self._index = restored(piece, self._index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        ids: Ids = faiss.vector_to_array(self._index.id_map).astype(np.int64)
        return ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        self._index.remove_ids(ids)

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        ids: Ids = self._gpu.of(self._index, k).search(queries, k)[1]
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        vectors: Vectors = self._index.reconstruct_batch(ids)
        return vectors

    def compact(self) -> None:
        self._index = faiss.clone_index(self._index)  # with no more room than it needs

    def serialize(self) -> tuple[Piece, ...]:
        return (serialized(self._index),)


def _exact_index(settings: IndexSettings) -> Any:
    """FAISS' exact index, with no vectors."""
    if settings.half_precision:
        half = faiss.ScalarQuantizer.QT_fp16
        return faiss.IndexScalarQuantizer(settings.embedding_dim, half, faiss.METRIC_L2)
    return faiss.IndexFlatL2(settings.embedding_dim)

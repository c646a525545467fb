"""FlatIndex: exact search over every vector, in single or half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.gpu import GpuCopy
from varda_chat.memory.vector_index import Ids, IndexSettings, Piece, Vectors, faiss, restored


class FlatIndex:
    """A VectorIndex that compares a query with every vector."""

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        dim = settings.embedding_dim
        self._index: Any
        if pieces is not None:
            (piece,) = pieces
            self._index = restored(piece, faiss.IndexIDMap2, settings)
        elif settings.half_precision:
            self._index = faiss.IndexIDMap2(
                faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
            )
        else:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatL2(dim))
        self._gpu = GpuCopy(settings.gpu_device)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def ids(self) -> Ids:
        """All ids (n,), in no order."""
        ids: Ids = faiss.vector_to_array(self._index.id_map).astype(np.int64)
        return ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        self._index.remove_ids(ids)

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        _, found = self._gpu.of(self._index, k).search(queries, k)
        ids: Ids = found
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        vectors: Vectors = self._index.reconstruct_batch(ids)
        return vectors

    def compact(self) -> None:
        """Nothing to do: a flat index keeps no trace of what was removed."""

    def serialize(self) -> tuple[Piece, ...]:
        return (faiss.serialize_index(self._index),)

"""FlatIndex: exact search over every vector, in single or half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.gpu import GpuCopy
from varda_chat.memory.vector_index import Ids, IndexSettings, Piece, Vectors, faiss, restored


class FlatIndex:
    """A VectorIndex that compares a query with every vector.

    Read from pieces, it looks at their bytes in place, so that a large memory can be searched at once; its first
    change reads them in.
    """

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        dim = settings.embedding_dim
        self._settings = settings
        self._viewed: Piece | None = None
        self._index: Any
        if pieces is not None:
            (self._viewed,) = pieces
            self._index = restored(self._viewed, faiss.IndexIDMap2, settings, view=True)
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
        self._own()
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self._own()
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

    def _own(self) -> None:
        """Before every change."""
        self._gpu.drop()
        if self._viewed is not None:
            self._index = restored(self._viewed, faiss.IndexIDMap2, self._settings)
            self._viewed = None

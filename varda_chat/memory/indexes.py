"""The FAISS indexes behind AssociativeMemory, each with stable ids, removal and reconstruction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

# two OpenMP run-times in one process (torch's and FAISS') are a known cause of crashes
faiss.omp_set_num_threads(1)


@dataclass(frozen=True)
class IndexSettings:
    """How an index is built: ``num_clusters`` and ``m`` for ivf and compressed, ``ef_*`` for graph."""

    embedding_dim: int
    num_clusters: int
    m: int
    ef_construction: int
    ef_search: int


class VectorIndex(Protocol):
    """What AssociativeMemory asks of an index, with arguments that it has checked."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add ``vectors`` (n, dim) under new, distinct ``ids`` (n,)."""

    def remove(self, ids: Ids) -> None:
        """Remove ``ids`` (n,), all present; they are never found again."""

    def search(self, queries: Vectors, k: int) -> Ids:
        """Ids (n, k) of the vectors nearest to ``queries`` (n, dim), -1 where there are fewer."""

    def vectors(self, ids: Ids) -> Vectors:
        """Vectors (n, dim) of ``ids`` (n,), all present."""

    def compact(self) -> None:
        """Give back what removed vectors still take up."""

    def serialize(self) -> npt.NDArray[np.uint8]:
        """The index as bytes, for ``deserialize`` of the same type."""


class FlatIndex:
    """Exact search over every vector."""

    def __init__(self, settings: IndexSettings, data: npt.NDArray[np.uint8] | None = None) -> None:
        self._index: Any
        if data is None:
            self._index = faiss.IndexIDMap2(faiss.IndexFlatL2(settings.embedding_dim))
        else:
            self._index = faiss.deserialize_index(data)
            if not isinstance(self._index, faiss.IndexIDMap2) or self._index.d != settings.embedding_dim:
                raise RuntimeError("not a flat index of this dimension")

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._index.add_with_ids(vectors, ids)

    def remove(self, ids: Ids) -> None:
        self._index.remove_ids(ids)

    def search(self, queries: Vectors, k: int) -> Ids:
        _, found = self._index.search(queries, k)
        ids: Ids = found
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        vectors: Vectors = self._index.reconstruct_batch(ids)
        return vectors

    def compact(self) -> None:
        """Nothing to do: a flat index keeps no trace of what was removed."""

    def serialize(self) -> npt.NDArray[np.uint8]:
        data: npt.NDArray[np.uint8] = faiss.serialize_index(self._index)
        return data


INDEX_TYPES: dict[str, Callable[[IndexSettings, Any], VectorIndex]] = {"flat": FlatIndex}
"""Index types by name. A new one is a class with VectorIndex' methods and a line here."""


def make_index(index_type: str, settings: IndexSettings, data: npt.NDArray[np.uint8] | None = None) -> VectorIndex:
    """An empty index, or the one ``serialize`` made ``data`` from; raises VardaError for an unknown type."""
    if index_type not in INDEX_TYPES:
        known = ", ".join(sorted(INDEX_TYPES))
        raise VardaError(f"Index type {index_type!r} is not available; choose one of: {known}.")
    return INDEX_TYPES[index_type](settings, data)

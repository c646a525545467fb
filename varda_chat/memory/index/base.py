"""What AssociativeMemory asks of an index, and the settings an index is built with. Every type meets this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faiss as _faiss
import numpy as np

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import Ids, Piece, Vectors

faiss: Any = _faiss  # its own type hints lack classes and keyword arguments that it has

# two OpenMP run-times in one process (torch's and FAISS') are a known cause of crashes
faiss.omp_set_num_threads(1)


@dataclass(frozen=True)
class IndexSettings:
    """How an index is built; raises VardaError for a number below 1.

    embedding_dim: floats a vector.
    num_clusters: lists of ivf and compressed at most; fewer while there are few vectors.
    m: bytes of a compressed vector at most; the largest number up to it that divides ``embedding_dim`` is taken.
    ef_construction, ef_search: breadth of the graph's search for neighbours, while it grows and while it answers.
    half_precision: keep 16 bits a value instead of 32.
    gpu_device: number of the GPU that searches, None for the CPU.
    """

    embedding_dim: int
    num_clusters: int
    m: int
    ef_construction: int
    ef_search: int
    half_precision: bool = False
    gpu_device: int | None = None

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "num_clusters", "m", "ef_construction", "ef_search"):
            if getattr(self, name) < 1:
                raise VardaError(f"{name} is {getattr(self, name)}; it must be at least 1.")


class VectorIndex(Protocol):
    """An index with ids of the caller's; the arguments have been checked."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add ``vectors`` (n, dim) under new, distinct ``ids`` (n,)."""

    def remove(self, ids: Ids) -> None:
        """Remove ``ids`` (n,), distinct and all present; they are never found again."""

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        """Ids (n, c), c >= k, of candidates for the ``k`` nearest of ``queries`` (n, dim); k is at most the size.

        In any order; -1 fills rows up, but at least k of a row are ids. ``exact``: the true k nearest are among them.
        """

    def vectors(self, ids: Ids) -> Vectors:
        """Vectors (n, dim) of ``ids`` (n,), all present, as they were added (rounded, with half_precision)."""

    def ids(self) -> Ids:
        """All ids (n,), in no order."""

    def compact(self) -> None:
        """Free the memory of removed vectors, and fit the index to what it holds now."""

    def serialize(self) -> tuple[Piece, ...]:
        """The index as it is now, whatever is changed later, as bytes from which it can be made again; nothing of a
        removed vector is among them."""


class MakeIndex(Protocol):
    """A class with VectorIndex' methods."""

    def __call__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> VectorIndex:
        """An empty index, or the one that ``serialize`` gave ``pieces`` of; RuntimeError where they are of another."""


def serialized(index: Any) -> Piece:
    """A FAISS index as bytes."""
    chunks: list[bytes] = []
    faiss.write_index(index, faiss.PyCallbackIOWriter(chunks.append))  # serialize_index takes four times as long
    return np.frombuffer(b"".join(chunks), dtype=np.uint8)


def restored(piece: Piece, model: Any) -> Any:
    """The FAISS index that ``serialized`` was given; raises RuntimeError unless it is of the class and dimensions of
    ``model``. Only for bytes that are as they were written: others can end the process."""
    index = faiss.deserialize_index(piece)
    if _kind(index) != _kind(model):
        raise RuntimeError(f"a {type(index).__name__} of {index.d} dimensions, or of other vectors")
    return index


def _kind(index: Any) -> tuple[Any, ...]:
    inner = (type(faiss.downcast_index(index.index)),) if isinstance(index, faiss.IndexIDMap2) else ()
    return type(index), index.d, *inner

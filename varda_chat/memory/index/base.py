"""What AssociativeMemory asks of an index, and the settings an index is built with. Every type meets this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import faiss as _faiss

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.storage.container import Parts, Piece

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
        """Remove ``ids`` (n,), distinct and all present; they are never found again, and their vectors are erased."""

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

    def serialize(self) -> tuple[Piece | Parts, ...]:
        """The index as it is now, whatever is changed later, as pieces of bytes from which it can be made again."""


class MakeIndex(Protocol):
    """A class with VectorIndex' methods."""

    def __call__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> VectorIndex:
        """An empty index, or the one that ``serialize`` gave ``pieces`` of; RuntimeError where they are of another."""


def restored(piece: Piece, kind: Any, settings: IndexSettings, *, view: bool = False) -> Any:
    """The FAISS index of class ``kind`` in ``piece``; raises RuntimeError where it is another.

    ``view``: without a copy of the vectors, which takes a tenth of the time. ``piece`` must outlive it, and it must
    not be changed: FAISS ends the process then.
    """
    if view:
        index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(piece), piece.size))
    else:
        index = faiss.deserialize_index(piece)
    if not isinstance(index, kind) or index.d != settings.embedding_dim:
        raise RuntimeError(f"not a {kind.__name__} of {settings.embedding_dim} dimensions")
    return index

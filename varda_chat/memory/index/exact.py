"""The nearest vectors of queries, by distances computed from the vectors themselves whatever the index says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from varda_chat.errors import VardaError
from varda_chat.memory.index.base import Ids, VectorIndex, Vectors

if TYPE_CHECKING:
    from varda_chat.memory.vector_memory import AssociativeMemory

_AT_ONCE = 2**24  # floats of candidate vectors held at once (64 MiB)


def nearest(
    index: VectorIndex, queries: Vectors, k: int, *, exact: bool = False
) -> tuple[Ids, npt.NDArray[np.float32], Vectors]:
    """Ids (n, k), squared L2 distances (n, k) and vectors (n, k, dim) for ``queries`` (n, dim), nearest first.

    ``k`` is from 1 to the size of the index. Among the candidates that the index offers, the nearest are chosen
    by their exact vectors; ``exact`` asks the index for the true nearest.
    """
    candidates = index.search(queries, k, exact)
    count, width = candidates.shape
    dim = queries.shape[1]
    ids = np.empty((count, k), dtype=np.int64)
    distances = np.empty((count, k), dtype=np.float32)
    vectors = np.empty((count, k, dim), dtype=np.float32)
    step = max(1, _AT_ONCE // (width * dim))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        offered = candidates[rows]
        found = offered >= 0
        theirs = np.zeros((*offered.shape, dim), dtype=np.float32)
        theirs[found] = index.vectors(offered[found])
        gaps = theirs - queries[rows, None, :]  # (rows, width, dim)
        gap_sizes = np.where(found, np.einsum("nkd,nkd->nk", gaps, gaps), np.float32(np.inf))
        order = np.argsort(gap_sizes, axis=1, kind="stable")[:, :k]
        ids[rows] = np.take_along_axis(offered, order, axis=1)
        distances[rows] = np.take_along_axis(gap_sizes, order, axis=1)
        vectors[rows] = np.take_along_axis(theirs, order[:, :, None], axis=1)
    return ids, distances, vectors


def search_recall(memory: AssociativeMemory, sample: int = 100, k: int = 5) -> float:
    """Recall@k of ``memory.search`` against exact search, 0 to 1.

    Asks for the ``k`` nearest neighbours of ``sample`` of the memory's own vectors (of all, where it has fewer;
    the same ones each time), the vector itself left out. A result counts where it is as near as the k-th of the
    exact search. 1 where no vector has a neighbour. Raises VardaError for a ``sample`` or ``k`` below 1.
    """
    if sample < 1 or k < 1:
        raise VardaError("Recall is measured with at least one query and one result.")
    size = memory.size()
    width = min(k, size - 1)
    if width < 1:
        return 1.0
    own = memory.ids()[np.sort(np.random.default_rng(0).choice(size, size=min(sample, size), replace=False))]
    queries = memory.vectors_of(own)
    found = _neighbour_distances(memory, own, queries, width, exact=False)
    true = _neighbour_distances(memory, own, queries, width, exact=True)
    return float((found <= true[:, -1:]).mean())


def _neighbour_distances(
    memory: AssociativeMemory, own: Ids, queries: Vectors, k: int, *, exact: bool
) -> npt.NDArray[np.float32]:
    """Distances (n, k) of the nearest others, ascending."""
    ids, distances, _ = nearest(memory.index, queries, k + 1, exact=exact)
    distances = np.where(ids == own[:, None], np.float32(np.inf), distances)
    return np.sort(distances, axis=1)[:, :k]

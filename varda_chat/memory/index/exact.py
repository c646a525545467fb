"""The nearest vectors of queries, by distances computed from the vectors themselves whatever the index says."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import VectorIndex

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
    if candidates.size * dim <= _AT_ONCE:
        return _ranked(index, candidates, queries, k)
    ids = np.empty((count, k), dtype=np.int64)
    distances = np.empty((count, k), dtype=np.float32)
    vectors = np.empty((count, k, dim), dtype=np.float32)
    step = max(1, _AT_ONCE // (width * dim))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        ids[rows], distances[rows], vectors[rows] = _ranked(index, candidates[rows], queries[rows], k)
    return ids, distances, vectors


def nearest_padded(
    index: VectorIndex, size: int, queries: Vectors, k: int
) -> tuple[Ids, npt.NDArray[np.float32], Vectors]:
    """As ``nearest``, for any ``k`` from 1: beyond the ``size`` of the index, ids are -1, distances inf, vectors 0."""
    count, dim = queries.shape
    width = min(k, size) if count else 0
    if width == k:
        return nearest(index, queries, k)
    ids = np.full((count, k), -1, dtype=np.int64)
    distances = np.full((count, k), np.inf, dtype=np.float32)
    vectors = np.zeros((count, k, dim), dtype=np.float32)
    if width:
        ids[:, :width], distances[:, :width], vectors[:, :width] = nearest(index, queries, width)
    return ids, distances, vectors


def _ranked(index: VectorIndex, offered: Ids, queries: Vectors, k: int) -> tuple[Ids, npt.NDArray[np.float32], Vectors]:
    """Of the candidates ``offered`` (n, c) to each query the ``k`` nearest, as ``nearest`` gives them."""
    found = offered >= 0
    everywhere = bool(found.all())
    if everywhere:
        theirs = index.vectors(offered.reshape(-1)).reshape(*offered.shape, queries.shape[1])
    else:
        theirs = np.zeros((*offered.shape, queries.shape[1]), dtype=np.float32)
        theirs[found] = index.vectors(offered[found])
    gaps = theirs - queries[:, None, :]  # (n, c, dim)
    gap_sizes = np.einsum("nkd,nkd->nk", gaps, gaps)
    if not everywhere:
        gap_sizes = np.where(found, gap_sizes, np.float32(np.inf))
    if offered.shape[1] == k and bool((gap_sizes[:, 1:] >= gap_sizes[:, :-1]).all()):
        return offered, gap_sizes, theirs  # as an exact index offers them
    order = np.argsort(gap_sizes, axis=1, kind="stable")[:, :k]
    rows = np.arange(len(offered))[:, None]
    return offered[rows, order], gap_sizes[rows, order], theirs[rows, order]

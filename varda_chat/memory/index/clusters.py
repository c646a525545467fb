"""When clusters are learned, how many, from which vectors, and how many of them a query looks into."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from varda_chat.memory.index.arrays import Ids, Vectors

PER_CENTROID = 39
"""Vectors that FAISS asks for to learn one centroid (ClusteringParameters.min_points_per_centroid)."""

SAMPLE_PER_CENTROID = 64
"""Vectors that a centroid is learned from at most; more take longer and change little."""

FIRST_CLUSTERS = 64
"""Clusters worth searching by; with fewer vectors than these need, looking at every vector is as fast."""

GROWTH = 4
"""The clusters are learned again when the memory has grown by this since."""

_BATCH = 65_536  # vectors handed from one index to another at once


def clusters_for(count: int, most: int) -> int:
    """How many clusters ``count`` vectors are divided into, ``most`` at most."""
    return max(1, min(most, count // PER_CENTROID))


def is_due(count: int, learned_from: int, least: int) -> bool:
    """Whether ``count`` vectors call for clusters: for the first (``learned_from`` 0) or for new ones."""
    return count >= (GROWTH * learned_from if learned_from else least)


def is_outgrown(count: int, learned_from: int) -> bool:
    """Whether so many vectors have left that the clusters no longer fit what is there."""
    return count * GROWTH <= learned_from


def probes(clusters: int) -> int:
    """How many clusters a query looks into: an eighth, and 8 at least."""
    return min(clusters, max(8, clusters // 8))


def sample(ids: Ids, vectors: Callable[[Ids], Vectors], centroids: int) -> Vectors:
    """Vectors to learn ``centroids`` from; the same ones for the same ``ids``."""
    most = centroids * SAMPLE_PER_CENTROID
    if len(ids) > most:
        ids = np.sort(np.random.default_rng(0).choice(ids, size=most, replace=False))
    return vectors(ids)


def batches(ids: Ids) -> Iterator[Ids]:
    """``ids`` in runs short enough to hold the vectors of."""
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]

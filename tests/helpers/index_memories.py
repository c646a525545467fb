"""What the tests of index types share: vectors in clusters, and memories of them small enough to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.memory import AssociativeMemory

DIM = 8
TYPES = ("flat", "ivf", "compressed", "graph")
APPROXIMATE = TYPES[1:]
FLOOR = 0.8
"""Recall@5 that every type must reach on vectors of DIM dimensions."""

Vectors = npt.NDArray[np.float32]


def some(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    """Vectors around a few centres, of length 1."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    vectors = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make(index_type: str, **settings: Any) -> AssociativeMemory:
    given = {"memory_size": 60_000, "embedding_dim": DIM, "index_type": index_type, "num_clusters": 16, **settings}
    return AssociativeMemory(**given)


def learned(memory: AssociativeMemory) -> bool:
    """Whether searches go by clusters, codes or links by now."""
    return memory.index_type == "graph" or (memory.index_type in ("ivf", "compressed") and learned_from(memory) > 0)


def learned_from(memory: AssociativeMemory) -> int:
    """How many vectors the clusters or codes were learned from, 0 before; that is what its file begins with."""
    index: Any = memory.index
    return int(index.serialize()[0].view("<i8")[0])


def slots(memory: AssociativeMemory) -> int:
    """How many vectors a graph links, those that it hides among them."""
    index: Any = memory.index
    return int(index._graph.ntotal)

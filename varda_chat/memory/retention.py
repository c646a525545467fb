"""What leaves a full memory: pure functions over arrays, one entry a statement."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

HALF_LIFE = 30 * 24 * 3600.0
"""Seconds without use after which a statement is worth half."""

_LEAST = 1e-6  # keeps log() finite for a statement stored without conviction and never recalled


def worth(
    strengths: npt.NDArray[np.float64],
    recall_counts: npt.NDArray[np.int64],
    idle: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """How much each of n statements is worth keeping: (n,), on a log scale.

    ``log((strength + log(1 + recalls)) * 2 ** (-idle / HALF_LIFE))``: how sure the store decision was, and
    how often it proved right with falling returns, halved every HALF_LIFE seconds of not being stored or
    recalled. The form (importance plus use, decaying since the last access) follows Park et al., "Generative
    Agents" (2023), section 4.1; the log keeps the order where the product would underflow to 0.
    """
    merit = np.maximum(strengths, 0.0) + np.log1p(recall_counts)
    values: npt.NDArray[np.float64] = (
        np.log(np.maximum(merit, _LEAST)) - np.maximum(idle, 0.0) * math.log(2.0) / HALF_LIFE
    )
    return values


def least_worth(
    *,
    vector_counts: npt.NDArray[np.int64],
    strengths: npt.NDArray[np.float64],
    recall_counts: npt.NDArray[np.int64],
    last_used: npt.NDArray[np.float64],
    pinned: npt.NDArray[np.bool_],
    now: float,
    excess: int,
) -> npt.NDArray[np.int64]:
    """Positions of the statements to drop so that at least ``excess`` vectors go: the least worth first.

    All arrays are (n,), ``last_used`` and ``now`` in unix seconds. Never a pinned statement, so fewer vectors
    than ``excess`` may go; of equal worth, the earlier position goes first.
    """
    free = np.flatnonzero(~pinned & (vector_counts > 0))
    if excess <= 0 or not len(free):
        return np.zeros(0, dtype=np.int64)
    values = worth(strengths[free], recall_counts[free], now - last_used[free])
    order = free[np.argsort(values, kind="stable")]
    needed = int(np.searchsorted(np.cumsum(vector_counts[order]), excess)) + 1
    return order[:needed].astype(np.int64)

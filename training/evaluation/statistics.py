"""Intervals and areas under curves, by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its 95 % interval; the bounds are None where there are too few groups to resample."""

    mean: float
    low: float | None
    high: float | None


def bootstrap_ratio(sums: Sequence[float], counts: Sequence[int], seed: int = 0) -> Interval:
    """The mean of all values and its percentile interval, resampling whole groups: ``sums`` and ``counts`` hold each
    group's sum and number of values. For paired differences pass the sums of the differences."""
    from scipy import stats

    total = sum(counts)
    if not total:
        return Interval(0.0, None, None)
    mean = sum(sums) / total
    if len(sums) < 2:
        return Interval(mean, None, None)

    def ratio(of: np.ndarray, over: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(of.sum(axis=axis) / over.sum(axis=axis))

    found = stats.bootstrap(
        (np.asarray(sums, float), np.asarray(counts, float)), ratio, paired=True, vectorized=True,
        n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Interval(mean, float(found.confidence_interval.low), float(found.confidence_interval.high))


def area_under_curve(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """The chance that one of ``higher`` exceeds one of ``lower``, ties counting half; None where one is empty."""
    from scipy import stats

    if not higher or not lower:
        return None
    return float(stats.mannwhitneyu(higher, lower).statistic) / (len(higher) * len(lower))

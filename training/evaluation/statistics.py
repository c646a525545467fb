"""Intervals, paired tests and areas under curves, by scipy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from varda_chat.config.installer import install_command
from varda_chat.errors import VardaError

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


@dataclass(frozen=True)
class Paired:
    """Two systems on the same questions. ``first``, ``second``: questions that only this one got right. ``p``: the
    chance of a split at least as uneven if neither were better (McNemar's test, exact)."""

    questions: int
    first: int
    second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """McNemar's exact test of two systems' outcomes on the same questions, in the same order."""
    from scipy import stats

    pairs = list(zip(first, second, strict=True))
    only_first = sum(one and not other for one, other in pairs)
    only_second = sum(other and not one for one, other in pairs)
    split = only_first + only_second
    p = float(stats.binomtest(only_first, split).pvalue) if split else 1.0
    return Paired(len(pairs), only_first, only_second, p)


def check_scipy(needed_by: str) -> None:
    """Raises VardaError, with what to do, where scipy is not installed."""
    try:
        import scipy  # noqa: F401
    except ImportError as error:
        raise VardaError(f"{needed_by} needs the library scipy: {install_command('varda-chat[bench]')}.") from error


def area_under_curve(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """The chance that one of ``higher`` exceeds one of ``lower``, ties counting half; None where one is empty."""
    from scipy import stats

    if not higher or not lower:
        return None
    return float(stats.mannwhitneyu(higher, lower).statistic) / (len(higher) * len(lower))

"""What leaves a full memory: the order is by worth, the pinned stay, and no more goes than must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varda_chat.memory.index.arrays import share_of
from varda_chat.memory.retention import HALF_LIFE, least_worth, worth

NOW = 1_000_000_000.0


def arrays(count: int, **given: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "vector_counts": np.ones(count, dtype=np.int64),
        "strengths": np.full(count, 0.5),
        "recall_counts": np.zeros(count, dtype=np.int64),
        "last_used": np.full(count, NOW),
        "pinned": np.zeros(count, dtype=np.bool_),
        "now": NOW,
        "excess": 1,
    }
    return table | {name: np.array(value) if isinstance(value, list) else value for name, value in given.items()}


@pytest.mark.parametrize(
    "given",
    [
        {"last_used": [NOW, NOW - 3600, NOW - 60]},
        {"recall_counts": [3, 0, 1]},
        {"strengths": [0.9, 0.1, 0.5]},
    ],
)
def test_the_idlest_least_recalled_weakest_goes(given: dict[str, Any]) -> None:
    assert least_worth(**arrays(3, **given)).tolist() == [1]


def test_a_half_life_halves_the_worth() -> None:
    fresh, stale = worth(np.array([0.8, 0.8]), np.array([2, 2]), np.array([0.0, HALF_LIFE]))
    assert np.exp(stale - fresh) == pytest.approx(0.5)


def test_of_equal_worth_the_earlier_goes_and_long_idleness_keeps_the_order() -> None:
    assert least_worth(**arrays(3)).tolist() == [0]
    ages = [NOW - 1e12, NOW - 2e12, NOW - 1.5e12]
    assert least_worth(**arrays(3, last_used=ages, excess=2)).tolist() == [1, 2]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 1), st.integers(0, 9), st.floats(0, 1e9), st.booleans()),
        max_size=30,
    ),
    excess=st.integers(-3, 60),
)
def test_enough_goes_but_not_one_statement_more(rows: list[tuple[int, float, int, float, bool]], excess: int) -> None:
    table = np.array(rows, dtype=np.float64).reshape(-1, 5)
    counts, pinned = table[:, 0].astype(np.int64), table[:, 4] > 0
    chosen = least_worth(
        vector_counts=counts,
        strengths=table[:, 1],
        recall_counts=table[:, 2].astype(np.int64),
        last_used=table[:, 3],
        pinned=pinned,
        now=1e9,
        excess=excess,
    )
    assert len(set(chosen.tolist())) == len(chosen)
    assert not pinned[chosen].any()
    assert counts[chosen].sum() >= min(excess, counts[~pinned].sum())
    if len(chosen):
        assert counts[chosen[:-1]].sum() < excess


def test_a_share_holds_on_average_for_few() -> None:
    rng = np.random.default_rng(0)
    sizes = [len(share_of(10, 0.05, rng)) for _ in range(2000)]
    assert set(sizes) == {0, 1}
    assert np.mean(sizes) == pytest.approx(0.5, abs=0.05)
    assert share_of(10, 1.0, rng).tolist() == list(range(10))
    assert share_of(0, 0.5, rng).tolist() == []

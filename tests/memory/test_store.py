"""MemoryStore: what apply returned is there after any reopening, and only that."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.stores import DIM, agrees, opened, some, texts, told, turn
from varda_chat.errors import VardaError
from varda_chat.memory import NewStatement, NewVector, StoredVector, peek
from varda_chat.memory.queries import EVENTS_KEPT


def test_a_turn_is_there_after_reopening(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "b") as store:
        applied = store.apply(turn(told("The dog is Rex."), told("Tea at five.", 1)), session="monday")
        before = store.search(some(4), 3)
        assert applied.size == store.size == 3
    with opened(tmp_path / "a" / "b") as store:
        assert store.notices == []
        after = store.search(some(4), 3)
        np.testing.assert_array_equal(before.ids, after.ids)
        np.testing.assert_array_equal(before.distances, after.distances)
        assert store.statements() == applied.stored[::-1]
        assert store.statements(limit=1) == applied.stored[1:]
        assert store.statement(applied.stored[0].id) == applied.stored[0]
        assert [(event.kind, event.text) for event in store.reader.recent()] == [
            ("stored", "Tea at five."),
            ("stored", "The dog is Rex."),
        ]
        record = store.reader.get(1)
        assert record == StoredVector(
            id=1,
            statement_id=applied.stored[0].id,
            text="The dog is Rex.",
            token="t0",  # noqa: S106
            token_id=100,
            role="user",
            session="monday",
            created_at=record.created_at,
            recalled_at=None,
            recall_count=0,
            pinned=False,
            fingerprint="model-a",
            strength=0.5,
        )
        assert abs(record.created_at - time.time()) < 60
        agrees(store)


def test_columns_keep_the_shape_of_ids_and_minus_one(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.reader.token_ids(np.array([[1, -1]])).tolist() == [[-1, -1]]
        store.apply(turn(told("a", 2), told("b", 2)), session="s")
        ids = np.array([[1, 2, -1], [3, 4, 99]])
        assert store.reader.token_ids(ids).tolist() == [[100, 101, -1], [100, 101, -1]]
        assert store.statement_ids(ids).tolist() == [[1, 1, -1], [2, 2, -1]]
        assert store.statement_ids(np.zeros((2, 0), dtype=np.int64)).shape == (2, 0)


def test_ids_are_never_used_twice(tmp_path: Path) -> None:
    seen: set[int] = set()
    for round_ in range(3):
        with opened(tmp_path) as store:
            applied = store.apply(turn(told(f"round {round_}")), session="s")
            ids = {*store.search(some(1), 2).ids.ravel().tolist()}
            assert not seen & ids
            seen |= ids
            store.forget([applied.stored[0].id])
            assert store.size == 0


def test_one_turn_stores_deletes_and_recalls_together(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        first, second, third = store.apply(turn(told("a"), told("b"), told("c")), session="s").stored
        store.pin(third.id)
        # ids come from arrays of the model's search, so as numpy numbers
        gone = np.array([first.id, third.id, 999])
        applied = store.apply(turn(told("d"), delete=gone, recalled=np.array([second.id])), session="s")
        assert [each.text for each in applied.deleted] == ["a"]
        assert texts(store) == ["b", "c", "d"]
        assert store.statement(second.id).recall_count == 1
        assert (store.reader.get(3).recalled_at or 0) > 0
        assert [(each.kind, each.text) for each in store.reader.recent(2)] == [("stored", "d"), ("deleted", "a")]
        assert store.apply(turn(), session="s").size == 6
        agrees(store)


@pytest.mark.parametrize(
    "bad",
    [
        told("x", 1, 0, float("nan")),
        NewStatement("x", "user", (NewVector(np.full(DIM, np.nan, dtype=np.float32), 1, "t", 0.5),)),
        NewStatement("x", "user", (NewVector(np.zeros(DIM + 1, dtype=np.float32), 1, "t", 0.5),)),
        NewStatement("x", "user", (NewVector(some(2), 1, "t", 0.5),)),
        NewStatement("half \ud800", "user", ()),
    ],
)
def test_a_bad_turn_changes_nothing(tmp_path: Path, bad: NewStatement) -> None:
    with opened(tmp_path) as store:
        kept = store.apply(turn(told("kept")), session="s").stored[0]
        with pytest.raises(VardaError):
            store.apply(turn(told("good"), bad, delete=[kept.id]), session="s")
        assert texts(store) == ["kept"]
        agrees(store)


def test_old_events_go(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for round_ in range(3):
            store.apply(turn(*(told(f"x{round_} {number}", 0) for number in range(EVENTS_KEPT // 2))), session="s")
        assert len(store.reader.recent(10 * EVENTS_KEPT)) == EVENTS_KEPT
        assert peek(tmp_path).events == EVENTS_KEPT

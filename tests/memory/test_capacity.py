"""A full memory drops the least worth; forgetting leaves no trace and spares the pinned."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.stores import agrees, opened, texts, told, turn
from varda_chat.errors import VardaError
from varda_chat.storage.words import FORGOTTEN_TEXT


def test_a_full_memory_drops_the_least_worth_and_never_the_pinned(tmp_path: Path) -> None:
    with opened(tmp_path, memory_size=6) as store:
        assert store.capacity == 6
        weak, strong, pinned = store.apply(
            turn(told("weak", strength=0.2), told("strong", strength=0.9), told("pinned", strength=0.01)),
            session="s",
        ).stored
        store.pin(pinned.id)
        applied = store.apply(turn(told("new", 1)), session="s")
        assert [each.id for each in applied.deleted] == [weak.id]
        assert applied.size == 5
        applied = store.apply(turn(told("more", 4), recalled=[strong.id]), session="s")
        assert texts(store) == ["pinned", "more"]
        assert applied.size == 6
        assert store.reader.recent(10)[0].text == "more"
        agrees(store)
        for each in store.statements():
            store.pin(each.id)
        new = (told("small", 1),)
        assert store.apply(turn(*new), session="s").refused == new
        store.pin(pinned.id, False)
        applied = store.apply(turn(told("big", 3, strength=0.9), told("fits", 2, strength=0.1)), session="s")
        assert [each.text for each in applied.refused] == ["big"]
        assert texts(store) == ["more", "fits"]
        agrees(store)


def test_a_smaller_capacity_is_met_at_the_next_store(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.apply(turn(*(told(f"{number}") for number in range(5))), session="s")
    with opened(tmp_path, memory_size=4) as store:
        assert store.size == 10
        assert store.apply(turn(told("new")), session="s").size == 4
        assert "new" in texts(store)


def test_forgetting_leaves_no_trace_in_any_file(tmp_path: Path) -> None:
    private = "the safe opens with 4711"
    with opened(tmp_path) as store:
        applied = store.apply(turn(told(private), told("other")), session="s")
        vector = told(private).vectors[0].vector.tobytes()
        store.indexing.flush()
        store.pin(applied.stored[0].id)
        assert store.forget([applied.stored[0].id, 999], purge=True)[0].text == private
        assert store.reader.recent(1)[0].text == FORGOTTEN_TEXT
        assert private not in str(store.reader.recent())
        for file in tmp_path.iterdir():
            content = file.read_bytes() if file.is_file() else b""
            assert private.encode() not in content
            assert vector not in content
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []


def test_random_forgetting_spares_the_pinned(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stored = store.apply(turn(*(told(f"{number}") for number in range(8))), session="s").stored
        store.pin(stored[0].id)
        assert store.forget_randomly(0.0) == ()
        assert len(store.forget_randomly(3 / 7, seed=1)) == 3
        store.forget_randomly(1.0)
        assert texts(store) == ["0"]
        with pytest.raises(VardaError):
            store.forget_randomly(2.0)
        agrees(store)


def test_a_session_forgets_its_share_at_its_end(tmp_path: Path) -> None:
    with opened(tmp_path, forgetfulness_factor=0.5) as store:
        stored = store.apply(turn(*(told(f"{number}") for number in range(9))), session="s").stored
        store.pin(stored[0].id)
        assert len(texts(store)) == 9
    with opened(tmp_path, read_only=True, forgetfulness_factor=1.0) as store:
        assert len(texts(store)) == 5
    with opened(tmp_path) as store:
        assert "0" in texts(store)
        assert store.notices == []
        agrees(store)
        assert len(store.undo_last().restored) == 4
    with pytest.raises(VardaError, match="share from 0 to 1"):
        opened(tmp_path, forgetfulness_factor=1.5)

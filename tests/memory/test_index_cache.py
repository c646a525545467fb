"""The index file: missing, flipped, cut, of another state; it is rebuilt or catches up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.store_processes import filled
from tests.helpers.stores import DIM, agrees, opened, some, told, turn
from varda_chat.memory import AssociativeMemory, verify


def test_a_missing_index_is_rebuilt_in_silence(tmp_path: Path) -> None:
    """It is only a cache: after an import without the model, or a kill before it was written, nothing is wrong."""
    filled(tmp_path)
    (tmp_path / "memory.faiss").unlink()
    assert verify(tmp_path) == ()
    with opened(tmp_path) as store:
        assert store.notices == []
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []


@pytest.mark.parametrize("place", [0, 10, 60, 400, -1])
def test_a_flipped_bit_in_the_index_is_seen(tmp_path: Path, place: int) -> None:
    filled(tmp_path)
    index = tmp_path / "memory.faiss"
    content = bytearray(index.read_bytes())
    content[place] ^= 1
    index.write_bytes(content)
    with opened(tmp_path) as store:
        assert "rebuilt" in store.notices[0]
        assert store.search(told("", seed=3).vectors[0].vector, 1).distances[0] == 0
        agrees(store)


@pytest.mark.parametrize("length", [0, 5, 50, 300])
def test_a_cut_index_is_seen(tmp_path: Path, length: int) -> None:
    filled(tmp_path)
    index = tmp_path / "memory.faiss"
    index.write_bytes(index.read_bytes()[:length])
    with opened(tmp_path) as store:
        assert "rebuilt" in store.notices[0]
        agrees(store)


def test_an_index_of_an_earlier_state_catches_up(tmp_path: Path) -> None:
    filled(tmp_path)
    old = (tmp_path / "memory.faiss").read_bytes()
    with opened(tmp_path) as store:
        store.forget([1])
        store.apply(turn(told("new")), session="s")
    (tmp_path / "memory.faiss").write_bytes(old)
    with opened(tmp_path) as store:
        assert store.notices == []
        assert store.search(told("", seed=0).vectors[0].vector, 1).distances[0] > 0
        assert store.search(told("new").vectors[0].vector, 1).distances[0] == 0
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []
        agrees(store)


def test_an_index_of_a_state_too_long_ago_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varda_chat.memory.schema.GENERATIONS_KEPT", 2)
    filled(tmp_path)
    old = (tmp_path / "memory.faiss").read_bytes()
    with opened(tmp_path) as store:
        for number in range(3):
            store.apply(turn(told(f"new {number}")), session="s")
    (tmp_path / "memory.faiss").write_bytes(old)
    with opened(tmp_path) as store:
        assert "another history" in store.notices[0]
        agrees(store)


def test_an_index_with_the_right_label_but_other_vectors_is_not_taken(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "memory.db")) as db:
        generation, stamp = db.execute("SELECT generation, stamp FROM meta").fetchone()
    other = AssociativeMemory(10, DIM)
    other.add(some(2))
    other.write(tmp_path / "memory.faiss", {"model": "model-a", "generation": generation, "history": stamp})
    with opened(tmp_path) as store:
        assert "does not hold the vectors" in store.notices[0]
        agrees(store)

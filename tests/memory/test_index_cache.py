"""The index file: missing, flipped, cut, of another state; it is rebuilt or catches up."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.helpers.store_processes import filled
from tests.helpers.stores import DIM, agrees, opened, some, told, turn
from varda_chat.errors import IndexFileError
from varda_chat.memory import AssociativeMemory, verify
from varda_chat.memory.index.registry import INDEX_TYPES
from varda_chat.memory.index.serialization import unpacked
from varda_chat.storage.container import read_container, unpack, write_container


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


@pytest.mark.parametrize("layout", ["VARDAIX1", "VARDAIX2", "3"])
def test_a_file_of_an_earlier_format_is_rebuilt(tmp_path: Path, layout: str) -> None:
    filled(tmp_path)
    path = tmp_path / "memory.faiss"
    if layout.startswith("VARDA"):
        path.write_bytes(layout.encode() + path.read_bytes()[8:])
    else:
        now = read_container(path)
        write_container(path, {**now.header, "version": int(layout)}, now.pieces)
    with opened(tmp_path) as store:
        assert len(store.notices) == 1
        assert "It was rebuilt from memory.db; nothing is lost." in store.notices[0]
        assert store.search(told("", seed=3).vectors[0].vector, 1).distances[0] == 0
        agrees(store)
    with opened(tmp_path) as store:
        assert store.notices == []
        agrees(store)
    assert verify(tmp_path) == ()


@pytest.mark.parametrize("kind", INDEX_TYPES)
def test_no_changed_byte_of_the_file_reaches_faiss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    filled(tmp_path, 4)
    with opened(tmp_path) as store:
        store.indexing.set_type(kind)
    data = (tmp_path / "memory.faiss").read_bytes()
    unpacked(AssociativeMemory, unpack(data), None)

    def never(piece: object) -> None:
        raise AssertionError("FAISS reads bytes that were changed")

    monkeypatch.setattr("faiss.deserialize_index", never)
    with pytest.raises(AssertionError):
        unpacked(AssociativeMemory, unpack(data), None)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        with pytest.raises(IndexFileError):
            unpacked(AssociativeMemory, unpack(bytes(changed)), None)

"""A large memory: its database is used before it has been read whole, its index is written beside the turns.

LARGE is made small here, so that any database is a large one.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.store_processes import PRELUDE, damaged_at, filled
from tests.helpers.stores import agrees, opened, some, texts, told, turn
from varda_chat.memory import AssociativeMemory, MemoryStore, verify
from varda_chat.memory.recovery import SUSPECT
from varda_chat.storage.container import read_container


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varda_chat.memory.recovery.LARGE", 1)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_an_index_that_was_read_is_changed_and_written_without_what_was_forgotten(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    with opened(tmp_path) as store:
        store.apply(turn(told("new"), delete=[1, 2]), session="s")
        store.forget([3])
        agrees(store)
        assert store.search(told("", seed=0).vectors[0].vector, 1).distances[0] > 0
        assert store.search(told("", seed=5).vectors[0].vector, 1).distances[0] == 0
        store.undo_last()
        agrees(store)
    vector = told("", seed=0).vectors[0].vector.tobytes()
    assert vector not in (tmp_path / "memory.faiss").read_bytes()
    with opened(tmp_path) as store:
        assert store.notices == []
        assert len(texts(store)) == 19
        agrees(store)
    assert verify(tmp_path) == ()


@pytest.mark.parametrize("place", [3, 20, 60, 500, -300, -40, -1])
def test_a_flipped_bit_is_seen_before_anything_is_searched(tmp_path: Path, place: int) -> None:
    filled(tmp_path)
    flip(tmp_path / "memory.faiss", place)
    with opened(tmp_path) as store:
        assert "It was rebuilt" in store.notices[0]
        assert store.search(told("", seed=3).vectors[0].vector, 1).distances[0] == 0
        agrees(store)
    with opened(tmp_path) as store:
        store.core.background.wait()
        assert store.notices == []
        agrees(store)


def test_damage_is_found_however_short_the_session_is(tmp_path: Path) -> None:
    filled(tmp_path)
    flip(tmp_path / "memory.faiss", -300)
    store = opened(tmp_path)
    store.apply(turn(told("new")), session="s")
    store.close()
    assert "damaged" in store.notices[0]
    assert verify(tmp_path) == ()
    with opened(tmp_path) as store:
        agrees(store)
        assert store.search(told("", seed=3).vectors[0].vector, 1).distances[0] == 0


@pytest.mark.parametrize("kind", ["ivf", "compressed", "graph"])
def test_an_index_of_any_type_is_read_whole_first(tmp_path: Path, kind: str) -> None:
    filled(tmp_path)
    with opened(tmp_path) as store:
        store.indexing.set_type(kind)
    flip(tmp_path / "memory.faiss", -60)
    with opened(tmp_path) as store:
        assert "The index file is damaged" in store.notices[0]
        agrees(store)


def test_a_cut_file_is_seen_at_once(tmp_path: Path) -> None:
    filled(tmp_path)
    index = tmp_path / "memory.faiss"
    index.write_bytes(index.read_bytes()[:-1])
    with opened(tmp_path) as store:
        assert "rebuilt" in store.notices[0]
        agrees(store)


def test_a_damaged_database_is_found_in_the_background_and_saved_from_at_the_next_start(tmp_path: Path) -> None:
    before = filled(tmp_path, 400)
    damaged_at(tmp_path / "memory.db", 0.5, 0.55)
    with opened(tmp_path) as store:
        store.core.background.wait()
        assert "Start varda-chat again" in store.notices[0]
    assert (tmp_path / SUSPECT).exists()
    with opened(tmp_path) as store:
        assert "was set aside" in store.notices[0]
        assert 100 < len(texts(store)) <= 400
        assert set(texts(store)) <= set(before)
        for statement in store.reader.foreign_statements():  # their vectors were not all there
            store.indexing.replace_vectors(statement.id, told(statement.text).vectors)
        agrees(store)
    assert not (tmp_path / SUSPECT).exists()
    with opened(tmp_path) as store:
        store.core.background.wait()
        assert store.notices == []


def test_turns_continue_while_the_index_is_written_and_a_crash_then_costs_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varda_chat.memory.index_cache.REWRITE", 40)
    with opened(tmp_path / "memory") as store:
        for number in range(25):
            store.apply(turn(told(f"n{number}")), session="s")
        store.core.background.wait()
        index = tmp_path / "memory" / "memory.faiss"
        assert index.exists()
        written = read_container(index).header["label"]["generation"]
        assert 0 < written <= 25
        store.apply(turn(told("last"), delete=[1]), session="s")
        shutil.copytree(tmp_path / "memory", tmp_path / "crashed")
    with opened(tmp_path / "crashed") as store:
        assert store.notices == []
        assert texts(store) == [*(f"n{number}" for number in range(1, 25)), "last"]
        agrees(store)


SLOWLY_WRITTEN = """
import time
from varda_chat.memory import index_cache
from varda_chat.storage import container
index_cache.REWRITE, container.CHUNK = 40, 100
pack = container.pack

def slowly(header, pieces):
    for chunk in pack(header, pieces):
        print("writing", flush=True)
        time.sleep(0.05)
        yield chunk

container.pack = slowly
store = opened(directory)
for number in range(20):
    store.apply(TurnChanges((told(number),)), session="s")
time.sleep(60)
"""


def test_a_kill_in_the_middle_of_writing_keeps_the_index_before(tmp_path: Path) -> None:
    filled(tmp_path)
    before = (tmp_path / "memory.faiss").read_bytes()
    line = [sys.executable, "-c", PRELUDE + SLOWLY_WRITTEN, str(tmp_path)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        deadline = time.monotonic() + 30
        new = tmp_path / "memory.faiss.new"
        while not (new.exists() and new.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "memory.faiss.new").exists()
    assert (tmp_path / "memory.faiss").read_bytes() == before
    with opened(tmp_path) as store:
        assert store.notices == []
        assert texts(store)[:5] == [f"fact {number}" for number in range(5)]
        agrees(store)
    assert not (tmp_path / "memory.faiss.new").exists()
    assert verify(tmp_path) == ()


def test_a_purge_gives_up_the_older_index_that_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("varda_chat.memory.index_cache.REWRITE", 40)
    monkeypatch.setattr("varda_chat.storage.container.CHUNK", 64)
    secret = told("secret")
    with opened(tmp_path) as store:
        gone = store.apply(turn(secret), session="s").stored[0]
        for number in range(25):
            store.apply(turn(told(f"n{number}")), session="s")
        store.forget([gone.id], purge=True)
        vector = secret.vectors[0].vector.tobytes()
        assert not [path for path in tmp_path.iterdir() if path.is_file() and vector in path.read_bytes()]
        agrees(store)


def test_a_memory_that_grew_in_parts_and_was_thinned_out_finds_all_that_is_left() -> None:
    memory = AssociativeMemory(10_000, 8)
    vectors = some(310)
    for start in range(0, 310, 20):
        memory.add(vectors[start : start + 20])
    kept = memory.to_bytes()
    np.testing.assert_array_equal(memory.get_all_embeddings(), vectors)
    memory.remove([0, 5, 60, 309])
    memory.remove(range(100, 190))
    memory.update([61], some(1, 9))
    left = [*range(1, 5), *range(6, 60), *range(62, 100), *range(190, 309), 61]
    assert memory.ids().tolist() == left
    np.testing.assert_array_equal(memory.get_all_embeddings()[:-1], vectors[left[:-1]])
    for copy in (memory, AssociativeMemory.from_bytes(memory.to_bytes())):
        found = copy.search(vectors[left[:-1]], 2)
        assert (found.distances[:, 0] == 0).all()
        assert (found.ids[:, 0] == left[:-1]).all()
        assert set(copy.search(vectors[:1], 500).ids[0].tolist()) == {*left, -1}
    assert AssociativeMemory.from_bytes(kept).size() == 310


def test_a_snapshot_stays_what_it_was(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    with opened(tmp_path) as store:
        store.apply(turn(told("new")), session="s")
        snapshot = store.core.index().snapshot(store.core.db)
        store.forget([*range(1, 15)])
        store.apply(turn(told("newer")), session="s")
        assert snapshot.write(tmp_path / "copy.faiss")
    copy = AssociativeMemory.read(tmp_path / "copy.faiss")
    assert copy.size() == 42
    assert copy.search(told("", seed=0).vectors[0].vector, 1).distances[0] == 0
    with MemoryStore.open_records(tmp_path) as store:
        assert store.size == 2 * 8


def test_a_file_of_ids_in_any_order() -> None:
    memory = AssociativeMemory(100, 8)
    memory.add(some(10))
    memory.update([3, 0], some(2, 5))
    again = AssociativeMemory.from_bytes(memory.to_bytes())
    assert again.ids().tolist() == [1, 2, 4, 5, 6, 7, 8, 9, 3, 0]
    np.testing.assert_array_equal(again.get_all_embeddings(), memory.get_all_embeddings())
    again.remove([3, 9])
    assert again.search(some(10), 1).ids[:, 0].tolist()[1] == 1
    assert again.ids().tolist() == [1, 2, 4, 5, 6, 7, 8, 0]
    np.testing.assert_array_equal(again.get_all_embeddings(), memory.get_all_embeddings()[[*range(7), -1]])

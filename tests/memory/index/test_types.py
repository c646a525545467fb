"""Every index type: what it learns and when, what it forgets, its files, half precision, the same answers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from tests.helpers.index_memories import APPROXIMATE, DIM, TYPES, learned, learned_from, make, slots, some
from varda_chat.errors import IndexFileError, VardaError
from varda_chat.memory import AssociativeMemory, search_recall
from varda_chat.memory.index.serialization import FORMAT_VERSION, packed
from varda_chat.storage.container import pack

every_type = pytest.mark.parametrize("index_type", TYPES)
approximate_types = pytest.mark.parametrize("index_type", APPROXIMATE)


@approximate_types
def test_a_grown_memory_searches_by_what_it_learned_and_finds_nearly_all(index_type: str) -> None:
    memory = make(index_type, num_clusters=128)
    memory.add(some(5))
    assert search_recall(memory) == 1.0
    for seed in range(12):
        memory.add(some(1000, seed))
    assert learned(memory)
    assert search_recall(memory, sample=300, k=5) >= 0.9


@pytest.mark.parametrize("index_type", ["ivf", "compressed"])
def test_it_learns_again_as_it_grows_and_unlearns_when_it_shrinks(index_type: str) -> None:
    memory = make(index_type, num_clusters=4096)
    seen: list[int] = []
    for seed in range(22):
        memory.add(some(2000, seed))
        count = learned_from(memory)
        if count and count not in seen:
            seen.append(count)
    assert len(seen) >= 2
    assert all(later >= 4 * earlier for earlier, later in pairwise(seen))
    memory.remove(memory.ids()[100:])
    memory.garbage_collect()
    assert learned_from(memory) == 0
    assert memory.size() == 100
    assert search_recall(memory) == 1.0


def test_what_a_graph_hides_is_not_found_and_the_ways_through_it_hold() -> None:
    memory = make("graph", embedding_dim=32)
    vectors = some(3000, dim=32)
    memory.add(vectors)
    gone = np.random.default_rng(1).choice(3000, size=550, replace=False)  # under a fifth: hidden, not rebuilt
    memory.remove(gone)
    assert slots(memory) == 3000
    assert search_recall(memory, 200, 5) >= 0.95
    assert not np.isin(memory.search(vectors[gone], 5).ids, gone).any()
    kept = np.setdiff1d(np.arange(3000), gone)
    memory.remove(kept[:60])  # now it is
    assert slots(memory) == 3000 - 610
    assert search_recall(memory, 200, 5) >= 0.95


def test_where_all_that_is_near_is_hidden_a_graph_finds_the_nearest_that_is_left() -> None:
    memory = make("graph", embedding_dim=32)
    vectors = some(3000, dim=32)
    memory.add(vectors)
    near = memory.search(vectors[0], 550).ids
    memory.remove(near)
    assert slots(memory) == 3000
    found = memory.search(vectors[near[:50]], 5)
    rest = np.delete(vectors, near, axis=0)
    true = np.sort(((vectors[near[:50], None] - rest) ** 2).sum(-1), axis=1)[:, :5]
    assert (found.distances <= true[:, -1:] * (1 + 1e-4)).mean() >= 0.9


@every_type
def test_a_removed_vector_is_not_in_the_file(index_type: str) -> None:
    memory = make(index_type, embedding_dim=32)
    vectors = some(3000, dim=32)
    memory.add(vectors)
    gone = np.random.default_rng(1).choice(3000, size=50, replace=False)
    memory.remove(gone[:25])
    memory.update(gone[25:], some(25, 5, dim=32))
    data = memory.to_bytes()
    kept = np.setdiff1d(np.arange(3000), gone)
    assert all(vectors[id_].tobytes() in data for id_ in kept[:20])
    assert not any(vectors[id_].tobytes() in data for id_ in gone)
    assert sorted(memory.index.ids()) == sorted({*range(3000)} - {*gone[:25].tolist()})


@every_type
def test_half_precision_takes_half_the_room_and_rounds_once(index_type: str, tmp_path: Path) -> None:
    vectors = some(2000, dim=64)
    whole, half = (make(index_type, embedding_dim=64, half_precision=each) for each in (False, True))
    for memory, name in ((whole, "whole"), (half, "half")):
        memory.add(vectors)
        memory.write(tmp_path / name)
    saved = (tmp_path / "whole").stat().st_size - (tmp_path / "half").stat().st_size
    assert saved >= 0.99 * vectors.nbytes / 2
    np.testing.assert_array_equal(half.get_all_embeddings(), vectors.astype(np.float16).astype(np.float32))
    with pytest.raises(VardaError, match="half precision"):
        half.add(np.full((1, 64), 1e5))
    assert half.size() == 2000


@every_type
def test_a_file_answers_as_the_memory_did(index_type: str, tmp_path: Path) -> None:
    memory = make(index_type)
    memory.add(some(11_000))
    memory.remove(np.arange(0, 300))
    memory.update(np.arange(300, 310), some(10, 5))
    memory.write(tmp_path / "index", {"model": "a"})
    again = AssociativeMemory.read(tmp_path / "index", {"model": "a"})
    assert learned(again) == learned(memory)
    mine, theirs = memory.search(some(20, 7), 5), again.search(some(20, 7), 5)
    np.testing.assert_array_equal(mine.ids, theirs.ids)
    np.testing.assert_array_equal(mine.distances, theirs.distances)
    again.remove(again.ids()[:50])
    assert again.add(some(3)).tolist() == [11_000, 11_001, 11_002]


def test_a_file_of_an_earlier_or_later_format_is_not_read() -> None:
    memory = make("flat")
    memory.add(some(9))
    header, pieces = packed(memory, None)
    for version in (FORMAT_VERSION - 1, FORMAT_VERSION + 1):
        with pytest.raises(IndexFileError, match=f"format {version}"):
            AssociativeMemory.from_bytes(b"".join(pack({**header, "version": version}, pieces)))
    for magic in (b"VARDAIX1", b"VARDAIX2"):
        with pytest.raises(IndexFileError, match="earlier varda-chat"):
            AssociativeMemory.from_bytes(magic + bytes(100))


@pytest.mark.parametrize("claimed", TYPES)
@every_type
def test_a_file_that_claims_another_type_is_refused(index_type: str, claimed: str) -> None:
    memory = make(index_type)
    memory.add(some(11_000))
    header, pieces = packed(memory, None)
    header["settings"]["index_type"] = claimed
    data = b"".join(pack(header, pieces))
    if claimed == index_type:
        np.testing.assert_array_equal(AssociativeMemory.from_bytes(data).ids(), memory.ids())
    else:
        with pytest.raises(IndexFileError, match="not one that this FAISS reads"):
            AssociativeMemory.from_bytes(data)


@every_type
def test_tensors_get_numpys_answers(index_type: str) -> None:
    memory = make(index_type)
    memory.add(torch.from_numpy(some(11_000)))
    query = some(4, 1)
    by_numpy, by_torch = memory.search(query, 3), memory.search(torch.from_numpy(query), 3)
    assert by_torch.ids.dtype == torch.int64
    assert by_torch.vectors.dtype == torch.float32
    np.testing.assert_array_equal(by_numpy.ids, by_torch.ids.numpy())
    np.testing.assert_array_equal(by_numpy.vectors, by_torch.vectors.numpy())


@every_type
def test_equal_vectors_and_one_vector_do_not_trouble_it(index_type: str) -> None:
    memory = make(index_type)
    memory.add(np.ones((11_000, DIM)))
    assert (memory.search(np.ones(DIM), 7).distances == 0).all()
    memory.remove(memory.ids()[1:])
    assert memory.search(np.zeros(DIM), 3).ids.tolist() == [0, -1, -1]


@pytest.mark.skipif(hasattr(faiss, "StandardGpuResources"), reason="this FAISS has GPUs")
@every_type
def test_a_gpu_that_is_not_there_is_one_clear_error(index_type: str) -> None:
    with pytest.raises(VardaError, match="GPU support"):
        make(index_type, use_gpu=True)


def test_recall_needs_something_to_measure() -> None:
    memory = make("flat")
    assert search_recall(memory) == 1.0
    memory.add(some(1))
    assert search_recall(memory) == 1.0
    for sample, k in ((0, 1), (1, 0)):
        with pytest.raises(VardaError):
            search_recall(memory, sample, k)

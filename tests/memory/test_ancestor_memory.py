"""Code written for VardaGPT's memory classes runs: its names, signatures and shapes, on numpy and on torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from varda_chat import AssociativeMemory, BatchAssociativeMemory, MultiTokenBatchAssociativeMemory
from varda_chat.errors import VardaError

DIM = 16
Kind = Callable[[Any], Any]
kinds = pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
index_types = pytest.mark.parametrize("index_type", ["flat", "compressed", "graph"])


def some(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((*shape, DIM)).astype(np.float32)


@kinds
@index_types
def test_a_search_gives_ten_and_unpacks_as_ids_and_distances(index_type: str, kind: Kind) -> None:
    memory = AssociativeMemory(1000, DIM, index_type=index_type)
    vectors = some(100)
    memory.add(kind(vectors))
    ids, distances = memory.search(kind(vectors[:5]))
    assert ids.shape == distances.shape == (5, 10)
    assert [int(row[0]) for row in ids] == list(range(5))
    found = memory.search(kind(vectors[:5]), 3)
    assert (found[0] == found.ids).all()
    assert (found[1] == found.distances).all()
    np.testing.assert_array_equal(memory[5], vectors[5])


@index_types
def test_every_index_removes_and_other_ids_stay(index_type: str) -> None:
    memory = AssociativeMemory(1000, DIM, index_type=index_type)
    vectors = some(100)
    memory.add(vectors)
    memory.remove(np.array([2, 5, 10]))
    memory.update(np.array([0, 1]), some(2, seed=1))
    ids, distances = memory.search(vectors[[11]], k=1)
    assert (int(ids[0, 0]), float(distances[0, 0])) == (11, 0.0)
    assert memory.search(some(2, seed=1), k=1)[0].ravel().tolist() == [0, 1]
    memory.refresh()
    assert memory.search(vectors[:5])[0].shape == (5, 10)


@kinds
@index_types
def test_ageing_by_a_factor_shrinks_the_vectors_and_keeps_ids_and_ages(index_type: str, kind: Kind) -> None:
    memory = AssociativeMemory(1000, DIM, index_type=index_type)
    vectors = some(40)
    memory.add(kind(vectors))
    memory.remove([0])
    memory.age_memory(0.5)
    memory.add(kind(some(1, seed=1)))
    memory.age_memory(decay_factor=0.5)
    np.testing.assert_allclose(memory.get_all_embeddings()[:-1], vectors[1:] * 0.25)
    assert memory.ids().tolist() == list(range(1, 41))
    assert memory.ages().tolist() == [2] * 39 + [1]
    assert int(memory.search(vectors[[7]] * 0.25, 1).ids[0, 0]) == 7
    for factor in (-0.1, 1.5, float("nan")):
        with pytest.raises(VardaError, match="decay_factor"):
            memory.age_memory(factor)
    assert memory.ages().tolist() == [2] * 39 + [1]


def test_what_has_aged_to_nothing_is_garbage() -> None:
    memory = AssociativeMemory(100, DIM, half_precision=True)
    memory.add(some(10))
    memory.age_memory(1e-9)
    memory.add(some(2, seed=1))
    assert memory.garbage_collect(threshold=1e-6).tolist() == list(range(10))
    assert memory.ids().tolist() == [10, 11]


def test_random_forgetting_takes_the_factors_share() -> None:
    memory = AssociativeMemory(1000, DIM, forgetfulness_factor=0.9)
    memory.add(some(100))
    memory.forget_randomly()
    assert memory.get_all_embeddings().shape == (10, DIM)


@kinds
def test_a_batch_takes_one_token_a_row(kind: Kind) -> None:
    memory = BatchAssociativeMemory(3, 1000, DIM, index_type="flat")
    assert (memory.num_batches, memory.memory_size, memory.embedding_dim) == (3, 1000, DIM)
    vectors = some(3)
    memory.batch_add(kind(vectors))
    for row, each in zip(vectors, memory.memories, strict=True):
        np.testing.assert_array_equal(each.get_all_embeddings(), row[None])
    results = memory.batch_search(kind(vectors), k=2)
    assert [(ids.shape, distances.shape) for ids, distances in results] == [((1, 2), (1, 2))] * 3
    assert [ids[0].tolist() for ids, _ in results] == [[0, -1]] * 3
    (only,) = memory.batch_search(kind(vectors[:1]), 1)  # of the first row
    assert float(only.distances[0, 0]) == 0
    memory.batch_remove(kind(np.zeros(3)))
    assert memory.size() == [0, 0, 0]


@kinds
def test_a_batch_takes_several_tokens_a_row(kind: Kind) -> None:
    memory = MultiTokenBatchAssociativeMemory(num_batches=2, memory_size=5, embedding_dim=DIM)
    vectors = some(2, 4).astype(np.float64)
    memory.batch_add(kind(vectors))
    assert memory.size() == [4, 4]
    for row, (ids, distances) in enumerate(memory.batch_search(kind(vectors), 3)):
        assert ids.shape == distances.shape == (4, 3)
        assert ids[:, 0].tolist() == [0, 1, 2, 3], row
    memory.batch_remove(kind(np.array([[0, 1], [2, 3]])))
    assert [each.ids().tolist() for each in memory] == [[2, 3], [0, 1]]


def test_what_one_row_refuses_changes_no_row() -> None:
    memory = MultiTokenBatchAssociativeMemory(2, 5, DIM)
    memory.batch_add(some(2, 2))
    broken = some(2, 2)
    broken[1, 0, 0] = np.nan
    for change in (
        lambda: memory.batch_add(broken),
        lambda: memory.batch_add(some(3)),
        lambda: memory.batch_remove([[0], [9]]),
        lambda: memory.batch_remove([0.5, 0.5]),
        lambda: memory.batch_search(some(3)),
    ):
        with pytest.raises(VardaError):
            change()
    assert memory.size() == [2, 2]

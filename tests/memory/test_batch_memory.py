"""BatchAssociativeMemory: each row as its own AssociativeMemory would be, and no row seen from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from varda_chat.errors import VardaError
from varda_chat.memory import AssociativeMemory, BatchAssociativeMemory

DIM = 5


def some(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((*shape, DIM)).astype(np.float32)


@pytest.mark.parametrize("index_type", ["flat", "ivf", "compressed", "graph"])
def test_rows_answer_as_memories_of_their_own(index_type: str) -> None:
    settings: dict[str, Any] = {"memory_size": 50, "embedding_dim": DIM, "index_type": index_type}
    batch, alone = BatchAssociativeMemory(3, **settings), [AssociativeMemory(**settings) for _ in range(3)]
    vectors = some(3, 40)
    ids = batch.add(vectors)
    assert ids.shape == (3, 40)
    changes = np.array([[0, 1], [2, 3], [4, 5]])
    batch.remove(changes)
    batch.update(changes + 10, some(3, 2, seed=1))
    for row, memory in enumerate(alone):
        memory.add(vectors[row])
        memory.remove(changes[row])
        memory.update(changes[row] + 10, some(3, 2, seed=1)[row])
    query = some(3, 7, seed=2)
    found = batch.search(query, 4)
    assert found.ids.shape == found.distances.shape == (3, 7, 4)
    assert found.vectors.shape == (3, 7, 4, DIM)
    for row, memory in enumerate(alone):
        expected = memory.search(query[row], 4)
        np.testing.assert_array_equal(found.ids[row], expected.ids)
        np.testing.assert_array_equal(found.vectors[row], expected.vectors)
        np.testing.assert_array_equal(batch.get_all_embeddings()[row], memory.get_all_embeddings())


def test_rows_do_not_see_each_other() -> None:
    batch = BatchAssociativeMemory(2, memory_size=10, embedding_dim=DIM)
    batch.add([some(3), some(0)])
    assert batch.size() == [3, 0]
    found = batch.search(some(2, 1), 2)
    assert (found.ids[0] >= 0).all()
    assert (found.ids[1] == -1).all()
    assert (found.vectors[1] == 0).all()


def test_tensors_in_tensors_out() -> None:
    batch = BatchAssociativeMemory(2, 10, DIM)
    ids = batch.add(torch.from_numpy(some(2, 3)))
    found = batch.search(torch.from_numpy(some(2, 4)), 2)
    assert isinstance(ids, torch.Tensor)
    assert (found.ids.dtype, found.distances.dtype, found.vectors.dtype) == (torch.int64, torch.float32, torch.float32)
    batch.remove(ids[:, :1])
    assert batch.size() == [2, 2]


def test_what_one_row_refuses_changes_none() -> None:
    batch = BatchAssociativeMemory(2, 10, DIM)
    batch.add(some(2, 3))
    before = [row.copy() for row in batch.get_all_embeddings()]
    broken = some(2, 2)
    broken[1, 0, 0] = np.nan
    for change in (
        lambda: batch.add(broken),
        lambda: batch.add(some(3, 2)),
        lambda: batch.add(np.float32(1)),
        lambda: batch.add(some(2, 1), ids=[[7], [0]]),
        lambda: batch.remove([[0], [9]]),
        lambda: batch.update([[0], [9]], some(2, 1)),
        lambda: batch.search(some(3, 1), 1),
        lambda: batch.search(broken, 1),
        lambda: BatchAssociativeMemory(0, 10, DIM),
    ):
        with pytest.raises(VardaError):
            change()
    for row, memory in zip(before, batch, strict=True):
        np.testing.assert_array_equal(memory.get_all_embeddings(), row)


def test_upkeep_goes_over_every_row() -> None:
    batch = BatchAssociativeMemory(2, 30, DIM, forgetfulness_factor=0.5)
    batch.add(some(2, 20))
    batch.age_memory(steps=2)
    assert [memory.ages().tolist() for memory in batch] == [[2] * 20] * 2
    gone = batch.forget_randomly(seed=1)
    assert batch.size() == [10, 10]
    assert gone[0].tolist() != gone[1].tolist()
    zeros = batch.add(np.zeros((2, 1, DIM)))
    assert [ids.tolist() for ids in batch.garbage_collect()] == zeros.tolist()
    batch.refresh()
    assert batch.size() == [0, 0]
    assert len(batch) == 2
    assert batch[1].size() == 0

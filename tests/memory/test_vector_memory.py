"""AssociativeMemory against a plain dict: same answers, stable ids, nothing removed ever returns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from varda_chat.errors import IndexFileError, VardaError
from varda_chat.memory import AssociativeMemory

DIM = 6
Vectors = npt.NDArray[np.float32]


def some(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)


def small(**settings: Any) -> AssociativeMemory:
    return AssociativeMemory(**{"memory_size": 100, "embedding_dim": DIM, **settings})


class AgainstADict(RuleBasedStateMachine):
    """The memory and a dict of the same vectors, changed alike."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = small(memory_size=20)
        self.model: dict[int, Vectors] = {}  # in order of age
        self.removed: set[int] = set()
        self.seed = 0

    def _vectors(self, count: int) -> Vectors:
        self.seed += 1
        return some(count, self.seed)

    @rule(count=st.integers(0, 8))
    def add(self, count: int) -> None:
        vectors = self._vectors(count)
        ids = self.memory.add(vectors)
        assert not set(ids.tolist()) & (self.model.keys() | self.removed)
        for _ in range(len(self.model) + count - 20):
            oldest = next(iter(self.model))
            del self.model[oldest]
            self.removed.add(oldest)
        self.model |= dict(zip(ids.tolist(), vectors, strict=True))

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, min_size=1))
        self.memory.remove(np.array(ids))
        for id_ in ids:
            del self.model[id_]
        self.removed |= set(ids)

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, min_size=1))
        vectors = self._vectors(len(ids))
        self.memory.update(ids, vectors)
        for id_, vector in zip(ids, vectors, strict=True):
            del self.model[id_]
            self.model[id_] = vector

    @rule()
    def save_and_load(self) -> None:
        self.memory = AssociativeMemory.from_bytes(self.memory.to_bytes())

    @rule()
    def refuse(self) -> None:
        for change in (
            lambda: self.memory.add(np.full((2, DIM), np.nan)),
            lambda: self.memory.add(some(2), ids=[10_000, 10_000]),
            lambda: self.memory.remove([10_001]),
            lambda: self.memory.update([10_001], some(1)),
        ):
            with pytest.raises(VardaError):
                change()

    @rule(k=st.integers(1, 25), count=st.sampled_from([1, 3, 30]))
    def search(self, k: int, count: int) -> None:
        queries = self._vectors(count)
        results = self.memory.search(queries, k)
        ids = np.array(list(self.model), dtype=np.int64)
        rows = np.array(list(self.model.values())).reshape(-1, DIM)
        distances = ((queries[:, None] - rows) ** 2).sum(-1)  # (count, n)
        width = min(k, len(ids))
        np.testing.assert_allclose(results.distances[:, :width], np.sort(distances, axis=1)[:, :width], rtol=1e-5)
        for row in range(count):
            assert len(set(results.ids[row, :width].tolist())) == width
            for id_, vector in zip(results.ids[row, :width], results.vectors[row], strict=False):
                np.testing.assert_array_equal(vector, self.model[int(id_)])
        assert (results.ids[:, width:] == -1).all()
        assert np.isposinf(results.distances[:, width:]).all()
        assert (results.vectors[:, width:] == 0).all()

    @invariant()
    def same_content(self) -> None:
        assert self.memory.ids().tolist() == list(self.model)
        assert len(self.memory) == self.memory.size() == len(self.model)
        np.testing.assert_array_equal(
            self.memory.get_all_embeddings(), np.array(list(self.model.values())).reshape(-1, DIM)
        )


TestAgainstADict = AgainstADict.TestCase
TestAgainstADict.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    k=st.integers(1, 4),
    kind=st.sampled_from(["float16", "float32", "float64", "bfloat16"]),
    tensor=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_leading_shape_and_float_kind(shape: list[int], k: int, kind: str, tensor: bool) -> None:
    memory = small()
    memory.add(some(3))
    query = torch.zeros(*shape, DIM, dtype=getattr(torch, kind))
    results = memory.search(query if tensor or kind == "bfloat16" else query.numpy(), k)
    assert results.ids.shape == results.distances.shape == (*shape, k)
    assert results.vectors.shape == (*shape, k, DIM)
    if tensor or kind == "bfloat16":
        assert (results.ids.dtype, results.vectors.dtype) == (torch.int64, torch.float32)
    else:
        assert (results.ids.dtype, results.vectors.dtype) == (np.int64, np.float32)


def test_tensors_in_tensors_out_with_numpys_answers() -> None:
    memory = small()
    ids = memory.add(torch.from_numpy(some(9)).requires_grad_())
    assert ids.tolist() == list(range(9))
    assert ids.dtype == torch.int64
    query = some(4, 1)
    by_numpy, by_torch = memory.search(query, 3), memory.search(torch.from_numpy(query), 3)
    np.testing.assert_array_equal(by_numpy.ids, by_torch.ids.numpy())
    np.testing.assert_array_equal(by_numpy.vectors, by_torch.vectors.numpy())
    memory.remove(ids[:2])
    assert memory.size() == 7


def test_an_answer_does_not_depend_on_how_many_ask() -> None:
    memory = AssociativeMemory(1000, 64)
    memory.add(some(500, dim=64) * 30)
    queries = some(64, 1, dim=64) * 30  # FAISS takes another way from 20 queries on
    together = memory.search(queries, 5)
    for row, query in enumerate(queries):
        alone = memory.search(query, 5)
        np.testing.assert_array_equal(alone.ids, together.ids[row])
        np.testing.assert_array_equal(alone.distances, together.distances[row])
    itself = memory.search(memory.get_all_embeddings(), 1)
    assert (itself.distances == 0).all()


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (np.zeros((2, DIM + 1), dtype=np.float32), "6 dimensions"),
        (np.zeros((2, DIM), dtype=np.int64), "floating-point"),
        (torch.zeros(2, DIM, dtype=torch.long), "floating-point"),
        (np.full((1, DIM), np.inf), "not finite"),
        (np.full((1, DIM), 1e300), "too large"),
        (np.full((1, DIM), 1e19, dtype=np.float32), "too large"),
        (np.zeros((1, 1, DIM)), "one row"),
        (np.float32(3), "6 dimensions"),
    ],
)
def test_bad_vectors_are_refused_in_words(vectors: Any, words: str) -> None:
    memory = small()
    with pytest.raises(VardaError, match=words):
        memory.add(vectors)
    assert memory.size() == 0


def test_bad_queries_ids_and_settings_are_refused() -> None:
    memory = small(memory_size=3)
    memory.add(some(2), ids=[7, 4])
    for change in (
        lambda: memory.search(np.full(DIM, np.nan), 1),
        lambda: memory.search(some(1), 0),
        lambda: memory.add(some(1), ids=[5]),  # below 7: it could have been used
        lambda: memory.add(some(2), ids=[8]),
        lambda: memory.add(some(1), ids=[1.5]),
        lambda: memory.add(some(1), ids=[-1]),
        lambda: memory.add(some(4)),
        lambda: memory.age_memory(steps=-1),
        lambda: small(memory_size=0),
        lambda: small(forgetfulness_factor=2.0),
        lambda: small(use_gpu=True),
    ):
        with pytest.raises(VardaError):
            change()
    with pytest.raises(VardaError, match="flat"):
        small(index_type="nonesuch")
    assert memory.ids().tolist() == [7, 4]
    with pytest.raises(KeyError):
        memory[5]
    np.testing.assert_array_equal(memory[4], some(2)[1])


def test_a_removed_id_never_returns_even_after_refresh_and_reload() -> None:
    memory = small()
    used = set(memory.add(some(5)).tolist())
    memory.remove([4])
    memory.refresh()
    memory = AssociativeMemory.from_bytes(memory.to_bytes())
    assert memory.size() == 0
    assert not used & set(memory.add(some(5)).tolist())


def test_the_oldest_goes_and_an_update_makes_young() -> None:
    memory = small(memory_size=3)
    memory.add(some(1))
    memory.age_memory()
    memory.add(some(2))
    memory.update([0], some(1, 9))
    memory.age_memory(steps=2)
    assert dict(zip(memory.ids().tolist(), memory.ages().tolist(), strict=True)) == {1: 2, 2: 2, 0: 2}
    memory.add(some(1, 3))
    assert memory.ids().tolist() == [2, 0, 3]
    assert 1 not in memory
    assert list(memory) == [2, 0, 3]


def test_ageing_leaves_vectors_and_distances_alone() -> None:
    memory = small()
    memory.add(some(5))
    before = memory.search(some(2, 1), 5)
    memory.age_memory(steps=1000)
    np.testing.assert_array_equal(memory.search(some(2, 1), 5).distances, before.distances)


def test_random_forgetting_is_seeded_and_takes_its_share() -> None:
    gone = []
    for _ in range(2):
        memory = small(forgetfulness_factor=0.25)
        memory.add(some(40))
        gone.append(memory.forget_randomly(seed=3).tolist())
        assert memory.size() == 30
        assert not set(gone[-1]) & set(memory.ids().tolist())
    assert gone[0] == gone[1]


def test_garbage_is_vectors_without_length() -> None:
    memory = small()
    memory.add(np.concatenate([some(2), np.zeros((1, DIM), dtype=np.float32)]))
    assert memory.garbage_collect().tolist() == [2]
    assert memory.size() == 2


def test_a_file_gives_back_the_same_memory(tmp_path: Path) -> None:
    memory = small(forgetfulness_factor=0.5)
    memory.add(some(30))
    memory.age_memory(steps=3)
    memory.remove([3, 4])
    memory.write(tmp_path / "index", {"model": "a"})
    again = AssociativeMemory.read(tmp_path / "index", {"model": "a"})
    assert again.to_bytes() == AssociativeMemory.from_bytes(memory.to_bytes()).to_bytes()
    assert again.ages().tolist() == memory.ages().tolist()
    found, found_again = memory.search(some(5, 1), 7), again.search(some(5, 1), 7)
    np.testing.assert_array_equal(found.ids, found_again.ids)
    np.testing.assert_array_equal(found.distances, found_again.distances)
    with pytest.raises(IndexFileError, match="another model"):
        AssociativeMemory.read(tmp_path / "index", {"model": "b"})
    with pytest.raises(IndexFileError, match="missing"):
        AssociativeMemory.read(tmp_path / "nothing")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_damaged_file_loads(data: st.DataObject) -> None:
    memory = small()
    memory.add(some(3))
    good = memory.to_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(bad), good[:at], good + b"\0"):
        with pytest.raises(IndexFileError):
            AssociativeMemory.from_bytes(damaged)


def test_numpy_alone_never_imports_torch() -> None:
    code = (
        "import sys, numpy as np; from varda_chat.memory import AssociativeMemory as M; m = M(9, 4);"
        "m.add(np.ones((2, 4))); m.search(np.ones(4), 2); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

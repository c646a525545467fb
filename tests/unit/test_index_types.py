"""Every index type against a plain dict: exact content, no forgotten id, recall above a floor, whole files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from varda_chat.errors import IndexFileError, VardaError
from varda_chat.memory import AssociativeMemory, search_recall
from varda_chat.memory.container import pack
from varda_chat.memory.index_file import packed

DIM = 8
TYPES = ("flat", "ivf", "compressed", "graph")
APPROXIMATE = TYPES[1:]
FLOOR = 0.8
"""Recall@5 that every type must reach on vectors of DIM dimensions."""

Vectors = npt.NDArray[np.float32]
every_type = pytest.mark.parametrize("index_type", TYPES)
approximate_types = pytest.mark.parametrize("index_type", APPROXIMATE)


def some(count: int, seed: int = 0, dim: int = DIM) -> Vectors:
    """Vectors around a few centres, of length 1."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    vectors = centres[rng.integers(0, 20, count)] + 0.5 * rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make(index_type: str, **settings: Any) -> AssociativeMemory:
    given = {"memory_size": 60_000, "embedding_dim": DIM, "index_type": index_type, "num_clusters": 16, **settings}
    return AssociativeMemory(**given)


def learned(memory: AssociativeMemory) -> bool:
    """Whether searches go by clusters, codes or links by now."""
    codes = getattr(memory.index, "_learned_from", None)
    return memory.index_type == "graph" or bool(codes)


class AgainstADict(RuleBasedStateMachine):
    """A memory of one type and a dict of the same vectors, changed alike, and saved and loaded between."""

    index_type = "flat"
    bulk = 700
    capacity = 4000
    half = False

    def __init__(self) -> None:
        super().__init__()
        self.memory = make(self.index_type, memory_size=self.capacity, half_precision=self.half)
        self.memory.forgetfulness_factor = 0.1
        self.model: dict[int, Vectors] = {}  # in order of age
        self.removed: set[int] = set()
        self.seed = 0

    def _vectors(self, count: int) -> Vectors:
        self.seed += 1
        vectors = some(count, self.seed)
        return vectors.astype(np.float16).astype(np.float32) if self.half else vectors

    def _drop(self, ids: list[int]) -> None:
        for id_ in ids:
            del self.model[id_]
        self.removed |= set(ids)

    def _add(self, count: int) -> None:
        vectors = self._vectors(count)
        ids = self.memory.add(vectors)
        assert not set(ids.tolist()) & (self.model.keys() | self.removed)
        self._drop(list(self.model)[: max(0, len(self.model) + count - self.capacity)])
        self.model |= dict(zip(ids.tolist(), vectors, strict=True))

    @initialize(times=st.integers(0, 3))
    def begin(self, times: int) -> None:
        for _ in range(times):
            self._add(self.bulk)

    @rule(count=st.integers(0, 8))
    def add_few(self, count: int) -> None:
        self._add(count)

    @rule()
    def add_many(self) -> None:
        self._add(self.bulk)

    def _some_ids(self, data: st.DataObject) -> list[int]:
        share = data.draw(st.sampled_from([0.0, 0.05, 0.3, 0.9]))
        count = max(1, int(share * len(self.model)))
        rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
        chosen: list[int] = rng.choice(list(self.model), size=count, replace=False).tolist()
        return chosen

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = self._some_ids(data)
        self.memory.remove(ids)
        self._drop(ids)

    @precondition(lambda self: bool(self.model))
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        ids = self._some_ids(data)
        vectors = self._vectors(len(ids))
        self.memory.update(ids, vectors)
        for id_, vector in zip(ids, vectors, strict=True):
            del self.model[id_]
            self.model[id_] = vector

    @rule()
    def forget_randomly(self) -> None:
        self._drop(self.memory.forget_randomly(seed=self.seed).tolist())

    @rule()
    def collect_garbage(self) -> None:
        zero = self.memory.add(np.zeros((1, DIM)))
        self._drop(list(self.model)[: max(0, len(self.model) + 1 - self.capacity)])
        assert self.memory.garbage_collect().tolist() == zero.tolist()
        self.removed |= set(zero.tolist())

    @rule()
    def refresh(self) -> None:
        if self.seed % 7 == 0:  # seldom, or little would ever grow large
            self.memory.refresh()
            self._drop(list(self.model))

    @rule(steps=st.integers(0, 3))
    def age(self, steps: int) -> None:
        self.memory.age_memory(steps)

    @rule()
    def save_and_load(self) -> None:
        ages = self.memory.ages().tolist()
        self.memory = AssociativeMemory.from_bytes(self.memory.to_bytes())
        assert self.memory.ages().tolist() == ages

    @rule(k=st.sampled_from([1, 5, 40]), count=st.sampled_from([1, 30]))
    def search(self, k: int, count: int) -> None:
        self._search(self._vectors(count), k)

    @invariant()
    def finds(self) -> None:
        self._search(some(20, len(self.model) + 5000), 5)

    def _search(self, queries: Vectors, k: int) -> None:
        count = len(queries)
        results = self.memory.search(queries, k)
        ids = np.array(list(self.model), dtype=np.int64)
        rows = np.array(list(self.model.values())).reshape(-1, DIM)
        width = min(k, len(ids))
        assert (results.ids[:, width:] == -1).all()
        for row in range(count):
            found = results.ids[row, :width].tolist()
            assert len(set(found)) == width
            assert set(found) <= self.model.keys()
            for id_, distance, vector in zip(found, results.distances[row], results.vectors[row], strict=False):
                np.testing.assert_array_equal(vector, self.model[id_])
                np.testing.assert_allclose(distance, ((queries[row] - vector) ** 2).sum(), rtol=1e-4, atol=1e-9)
        assert (np.diff(results.distances[:, :width]) >= 0).all()
        if width:
            true = np.sort(((queries[:, None] - rows) ** 2).sum(-1), axis=1)[:, :width]
            recall = float((results.distances[:, :width] <= true[:, -1:] * (1 + 1e-4) + 1e-9).mean())
            how = "learned" if learned(self.memory) else "still flat"
            event(f"{self.index_type}, {how}: recall@{k} of {count} queries at least {int(recall * 20) / 20}")
            if self.index_type == "flat":
                assert recall == 1.0
            elif count > 1:
                assert recall >= FLOOR

    @invariant()
    def same_content(self) -> None:
        assert self.memory.ids().tolist() == list(self.model)
        assert self.memory.size() == len(self.model)
        rows = np.array(list(self.model.values())).reshape(-1, DIM)
        np.testing.assert_array_equal(self.memory.get_all_embeddings(), rows)
        if self.model:
            last = next(reversed(self.model))
            np.testing.assert_array_equal(self.memory[last], self.model[last])


def _machine(kind: str, examples: int, **attributes: Any) -> Any:
    machine: Any = type(f"AgainstADict_{kind}", (AgainstADict,), {"index_type": kind, **attributes})
    case = machine.TestCase
    case.settings = settings(max_examples=examples, stateful_step_count=15, deadline=None)
    return case


TestFlat = _machine("flat", 10)
TestIvf = _machine("ivf", 10)
TestCompressed = _machine("compressed", 6, bulk=6000, capacity=20_000)
TestGraph = _machine("graph", 10)
TestIvfInHalfPrecision = _machine("ivf", 6, half=True)
TestGraphInHalfPrecision = _machine("graph", 6, half=True)


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
    index: Any = memory.index
    seen = []
    for seed in range(22):
        memory.add(some(2000, seed))
        if index._learned_from and index._learned_from not in seen:
            seen.append(index._learned_from)
    assert len(seen) >= 2
    assert all(later >= 4 * earlier for earlier, later in pairwise(seen))
    memory.remove(memory.ids()[100:])
    memory.garbage_collect()
    assert index._learned_from == 0
    assert memory.size() == 100
    assert search_recall(memory) == 1.0


def test_a_removed_vector_is_not_in_the_graphs_file_and_the_ways_through_it_hold() -> None:
    memory = make("graph", embedding_dim=32)
    vectors = some(3000, dim=32)
    memory.add(vectors)
    gone = np.random.default_rng(1).choice(3000, size=550, replace=False)  # under a fifth: hidden, not built anew
    memory.remove(gone)
    assert memory.index.serialize()[0].size == 3000 * 8
    data = memory.to_bytes()
    kept = np.setdiff1d(np.arange(3000), gone)
    assert vectors[kept[0]].tobytes() in data
    assert not any(vectors[id_].tobytes() in data for id_ in gone)
    assert search_recall(memory, 200, 5) >= 0.95
    memory.remove(kept[:60])  # now it is
    assert memory.index.serialize()[0].size == (3000 - 610) * 8


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


def test_a_file_of_the_first_format_is_read_and_one_of_a_later_is_not() -> None:
    memory = make("flat")
    memory.add(some(9))
    header, payload = packed(memory, None)
    first: dict[str, Any] = {**header, "version": 1, "settings": dict(header["settings"])}
    del first["pieces"], first["settings"]["half_precision"]
    again = AssociativeMemory.from_bytes(b"".join(pack(first, *payload)))
    np.testing.assert_array_equal(again.get_all_embeddings(), some(9))
    with pytest.raises(IndexFileError, match="format 3"):
        AssociativeMemory.from_bytes(b"".join(pack({**header, "version": 3}, *payload)))


@pytest.mark.parametrize("claimed", TYPES)
@every_type
def test_a_file_that_claims_another_type_is_refused(index_type: str, claimed: str) -> None:
    memory = make(index_type)
    memory.add(some(11_000))
    header, payload = packed(memory, None)
    header["settings"]["index_type"] = claimed
    data = b"".join(pack(header, *payload))
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

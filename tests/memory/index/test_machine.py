"""Every index type against a plain dict through any sequence of changes, saved and loaded between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.helpers.index_memories import DIM, FLOOR, Vectors, learned, make, some
from varda_chat.memory import AssociativeMemory


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
        self.memory.age_memory(steps=steps)

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

"""Small memory stores: statements to put into them, and what they then hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.memory import (
    MemoryStore,
    NewStatement,
    NewVector,
    TurnChanges,
)

DIM = 8
Vectors = npt.NDArray[np.float32]


def some(count: int, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)


def told(text: str, count: int = 2, seed: int | None = None, strength: float = 0.5) -> NewStatement:
    vectors = some(count, zlib.crc32(text.encode(errors="replace")) if seed is None else seed)
    return NewStatement(
        text,
        "user",
        tuple(NewVector(row, 100 + place, f"t{place}", strength) for place, row in enumerate(vectors)),
    )


def turn(*stores: NewStatement, delete: Iterable[Any] = (), recalled: Iterable[Any] = ()) -> TurnChanges:
    return TurnChanges(stores, frozenset(delete), frozenset(recalled))


def opened(directory: Path, **changed: Any) -> MemoryStore:
    return MemoryStore.open(directory, **{"embedding_dim": DIM, "fingerprint": "model-a", **changed})


def texts(store: MemoryStore) -> list[str]:
    return [each.text for each in store.statements(newest_first=False)]


def agrees(store: MemoryStore) -> None:
    """The index holds the vectors of the database and no others, each under its statement and token."""
    found = 0
    for statement in store.statements():
        found += statement.vector_count
    assert store.size == found
    if not found:
        assert (store.search(some(1), 3).ids == -1).all()
        return
    results = store.search(some(1), found + 1)
    ids = results.ids[0, :found]
    assert (ids >= 0).all()
    assert results.ids[0, found] == -1
    for id_, statement_id, token_id in zip(ids, store.statement_ids(ids), store.reader.token_ids(ids), strict=True):
        record = store.reader.get(id_)
        assert (record.statement_id, record.token_id) == (statement_id, token_id)

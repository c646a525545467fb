"""BatchAssociativeMemory: one memory a batch row; rows never see each other's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from varda_chat.errors import VardaError
from varda_chat.memory.arrays import as_vectors, is_tensor, stacked
from varda_chat.memory.associative import AssociativeMemory
from varda_chat.memory.records import SearchResults
from varda_chat.memory.vector_index import Ids


class BatchAssociativeMemory:
    """``batch_size`` memories of the same settings; every argument has a first axis of that length.

    Takes and gives arrays as AssociativeMemory does, and raises VardaError as it does: arguments that one row
    cannot accept change no row. Ids are each row's own, so equal ids in two rows are two vectors.
    """

    def __init__(self, batch_size: int, *args: Any, **settings: Any) -> None:
        """Empty memories, each made of the arguments of AssociativeMemory."""
        if batch_size < 1:
            raise VardaError(f"batch_size is {batch_size}; it must be at least 1.")
        self._rows = tuple(AssociativeMemory(*args, **settings) for _ in range(batch_size))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[AssociativeMemory]:
        return iter(self._rows)

    def __getitem__(self, row: int) -> AssociativeMemory:
        """The memory of one row."""
        return self._rows[row]

    def size(self) -> list[int]:
        """Vectors in each row."""
        return [memory.size() for memory in self._rows]

    def get_all_embeddings(self) -> list[Any]:
        """The vectors (n, dim) of each row."""
        return [memory.get_all_embeddings() for memory in self._rows]

    def add(self, vectors: Any, ids: Any = None) -> Any:
        """Store ``vectors`` (B, n, dim), or B arrays (n, dim) of any n, and return their ids in the same form."""
        given, row_ids = self._split(vectors, "vectors"), self._split_ids(ids)
        for memory, new, its_ids in zip(self._rows, given, row_ids, strict=True):
            memory.check_add(new, its_ids)
        added = [memory.add(new, its_ids) for memory, new, its_ids in zip(self._rows, given, row_ids, strict=True)]
        return added if isinstance(vectors, list | tuple) else stacked(added)

    def update(self, ids: Any, vectors: Any) -> None:
        """Put ``vectors`` (B, n, dim), or B arrays, in place of those of ``ids`` (B, n)."""
        row_ids, given = self._split(ids, "ids"), self._split(vectors, "vectors")
        for memory, its_ids, new in zip(self._rows, row_ids, given, strict=True):
            memory.check_update(its_ids, new)
        for memory, its_ids, new in zip(self._rows, row_ids, given, strict=True):
            memory.update(its_ids, new)

    def remove(self, ids: Any) -> None:
        """Remove ``ids`` (B, n), or B arrays, each from its row."""
        row_ids = self._split(ids, "ids")
        for memory, its_ids in zip(self._rows, row_ids, strict=True):
            memory.vectors_of(its_ids)
        for memory, its_ids in zip(self._rows, row_ids, strict=True):
            memory.remove(its_ids)

    def search(self, query: Any, k: int) -> SearchResults:
        """The ``k`` nearest of each query (B, ..., dim) in its row: ids and distances (B, ..., k), vectors
        (B, ..., k, dim)."""
        as_vectors(query, self._rows[0].embedding_dim, "query")
        found = [memory.search(its, k) for memory, its in zip(self._rows, self._split(query, "query"), strict=True)]
        return SearchResults(
            ids=stacked([each.ids for each in found]),
            distances=stacked([each.distances for each in found]),
            vectors=stacked([each.vectors for each in found]),
        )

    def age_memory(self, steps: int = 1) -> None:
        """Make every vector ``steps`` older."""
        for memory in self._rows:
            memory.age_memory(steps)

    def forget_randomly(self, seed: int | np.random.Generator | None = None) -> list[Ids]:
        """Remove a random share of each row; returns the ids (n,) that went, for each row."""
        rng = np.random.default_rng(seed)
        return [memory.forget_randomly(rng) for memory in self._rows]

    def garbage_collect(self, threshold: float = 1e-6) -> list[Ids]:
        """Remove vectors without length from each row; returns their ids (n,), for each row."""
        return [memory.garbage_collect(threshold) for memory in self._rows]

    def refresh(self) -> None:
        """Empty every row. Ids already used stay used."""
        for memory in self._rows:
            memory.refresh()

    def _split(self, values: Any, what: str) -> Sequence[Any]:
        rows = values if is_tensor(values) or isinstance(values, list | tuple) else np.asarray(values)
        if (not isinstance(rows, list | tuple) and rows.ndim == 0) or len(rows) != len(self):
            raise VardaError(f"The {what} do not have one entry for each of the {len(self)} rows.")
        return list(rows)

    def _split_ids(self, ids: Any) -> Sequence[Any]:
        return [None] * len(self) if ids is None else self._split(ids, "ids")

"""BatchAssociativeMemory: one memory per batch row; rows never see each other's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import Ids, as_vectors, is_tensor, stacked
from varda_chat.memory.records import SearchResults
from varda_chat.memory.vector_memory import AssociativeMemory


class BatchAssociativeMemory:
    """``num_batches`` memories of the same settings; every argument has a first axis of that length.

    Takes and gives arrays as AssociativeMemory does, and raises VardaError as it does: arguments that one row
    cannot accept change no row. Ids are each row's own, so equal ids in two rows are two vectors.

    ``batch_add``, ``batch_remove`` and ``batch_search`` are for code written for VardaGPT's two classes: a row gets
    one token (dim,) or several (tokens, dim).
    """

    def __init__(self, num_batches: int, *args: Any, **settings: Any) -> None:
        """Empty memories, each made of the arguments of AssociativeMemory."""
        if num_batches < 1:
            raise VardaError(f"num_batches is {num_batches}; it must be at least 1.")
        self.memories = tuple(AssociativeMemory(*args, **settings) for _ in range(num_batches))

    @property
    def num_batches(self) -> int:
        """Rows, as ``len`` says too."""
        return len(self.memories)

    @property
    def memory_size(self) -> int:
        """Capacity of each row, in vectors."""
        return self.memories[0].memory_size

    @property
    def embedding_dim(self) -> int:
        """Floats a vector."""
        return self.memories[0].embedding_dim

    def __len__(self) -> int:
        return len(self.memories)

    def __iter__(self) -> Iterator[AssociativeMemory]:
        return iter(self.memories)

    def __getitem__(self, row: int) -> AssociativeMemory:
        """The memory of one row."""
        return self.memories[row]

    def size(self) -> list[int]:
        """Vectors in each row."""
        return [memory.size() for memory in self.memories]

    def get_all_embeddings(self) -> list[Any]:
        """The vectors (n, dim) of each row."""
        return [memory.get_all_embeddings() for memory in self.memories]

    def add(self, vectors: Any, ids: Any = None) -> Any:
        """Store ``vectors`` (B, n, dim), or B arrays (n, dim) of any n, and return their ids in the same form."""
        given, row_ids = self._split(vectors, "vectors"), self._split_ids(ids)
        for memory, new, its_ids in zip(self.memories, given, row_ids, strict=True):
            memory.check_add(new, its_ids)
        added = [memory.add(new, its_ids) for memory, new, its_ids in zip(self.memories, given, row_ids, strict=True)]
        return added if isinstance(vectors, list | tuple) else stacked(added)

    def update(self, ids: Any, vectors: Any) -> None:
        """Put ``vectors`` (B, n, dim), or B arrays, in place of those of ``ids`` (B, n)."""
        row_ids, given = self._split(ids, "ids"), self._split(vectors, "vectors")
        for memory, its_ids, new in zip(self.memories, row_ids, given, strict=True):
            memory.check_update(its_ids, new)
        for memory, its_ids, new in zip(self.memories, row_ids, given, strict=True):
            memory.update(its_ids, new)

    def remove(self, ids: Any) -> None:
        """Remove ``ids`` (B, n), or B arrays, each from its row."""
        row_ids = self._split(ids, "ids")
        for memory, its_ids in zip(self.memories, row_ids, strict=True):
            memory.vectors_of(its_ids)
        for memory, its_ids in zip(self.memories, row_ids, strict=True):
            memory.remove(its_ids)

    def search(self, query: Any, k: int = 10) -> SearchResults:
        """The ``k`` nearest of each query (B, ..., dim) in its row: ids and distances (B, ..., k), vectors
        (B, ..., k, dim)."""
        as_vectors(query, self.memories[0].embedding_dim, "query")
        found = [memory.search(its, k) for memory, its in zip(self.memories, self._split(query, "query"), strict=True)]
        return SearchResults(
            ids=stacked([each.ids for each in found]),
            distances=stacked([each.distances for each in found]),
            vectors=stacked([each.vectors for each in found]),
        )

    # As in VardaGPT

    def batch_add(self, embeddings: Any) -> list[Any]:
        """Store a vector (B, dim) or several (B, tokens, dim) in each row; returns the new ids (n,) of each row."""
        rows = self._first_rows(embeddings, "embeddings")
        for memory, new in rows:
            memory.check_add(new, None)
        return [memory.add(new) for memory, new in rows]

    def batch_remove(self, ids: Any) -> None:
        """Remove an id (B,) or several (B, tokens) from each row; whole numbers may come as floats."""
        rows = [(memory, _whole(its_ids)) for memory, its_ids in self._first_rows(ids, "ids")]
        for memory, its_ids in rows:
            memory.vectors_of(its_ids)
        for memory, its_ids in rows:
            memory.remove(its_ids)

    def batch_search(self, query: Any, k: int = 10) -> list[SearchResults]:
        """The ``k`` nearest of each row's query (B, dim) or queries (B, tokens, dim): for each row, results that unpack
        as ids and distances, both (tokens, k). Fewer queries than rows are for the first rows."""
        return [
            memory.search(its.reshape(-1, self.embedding_dim), k) for memory, its in self._first_rows(query, "query")
        ]

    # Upkeep

    def age_memory(self, decay_factor: float = 1.0, *, steps: int = 1) -> None:
        """Make every vector ``steps`` older, and multiply it by ``decay_factor``."""
        for memory in self.memories:
            memory.age_memory(decay_factor, steps=steps)

    def forget_randomly(self, seed: int | np.random.Generator | None = None) -> list[Ids]:
        """Remove a random share of each row; returns the ids (n,) that went, for each row."""
        rng = np.random.default_rng(seed)
        return [memory.forget_randomly(rng) for memory in self.memories]

    def garbage_collect(self, threshold: float = 1e-6) -> list[Ids]:
        """Remove vectors without length from each row; returns their ids (n,), for each row."""
        return [memory.garbage_collect(threshold) for memory in self.memories]

    def refresh(self) -> None:
        """Empty every row. Ids already used stay used."""
        for memory in self.memories:
            memory.refresh()

    def _first_rows(self, values: Any, what: str) -> list[tuple[AssociativeMemory, Any]]:
        """The memories of the first rows, as many as ``values`` has entries, with their entries."""
        rows = values if is_tensor(values) else np.asarray(values)
        if rows.ndim == 0 or len(rows) > len(self):
            raise VardaError(f"The {what} do not have one entry for each of the {len(self)} rows.")
        return list(zip(self.memories, rows, strict=False))

    def _split(self, values: Any, what: str) -> Sequence[Any]:
        rows = values if is_tensor(values) or isinstance(values, list | tuple) else np.asarray(values)
        if (not isinstance(rows, list | tuple) and rows.ndim == 0) or len(rows) != len(self):
            raise VardaError(f"The {what} do not have one entry for each of the {len(self)} rows.")
        return list(rows)

    def _split_ids(self, ids: Any) -> Sequence[Any]:
        return [None] * len(self) if ids is None else self._split(ids, "ids")


def _whole(ids: Any) -> Any:
    """``ids`` as integers where they are whole numbers written as floats."""
    given = np.asarray(ids.detach().cpu() if is_tensor(ids) else ids)
    return given.astype(np.int64) if given.dtype.kind == "f" and (given == np.trunc(given)).all() else given


MultiTokenBatchAssociativeMemory = BatchAssociativeMemory
"""VardaGPT's name for a batch whose rows take several tokens at once: (batch, tokens, dim)."""

"""FlatIndex: exact search over every vector, in single or half precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss
from varda_chat.memory.index.gpu import MAX_RESULTS, GpuCopy
from varda_chat.memory.index.segments import Segment, empty_index, joined, sealed
from varda_chat.storage.container import Parts, Piece

SEALED = 65_536
"""Vectors added until they become a segment of their own, which is never copied again."""

_MOST_HIDDEN = 0.2
"""Share of hidden rows at which what is left of a segment is copied."""


class FlatIndex:
    """A VectorIndex that compares a query with every vector.

    Vectors lie in segments, which hide what is removed, and in a small index that grows. Read from pieces, the first
    segment is their bytes in place: a large memory can be searched and changed at once, and saved without a copy.
    """

    def __init__(self, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> None:
        self._settings = settings
        self.segments: list[Segment] = []
        self._growing = self._empty()
        self._gpu = GpuCopy(settings.gpu_device)
        if pieces is not None:
            ids, rows = pieces
            found = Segment(ids.view("<i8").astype(np.int64), rows, settings)
            self.segments = [found] if len(found) else []

    def __len__(self) -> int:
        return sum(len(segment) for segment in self.segments) + int(self._growing.ntotal)

    def ids(self) -> Ids:
        return np.concatenate([*(segment.living() for segment in self.segments), self._growing_ids()])

    def add(self, ids: Ids, vectors: Vectors) -> None:
        self._gpu.drop()
        self._growing.add_with_ids(vectors, ids)
        if self._growing.ntotal >= SEALED:
            rows = faiss.downcast_index(self._growing.index)
            self.segments.append(sealed(rows, self._growing_ids(), self._settings))
            self._growing = self._empty()

    def remove(self, ids: Ids) -> None:
        self._gpu.drop()
        left = ids
        for segment in self.segments:
            places = segment.places(left)
            segment.hide(places[places >= 0])
            left = left[places < 0]
        if len(left):
            self._growing.remove_ids(left)
        self._tidy(_MOST_HIDDEN)

    def search(self, queries: Vectors, k: int, exact: bool = False) -> Ids:
        if self._gpu.used and k <= MAX_RESULTS:
            on_gpu: Ids = self._gpu.of(self._whole, k).search(queries, k)[1]
            return on_gpu
        found = [segment.search(queries, k) for segment in self.segments]
        if self._growing.ntotal or not found:
            found.append(self._growing.search(queries, k)[1])
        return found[0] if len(found) == 1 else np.concatenate(found, axis=1)

    def vectors(self, ids: Ids) -> Vectors:
        vectors = np.empty((len(ids), self._settings.embedding_dim), dtype=np.float32)
        left = np.arange(len(ids))
        for segment in self.segments:
            places = segment.places(ids[left])
            here = places >= 0
            if here.any():
                vectors[left[here]] = segment.vectors(places[here])
                left = left[~here]
        if len(left):
            vectors[left] = self._growing.reconstruct_batch(ids[left])
        return vectors

    def compact(self) -> None:
        self._tidy(0.0)

    def serialize(self) -> tuple[Piece | Parts, ...]:
        rows = faiss.downcast_index(self._growing.index)
        return self.ids().astype("<i8").view(np.uint8), joined(self.segments, rows, self._settings)

    def _empty(self) -> Any:
        return faiss.IndexIDMap2(empty_index(self._settings))

    def _tidy(self, most_hidden: float) -> None:
        """Copy what is left of segments of which more than a share is hidden. A large one, in the bytes of its file,
        stays until the file is rewritten."""
        for place, segment in enumerate(self.segments):
            count = len(segment.ids)
            if len(segment) and count <= SEALED and count - len(segment) > most_hidden * count:
                living, rows = segment.living(), empty_index(self._settings)
                rows.add(segment.vectors(segment.places(living)))
                self.segments[place] = sealed(rows, living, self._settings)
        self.segments = [segment for segment in self.segments if len(segment)]

    def _growing_ids(self) -> Ids:
        ids: Ids = faiss.vector_to_array(self._growing.id_map).astype(np.int64)
        return ids

    def _whole(self) -> Any:
        """All vectors in one FAISS index, for a GPU to copy."""
        index, ids = self._empty(), self.ids()
        for start in range(0, len(ids), SEALED):
            some = ids[start : start + SEALED]
            index.add_with_ids(self.vectors(some), some)
        return index

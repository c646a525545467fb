"""Segment: vectors that are searched where they lie, in RAM or in the bytes of a file; hidden, never changed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from varda_chat.memory.index.arrays import Ids, Vectors
from varda_chat.memory.index.base import IndexSettings, faiss, restored
from varda_chat.storage.container import Parts, Piece

_BLOCK = 8192  # rows copied at once where hidden ones are left out

Mask = npt.NDArray[np.bool_]


def empty_index(settings: IndexSettings) -> Any:
    """FAISS' exact index of ``settings``, with no vectors."""
    if settings.half_precision:
        half = faiss.ScalarQuantizer.QT_fp16
        return faiss.IndexScalarQuantizer(settings.embedding_dim, half, faiss.METRIC_L2)
    return faiss.IndexFlatL2(settings.embedding_dim)


class Segment:
    """``ids`` (n,) and a FAISS exact index over a view of the rows in ``piece``, which must outlive it.

    Raises RuntimeError where ``piece`` is of another index, or of another number of rows.
    """

    def __init__(self, ids: Ids, piece: Piece, settings: IndexSettings) -> None:
        self.ids = ids
        head = header(len(ids), settings)  # the bytes may not have been checked: FAISS must not be led astray by them
        if not np.array_equal(piece[: len(head)], head):
            raise RuntimeError("rows of another index")
        self._index = restored(piece, type(empty_index(settings)), settings, view=True)
        if self._index.ntotal != len(ids):
            raise RuntimeError("rows and ids of different numbers")
        self._piece = piece
        self._settings = settings
        self._rows = piece[len(piece) - len(ids) * self._index.code_size :].reshape(len(ids), self._index.code_size)
        self._hidden: Mask | None = None
        self._living = len(ids)
        self._visible: Any = None  # FAISS' selector, made when first needed after a change
        ascending = bool((np.diff(ids) > 0).all())
        self._order: Ids | None = None if ascending else np.argsort(ids)
        self._sorted = ids if self._order is None else ids[self._order]

    def __len__(self) -> int:
        return self._living

    def living(self) -> Ids:
        """The ids that are not hidden, in order of the rows."""
        return self.ids if self._hidden is None else self.ids[~self._hidden]

    def places(self, ids: Ids) -> Ids:
        """The row of each of ``ids`` (n,), -1 where it is not here or hidden."""
        if not len(self.ids):
            return np.full(len(ids), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self.ids) - 1)
        here = self._sorted[at] == ids
        rows: Ids = at if self._order is None else self._order[at]
        if self._hidden is not None:
            here &= ~self._hidden[rows]
        return np.where(here, rows, -1)

    def hide(self, places: Ids) -> None:
        """Leave rows out of every search from now on."""
        if len(places):
            hidden = np.zeros(len(self.ids), dtype=bool) if self._hidden is None else self._hidden.copy()
            hidden[places] = True
            self._living -= len(places)
            self._hidden, self._visible = hidden, None  # a new mask: a snapshot may be reading the old one

    def search(self, queries: Vectors, k: int) -> Ids:
        """Ids (n, k) of the nearest that are not hidden, -1 where there are fewer."""
        sought = None
        if self._hidden is not None:
            if self._visible is None:
                self._visible = faiss.IDSelectorBitmap(np.packbits(~self._hidden, bitorder="little"))
            sought = faiss.SearchParameters(sel=self._visible)
        rows = self._index.search(queries, k, params=sought)[1]
        found: Ids = np.where(rows >= 0, self.ids[rows], -1)
        return found

    def vectors(self, places: Ids) -> Vectors:
        """The vectors (n, dim) of rows."""
        vectors: Vectors = self._index.reconstruct_batch(places)
        return vectors

    def rows(self) -> Parts:
        """The bytes of the rows that are not hidden, as they are now, whatever is hidden later."""
        table, hidden = self._rows, self._hidden
        if hidden is None:
            return Parts(table.nbytes, lambda: iter([table.reshape(-1)]))

        def blocks() -> Iterator[Piece]:
            for start in range(0, len(table), _BLOCK):
                yield table[start : start + _BLOCK][~hidden[start : start + _BLOCK]].reshape(-1)

        return Parts(self._living * table.shape[1], blocks)


def sealed(index: Any, ids: Ids, settings: IndexSettings) -> Segment:
    """A segment with a copy of the rows of ``index``, an exact FAISS index, under ``ids``."""
    return Segment(ids, np.concatenate([header(len(ids), settings), codes_of(index)]), settings)


def codes_of(index: Any) -> Piece:
    """A copy of the bytes of the rows of an exact FAISS index."""
    size = index.ntotal * index.code_size
    if not size:
        return np.zeros(0, dtype=np.uint8)
    codes: Piece = faiss.rev_swig_ptr(index.codes.data(), size).copy()
    return codes


def header(count: int, settings: IndexSettings) -> Piece:
    """What FAISS writes before the rows of an exact index of ``count`` rows.

    FAISS writes the rows last, after their number; so the file of a large index can be written from its rows
    without building it.
    """
    index = empty_index(settings)
    index.add(np.zeros((1, settings.embedding_dim), dtype=np.float32))
    one = faiss.serialize_index(index).tobytes()[: -index.code_size]  # ends with the size of one row, in FAISS' unit
    (unit,) = struct.unpack("<Q", one[-8:])
    index.reset()
    index.ntotal = count
    many = faiss.serialize_index(index).tobytes()[:-8]
    index.ntotal = 0
    return np.frombuffer(many + struct.pack("<Q", unit * count), dtype=np.uint8)


def joined(segments: list[Segment], index: Any, settings: IndexSettings) -> Parts:
    """The bytes of one index with the living rows of ``segments`` and a copy of those of ``index`` behind them."""
    pieces = [segment.rows() for segment in segments]
    tail = codes_of(index)
    count = sum(len(segment) for segment in segments) + index.ntotal
    head = header(count, settings)
    chunks: Callable[[], Iterator[Piece]] = lambda: (  # noqa: E731
        chunk for part in (Parts.of(head), *pieces, Parts.of(tail)) for chunk in part.chunks()
    )
    return Parts(head.nbytes + sum(piece.nbytes for piece in pieces) + tail.nbytes, chunks)

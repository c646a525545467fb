"""The index types by name: each with stable ids, removal, update and exact reconstruction."""

from __future__ import annotations

from collections.abc import Sequence

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import Piece
from varda_chat.memory.index.base import IndexSettings, MakeIndex, VectorIndex
from varda_chat.memory.index.clustered import CompressedIndex, IvfIndex
from varda_chat.memory.index.flat import FlatIndex
from varda_chat.memory.index.hnsw import GraphIndex

INDEX_TYPES: dict[str, MakeIndex] = {
    "flat": FlatIndex,
    "ivf": IvfIndex,
    "compressed": CompressedIndex,
    "graph": GraphIndex,
}
"""A new type is a class with VectorIndex' methods and a line here."""


def check_index_type(index_type: str) -> None:
    """Raise VardaError for a type that there is not."""
    if index_type not in INDEX_TYPES:
        known = ", ".join(INDEX_TYPES)
        raise VardaError(f"Index type {index_type!r} is not available; choose one of: {known}.")


def make_index(index_type: str, settings: IndexSettings, pieces: Sequence[Piece] | None = None) -> VectorIndex:
    """An empty index of a type in INDEX_TYPES, or the one that ``serialize`` gave ``pieces`` of.

    Raises RuntimeError where the pieces are of another index.
    """
    return INDEX_TYPES[index_type](settings, pieces)

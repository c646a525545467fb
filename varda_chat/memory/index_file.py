"""An AssociativeMemory as a container: its header, its pieces, and back. Works for every index type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from varda_chat.errors import IndexFileError, VardaError

if TYPE_CHECKING:
    from varda_chat.memory.associative import AssociativeMemory
    from varda_chat.memory.vector_index import Piece

FORMAT_VERSION = 2
_READABLE = (1, 2)
"""Version 1 had flat indexes only, each in one piece."""

Label = Mapping[str, str | int]


def packed(memory: AssociativeMemory, label: Label | None) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Header and payload of the container that ``memory`` is kept in."""
    pieces = memory.index.serialize()
    header = {
        "version": FORMAT_VERSION,
        "label": dict(label or {}),
        "count": memory.size(),
        "clock": memory.clock,
        "next_id": memory.next_id,
        "pieces": [piece.nbytes for piece in pieces],
        "settings": memory.settings(),
    }
    born = memory.clock - memory.ages()
    return header, (memory.ids().astype("<i8").data, born.astype("<i8").data, *(piece.data for piece in pieces))


def unpacked(
    kind: type[AssociativeMemory], header: dict[str, Any], payload: memoryview, label: Label | None
) -> AssociativeMemory:
    """The memory that ``packed`` gave; raises IndexFileError for another label and for what cannot be read."""
    if header["version"] not in _READABLE:
        raise IndexFileError(f"The index file has format {header['version']}; this is {FORMAT_VERSION}.")
    for name, value in (label or {}).items():
        if header["label"].get(name) != value:
            raise IndexFileError(f"The index file belongs to another {name} of the memory.")
    count = header["count"]
    ids, born = np.frombuffer(payload, dtype="<i8", count=2 * count).reshape(2, count)
    rest = payload[2 * ids.nbytes :]
    try:
        memory = kind(**header["settings"])
        pieces = _split(rest, header.get("pieces", [rest.nbytes]))
        memory.restore(pieces, ids.tolist(), born.tolist(), clock=header["clock"], next_id=header["next_id"])
    except (RuntimeError, TypeError, ValueError, VardaError) as error:
        raise IndexFileError(f"The index file is not one that this FAISS reads ({error}).") from error
    return memory


def _split(data: memoryview, lengths: list[int]) -> list[Piece]:
    if sum(lengths) != data.nbytes:
        raise ValueError("its pieces have another length")
    ends = np.cumsum(lengths).tolist()
    return [np.frombuffer(data[end - length : end], dtype=np.uint8) for end, length in zip(ends, lengths, strict=True)]

"""An AssociativeMemory of any type as a container: its header, ids and ages in front, its index as the bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from varda_chat.errors import IndexFileError, VardaError
from varda_chat.memory.index.arrays import Ids
from varda_chat.storage.container import Parts, Piece

if TYPE_CHECKING:
    from varda_chat.memory.vector_memory import AssociativeMemory
    from varda_chat.storage.container import Container

FORMAT_VERSION = 3

Label = Mapping[str, str | int]
Packed = tuple[dict[str, Any], tuple[Any, ...], tuple[Parts, ...]]


def packed(memory: AssociativeMemory, label: Label | None, columns: Mapping[str, Ids] | None = None) -> Packed:
    """Header, front and bulk of the container that ``memory`` is kept in, as it is now whatever is changed later.

    columns: more to keep of each vector, (n,) in the order of ``memory.ids()``.
    """
    pieces = memory.index.serialize()
    columns = columns or {}
    header = {
        "version": FORMAT_VERSION,
        "label": dict(label or {}),
        "count": memory.size(),
        "clock": memory.ledger.clock,
        "next_id": memory.ledger.next_id,
        "columns": list(columns),
        "pieces": [piece.nbytes for piece in pieces],
        "settings": memory.settings(),
    }
    born = memory.ledger.clock - memory.ages()
    front = tuple(each.astype("<i8").data for each in (memory.ids(), born, *columns.values()))
    return header, front, tuple(piece if isinstance(piece, Parts) else Parts.of(piece) for piece in pieces)


def unpacked(
    kind: type[AssociativeMemory], container: Container, label: Label | None
) -> tuple[AssociativeMemory, dict[str, Ids]]:
    """The memory and the columns that ``packed`` was given; raises IndexFileError for another label and for what cannot
    be read."""
    header = container.header
    if header["version"] != FORMAT_VERSION:
        raise IndexFileError(f"The index file has format {header['version']}; this is {FORMAT_VERSION}.")
    for name, value in (label or {}).items():
        if header["label"].get(name) != value:
            raise IndexFileError(f"The index file belongs to another {name} of the memory.")
    names = header["columns"]
    try:
        table = np.frombuffer(container.front, dtype="<i8").reshape(2 + len(names), header["count"])
        ids, born, *columns = table.astype(np.int64)
        memory = kind(**header["settings"])
        pieces = _split(container.bulk, header["pieces"])
        memory.restore(pieces, ids, born, clock=header["clock"], next_id=header["next_id"])
    except (RuntimeError, TypeError, ValueError, VardaError) as error:
        raise IndexFileError(f"The index file is not one that this FAISS reads ({error}).") from error
    return memory, dict(zip(names, columns, strict=True))


def _split(data: memoryview, lengths: Sequence[int]) -> list[Piece]:
    if sum(lengths) != data.nbytes:
        raise ValueError("its pieces have another length")
    ends = np.cumsum(lengths).tolist()
    return [np.frombuffer(data[end - length : end], dtype=np.uint8) for end, length in zip(ends, lengths, strict=True)]

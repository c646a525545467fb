"""An AssociativeMemory of any type as a container: its header, then its ids and ages, then its index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from varda_chat.errors import IndexFileError, VardaError
from varda_chat.memory.index.arrays import Ids, Piece, ids_in, piece_of
from varda_chat.storage.container import write_container

if TYPE_CHECKING:
    from varda_chat.memory.vector_memory import AssociativeMemory
    from varda_chat.storage.container import Container

FORMAT_VERSION = 4

Label = Mapping[str, str | int]
Packed = tuple[dict[str, Any], tuple[Piece, ...]]


@dataclass(frozen=True)
class Snapshot:
    """A memory as it was at one moment, to be written by any thread while it goes on changing; ``label`` says of which
    state of memory.db it is."""

    label: Label
    packed: Packed

    def write(self, path: Path, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Write it as ``path``, all or nothing; False where ``stopped`` ended it. Raises OSError."""
        return write_container(path, *self.packed, stopped)


def packed(memory: AssociativeMemory, label: Label | None, columns: Mapping[str, Ids] | None = None) -> Packed:
    """Header and pieces of the container that ``memory`` is kept in, as it is now whatever is changed later.

    columns: more to keep of each vector, (n,) in the order of ``memory.ids()``.
    """
    columns = columns or {}
    header = {
        "version": FORMAT_VERSION,
        "label": dict(label or {}),
        "clock": memory.ledger.clock,
        "next_id": memory.ledger.next_id,
        "columns": list(columns),
        "settings": memory.settings(),
    }
    born = memory.ledger.clock - memory.ages()
    front = (piece_of(each) for each in (memory.ids(), born, *columns.values()))
    return header, (*front, *memory.index.serialize())


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
    pieces = [np.frombuffer(piece, dtype=np.uint8) for piece in container.pieces]
    try:
        ids, born, *columns = (ids_in(piece) for piece in pieces[: 2 + len(names)])
        memory = kind(**header["settings"])
        memory.restore(pieces[2 + len(names) :], ids, born, clock=header["clock"], next_id=header["next_id"])
    except (RuntimeError, TypeError, ValueError, VardaError) as error:
        raise IndexFileError(f"The index file is not one that this FAISS reads ({error}).") from error
    return memory, dict(zip(names, columns, strict=True))

"""An index as it was at one moment, to be written by any thread while the index goes on changing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from varda_chat.storage.container import Parts, Piece, write_container

if TYPE_CHECKING:
    from varda_chat.memory.index.serialization import Packed

Label = dict[str, str | int]

CHUNK = 16 * 2**20  # bytes written between two looks at whether to stop


class _StoppedError(Exception):
    """The writing was to end."""


@dataclass(frozen=True)
class Snapshot:
    """What is to be written; ``label`` says of which state of memory.db it is."""

    label: Label
    packed: Packed

    def write(self, path: Path, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Write it as ``path``, all or nothing; False where ``stopped`` ended it. Raises OSError."""
        header, front, bulk = self.packed
        try:
            write_container(path, header, front, [stoppable(part, stopped) for part in bulk])
        except _StoppedError:
            return False
        return True


def stoppable(part: Parts, stopped: Callable[[], bool]) -> Parts:
    """``part`` in pieces of CHUNK bytes, with a look before each whether to go on."""

    def chunks() -> Iterator[Piece]:
        for chunk in part.chunks():
            for start in range(0, len(chunk), CHUNK):
                if stopped():
                    raise _StoppedError
                yield chunk[start : start + CHUNK]

    return Parts(part.nbytes, chunks)

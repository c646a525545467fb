"""The bytes that an index is kept in: whole, or in parts that are made when it is their turn to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # looking at a file loads no numpy
    import numpy as np
    import numpy.typing as npt

Piece: TypeAlias = "npt.NDArray[np.uint8]"


@dataclass(frozen=True)
class Parts:
    """A piece of ``nbytes`` given in parts, so that a large one need not be copied to be written."""

    nbytes: int
    chunks: Callable[[], Iterator[Piece]]

    @classmethod
    def of(cls, piece: Piece) -> Parts:
        """One that is there whole."""
        return cls(piece.nbytes, lambda: iter([piece]))

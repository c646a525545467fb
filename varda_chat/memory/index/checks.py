"""What may enter a memory: statements that are valid Unicode, with finite vectors of the right dimension."""

from __future__ import annotations

import math

from varda_chat.errors import VardaError
from varda_chat.memory.index.arrays import as_vectors
from varda_chat.memory.records import NewStatement, NewVector


def checked(new: NewStatement, dim: int) -> NewStatement:
    """``new`` with float32 vectors, or VardaError."""
    check_text(new.text, new.role)
    return NewStatement(new.text, new.role, tuple(checked_vector(vector, dim) for vector in new.vectors))


def checked_vector(new: NewVector, dim: int) -> NewVector:
    """``new`` as float32 (dim,), or VardaError."""
    check_text(new.token)
    if not math.isfinite(new.strength):
        raise VardaError("The strength of a vector to store is not a finite number.")
    vector = as_vectors(new.vector, dim, "vectors to store")
    if vector.ndim != 1:
        raise VardaError(f"A vector to store has shape {vector.shape}; ({dim},) is needed.")
    return NewVector(vector, int(new.token_id), new.token, float(new.strength))


def check_text(*texts: str) -> None:
    """Raise VardaError for half a surrogate pair."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise VardaError("A text to store is not valid Unicode (it holds half a surrogate pair).") from None
